"""CloudWatch alarms that fail a deployment: decisions, and whole deployments over doubles. With
moto's CloudWatch: tests/ship/test_ship_alarms.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from ecs_house import House
from test_ecs_blue_green import ENTRY, STRATEGY, built, deploy, newest, until_stage

from hikkoshi.region.ecs.decisions.alarming import alarmed
from hikkoshi.region.ecs.decisions.snapshot import AlarmWatch, DeploymentView, ServiceSnapshot
from hikkoshi.region.ports import Alarm


class DoubleAlarms:
    """CloudWatch, as the test says it is."""

    def __init__(self) -> None:
        self.known = {"errors": Alarm(False, 60.0), "latency": Alarm(False, 180.0)}

    async def find(self, names: Sequence[str]) -> dict[str, Alarm]:
        return self.now(names)

    def now(self, names: Sequence[str]) -> dict[str, Alarm]:
        return {name: self.known[name] for name in names if name in self.known}

    def ring(self, name: str, is_on: bool = True) -> None:
        self.known[name] = replace(self.known[name], is_in_alarm=is_on)


def watched(*names: str, rollback: bool = True) -> dict[str, Any]:
    return {"alarms": {"alarmNames": list(names), "enable": True, "rollback": rollback}}


def played(
    scenario: Callable[[House, DoubleAlarms], Awaitable[None]], *, shifts: bool = False, **more: Any
) -> None:
    """A service that is settled on its first revision."""

    async def play() -> None:
        alarms = DoubleAlarms()
        house = built(alarms=alarms)
        await house.open()
        strategy = {**STRATEGY, **more} if shifts else more
        balanced = {"loadBalancers": [ENTRY]} if shifts else {}
        await house.create(deploymentConfiguration=strategy, **balanced)
        await house.settle()
        await scenario(house, alarms)

    asyncio.run(play())


SERVICE = ServiceSnapshot(
    "web", 1,
    (DeploymentView("ecs-svc/2", 2.0),
     DeploymentView("ecs-svc/1", 1.0, is_primary=False, rollout="COMPLETED", has_completed=True)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("watch", "back"),
    [
        (None, "nothing"),
        (AlarmWatch(), "nothing"),
        (AlarmWatch(("errors",)), None),
        (AlarmWatch(("errors",), is_rolling_back=True), "ecs-svc/1"),
    ],
)
def test_what_an_alarm_does(watch: AlarmWatch | None, back: str | None) -> None:
    step = alarmed(replace(SERVICE, alarms=watch))
    assert (step.roll_back_to if step else "nothing") == back
    if step is not None and watch is not None:
        assert step.alarms == ("errors",) and "errors" in (step.reason or "")
        assert step.is_left is not watch.is_rolling_back


def test_a_rolling_deployment_goes_back() -> None:
    async def scenario(house: House, alarms: DoubleAlarms) -> None:
        before = (await house.service())["taskDefinition"]
        await deploy(house)
        await house.turns(2)
        under_way = await newest(house)
        assert under_way["alarms"]["status"] == "MONITORING"
        assert under_way["alarms"]["alarmNames"] == ["errors", "latency"]
        alarms.ring("errors")
        await house.turns(1)
        failed = await newest(house)
        assert failed["status"].startswith("ROLLBACK_")
        assert failed["alarms"]["status"] == "TRIGGERED"
        assert failed["alarms"]["triggeredAlarmNames"] == ["errors"]
        assert "alarm detected: errors" in failed["statusReason"]
        # The alarm still rings, and does not hold up the way back.
        await house.settle()
        assert (await newest(house))["status"] == "ROLLBACK_SUCCESSFUL"
        assert (await house.service())["taskDefinition"] == before

    played(scenario, **watched("errors", "latency"))


def test_a_rolling_deployment_bakes_as_long_as_its_alarms_look_back() -> None:
    async def scenario(house: House, alarms: DoubleAlarms) -> None:
        await deploy(house)
        for _ in range(300):
            await house.turns(1)
            if (await house.service())["deployments"][0]["runningCount"] == 2:
                break
        await house.turns(100)
        service = await house.service()
        assert service["deployments"][0]["rolloutState"] == "IN_PROGRESS"
        assert service["runningCount"] == 2
        alarms.ring("latency")
        await house.settle(turns=400)
        assert (await newest(house))["status"] == "ROLLBACK_SUCCESSFUL"
        alarms.ring("latency", False)
        await deploy(house, "web:third")
        await house.settle(turns=600)
        over = await newest(house)
        assert over["status"] == "SUCCESSFUL"
        assert over["alarms"]["status"] == "MONITORING_COMPLETE"
        assert (over["finishedAt"] - over["createdAt"]).total_seconds() > 180

    played(scenario, **watched("errors", "latency"))


def test_without_rollback_it_stays_failed() -> None:
    async def scenario(house: House, alarms: DoubleAlarms) -> None:
        await deploy(house)
        await house.turns(2)
        alarms.ring("errors")
        await house.turns(5)
        failed = await newest(house)
        assert failed["status"] == "STOPPED"
        assert "alarm detected: errors" in failed["statusReason"]
        service = await house.service()
        assert service["deployments"][0]["rolloutState"] == "FAILED"
        events = await house.events()
        assert any("deployment failed" in event for event in events)

    played(scenario, **watched("errors", rollback=False))


def test_one_that_rings_already_keeps_the_deployment_from_being_watched() -> None:
    async def scenario(house: House, alarms: DoubleAlarms) -> None:
        alarms.ring("errors")
        await deploy(house)
        assert (await newest(house))["alarms"]["status"] == "DISABLED"
        await house.settle()
        assert (await newest(house))["status"] == "SUCCESSFUL"

    played(scenario, **watched("errors"))


@pytest.mark.parametrize("stage", ["SCALE_UP", "BAKE_TIME"])
def test_a_blue_green_deployment_goes_back_from_any_stage(stage: str) -> None:
    async def scenario(house: House, alarms: DoubleAlarms) -> None:
        blue = {task["taskArn"] for task in await house.tasks()}
        weights = dict(house.balancers.rules)
        await deploy(house)
        await until_stage(house, stage)
        alarms.ring("errors")
        await house.settle()
        over = await newest(house)
        assert over["status"] == "ROLLBACK_SUCCESSFUL"
        assert over["alarms"]["triggeredAlarmNames"] == ["errors"]
        assert {task["taskArn"] for task in await house.tasks()} == blue
        shares = {rule: [g for g, w in each.items() if w] for rule, each in weights.items()}
        now = {rule: [g for g, w in e.items() if w] for rule, e in house.balancers.rules.items()}
        assert now == shares

    played(scenario, shifts=True, **watched("errors"))


def test_what_is_asked_of_alarms() -> None:
    async def scenario(house: House, alarms: DoubleAlarms) -> None:
        for configuration, text in (
            (watched("errors", "nobody"), "do not exist: nobody"),
            (watched(), "at least one alarm"),
            (watched(*(f"a{n}" for n in range(11))), "at most 10"),
        ):
            error = await house.refused(
                "UpdateService", cluster="genba", service="web",
                deploymentConfiguration=configuration,
            )  # fmt: skip
            assert error.code == "InvalidParameterException" and text in str(error)
        off = {"alarms": {"alarmNames": ["nobody"], "enable": False, "rollback": False}}
        await house.call(
            "UpdateService", cluster="genba", service="web", deploymentConfiguration=off
        )
        assert (await house.service())["deploymentConfiguration"]["alarms"] == off["alarms"]

    played(scenario)
