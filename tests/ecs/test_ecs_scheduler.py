"""The loop itself, the journal, and what a pass costs to decide."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from ecs_house import BALANCED, GROUP, House, definition

from hikkoshi.model.timers import Timers
from hikkoshi.region.ecs.decisions.next_steps import next_steps
from hikkoshi.region.ecs.view import take_snapshot


async def until(what: str, holds: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not holds():
            await asyncio.sleep(0.005)

    try:
        await asyncio.wait_for(wait(), 10)
    except TimeoutError:
        raise AssertionError(f"did not happen in 10 s: {what}") from None


def test_the_loop_wakes_on_operations_and_on_tasks() -> None:
    async def scenario() -> None:
        house = House()
        await house.ecs.start()
        try:
            await house.open()
            await house.create(desired=1, loadBalancers=BALANCED)
            await until("a task was started", lambda: bool(house.runtime.tasks))
            house.runtime.advance_all()
            await until("the target was registered", lambda: bool(house.balancers.states))
            house.balancers.settle()
            # Nothing wakes the loop here but its own beat.
            await until(
                "the service was steady",
                lambda: any("steady state" in str(row) for row in house.recorder.rows),
            )
        finally:
            await house.ecs.close()
        await house.ecs.close()

    asyncio.run(scenario())


def test_a_balancer_that_breaks_does_not_stop_the_loop() -> None:
    async def scenario() -> None:
        house = House()
        await house.open()
        await house.create(name="bad", desired=1, loadBalancers=BALANCED)
        await house.create(name="good", desired=1)

        async def broken(target_group_arn: str, address: str, port: int) -> None:
            raise OSError("the balancer is gone")

        whole = house.balancers.register
        house.balancers.register = broken  # type: ignore[method-assign]
        await house.turns(50)
        assert (await house.service("good"))["deployments"][0]["rolloutState"] == "COMPLETED"
        assert (await house.service("bad"))["deployments"][0]["rolloutState"] == "IN_PROGRESS"
        house.balancers.register = whole  # type: ignore[method-assign]
        await house.settle("bad")

    asyncio.run(scenario())


def test_the_order_carries_the_definition_by_its_names() -> None:
    async def scenario() -> None:
        house = House(Timers.for_rehearsal())
        await house.open()
        await house.create(desired=2)
        await house.turns(3)
        orders = [task.order for task in house.runtime.tasks.values()]
        assert [order.definition["revision"] for order in orders] == [1, 1]
        assert orders[0].definition["family"] == "web"
        assert orders[0].definition["taskDefinitionArn"].endswith(":task-definition/web:1")
        assert {order.availability_zone for order in orders} == {
            "ap-northeast-1a",
            "ap-northeast-1c",
        }
        assert (await house.service())["deployments"][0]["rolloutState"] == "COMPLETED"

    asyncio.run(scenario())


def test_every_change_is_in_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ecs.jsonl"

    async def scenario() -> None:
        house = House(journal=path)
        await house.open()
        await house.create(desired=1, loadBalancers=BALANCED)
        await house.settle()

    asyncio.run(scenario())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kinds = {line["kind"] for line in lines}
    assert {"cluster", "definition", "revision", "service", "task"} <= kinds
    newest = [line for line in lines if line["kind"] == "task"][-1]["record"]
    assert newest["state"]["last_status"] == "RUNNING"
    assert newest["targets"][0]["target_group_arn"] == GROUP
    service = [line for line in lines if line["kind"] == "service"][-1]["record"]
    assert service["deployments"][0]["rollout"] == "COMPLETED"
    assert service["is_steady"] is True
    assert service["events"][0]["message"] == "(service web) has reached a steady state."


def test_settled_services_ask_for_nothing() -> None:
    """A pass over settled services is one snapshot and one question each: no steps, no calls."""

    async def scenario() -> None:
        house = House(Timers.for_rehearsal())
        await house.call("CreateCluster", clusterName="genba")
        await house.call("RegisterTaskDefinition", **definition())
        for index in range(20):
            await house.create(name=f"s{index}", desired=10)
        await house.turns(5)
        calls = len(house.runtime.tasks), len(house.balancers.log)
        assert await house.ecs.scheduler.pass_once() == 0
        assert (len(house.runtime.tasks), len(house.balancers.log)) == calls
        store = house.ecs._store
        for service in store.services.values():
            snapshot = take_snapshot(
                service, store, house.balancers, Timers.for_rehearsal(), house.clock.now()
            )
            assert len(snapshot.tasks) == 10
            assert next_steps(snapshot, house.clock.now()) == []

    asyncio.run(scenario())
