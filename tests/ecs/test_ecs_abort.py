"""StopServiceDeployment with ABORT: nothing is moved, whatever stage it was in, and the next
deployment puts all in order. Over doubles; over a real HAProxy: tests/ship/test_ship_abort.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ecs_house import House
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ecs_blue_green import (
    ALTERNATE,
    ENTRY,
    GROUP,
    RULE,
    STRATEGY,
    TEST_RULE,
    built,
    deploy,
    newest,
    played,
    until_stage,
)

from hikkoshi.region.front.port import AwsError


async def stop(house: House, kind: str = "ABORT") -> dict[str, Any]:
    """Of the newest service deployment."""
    record = await newest(house)
    await house.call(
        "StopServiceDeployment", serviceDeploymentArn=record["serviceDeploymentArn"],
        stopType=kind,
    )  # fmt: skip
    return await newest(house)


def rules(house: House) -> dict[str, dict[str, int]]:
    return {name: dict(weights) for name, weights in house.balancers.rules.items()}


@pytest.mark.parametrize(
    ("stage", "production", "running"),
    [
        ("SCALE_UP", {GROUP: 1, ALTERNATE: 0}, 2),
        ("PRODUCTION_TRAFFIC_SHIFT", {GROUP: 900, ALTERNATE: 100}, 4),
        ("BAKE_TIME", {GROUP: 0, ALTERNATE: 100}, 4),
    ],
)
def test_traffic_and_tasks_stay_where_they_were(
    stage: str, production: dict[str, int], running: int
) -> None:
    async def scenario(house: House) -> None:
        blue = {task["taskArn"] for task in await house.tasks()}
        house.runtime.behave = lambda order: "hang" if stage == "SCALE_UP" else "run"
        await deploy(house)
        await until_stage(house, stage)
        before = rules(house)
        stopped = await stop(house)
        assert stopped["status"] == "STOPPED"
        assert stopped["statusReason"].startswith("Service deployment stopped on request")
        assert "rollback" not in stopped and stopped["stoppedAt"] == stopped["finishedAt"]
        await house.turns(250)
        assert rules(house) == before
        assert before[RULE] == production
        service = await house.service()
        assert service["runningCount"] == running
        assert blue <= {task["taskArn"] for task in await house.tasks()}
        assert [d["rolloutState"] for d in service["deployments"]] == ["FAILED", "COMPLETED"]
        assert (await newest(house))["lifecycleStage"] == stage
        for kind in ("ABORT", "ROLLBACK"):
            error = await house.refused(
                "StopServiceDeployment", serviceDeploymentArn=stopped["serviceDeploymentArn"],
                stopType=kind,
            )  # fmt: skip
            assert error.code == "ConflictException" and "STOPPED" in str(error)
        house.runtime.behave = lambda order: "run"
        await deploy(house, "web:third")
        await house.settle(turns=900)
        assert (await newest(house))["status"] == "SUCCESSFUL"
        assert len((await house.service())["deployments"]) == 1

    canary = {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 3}
    more = {"strategy": "CANARY", "canaryConfiguration": canary}
    played(scenario, **(more if stage == "PRODUCTION_TRAFFIC_SHIFT" else {}))


def test_when_nothing_can_be_stopped() -> None:
    async def scenario(house: House) -> None:
        over = await newest(house)
        arn = over["serviceDeploymentArn"]
        for given_arn, code in (
            (arn, "ConflictException"),
            (arn[:-3] + "abc", "ServiceDeploymentNotFoundException"),
        ):
            error = await house.refused(
                "StopServiceDeployment", serviceDeploymentArn=given_arn, stopType="ABORT"
            )
            assert error.code == code
        await deploy(house)
        await until_stage(house, "BAKE_TIME")
        await stop(house, "ROLLBACK")
        error = await house.refused(
            "StopServiceDeployment", stopType="ABORT",
            serviceDeploymentArn=(await newest(house))["serviceDeploymentArn"],
        )  # fmt: skip
        assert error.code == "ConflictException" and "ROLLBACK" in str(error)
        await house.settle()
        assert (await newest(house))["status"] == "ROLLBACK_SUCCESSFUL"

    played(scenario)


def test_a_first_deployment_can_be_aborted_though_there_is_nothing_to_go_back_to() -> None:
    async def scenario() -> None:
        house = built()
        await house.open()
        await house.create(loadBalancers=[ENTRY], deploymentConfiguration=STRATEGY)
        error = await house.refused(
            "StopServiceDeployment", stopType="ROLLBACK",
            serviceDeploymentArn=(await newest(house))["serviceDeploymentArn"],
        )  # fmt: skip
        assert error.code == "ConflictException"
        assert (await stop(house))["status"] == "STOPPED"
        await house.turns(60)
        assert (await house.service())["runningCount"] == 0
        await deploy(house)
        await house.settle()
        assert (await newest(house))["status"] == "SUCCESSFUL"

    asyncio.run(scenario())


def test_a_rolling_one_starts_nothing_more_and_keeps_what_serves() -> None:
    async def scenario() -> None:
        house = House()
        await house.open()
        await house.create()
        await house.settle()
        before = {task["taskArn"] for task in await house.tasks()}
        house.runtime.behave = lambda order: "hang"
        await deploy(house)
        await house.turns(3)
        assert (await stop(house))["status"] == "STOPPED"
        started = len(house.runtime.tasks)
        await house.turns(100)
        assert len(house.runtime.tasks) == started
        assert before <= {task["taskArn"] for task in await house.tasks()}
        house.runtime.behave = lambda order: "run"
        await deploy(house, "web:third")
        await house.settle()
        assert (await newest(house))["status"] == "SUCCESSFUL"

    asyncio.run(scenario())


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("deploy"), st.integers(0, 120)),
            st.tuples(st.just("ABORT"), st.integers(0, 20)),
            st.tuples(st.just("ROLLBACK"), st.integers(0, 20)),
        ),
        max_size=6,
    )
)
def test_whatever_is_stopped_production_has_whole_tasks_and_the_next_deployment_ends_well(
    acts: list[tuple[str, int]],
) -> None:
    """Deployments that are begun, aborted and rolled back at any moment."""

    async def scenario(house: House) -> None:
        for number, (act, seconds) in enumerate(acts):
            if act == "deploy":
                await deploy(house, f"web:{number}")
            else:
                try:
                    await stop(house, act)
                except AwsError as error:
                    assert error.code == "ConflictException"
            for _ in range(seconds):
                await house.turns(1)
                await production_is_served(house)
        await deploy(house, "web:last")
        await house.settle(turns=900)
        assert (await newest(house))["status"] == "SUCCESSFUL"
        service = await house.service()
        assert (service["runningCount"], len(service["deployments"])) == (2, 1)
        await production_is_served(house)
        images = {
            task.order.definition["containerDefinitions"][0]["image"]
            for task in house.runtime.tasks.values()
            if task.state.desired_status == "RUNNING"
        }
        assert images == {"web:last"}

    played(scenario)


async def production_is_served(house: House) -> None:
    """Each target group that has a share of production or test traffic has a task that runs."""
    tasks = {
        group
        for (group, _, _), state in house.balancers.states.items()
        if state not in ("draining", "unused")
    }
    for rule in (RULE, TEST_RULE):
        groups = {group for group, weight in house.balancers.rules[rule].items() if weight}
        assert groups <= tasks, (rule, house.balancers.rules[rule], tasks)
