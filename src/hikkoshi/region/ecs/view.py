"""From records to the snapshot that the decisions read."""

from __future__ import annotations

from hikkoshi.fargate import limits
from hikkoshi.model.timers import Timers
from hikkoshi.region.ecs.alarms import watch_alarms
from hikkoshi.region.ecs.decisions.snapshot import (
    Breaker,
    DeploymentView,
    ServiceSnapshot,
    Stopping,
    TargetView,
    TaskView,
)
from hikkoshi.region.ecs.records import Deployment, ServiceRecord, Target, TaskRecord
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.ecs.traffic import view_traffic
from hikkoshi.region.ports import Alarms, LoadBalancers, TargetHealth

_BY_ITSELF = ("TaskFailedToStart", "EssentialContainerExited")


def take_snapshot(
    service: ServiceRecord, store: Store, balancers: LoadBalancers, timers: Timers, now: float,
    alarms: Alarms | None = None,
) -> ServiceSnapshot:  # fmt: skip
    configuration = service.deployment_configuration
    tasks = (
        view_task(task, balancers, now)
        for task in store.service_tasks(service)
        if not _is_settled(task)
    )
    return ServiceSnapshot(
        name=service.name,
        desired_count=service.desired_count,
        deployments=tuple(_view_deployment(deployment) for deployment in service.deployments),
        tasks=tuple(tasks),
        is_draining=service.status == "DRAINING",
        minimum_percent=configuration["minimumHealthyPercent"],
        maximum_percent=configuration["maximumPercent"],
        grace_s=float(service.grace_s),
        breaker=breaker_of(configuration),
        is_steady=service.is_steady,
        is_impaired=service.is_impaired,
        steady_without_checks_s=timers.steady_without_checks_s,
        restart_backoff_s=timers.restart_backoff_s,
        blue_green=view_traffic(service, store, balancers, timers),
        alarms=watch_alarms(service, store, alarms, timers),
    )


def breaker_of(configuration: dict[str, object]) -> Breaker:
    document = configuration.get("deploymentCircuitBreaker")
    if not isinstance(document, dict):
        return Breaker()
    threshold = document.get("thresholdConfiguration") or {}
    return Breaker(
        is_enabled=bool(document.get("enable")),
        is_rolling_back=bool(document.get("rollback")),
        kind=threshold.get("type", "BOUNDED_PERCENT"),
        value=int(threshold.get("value", limits.BREAKER_DEFAULT_PERCENT)),
        resets_on_healthy_task=bool(document.get("resetOnHealthyTask", True)),
    )


def view_task(task: TaskRecord, balancers: LoadBalancers, now: float) -> TaskView:
    state = task.state
    return TaskView(
        task_id=task.id,
        deployment_id=task.deployment_id or "",
        created_at=task.created_at,
        last_status=state.last_status if state else "PROVISIONING",
        health=state.health if state else "UNKNOWN",
        has_health_check=task.has_health_check,
        started_at=state.started_at.timestamp() if state and state.started_at else None,
        ended_at=_ended_at(task),
        has_address=state is not None and state.address is not None,
        stopping=stopping_of(task),
        has_stopped_by_itself=has_stopped_by_itself(task),
        targets=tuple(_view_target(target, balancers) for target in task.targets),
        is_protected=task.protected_until is not None and task.protected_until > now,
        has_been_healthy=task.has_been_healthy,
        is_failure_counted=task.is_failure_counted,
    )


def stopping_of(task: TaskRecord) -> Stopping:
    if task.is_stopped:
        return Stopping.STOPPED
    if task.stop_request is not None and not task.is_handed_over:
        is_ending = task.state is not None and task.state.desired_status == "STOPPED"
        return Stopping.HANDED_OVER if is_ending else Stopping.DRAINING
    return Stopping.HANDED_OVER if task.desired_status == "STOPPED" else Stopping.NOT


def has_stopped_by_itself(task: TaskRecord) -> bool:
    if task.stop_request is not None or task.state is None:
        return False
    return task.state.desired_status == "STOPPED" and task.state.stop_code in _BY_ITSELF


def _ended_at(task: TaskRecord) -> float | None:
    if task.state is None:
        return None
    at = task.state.stopping_at or task.state.stopped_at
    return at.timestamp() if at else None


def _is_settled(task: TaskRecord) -> bool:
    """A stopped task about which there is nothing left to decide."""
    if not task.is_stopped:
        return False
    is_held = any(target.address and not target.is_deregistered for target in task.targets)
    is_uncounted = has_stopped_by_itself(task) and not task.is_failure_counted
    return not is_held and not (is_uncounted and not task.has_been_healthy)


def _view_target(target: Target, balancers: LoadBalancers) -> TargetView:
    if target.address is None:
        return TargetView(
            target.target_group_arn,
            target.port,
            is_deregistered=target.is_deregistered,
            retry_at=target.retry_at,
        )
    if balancers.has_target_group(target.target_group_arn):
        health = balancers.health(target.target_group_arn, target.address, target.port)
    else:
        health = TargetHealth("unused", "Target.NotInUse", "The target group was deleted")
    return TargetView(
        target.target_group_arn,
        target.port,
        health.state,
        health.description,
        target.is_deregistered,
    )


def _view_deployment(deployment: Deployment) -> DeploymentView:
    return DeploymentView(
        deployment_id=deployment.id,
        created_at=deployment.created_at,
        is_primary=deployment.status == "PRIMARY",
        rollout=deployment.rollout,
        has_completed=deployment.has_completed,
        is_rollback=deployment.is_rollback,
        failures=deployment.failures,
        start_failures=deployment.start_failures,
        last_failure_at=deployment.last_failure_at,
    )
