"""What deciding costs: one pass of the scheduler over 1,000 services of 10 tasks each.

    python bench/bench_reconcile.py [--services 1000] [--tasks 10]

A simulated clock, and no process is started: only what the control plane does itself, its store and
its journal included. Three kinds of pass: the first (every task is started), one in the middle of a
rollout of every service, and a settled one. The measure: each ≤ 1 s, of processor time, since what
else the machine does is not what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hikkoshi.base.clock import FakeClock

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "ecs"))

from ecs_house import NETWORK, House, definition

LIMIT_S = 1.0

Row = tuple[str, float, float, int]
"""(name, seconds of processor time, seconds, steps)"""


async def build(house: House, services: int, tasks: int) -> None:
    await house.call("CreateCluster", clusterName="genba")
    await house.call("RegisterTaskDefinition", **definition())
    await house.call("RegisterTaskDefinition", **definition(image="web:next"))
    for number in range(services):
        await house.call(
            "CreateService", cluster="genba", serviceName=f"s{number}", taskDefinition="web:1",
            desiredCount=tasks, launchType="FARGATE", networkConfiguration=NETWORK,
        )  # fmt: skip


async def one_pass(house: House, name: str, rows: list[Row]) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    steps = await house.ecs.scheduler.pass_once()
    rows.append((name, time.process_time() - cpu, time.perf_counter() - began, steps))


async def update_all(house: House, services: int) -> None:
    for number in range(services):
        await house.call(
            "UpdateService", cluster="genba", service=f"s{number}", taskDefinition="web:2"
        )


async def settle(house: House) -> None:
    """Beats of the world until nothing is left to decide."""
    assert isinstance(house.clock, FakeClock)
    for _ in range(30):
        house.clock.advance(41)
        house.runtime.advance_all()
        if not await house.ecs.scheduler.pass_once():
            return
    raise SystemExit("the services did not settle")


async def measure(services: int, tasks: int, journal: Path | None) -> list[Row]:
    options: dict[str, Any] = {} if journal is None else {"journal": journal}
    house = House(**options)
    await build(house, services, tasks)
    rows: list[Row] = []
    await one_pass(house, "first: every task is started", rows)
    await settle(house)
    await one_pass(house, "settled", rows)
    await update_all(house, services)
    await one_pass(house, "rollout: every service starts its new tasks", rows)
    house.clock.advance(41)
    house.runtime.advance_all()
    await one_pass(house, "rollout: every service ends its old tasks", rows)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=10)
    asked = parser.parse_args()
    print(f"{asked.services} services of {asked.tasks} tasks, one pass (measure: ≤ {LIMIT_S:g} s)")
    is_good = True
    with tempfile.TemporaryDirectory() as directory:
        for name, journal in (("in memory", None), ("with the journal", Path(directory) / "j")):
            for what, cpu_s, wall_s, steps in asyncio.run(
                measure(asked.services, asked.tasks, journal)
            ):
                is_good = is_good and cpu_s <= LIMIT_S
                print(
                    f"  {name:>16}  {what:<45} {cpu_s:6.3f} s of cpu in {wall_s:6.3f} s"
                    f"  {steps:6} steps"
                )
    print(f"  measure: {'kept' if is_good else 'broken'}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
