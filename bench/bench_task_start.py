"""From RunTask to RUNNING: a task of three containers, over AWS's API, in a region of its own.

    python bench/bench_task_start.py [RUNS]

Measure: p50 at most 60 ms, p99 at most 200 ms. Beside it, where Docker answers (DOCKER_HOST as
ever), what three `docker run` of a small image, in one network, take on the same machine.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

from own_region import own_region

from hikkoshi.aws.access import Access
from hikkoshi.trials.balancer import default_network
from hikkoshi.trials.measures import quantile

P50_MS, P99_MS = 60, 200
LOOK_EVERY_S = 0.005
DEADLINE_S = 30.0
DOCKER_RUNS = 10

TASK: dict[str, Any] = {
    "family": "three",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "512",
    "memory": "1024",
    "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
    "containerDefinitions": [
        {
            "name": "log-router",
            "image": "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable",
            "essential": False,
            "firelensConfiguration": {"type": "fluentbit"},
            "stopTimeout": 2,
        },
        {
            "name": "application",
            "image": "localhost/host",
            "essential": True,
            "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"],
            "dependsOn": [{"containerName": "log-router", "condition": "START"}],
            "logConfiguration": {
                "logDriver": "awsfirelens",
                "options": {"Name": "null"},
            },
        },
        {
            "name": "xray-daemon",
            "image": "public.ecr.aws/xray/aws-xray-daemon:3.x",
            "essential": False,
            "stopTimeout": 2,
        },
    ],
}


def main(runs: int) -> None:
    with own_region() as (handle, _):
        times_ms = sorted(measure(Access(handle.api_url, "ap-northeast-1"), runs))
    p50, p99, most = quantile(times_ms, 0.5), quantile(times_ms, 0.99), times_ms[-1]
    assert p50 is not None and p99 is not None
    load = os.getloadavg()[0]
    print(
        f"RunTask to RUNNING, 3 containers, {runs} runs, load {load:.1f} on {os.cpu_count()} cores:"
    )
    print(f"  p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {most:.0f} ms")
    is_kept = p50 <= P50_MS and p99 <= P99_MS
    word = "kept" if is_kept else "kept at p99 only" if p99 <= P99_MS else "broken"
    print(f"  measure: p50 at most {P50_MS} ms, p99 at most {P99_MS} ms: {word}")
    print(f"  the same by docker run: {docker(p50)}")


def measure(access: Access, runs: int) -> list[float]:
    """Milliseconds from RunTask's call until DescribeTasks first said RUNNING; one task at a
    time, ended before the next is started."""
    ecs = access.client("ecs")
    network = default_network(access)
    where = {"subnets": network.subnets, "securityGroups": network.security_groups}
    ecs.create_cluster(clusterName="bench")
    ecs.register_task_definition(**TASK)
    found = []
    for _ in range(runs):
        started = time.perf_counter()
        ran = ecs.run_task(
            cluster="bench",
            taskDefinition="three",
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": where},
        )
        task = ran["tasks"][0]["taskArn"]
        wait_for(ecs, task, "RUNNING")
        found.append((time.perf_counter() - started) * 1000)
        ecs.stop_task(cluster="bench", task=task)
        wait_for(ecs, task, "STOPPED")
    return found


def wait_for(ecs: Any, task: str, status: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        seen = ecs.describe_tasks(cluster="bench", tasks=[task])["tasks"][0]
        if seen["lastStatus"] == status:
            return
        if seen["lastStatus"] == "STOPPED" or time.monotonic() > deadline:
            raise SystemExit(f"not {status}: {json.dumps(seen, default=str, indent=1)}")
        time.sleep(LOOK_EVERY_S)


def docker(own_p50_ms: float) -> str:
    """Three containers in one network namespace, as a task has them, from a small image of this
    machine's own shell: nothing is pulled. Each is told by `docker run` when it runs."""
    if shutil.which("docker") is None:
        return "not measured (no docker)"
    try:
        ask_docker("version", "--format", "{{.Server.Version}}")
        image = ask_docker("import", "-", given=shell_archive())
        try:
            times_ms = [three_by_docker(image) for _ in range(DOCKER_RUNS)]
        finally:
            ask_docker("rmi", "--force", image)
    except (OSError, subprocess.SubprocessError) as error:
        return f"not measured (Docker does not answer: {error})"
    p50 = statistics.median(times_ms)
    return (
        f"p50 {p50:.0f} ms, max {max(times_ms):.0f} ms, {DOCKER_RUNS} runs: "
        f"{p50 / own_p50_ms:.1f} times as long"
    )


def three_by_docker(image: str) -> float:
    """Milliseconds."""
    command = (image, "/bin/sh", "-c", "sleep 600")
    started, begun = [], time.perf_counter()
    try:
        for _ in range(3):
            network = [f"--network=container:{started[0]}"] if started else []
            started.append(ask_docker("run", "--detach", *network, *command))
        return (time.perf_counter() - begun) * 1000
    finally:
        if started:
            ask_docker("rm", "--force", *reversed(started))


def ask_docker(*words: str, given: bytes = b"") -> str:
    """What it answers. OSError, subprocess.SubprocessError."""
    done = subprocess.run(
        ["docker", *words], input=given, capture_output=True, timeout=60, check=True
    )
    return done.stdout.decode().strip()


def shell_archive() -> bytes:
    """A root of sh, sleep and their libraries, as a tar archive."""
    files = {Path(path) for name in ("sh", "sleep") if (path := shutil.which(name))}
    for program in list(files):
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
        files |= {Path(word) for word in listed.stdout.split() if word.startswith("/")}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(files):
            place = f"bin/{path.name}" if path.parent.name == "bin" else str(path).lstrip("/")
            archive.add(path.resolve(), place)
    return packed.getvalue()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
