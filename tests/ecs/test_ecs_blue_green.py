"""Deployments in which ECS shifts traffic: the decisions as tables, and whole deployments over
doubles. Over a real HAProxy: tests/ship/test_ship_blue_green.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ecs_house import BALANCED, GROUP, House, definition

from hikkoshi.region.ecs.decisions.blue_green import blue_green_steps, shifts_of
from hikkoshi.region.ecs.decisions.snapshot import (
    BlueGreen,
    DeploymentView,
    ServiceSnapshot,
    Shift,
    TaskView,
)
from hikkoshi.region.ecs.records import Revision
from hikkoshi.region.ecs.traffic import NOT_ASSOCIATED, share_of, shifted, takes_alternate

GREEN, BLUE, OLDER = "ecs-svc/3", "ecs-svc/2", "ecs-svc/1"
ALTERNATE = GROUP.replace("web", "other")
RULE, TEST_RULE = "arn:rule/production", "arn:rule/test"


# -- decisions


def healthy(task_id: str, deployment: str) -> TaskView:
    return TaskView(task_id, deployment, 0.0, last_status="RUNNING", started_at=0.0)


SIDE_BY_SIDE = (
    DeploymentView(GREEN, 3.0),
    DeploymentView(BLUE, 2.0, is_primary=False, rollout="COMPLETED", has_completed=True),
)
TASKS = (healthy("b", BLUE), healthy("g", GREEN))
ON_BLUE, ON_GREEN = {BLUE: 100.0, GREEN: 0.0}, {BLUE: 0.0, GREEN: 100.0}


def words(service: ServiceSnapshot, now: float = 1000.0) -> list[str]:
    """Steps as `StartTasks 1 ecs-svc/3`, `EnterStage SCALE_UP`, `ShiftTraffic 100 ecs-svc/3`."""
    shown = []
    for step in blue_green_steps(service, now):
        name = type(step).__name__
        detail = [
            str(getattr(step, key))
            for key in ("stage", "count", "deployment_id")
            if hasattr(step, key) and not (key == "deployment_id" and hasattr(step, "stage"))
        ]
        if hasattr(step, "percent"):
            detail = [f"{step.percent:g}", *detail, *(["test"] if step.is_test else [])]
        shown.append(" ".join([name, *detail]))
    return shown


def side_by_side(stage: str | None, **traffic: Any) -> ServiceSnapshot:
    seen = BlueGreen(stage=stage, production=ON_BLUE, test=ON_BLUE, bake_s=60.0)
    return ServiceSnapshot(
        "web", 1, SIDE_BY_SIDE, TASKS, blue_green=replace(seen, **traffic), is_steady=True
    )


@pytest.mark.parametrize(
    ("stage", "traffic", "steps"),
    [
        (None, {}, ["EnterStage PRE_SCALE_UP"]),
        ("PRE_SCALE_UP", {}, ["EnterStage SCALE_UP"]),
        ("PRE_SCALE_UP", {"problem": "no rule"}, [f"FailDeployment {GREEN}"]),
        ("SCALE_UP", {}, ["EnterStage POST_SCALE_UP"]),
        ("POST_SCALE_UP", {}, ["EnterStage TEST_TRAFFIC_SHIFT"]),
        ("TEST_TRAFFIC_SHIFT", {}, [f"ShiftTraffic 100 {GREEN} test"]),
        ("TEST_TRAFFIC_SHIFT", {"test": ON_GREEN}, ["EnterStage POST_TEST_TRAFFIC_SHIFT"]),
        ("TEST_TRAFFIC_SHIFT", {"test": None}, ["EnterStage POST_TEST_TRAFFIC_SHIFT"]),
        ("POST_TEST_TRAFFIC_SHIFT", {}, ["EnterStage PRODUCTION_TRAFFIC_SHIFT"]),
        ("PRODUCTION_TRAFFIC_SHIFT", {}, [f"ShiftTraffic 100 {GREEN}"]),
        ("PRODUCTION_TRAFFIC_SHIFT", {"production": ON_GREEN},
         ["EnterStage POST_PRODUCTION_TRAFFIC_SHIFT"]),
        ("PRODUCTION_TRAFFIC_SHIFT", {"shifts": (Shift(5, 60), Shift(100))},
         [f"ShiftTraffic 5 {GREEN}"]),
        ("PRODUCTION_TRAFFIC_SHIFT", {"shifts": (Shift(5, 60), Shift(100)), "shifted_at": 941.0,
                                      "production": {BLUE: 95.0, GREEN: 5.0}}, []),
        ("PRODUCTION_TRAFFIC_SHIFT", {"shifts": (Shift(5, 60), Shift(100)), "shifted_at": 940.0,
                                      "production": {BLUE: 95.0, GREEN: 5.0}},
         [f"ShiftTraffic 100 {GREEN}"]),
        ("POST_PRODUCTION_TRAFFIC_SHIFT", {}, ["EnterStage BAKE_TIME"]),
        ("BAKE_TIME", {"stage_at": 941.0}, []),
        ("BAKE_TIME", {"stage_at": 940.0}, ["EnterStage CLEAN_UP"]),
        ("CLEAN_UP", {"production": ON_GREEN}, [f"EndTasks {BLUE}"]),
    ],
)  # fmt: skip
def test_one_stage_after_the_other(
    stage: str | None, traffic: dict[str, Any], steps: list[str]
) -> None:
    assert words(side_by_side(stage, **traffic)) == steps


def test_green_is_started_whole_while_blue_is_kept() -> None:
    begun = replace(side_by_side("SCALE_UP"), desired_count=3, tasks=(healthy("b", BLUE),))
    assert words(begun) == [f"StartTasks 3 {GREEN}", f"StartTasks 2 {BLUE}"]


def test_what_a_superseded_deployment_left_goes_first() -> None:
    """Also the traffic, if it had some; and blue has to be able to take it."""
    left = DeploymentView(OLDER, 2.5, is_primary=False)
    service = replace(
        side_by_side(None, production={BLUE: 0.0, OLDER: 100.0}),
        deployments=(*SIDE_BY_SIDE, left), tasks=(healthy("b", BLUE), healthy("o", OLDER)),
    )  # fmt: skip
    assert words(service) == ["EnterStage RECONCILE_SERVICE"]
    assert service.blue_green is not None
    reconciling = replace(service.blue_green, stage="RECONCILE_SERVICE")
    service = replace(service, blue_green=reconciling)
    assert words(service) == [f"ShiftTraffic 100 {BLUE}"]
    no_blue = replace(service, tasks=(healthy("o", OLDER),))
    assert words(no_blue) == [f"StartTasks 1 {BLUE}"]
    on_blue = replace(reconciling, production=ON_BLUE)
    assert words(replace(service, blue_green=on_blue)) == [f"EndTasks {OLDER}"]
    ended = replace(service, blue_green=on_blue, tasks=(healthy("b", BLUE),))
    assert words(ended) == ["EnterStage PRE_SCALE_UP", f"RemoveDeployment {OLDER}"]


BACK = (
    DeploymentView(BLUE, 2.0, is_rollback=True, has_completed=True),
    DeploymentView(GREEN, 3.0, is_primary=False, rollout="FAILED"),
)


@pytest.mark.parametrize(
    ("stage", "production", "tasks", "steps"),
    [
        ("BAKE_TIME", ON_GREEN, "bg", ["EnterStage PRODUCTION_TRAFFIC_SHIFT"]),
        ("PRODUCTION_TRAFFIC_SHIFT", ON_GREEN, "bg", [f"ShiftTraffic 100 {BLUE}"]),
        ("PRODUCTION_TRAFFIC_SHIFT", {BLUE: 95.0, GREEN: 5.0}, "bg", [f"ShiftTraffic 100 {BLUE}"]),
        ("SCALE_UP", ON_BLUE, "b", ["EnterStage CLEAN_UP"]),
        ("CLEAN_UP", ON_BLUE, "bg", [f"EndTasks {GREEN}"]),
        ("CLEAN_UP", ON_BLUE, "b",
         [f"CompleteDeployment {BLUE}", f"RemoveDeployment {GREEN}"]),
        # Stopped while blue was going: it has to be there before green can go.
        ("CLEAN_UP", ON_GREEN, "g", [f"StartTasks 1 {BLUE}", "EnterStage SCALE_UP"]),
        ("SCALE_UP", ON_GREEN, "g", [f"StartTasks 1 {BLUE}"]),
        ("CLEAN_UP", None, "g", [f"StartTasks 1 {BLUE}", "EnterStage SCALE_UP"]),
    ],
)  # fmt: skip
def test_the_way_back(stage: str, production: Any, tasks: str, steps: list[str]) -> None:
    service = replace(
        side_by_side(stage, production=production, test=None), deployments=BACK,
        tasks=tuple(t for t in TASKS if t.task_id in tasks),
    )  # fmt: skip
    assert words(service) == steps


def test_a_first_deployment_has_nobody_to_share_with_or_go_back_to() -> None:
    alone = replace(
        side_by_side("PRODUCTION_TRAFFIC_SHIFT", shifts=(Shift(5, 60), Shift(100))),
        deployments=SIDE_BY_SIDE[:1], tasks=(healthy("g", GREEN),),
    )  # fmt: skip
    assert words(alone) == [f"ShiftTraffic 100 {GREEN}"]
    assert alone.blue_green is not None
    after = replace(alone.blue_green, stage="POST_PRODUCTION_TRAFFIC_SHIFT", production=ON_GREEN)
    assert words(replace(alone, blue_green=after)) == ["EnterStage CLEAN_UP"]


def test_a_deployment_that_was_stopped_starts_nothing_and_ends_nothing() -> None:
    stopped = replace(SIDE_BY_SIDE[0], rollout="FAILED")
    service = replace(
        side_by_side("BAKE_TIME", production=ON_GREEN), deployments=(stopped, SIDE_BY_SIDE[1])
    )
    assert words(service) == []
    assert words(replace(service, tasks=TASKS[1:])) == [f"StartTasks 1 {BLUE}"]


@pytest.mark.parametrize(
    ("configuration", "shifts"),
    [
        ({"strategy": "BLUE_GREEN"}, [(100, 0)]),
        ({"strategy": "CANARY"}, [(5, 600), (100, 0)]),
        ({"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 100.0}}, [(100, 0)]),
        ({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 40.0,
          "stepBakeTimeInMinutes": 1}}, [(40, 60), (80, 60), (100, 0)]),
        ({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 50.0,
          "stepBakeTimeInMinutes": 0}}, [(50, 0), (100, 0)]),
    ],
)  # fmt: skip
def test_how_production_traffic_is_shifted(
    configuration: dict[str, Any], shifts: list[tuple[float, float]]
) -> None:
    assert [(s.percent, s.hold_s) for s in shifts_of(configuration)] == shifts


def test_percentages_and_weights() -> None:
    assert shifted({"a": 1, "b": 0}, "a", "b", 100.0) == {"a": 100, "b": 0}
    for percent in (0.1, 5.0, 33.3, 99.9):
        weights = shifted({"a": 0, "b": 1}, "a", "b", percent)
        assert share_of(weights, ["a"], "ab") == pytest.approx(percent, abs=0.05)
        assert max(weights.values()) <= 999
    assert share_of({"a": 0, "b": 0}, ["a"], "ab") == 0.0


@pytest.mark.parametrize(
    ("weights", "percent", "after"),
    [
        ({"old": 75, "a": 25, "b": 0}, 100.0, {"old": 75, "a": 0, "b": 25}),
        ({"old": 75, "a": 25, "b": 0}, 20.0, {"old": 975, "a": 260, "b": 65}),
        ({"old": 100, "a": 0, "b": 0}, 100.0, {"old": 100, "a": 0, "b": 0}),
    ],
)
def test_a_third_group_of_the_rule_keeps_its_share(
    weights: dict[str, int], percent: float, after: dict[str, int]
) -> None:
    """As in the middle of a cutover from EC2; and what there is to shift counts as shifted."""
    assert shifted(weights, "b", "a", percent) == after
    assert share_of(after, ["b"], "ab") == (percent if sum(after.values()) > 100 or after["b"]
                                            else 100.0)  # fmt: skip


def revision(group: str, alternate: str | None = None, *, is_alternate: bool = False) -> Revision:
    advanced = {"alternateTargetGroupArn": alternate, "productionListenerRule": RULE}
    entry = {"targetGroupArn": group, **({"advancedConfiguration": advanced} if alternate else {})}
    return Revision(
        "arn", "definition", "FARGATE", (), "1.4.0", None, (entry,), (), False, "NONE", 0.0,
        is_alternate=is_alternate,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "shifts", "expected"),
    [
        (None, True, False),
        (revision("A", "B"), True, True),
        (revision("A", "B", is_alternate=True), True, False),
        # A rolling service becomes blue/green: green goes where its tasks are not.
        (revision("A"), True, True),
        (revision("B"), True, False),
        # And back: a rolling deployment stays in the group that has the traffic.
        (revision("A", "B", is_alternate=True), False, True),
        (revision("A", "B"), False, False),
    ],
)
def test_green_goes_where_blue_is_not(
    before: Revision | None, shifts: bool, expected: bool
) -> None:
    assert takes_alternate(revision("A", "B"), before, shifts=shifts) is expected


# -- whole deployments

ENTRY = {
    **BALANCED[0],
    "advancedConfiguration": {
        "alternateTargetGroupArn": ALTERNATE, "productionListenerRule": RULE,
        "testListenerRule": TEST_RULE, "roleArn": "arn:aws:iam::123456789012:role/infrastructure",
    },
}  # fmt: skip
STRATEGY: dict[str, Any] = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1}


def built(**options: Any) -> House:
    house = House(**options)
    house.balancers.groups.add(ALTERNATE)
    house.balancers.rules = {
        RULE: {GROUP: 1, ALTERNATE: 0}, TEST_RULE: {GROUP: 1, ALTERNATE: 0}
    }  # fmt: skip
    return house


def played(scenario: Callable[[House], Awaitable[None]], **strategy: Any) -> None:
    async def play() -> None:
        house = built()
        await house.open()
        await house.create(loadBalancers=[ENTRY], deploymentConfiguration={**STRATEGY, **strategy})
        await house.settle()
        await scenario(house)

    asyncio.run(play())


async def deploy(house: House, image: str = "web:next", **more: Any) -> None:
    await house.call("RegisterTaskDefinition", **definition(image=image))
    await house.call("UpdateService", cluster="genba", service="web", taskDefinition="web", **more)


async def newest(house: House) -> dict[str, Any]:
    listed = await house.call("ListServiceDeployments", cluster="genba", service="web")
    arn = listed["serviceDeployments"][0]["serviceDeploymentArn"]
    described = await house.call("DescribeServiceDeployments", serviceDeploymentArns=[arn])
    found: dict[str, Any] = described["serviceDeployments"][0]
    return found


async def until_stage(house: House, stage: str, turns: int = 100) -> dict[str, Any]:
    for _ in range(turns):
        record = await newest(house)
        if record.get("lifecycleStage") == stage:
            return record
        await house.turns(1)
    raise AssertionError(f"{stage} was not reached: {await newest(house)}")


async def resolved(house: House) -> str:
    """The target group of the newest deployment's tasks."""
    arn = (await newest(house))["targetServiceRevision"]["arn"]
    found = await house.call("DescribeServiceRevisions", serviceRevisionArns=[arn])
    (balancer,) = found["serviceRevisions"][0]["resolvedConfiguration"]["loadBalancers"]
    assert balancer["productionListenerRule"] == RULE
    return str(balancer["targetGroupArn"])


def test_traffic_goes_to_the_other_group_and_back_with_the_next_deployment() -> None:
    async def scenario(house: House) -> None:
        assert await resolved(house) == GROUP
        assert (await newest(house))["lifecycleStage"] == "CLEAN_UP"
        await deploy(house)
        assert (await newest(house))["status"] == "PENDING"
        await house.turn()
        begun = await newest(house)
        assert (begun["status"], begun["lifecycleStage"]) == ("IN_PROGRESS", "SCALE_UP")
        assert house.balancers.rules[RULE] == {GROUP: 1, ALTERNATE: 0}
        baking = await until_stage(house, "BAKE_TIME")
        assert house.balancers.rules[RULE] == {GROUP: 0, ALTERNATE: 100}
        assert house.balancers.rules[TEST_RULE] == {GROUP: 0, ALTERNATE: 100}
        target = baking["targetServiceRevision"]
        assert (target["requestedTaskCount"], target["runningTaskCount"]) == (2, 2)
        assert target["requestedProductionTrafficWeight"] == 100.0
        assert target["requestedTestTrafficWeight"] == 100.0
        (source,) = baking["sourceServiceRevisions"]
        assert source["requestedProductionTrafficWeight"] == 0.0
        shown = await house.service()
        assert [d["desiredCount"] for d in shown["deployments"]] == [2, 2]
        assert shown["runningCount"] == 4
        await house.settle()
        done = await newest(house)
        assert (done["status"], done["lifecycleStage"]) == ("SUCCESSFUL", "CLEAN_UP")
        assert await resolved(house) == ALTERNATE
        assert len(house.runtime.stops) == 2
        await deploy(house, "web:third")
        await house.settle()
        assert await resolved(house) == GROUP
        assert house.balancers.rules[RULE] == {GROUP: 100, ALTERNATE: 0}

    played(scenario)


def test_stopping_it_while_it_bakes_goes_back_at_once() -> None:
    async def scenario(house: House) -> None:
        blue = {task["taskArn"] for task in await house.tasks()}
        await deploy(house)
        record = await until_stage(house, "BAKE_TIME")
        await house.call(
            "StopServiceDeployment", serviceDeploymentArn=record["serviceDeploymentArn"],
            stopType="ROLLBACK",
        )  # fmt: skip
        await house.ecs.scheduler.pass_once()
        assert house.balancers.rules[RULE] == {GROUP: 100, ALTERNATE: 0}
        assert house.balancers.rules[TEST_RULE] == {GROUP: 100, ALTERNATE: 0}
        assert (await newest(house))["status"] == "ROLLBACK_IN_PROGRESS"
        await house.settle()
        over = await newest(house)
        assert over["status"] == "ROLLBACK_SUCCESSFUL"
        assert over["rollback"]["serviceRevisionArn"] != over["targetServiceRevision"]["arn"]
        assert {task["taskArn"] for task in await house.tasks()} == blue
        await deploy(house, "web:third")
        await house.settle()
        assert await resolved(house) == ALTERNATE

    played(scenario)


def test_an_aborted_one_stays_as_it_is_until_the_next() -> None:
    async def scenario(house: House) -> None:
        await deploy(house)
        record = await until_stage(house, "BAKE_TIME")
        await house.call(
            "StopServiceDeployment", serviceDeploymentArn=record["serviceDeploymentArn"],
            stopType="ABORT",
        )  # fmt: skip
        await house.turns(90)
        over = await newest(house)
        assert over["status"] == "STOPPED"
        assert house.balancers.rules[RULE] == {GROUP: 0, ALTERNATE: 100}
        assert (await house.service())["runningCount"] == 4
        await deploy(house, "web:third")
        await until_stage(house, "RECONCILE_SERVICE")
        await house.turn()
        assert house.balancers.rules[RULE] == {GROUP: 100, ALTERNATE: 0}
        await house.settle()
        assert await resolved(house) == ALTERNATE
        assert len((await house.service())["deployments"]) == 1

    played(scenario)


def test_the_circuit_breaker_goes_back_before_any_traffic_was_shifted() -> None:
    async def scenario(house: House) -> None:
        house.runtime.behave = lambda order: (
            "exit" if "bad" in order.definition["containerDefinitions"][0]["image"] else "run"
        )
        await deploy(house, "web:bad")
        for _ in range(100):
            await house.turns(1)
            if (await newest(house))["status"] == "ROLLBACK_SUCCESSFUL":
                break
        over = await newest(house)
        assert over["status"] == "ROLLBACK_SUCCESSFUL", over
        assert over["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
        assert not [entry for entry in house.balancers.log if entry[0] == "weights"]
        assert (await house.service())["runningCount"] == 2

    played(scenario, deploymentCircuitBreaker={"enable": True, "rollback": True})


def test_a_rule_without_both_groups_fails_the_deployment_not_the_call() -> None:
    async def scenario(house: House) -> None:
        house.balancers.rules = {RULE: {GROUP: 1}, TEST_RULE: {GROUP: 1}}
        await deploy(house)
        await house.settle()
        over = await newest(house)
        assert (over["status"], over["statusReason"]) == ("ROLLBACK_SUCCESSFUL", NOT_ASSOCIATED)

    played(scenario)


def test_a_deployment_over_one_that_bakes() -> None:
    async def scenario(house: House) -> None:
        await deploy(house)
        await until_stage(house, "BAKE_TIME")
        await deploy(house, "web:third")
        await house.settle()
        images = {
            task.order.definition["containerDefinitions"][0]["image"]
            for task in house.runtime.tasks.values()
            if task.state.desired_status == "RUNNING"
        }
        assert images == {"web:third"}
        assert house.balancers.rules[RULE] == {GROUP: 0, ALTERNATE: 100}

    played(scenario)


def test_a_canary_holds_its_share() -> None:
    async def scenario(house: House) -> None:
        await deploy(house)
        await until_stage(house, "PRODUCTION_TRAFFIC_SHIFT")
        assert house.balancers.rules[RULE] == {GROUP: 900, ALTERNATE: 100}
        await house.turns(50)
        assert house.balancers.rules[RULE] == {GROUP: 900, ALTERNATE: 100}
        await until_stage(house, "BAKE_TIME", 20)
        assert house.balancers.rules[RULE] == {GROUP: 0, ALTERNATE: 100}

    canary = {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 1}
    played(scenario, strategy="CANARY", canaryConfiguration=canary)


def test_a_service_without_a_balancer_is_replaced_whole() -> None:
    async def scenario() -> None:
        house = House()
        await house.open()
        await house.create(deploymentConfiguration={**STRATEGY, "bakeTimeInMinutes": 0})
        await house.settle()
        await deploy(house)
        await house.settle()
        assert (await newest(house))["status"] == "SUCCESSFUL"
        assert "requestedProductionTrafficWeight" not in (await newest(house))[
            "targetServiceRevision"]  # fmt: skip

    asyncio.run(scenario())


def test_what_a_strategy_asks_for_is_said() -> None:
    async def scenario() -> None:
        house = House()
        house.balancers.groups.add(ALTERNATE)
        house.balancers.rules = {RULE: {GROUP: 1, ALTERNATE: 0}, TEST_RULE: {GROUP: 1}}
        await house.open()
        common = {"cluster": "genba", "serviceName": "web", "taskDefinition": "web",
                  "desiredCount": 1, "launchType": "FARGATE",
                  "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"]}}}  # fmt: skip
        advanced = ENTRY["advancedConfiguration"]
        table = [
            ({"deploymentConfiguration": {"strategy": "BLUE_GREEN"}}, "bakeTimeInMinutes"),
            ({"deploymentConfiguration": {**STRATEGY, "bakeTimeInMinutes": 1441}},
             "bakeTimeInMinutes must be between 0 and 1440"),
            ({"deploymentConfiguration": STRATEGY, "loadBalancers": BALANCED},
             "The advancedConfiguration field is required"),
            ({"deploymentConfiguration": {"strategy": "CANARY"}}, "needs a load balancer"),
            ({"deploymentConfiguration": {**STRATEGY, "canaryConfiguration": {
                "canaryPercent": 5.0}}}, "only valid when the deployment strategy is CANARY"),
            ({"deploymentConfiguration": {**STRATEGY, "lifecycleHooks": [{
                "targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}]}},
             "deploymentConfiguration.lifecycleHooks is not implemented"),
            ({"loadBalancers": [{**ENTRY, "advancedConfiguration": {
                **advanced, "alternateTargetGroupArn": "arn:none"}}]}, "arn:none does not exist"),
            ({"loadBalancers": [{**ENTRY, "advancedConfiguration": {
                **advanced, "productionListenerRule": "arn:none"}}]}, "arn:none does not exist"),
            ({"loadBalancers": [{**ENTRY, "advancedConfiguration": {
                **advanced, "testListenerRule": RULE}}]}, "test listener rule must be another"),
        ]  # fmt: skip
        for change, text in table:
            error = await house.refused("CreateService", **{**common, **change})
            assert text in str(error), (change, error)

    asyncio.run(scenario())


def test_one_that_bakes_goes_on_after_the_region_was_killed(tmp_path: Path) -> None:
    """Its tasks died with the region; traffic stays where it was shifted, and bake time goes on."""

    async def scenario() -> None:
        path = tmp_path / "journal"
        old = built(journal=path)
        await old.open()
        await old.create(loadBalancers=[ENTRY], deploymentConfiguration=STRATEGY)
        await old.settle()
        await deploy(old)
        await until_stage(old, "BAKE_TIME")
        house = built(journal=path)
        house.balancers.rules = old.balancers.rules
        house.clock.advance(old.clock.now() - house.clock.now())
        assert (await newest(house))["lifecycleStage"] == "BAKE_TIME"
        await house.settle()
        assert house.balancers.rules[RULE] == {GROUP: 0, ALTERNATE: 100}
        over = await newest(house)
        assert (over["status"], await resolved(house)) == ("SUCCESSFUL", ALTERNATE)
        assert not [entry for entry in house.balancers.log if entry[0] == "weights"]

    asyncio.run(scenario())
