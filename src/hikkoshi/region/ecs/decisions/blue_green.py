"""A deployment in which ECS shifts traffic (BLUE_GREEN, LINEAR, CANARY), stage by stage.

Green is the new deployment (PRIMARY), blue the last one that completed. Stages: ECS's API,
`ServiceDeployment.lifecycleStage`; ECS Developer Guide, "Amazon ECS blue/green service deployments
workflow". Each question looks at the traffic as it is, so that a step that was cut off is taken
again, and one that was taken is not.

Not published by AWS, and decided here: the stages of a rollback (SCALE_UP while blue is not whole,
PRODUCTION_TRAFFIC_SHIFT, CLEAN_UP), and that a first deployment does not bake, since there is
nothing to go back to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hikkoshi.region.ecs.decisions.keeper import Keeper
from hikkoshi.region.ecs.decisions.rolling import floor_of
from hikkoshi.region.ecs.decisions.snapshot import (
    BlueGreen,
    DeploymentView,
    ServiceSnapshot,
    Shift,
    Stopping,
)
from hikkoshi.region.ecs.decisions.steps import (
    CompleteDeployment,
    EndTasks,
    EnterStage,
    FailDeployment,
    RemoveDeployment,
    ShiftTraffic,
    Step,
)

_ALL = 100.0
_SAME = 0.05
"""Percentages that differ by less are the same: weights are whole numbers."""
_NEXT = {
    "PRE_SCALE_UP": "SCALE_UP",
    "POST_SCALE_UP": "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT": "PRODUCTION_TRAFFIC_SHIFT",
}
_BEFORE_GREEN = (None, "RECONCILE_SERVICE", "PRE_SCALE_UP")


def shifts_of(configuration: Mapping[str, Any]) -> tuple[Shift, ...]:
    """The steps in which a deploymentConfiguration takes production traffic to green, the last
    100 %. Defaults: API_CanaryConfiguration (5 %, 10 minutes), API_LinearConfiguration (10 %, 6
    minutes); no hold after the last step."""
    strategy = configuration.get("strategy")
    if strategy == "CANARY":
        canary = configuration.get("canaryConfiguration") or {}
        percent = float(canary.get("canaryPercent", 5.0))
        hold_s = 60.0 * canary.get("canaryBakeTimeInMinutes", 10)
        return (Shift(percent, hold_s), Shift(_ALL)) if percent < _ALL else (Shift(_ALL),)
    if strategy == "LINEAR":
        linear = configuration.get("linearConfiguration") or {}
        step = float(linear.get("stepPercent", 10.0))
        hold_s = 60.0 * linear.get("stepBakeTimeInMinutes", 6)
        count = int(-(-_ALL // step))
        return (*(Shift(step * n, hold_s) for n in range(1, count)), Shift(_ALL))
    return (Shift(_ALL),)


def wanted_count(
    desired: int, stage: str | None, *, is_primary: bool, is_blue: bool, is_rollback: bool
) -> int:
    """Tasks that a deployment of the service is to have in this stage. is_rollback: of the
    service deployment; then the primary is blue again."""
    if is_primary:
        return 0 if stage in _BEFORE_GREEN and not is_rollback else desired
    return desired if is_blue and not is_rollback and stage != "CLEAN_UP" else 0


def blue_green_steps(service: ServiceSnapshot, now: float) -> Iterator[Step]:
    """What a deployment in progress, or one that failed and was not rolled back, needs next."""
    primary, traffic = service.primary, service.blue_green
    if primary is None or traffic is None:
        return
    if primary.rollout == "FAILED":
        # Nothing is started for it, and what serves goes on.
        blue = service.last_good
        if blue is not None:
            yield from Keeper(service, blue, now).steps(service.desired_count)
    elif primary.is_rollback:
        yield from _back(service, traffic, primary, now)
    else:
        yield from _forward(service, traffic, primary, now)


def _forward(
    service: ServiceSnapshot, traffic: BlueGreen, green: DeploymentView, now: float
) -> Iterator[Step]:
    blue = service.last_good
    keeper = Keeper(service, green, now)
    desired, stage = service.desired_count, traffic.stage
    if stage not in _BEFORE_GREEN:
        yield from keeper.steps(desired, is_new=stage == "SCALE_UP")
    if blue is not None and stage != "CLEAN_UP":
        yield from Keeper(service, blue, now).steps(desired)

    def enter(stage: str, why: str) -> EnterStage:
        return EnterStage(green.deployment_id, stage, why)

    match stage:
        case None if _strays(service, green, blue):
            yield enter("RECONCILE_SERVICE", "more than one earlier revision is there")
        case None:
            yield enter("PRE_SCALE_UP", "the deployment begins")
        case "RECONCILE_SERVICE":
            yield from _reconcile(service, traffic, green, blue, now)
        case "PRE_SCALE_UP" if traffic.problem is not None:
            back = blue.deployment_id if blue else None
            yield FailDeployment(
                green.deployment_id, back, "traffic could not be shifted", traffic.problem
            )
        case "SCALE_UP" if keeper.healthy == desired:
            yield enter("POST_SCALE_UP", "green has its tasks, all healthy")
        case "TEST_TRAFFIC_SHIFT" if _share(traffic.test, green) < _ALL - _SAME:
            yield _shift(green, blue, "the test rule is for green", is_test=True)
        case "TEST_TRAFFIC_SHIFT":
            yield enter("POST_TEST_TRAFFIC_SHIFT", "green has the test traffic")
        case "PRODUCTION_TRAFFIC_SHIFT":
            yield from _production(traffic, green, blue, now)
        case "POST_PRODUCTION_TRAFFIC_SHIFT" if blue is None:
            yield enter("CLEAN_UP", "there is no blue to go back to")
        case "POST_PRODUCTION_TRAFFIC_SHIFT":
            yield enter("BAKE_TIME", "green has the production traffic")
        case "BAKE_TIME" if now - traffic.stage_at >= traffic.bake_s:
            yield enter("CLEAN_UP", "bake time is over")
        case "CLEAN_UP":
            yield from _clean_up(service, green, keeper.healthy)
        case _ if stage in _NEXT:
            yield enter(_NEXT[stage], "nothing is to be done in the stage before")


def _production(
    traffic: BlueGreen, green: DeploymentView, blue: DeploymentView | None, now: float
) -> Iterator[Step]:
    share = _share(traffic.production, green)
    # Without blue nobody else could answer the rest.
    shifts = traffic.shifts if blue is not None else (Shift(_ALL),)
    held_s = 0.0
    for shift in shifts:
        if share < shift.percent - _SAME:
            since = traffic.shifted_at
            if not held_s or since is None or now - since >= held_s:
                yield _shift(green, blue, "production traffic goes to green", shift.percent)
            return
        held_s = shift.hold_s
    yield EnterStage(
        green.deployment_id, "POST_PRODUCTION_TRAFFIC_SHIFT", "green has the production traffic"
    )


def _reconcile(
    service: ServiceSnapshot, traffic: BlueGreen, green: DeploymentView,
    blue: DeploymentView | None, now: float,
) -> Iterator[Step]:  # fmt: skip
    """Before green begins only blue is there, with all the traffic: a deployment that was
    superseded leaves the target groups that green is to have."""
    if blue is not None and not _has_all(traffic, blue):
        if _is_whole(service, blue, now):
            yield from _all_to(traffic, blue, green)
        return
    strays = _strays(service, green, blue)
    for stray in strays:
        yield from _end_all(service, stray, green)
    if not any(_is_alive(service, stray) for stray in strays):
        yield EnterStage(green.deployment_id, "PRE_SCALE_UP", "only blue is left")
        for stray in strays:
            yield RemoveDeployment(stray.deployment_id, "it was superseded")


def _back(
    service: ServiceSnapshot, traffic: BlueGreen, blue: DeploymentView, now: float
) -> Iterator[Step]:
    """Rolling back: all the traffic to blue as soon as it is whole, which it is until CLEAN_UP."""
    keeper = Keeper(service, blue, now)
    yield from keeper.steps(service.desired_count)
    if not _is_whole(service, blue, now):
        if traffic.stage != "SCALE_UP":
            yield EnterStage(blue.deployment_id, "SCALE_UP", "blue has not all of its tasks")
    elif not _has_all(traffic, blue):
        if traffic.stage != "PRODUCTION_TRAFFIC_SHIFT":
            yield EnterStage(blue.deployment_id, "PRODUCTION_TRAFFIC_SHIFT", "blue is whole")
        else:
            yield from _all_to(traffic, blue, None)
    elif traffic.stage != "CLEAN_UP":
        yield EnterStage(blue.deployment_id, "CLEAN_UP", "blue has all the traffic")
    else:
        yield from _clean_up(service, blue, keeper.healthy)


def _clean_up(service: ServiceSnapshot, front: DeploymentView, healthy: int) -> Iterator[Step]:
    others = [d for d in service.deployments if not d.is_primary]
    for other in others:
        yield from _end_all(service, other, front)
    are_gone = not any(_is_alive(service, other) for other in others)
    if are_gone and healthy == service.desired_count:
        yield CompleteDeployment(front.deployment_id, "it has all traffic, the other is gone")
        for other in others:
            yield RemoveDeployment(other.deployment_id, "it was replaced")


def _all_to(
    traffic: BlueGreen, front: DeploymentView, beside: DeploymentView | None
) -> Iterator[Step]:
    for is_test, shares in ((False, traffic.production), (True, traffic.test)):
        if _share(shares, front) < _ALL - _SAME:
            yield _shift(front, beside, "everything goes to blue", is_test=is_test)


def _shift(
    front: DeploymentView, beside: DeploymentView | None, why: str, percent: float = _ALL,
    is_test: bool = False,
) -> ShiftTraffic:  # fmt: skip
    other = beside.deployment_id if beside is not None else None
    return ShiftTraffic(front.deployment_id, is_test, percent, other, why)


def _share(shares: Mapping[str, float] | None, deployment: DeploymentView) -> float:
    """What ECS does not manage is where it should be."""
    return _ALL if shares is None else shares.get(deployment.deployment_id, 0.0)


def _has_all(traffic: BlueGreen, deployment: DeploymentView) -> bool:
    shares = (_share(traffic.production, deployment), _share(traffic.test, deployment))
    return min(shares) >= _ALL - _SAME


def _strays(
    service: ServiceSnapshot, green: DeploymentView, blue: DeploymentView | None
) -> list[DeploymentView]:
    return [d for d in service.deployments if d not in (green, blue)]


def _is_whole(service: ServiceSnapshot, deployment: DeploymentView, now: float) -> bool:
    """Able to take the traffic: as many healthy tasks as minimumHealthyPercent asks for."""
    floor = min(service.desired_count, max(1, floor_of(
        service.desired_count, service.minimum_percent)))  # fmt: skip
    return Keeper(service, deployment, now).healthy >= floor


def _is_alive(service: ServiceSnapshot, deployment: DeploymentView) -> bool:
    return any(
        task.deployment_id == deployment.deployment_id
        and (task.stopping in (Stopping.NOT, Stopping.DRAINING) or task.is_running)
        for task in service.tasks
    )


def _end_all(
    service: ServiceSnapshot, deployment: DeploymentView, front: DeploymentView
) -> Iterator[Step]:
    tasks = [
        task.task_id
        for task in service.tasks
        if task.deployment_id == deployment.deployment_id
        and task.is_wanted
        and not task.is_protected
    ]
    if tasks:
        reason = f"Scaling activity initiated by (deployment {front.deployment_id})"
        yield EndTasks(deployment.deployment_id, tuple(tasks), reason, (), "it is replaced")
