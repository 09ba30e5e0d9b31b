"""Capacity providers: strategies, and Spot interruptions."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from ecs_house import BALANCED, NETWORK, House
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.region.ecs.decisions.capacity import Share, place
from hikkoshi.region.front.port import AwsError

ON_DEMAND, SPOT = "FARGATE", "FARGATE_SPOT"


def strategy(*items: tuple[str, int, int]) -> list[dict[str, Any]]:
    return [{"capacityProvider": name, "base": base, "weight": w} for name, base, w in items]


MIXED = strategy((ON_DEMAND, 1, 1), (SPOT, 0, 3))


@pytest.mark.parametrize(
    ("shares", "count", "running", "chosen"),
    [
        # AWS's own example: weights 1 and 4 put four of five on the second.
        ([(ON_DEMAND, 0, 1), (SPOT, 0, 4)], 5, {}, {ON_DEMAND: 1, SPOT: 4}),
        ([(ON_DEMAND, 0, 1), (SPOT, 0, 1)], 2, {}, {ON_DEMAND: 1, SPOT: 1}),
        # The base first, then the weights over what is beyond it.
        ([(ON_DEMAND, 2, 1), (SPOT, 0, 3)], 10, {}, {ON_DEMAND: 4, SPOT: 6}),
        ([(ON_DEMAND, 2, 0), (SPOT, 0, 1)], 5, {}, {ON_DEMAND: 2, SPOT: 3}),
        ([(ON_DEMAND, 2, 0), (SPOT, 0, 1)], 1, {}, {ON_DEMAND: 1}),
        # What runs already counts.
        ([(ON_DEMAND, 2, 1), (SPOT, 0, 1)], 1, {ON_DEMAND: 2, SPOT: 0}, {ON_DEMAND: 1}),
        ([(ON_DEMAND, 0, 1), (SPOT, 0, 1)], 1, {ON_DEMAND: 1}, {SPOT: 1}),
        ([(SPOT, 0, 0)], 3, {}, {SPOT: 3}),
        ([(SPOT, 0, 1)], 0, {}, {}),
    ],
)
def test_where_tasks_go(shares, count, running, chosen):
    assert Counter(place([Share(*each) for each in shares], count, running)) == chosen


@given(
    base=st.integers(0, 20), weights=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    count=st.integers(0, 100), running=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)  # fmt: skip
def test_base_and_weight_hold_however_it_began(base, weights, count, running):
    if not any(weights):
        weights = (1, 0)
    shares = [Share(ON_DEMAND, base, weights[0]), Share(SPOT, 0, weights[1])]
    held = Counter({ON_DEMAND: running[0], SPOT: running[1]})
    chosen = place(shares, count, held)
    assert len(chosen) == count
    after = held + Counter(chosen)
    assert after[ON_DEMAND] >= min(base, running[0] + count)
    for share, weight in zip(shares, weights, strict=True):
        if weight == 0:
            assert after[share.provider] <= max(held[share.provider], share.base)
    if running == (0, 0) and count >= base:
        beyond = count - base
        exact = beyond * weights[0] / sum(weights)
        assert abs(after[ON_DEMAND] - base - exact) <= 1


async def opened(*, default: list[dict[str, Any]] | None = None) -> House:
    house = House()
    await house.open()
    await house.call(
        "PutClusterCapacityProviders", cluster="genba", capacityProviders=[ON_DEMAND, SPOT],
        defaultCapacityProviderStrategy=default or [],
    )  # fmt: skip
    return house


async def spread(house: House) -> Counter[str]:
    return Counter(task["capacityProviderName"] for task in await house.tasks())


def test_a_run_and_a_service_are_spread_by_the_strategy():
    async def story() -> None:
        house = await opened()
        ran = await house.call(
            "RunTask", cluster="genba", taskDefinition="web", count=5,
            networkConfiguration=NETWORK, capacityProviderStrategy=MIXED,
        )  # fmt: skip
        assert Counter(t["capacityProviderName"] for t in ran["tasks"]) == {ON_DEMAND: 2, SPOT: 3}
        for task in ran["tasks"]:
            await house.call("StopTask", cluster="genba", task=task["taskArn"])
        await house.call(
            "CreateService", cluster="genba", serviceName="web", taskDefinition="web",
            desiredCount=5, networkConfiguration=NETWORK, capacityProviderStrategy=MIXED,
        )  # fmt: skip
        await house.settle()
        service = await house.service()
        assert service["capacityProviderStrategy"] == MIXED
        assert "launchType" not in service
        assert await spread(house) == {ON_DEMAND: 2, SPOT: 3}
        await house.call("UpdateService", cluster="genba", service="web", desiredCount=9)
        await house.settle()
        assert await spread(house) == {ON_DEMAND: 3, SPOT: 6}
        # An empty strategy takes the service back to its launch type.
        await house.call(
            "UpdateService", cluster="genba", service="web", capacityProviderStrategy=[],
            desiredCount=2, forceNewDeployment=True,
        )  # fmt: skip
        await house.settle()
        assert {task["launchType"] for task in await house.tasks()} == {"FARGATE"}

    asyncio.run(story())


def test_a_deployment_keeps_the_base_of_its_own():
    async def story() -> None:
        house = await opened(default=MIXED)
        await house.call(
            "CreateService", cluster="genba", serviceName="web", taskDefinition="web",
            desiredCount=5, networkConfiguration=NETWORK,
        )  # fmt: skip
        await house.settle()
        await house.call("UpdateService", cluster="genba", service="web", forceNewDeployment=True)
        await house.settle()
        assert await spread(house) == {ON_DEMAND: 2, SPOT: 3}

    asyncio.run(story())


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (strategy(("MINE", 0, 1)), "not associated with the cluster"),
        (strategy((ON_DEMAND, 1, 1), (SPOT, 1, 1)), "Only one capacity provider"),
        (strategy((ON_DEMAND, 0, 0), (SPOT, 0, 0)), "weight value greater than zero"),
        (strategy((ON_DEMAND, 0, 1), (ON_DEMAND, 0, 1)), "more than once"),
    ],
)
def test_a_strategy_that_aws_refuses_is_refused(asked, words):
    async def story() -> None:
        house = await opened()
        error = await house.refused(
            "RunTask", cluster="genba", taskDefinition="web", networkConfiguration=NETWORK,
            capacityProviderStrategy=asked,
        )  # fmt: skip
        assert error.code == "InvalidParameterException"
        assert words in error.message

    asyncio.run(story())


def test_a_provider_must_be_the_cluster_s():
    async def story() -> None:
        house = House()
        await house.open()
        error = await house.refused(
            "RunTask", cluster="genba", taskDefinition="web", networkConfiguration=NETWORK,
            capacityProviderStrategy=strategy((SPOT, 0, 1)),
        )  # fmt: skip
        assert "not associated with the cluster" in error.message

    asyncio.run(story())


def test_an_interrupted_spot_task_ends_in_aws_s_words_and_the_service_replaces_it():
    async def story() -> None:
        house = await opened()
        await house.call(
            "CreateService", cluster="genba", serviceName="web", taskDefinition="web",
            desiredCount=3, networkConfiguration=NETWORK, loadBalancers=BALANCED,
            capacityProviderStrategy=MIXED,
        )  # fmt: skip
        await house.settle()
        tasks = await house.tasks()
        (on_demand,) = [t for t in tasks if t["capacityProviderName"] == ON_DEMAND]
        spot = next(t for t in tasks if t["capacityProviderName"] == SPOT)
        with pytest.raises(AwsError, match="does not run on FARGATE_SPOT"):
            house.ecs.interrupt(on_demand["taskArn"])
        house.runtime.stops_at_once = False
        house.ecs.interrupt(spot["taskArn"])
        assert house.runtime.stops == [
            (spot["taskArn"], "SpotInterruption", "Your Spot Task was interrupted.")
        ]
        with pytest.raises(AwsError, match="is stopping or stopped already"):
            house.ecs.interrupt(spot["taskArn"])
        await house.turn()
        # It is let go by the load balancer while it stops, and its successor starts meanwhile.
        assert ("deregister", spot_address(spot)) in house.balancers.log
        assert len(await house.tasks()) == 3
        house.runtime.finish(spot["taskArn"])
        await house.turns(5)
        (gone,) = await house.tasks("STOPPED")
        assert gone["stopCode"] == "SpotInterruption"
        assert gone["stoppedReason"] == "Your Spot Task was interrupted."
        await house.settle()
        assert await spread(house) == {ON_DEMAND: 1, SPOT: 2}

    asyncio.run(story())


def spot_address(task: dict[str, Any]) -> str:
    return task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
