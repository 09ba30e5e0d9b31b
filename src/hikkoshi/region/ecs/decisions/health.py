"""Whether a task counts as healthy for its service (C15, C18)."""

from __future__ import annotations

from enum import StrEnum

from hikkoshi.region.ecs.decisions.snapshot import ServiceSnapshot, TaskView


class Verdict(StrEnum):
    HEALTHY = "healthy"
    WAITING = "waiting"
    """It starts, or its checks have not spoken, or the grace period covers what they say."""
    UNHEALTHY = "unhealthy"


def judge(task: TaskView, service: ServiceSnapshot, now: float) -> Verdict:
    """Healthy when its targets are and its essential containers' checks are (both, if both
    exist); with neither, `steady_without_checks_s` after RUNNING. A task is unhealthy only
    after the service's grace period, which counts from RUNNING and covers both kinds of check."""
    if not task.is_running or task.started_at is None:
        return Verdict.WAITING
    age_s = now - task.started_at
    if not task.targets and not task.has_health_check:
        is_proven = age_s >= service.steady_without_checks_s
        return Verdict.HEALTHY if is_proven else Verdict.WAITING
    if ailments(task):
        return Verdict.WAITING if age_s < service.grace_s else Verdict.UNHEALTHY
    are_targets_healthy = all(target.state == "healthy" for target in task.targets)
    is_container_healthy = not task.has_health_check or task.health == "HEALTHY"
    if are_targets_healthy and is_container_healthy:
        return Verdict.HEALTHY
    return Verdict.WAITING


def ailments(task: TaskView) -> tuple[tuple[str, str], ...]:
    """(stoppedReason, the event's text after the service's name) for each failing check, the
    load balancer's first. Wording: AWS, "Service event messages", and published traces."""
    found = []
    for target in task.targets:
        if target.state != "unhealthy":
            continue
        group = f"(target-group {target.target_group_arn})"
        found.append(
            (
                f"Task failed ELB health checks in {group}",
                f"(task {task.task_id}) (port {target.port}) is unhealthy in {group} due to "
                f"(reason {target.description or 'Health checks failed'}).",
            )
        )
    if task.has_health_check and task.health == "UNHEALTHY":
        found.append(
            (
                "Task failed container health checks",
                f"(task {task.task_id}) failed container health checks.",
            )
        )
    return tuple(found)
