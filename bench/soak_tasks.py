"""Starts and stops of tasks by the thousand: what the region still holds afterwards.

    python bench/soak_tasks.py [TASKS]      (default 300; 10,000 take about six minutes on 2 cores)

Tasks of one short container are started by RunTask, ten at a time, and end by themselves. After a
warm-up and at the end it counts what the region's process holds: descriptors, network namespaces,
links on the bridge, mounts, threads, control groups, resident memory. All but memory and the
threads of pools must be as before; memory may grow by what the control plane keeps of stopped tasks
(2,000 of them).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from own_region import own_region

from hikkoshi.aws.access import Access
from hikkoshi.region.boot.cleanup import read_record
from hikkoshi.trials.balancer import default_network

AT_ONCE = 10
WARM_UP = 40
DEADLINE_S = 60.0
KEPT_TASKS = 2000
BYTES_A_KEPT_TASK = 20_000
POOL_THREADS = 14
"""asyncio's own pool of six on two cores, and the ground's of eight."""

TASK: dict[str, Any] = {
    "family": "short",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [
        {"name": "app", "image": "localhost/host", "essential": True, "command": ["true"]}
    ],
}


def main(count: int) -> int:
    with own_region() as (handle, state):
        record = read_record(state)
        assert record is not None
        region = region_process(record.init_pid)
        groups = [Path(path) for path in record.cgroups]
        access = Access(handle.api_url, "ap-northeast-1")
        ecs, where = access.client("ecs"), placing(access)
        ecs.create_cluster(clusterName="soak")
        ecs.register_task_definition(**TASK)
        run_tasks(ecs, where, WARM_UP)
        before = settled(region, groups, None)
        begun = time.monotonic()
        run_tasks(ecs, where, count)
        took_s = time.monotonic() - begun
        after = settled(region, groups, before)
    return report(count, took_s, before, after)


def placing(access: Access) -> dict[str, Any]:
    network = default_network(access)
    subnets = {"subnets": network.subnets, "securityGroups": network.security_groups}
    return {"awsvpcConfiguration": subnets}


def run_tasks(ecs: Any, where: dict[str, Any], count: int) -> None:
    done = 0
    while done < count:
        some = min(AT_ONCE, count - done)
        ran = ecs.run_task(
            cluster="soak",
            taskDefinition="short",
            launchType="FARGATE",
            count=some,
            networkConfiguration=where,
        )
        wait_stopped(ecs, [task["taskArn"] for task in ran["tasks"]])
        done += some
        if sys.stderr.isatty():
            print(f"\r{done}/{count}", end="", file=sys.stderr, flush=True)


def wait_stopped(ecs: Any, tasks: list[str]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        seen = ecs.describe_tasks(cluster="soak", tasks=tasks)["tasks"]
        if all(task["lastStatus"] == "STOPPED" for task in seen):
            odd = [task for task in seen if task["containers"][0].get("exitCode") != 0]
            if odd:
                raise SystemExit(f"a task did not run: {odd[0]}")
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"tasks did not stop within {DEADLINE_S:g} s")
        time.sleep(0.02)


def region_process(init: int) -> int:
    """init's child that runs the region."""
    children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
    if not children:
        raise SystemExit("the region's process was not found")
    return int(children[0])


def held(pid: int, groups: list[Path]) -> dict[str, int]:
    descriptors = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        # The recorder opens a table's file with its first row, which for `usage` is a sample that
        # happened to meet one of these short tasks: as many as there are tables, and no more.
        if not target.endswith(".jsonl"):
            descriptors.append(target)
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = {line.partition(":")[0]: line.split()[1] for line in status if len(line.split()) > 1}
    links = Path(f"/proc/{pid}/net/dev").read_text().splitlines()
    return {
        "descriptors": len(descriptors),
        "network namespaces": len({each for each in descriptors if each.startswith("net:")}),
        "links": len(links),
        "mounts": len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines()),
        "threads": int(fields["Threads"]),
        "control groups": sum(1 for top in groups for _ in top.rglob("cgroup.procs")),
        "resident KiB": int(fields["VmRSS"]),
    }


def settled(pid: int, groups: list[Path], wanted: dict[str, int] | None) -> dict[str, int]:
    """Once nothing more is given back: equal to `wanted` but for memory, or as it is after 10 s."""
    deadline = time.monotonic() + 10
    last = held(pid, groups)
    while True:
        time.sleep(0.5)
        now = held(pid, groups)
        is_quiet = _counts(now) == _counts(wanted or last)
        if is_quiet or time.monotonic() > deadline:
            return now
        last = now


def _counts(found: dict[str, int]) -> dict[str, int]:
    return {key: value for key, value in found.items() if key != "resident KiB"}


def report(count: int, took_s: float, before: dict[str, int], after: dict[str, int]) -> int:
    """The exit code: 1 if anything was left."""
    print(
        f"{count} tasks in {took_s:.0f} s ({count / took_s:.1f} a second), after {WARM_UP} before"
    )
    has_leak = False
    for what, was in before.items():
        # Pools of threads are filled as they are used, and have a bound.
        allowed = POOL_THREADS if what == "threads" else 0
        if what == "resident KiB":
            allowed = 20_000 + min(count, KEPT_TASKS) * BYTES_A_KEPT_TASK // 1024
        is_kept = after[what] - was <= allowed
        has_leak = has_leak or not is_kept
        print(f"  {what:20} {was:8} -> {after[what]:8}  {'kept' if is_kept else 'LEFT BEHIND'}")
    return 1 if has_leak else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
