"""What a region costs that holds many tasks: its control plane's processor, memory and answers.

    python bench/bench_many_tasks.py [--at 10,30,100,200] [--idle 10]

Tasks of two containers (an application and a non-essential sidecar, `sleep` both) are started by
RunTask until there are as many as asked; then nothing is asked for a while, and the processor time
of the region's own processes (its door, its first process, its interpreter; not the containers) is
read from /proc; then 300 calls, one after another, are timed. The measure, at 100 tasks: at most
5 % of one core idle, 150 MB resident, and 50 ms at p99.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from own_region import own_region

from hikkoshi.aws.access import Access
from hikkoshi.region.boot.cleanup import read_record
from hikkoshi.trials.balancer import default_network
from hikkoshi.trials.measures import quantile

MEASURED_AT = 100
CPU_PERCENT, MEMORY_MB, API_P99_MS = 5.0, 150.0, 50.0
AT_ONCE = 10
CALLS = 300
DEADLINE_S = 120.0

SLEEP = ["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"]
TASK: dict[str, Any] = {
    "family": "two",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [
        {"name": "app", "image": "localhost/host", "essential": True, "command": SLEEP},
        {"name": "sidecar", "image": "localhost/host", "essential": False, "command": SLEEP},
    ],
}


class ControlPlane:
    """The region's own processes, read from the machine's /proc."""

    def __init__(self, state: Path) -> None:
        record = read_record(state)
        assert record is not None
        init = record.init_pid
        children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
        self.region = int(children[0])
        self.pids = (record.door_pid, init, self.region)

    def cpu_s(self) -> float:
        """User and system time of all of them, in seconds."""
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Resident, each page that they share counted for its part."""
        return sum(_pss_kib(pid) for pid in self.pids) * 1024 / 1e6


def _pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise SystemExit(f"the kernel tells no Pss of process {pid}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--at", default="10,30,100,200", help="numbers of tasks to measure at")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds without a call")
    asked = parser.parse_args()
    counts = [int(word) for word in asked.at.split(",")]
    with own_region() as (handle, state):
        access = Access(handle.api_url, "ap-northeast-1")
        rows = list(measure(access, ControlPlane(state), counts, asked.idle))
    return report(rows)


Row = dict[str, float]


def measure(access: Access, plane: ControlPlane, counts: list[int], idle_s: float) -> Iterator[Row]:
    ecs = access.client("ecs")
    network = default_network(access)
    where = {"subnets": network.subnets, "securityGroups": network.security_groups}
    ecs.create_cluster(clusterName="bench")
    ecs.register_task_definition(**TASK)
    tasks: list[str] = []
    empty_mb = plane.memory_mb()
    for count in counts:
        began, before = time.monotonic(), len(tasks)
        while len(tasks) < count:
            tasks += start(ecs, where, min(AT_ONCE, count - len(tasks)))
        started_s = time.monotonic() - began
        cpu, wall = plane.cpu_s(), time.monotonic()
        time.sleep(idle_s)
        idle_percent = (plane.cpu_s() - cpu) / (time.monotonic() - wall) * 100
        memory_mb = plane.memory_mb()
        times = sorted(call_times_ms(ecs, tasks))
        yield {
            "tasks": count,
            "start_ms": started_s / (count - before) * 1000 if count > before else 0.0,
            "cpu": idle_percent,
            "mb": memory_mb,
            "kib_a_task": (memory_mb - empty_mb) * 1e6 / 1024 / count,
            "p50": quantile(times, 0.5) or 0.0,
            "p99": quantile(times, 0.99) or 0.0,
        }


def start(ecs: Any, where: dict[str, Any], count: int) -> list[str]:
    """ARNs of as many tasks, all RUNNING."""
    ran = ecs.run_task(
        cluster="bench", taskDefinition="two", launchType="FARGATE", count=count,
        networkConfiguration={"awsvpcConfiguration": where},
    )  # fmt: skip
    tasks = [task["taskArn"] for task in ran["tasks"]]
    deadline = time.monotonic() + DEADLINE_S
    while True:
        seen = ecs.describe_tasks(cluster="bench", tasks=tasks)["tasks"]
        if all(task["lastStatus"] == "RUNNING" for task in seen):
            return tasks
        ended = [task for task in seen if task["lastStatus"] == "STOPPED"]
        if ended or time.monotonic() > deadline:
            raise SystemExit(f"not RUNNING: {(ended or seen)[0]}")
        time.sleep(0.02)


def call_times_ms(ecs: Any, tasks: list[str]) -> Iterator[float]:
    """What a client that looks on asks for, in turn."""
    asks = (
        lambda n: ecs.list_tasks(cluster="bench"),
        lambda n: ecs.describe_tasks(cluster="bench", tasks=[tasks[n % len(tasks)]]),
        lambda n: ecs.describe_clusters(clusters=["bench"]),
    )
    for number in range(CALLS):
        began = time.perf_counter()
        asks[number % len(asks)](number)
        yield (time.perf_counter() - began) * 1000


def report(rows: list[Row]) -> int:
    load = os.getloadavg()[0]
    print(f"tasks of two containers; load {load:.1f} on {os.cpu_count()} cores")
    print("  tasks  start of one  idle cpu  memory  a task   API p50   API p99")
    for row in rows:
        print(
            f"  {row['tasks']:5.0f}  {row['start_ms']:9.0f} ms  {row['cpu']:6.1f} %"
            f"  {row['mb']:3.0f} MB  {row['kib_a_task']:3.0f} KiB"
            f"  {row['p50']:5.1f} ms  {row['p99']:5.1f} ms"
        )
    at = next((row for row in rows if row["tasks"] == MEASURED_AT), None)
    if at is None:
        print(f"  the measure is not judged: it is of {MEASURED_AT} tasks")
        return 0
    is_kept = at["cpu"] <= CPU_PERCENT and at["mb"] <= MEMORY_MB and at["p99"] <= API_P99_MS
    print(
        f"  measure at {MEASURED_AT}: at most {CPU_PERCENT:g} % of a core, {MEMORY_MB:g} MB, "
        f"p99 {API_P99_MS:g} ms: {'kept' if is_kept else 'broken'}"
    )
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
