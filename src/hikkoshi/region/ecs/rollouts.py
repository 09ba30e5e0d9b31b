"""Beginning, failing, stopping and rolling back a service's deployments.

A rollback makes the old deployment PRIMARY again, under its own id, with the tasks that it still
has; the failed one stays in the list, ACTIVE and FAILED, until the rollback is complete. This is
what published describe-services polls of circuit breaker rollbacks show. In the newer
service-deployment API the same story is one service deployment: IN_PROGRESS,
ROLLBACK_IN_PROGRESS, ROLLBACK_SUCCESSFUL, with the revision it went back to in `rollback`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from msgspec import structs

from hikkoshi.region.ecs import arns
from hikkoshi.region.ecs.decisions import breaker as breaking
from hikkoshi.region.ecs.records import Deployment, Revision, ServiceDeployment, ServiceRecord
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.ecs.traffic import ROLLING, takes_alternate
from hikkoshi.region.ecs.view import breaker_of
from hikkoshi.region.front.port import AwsError

FAILED_BY_BREAKER = "ECS deployment circuit breaker: tasks failed to start."
ROLLING_BACK = "ECS deployment circuit breaker: rolling back to deploymentId {}"
ROLLED_BACK_REASON = (
    "Service deployment rolled back because the circuit breaker threshold was exceeded."
)
STOPPED_REASON = "Service deployment stopped because the circuit breaker threshold was exceeded."
NO_CANDIDATE = "No rollback candidate was found to run the rollback."
ON_REQUEST = "Service deployment rolled back on request (StopServiceDeployment)."
ABORTED = "Service deployment stopped on request (StopServiceDeployment)."
GOING_BACK = "Rolling back to deploymentId {}."


def begin_deployment(
    store: Store, names: arns.Arns, now: float, service: ServiceRecord, revision: Revision,
    alarms_status: str = "DISABLED",
) -> ServiceRecord:  # fmt: skip
    """Put a new PRIMARY in front of the service's deployments; the others become ACTIVE."""
    before = service.deployments
    shifts = service.deployment_configuration["strategy"] != ROLLING
    serving = last_good(service, None) or service.primary
    serving_revision = store.revisions[serving.revision_arn] if serving else None
    is_alternate = takes_alternate(revision, serving_revision, shifts=shifts)
    store.put_revision(replace(revision, is_alternate=is_alternate))
    superseded = service.primary
    if superseded is not None and superseded.rollout == "IN_PROGRESS":
        store.change_service_deployment(
            service.arn,
            superseded.service_deployment_arn,
            status="STOPPED",
            status_reason="Service deployment was replaced by a newer one.",
            finished_at=now,
            stopped_at=now,
        )
    record = ServiceDeployment(
        arn=names.service_deployment(
            service.cluster_name, service.name, arns.new_service_deployment_key()
        ),
        target_revision_arn=revision.arn,
        source_revision_arns=tuple(dict.fromkeys(d.revision_arn for d in before)),
        configuration=service.deployment_configuration,
        created_at=now,
        updated_at=now,
        status="PENDING" if shifts else "IN_PROGRESS",
        alarms_status=alarms_status,
        **_breaker_columns(service),
    )
    deployment_id = arns.new_deployment_id()
    deployment = Deployment(
        id=deployment_id,
        revision_arn=revision.arn,
        service_deployment_arn=record.arn,
        created_at=now,
        updated_at=now,
        rollout_reason=f"ECS deployment {deployment_id} in progress.",
    )
    older = tuple(structs.replace(d, status="ACTIVE") for d in before)
    changed = store.put_service(
        structs.replace(
            service, deployments=(deployment, *older), is_steady=False, is_impaired=False
        )
    )
    store.put_service_deployment(service.arn, record)
    return changed


def _breaker_columns(service: ServiceRecord) -> dict[str, Any]:
    breaker = breaker_of(service.deployment_configuration)
    if not breaker.is_enabled:
        return {}
    threshold = breaking.threshold(breaker, service.desired_count)
    return {"breaker_status": "MONITORING", "threshold": threshold}


def fail_deployment(
    store: Store, now: float, service: ServiceRecord, deployment_id: str, roll_back_to: str | None,
    reason: str | None = None, alarms: tuple[str, ...] = (), *, is_left: bool = False,
) -> None:  # fmt: skip
    """The circuit breaker has tripped (C16, C17); with a reason: it failed for that, such as for
    these alarms. is_left: it was not to be rolled back."""
    failed = store.change_deployment(
        service.arn, deployment_id, rollout="FAILED", rollout_reason=reason or FAILED_BY_BREAKER
    )
    said = reason or "tasks failed to start."
    store.say(service.arn, f"(deployment {deployment_id}) deployment failed: {said}")
    tripped: dict[str, Any] = {} if reason else {"breaker_status": "TRIGGERED"}
    if alarms:
        tripped = {"alarms_status": "TRIGGERED", "triggered_alarms": alarms}
    record = failed.service_deployment_arn
    store.change_service_deployment(service.arn, record, **tripped)
    if roll_back_to is not None:
        why = (reason, GOING_BACK) if reason else (ROLLED_BACK_REASON, ROLLING_BACK)
        roll_back(store, now, service.arn, failed, roll_back_to, *why)
        return
    wants_rollback = reason or breaker_of(service.deployment_configuration).is_rolling_back
    wants_rollback = wants_rollback and not is_left
    status, words = "STOPPED", reason or STOPPED_REASON
    if failed.is_rollback:
        status, words = "ROLLBACK_FAILED", reason or FAILED_BY_BREAKER
    elif wants_rollback:
        status, words = "ROLLBACK_FAILED", f"{reason} {NO_CANDIDATE}" if reason else NO_CANDIDATE
    _end_record(store, now, service, failed, status, words)


def _end_record(
    store: Store, now: float, service: ServiceRecord, failed: Deployment, status: str, why: str
) -> None:
    store.change_service_deployment(
        service.arn,
        failed.service_deployment_arn,
        status=status,
        status_reason=why,
        finished_at=now,
        stopped_at=now,
    )


def roll_back(
    store: Store, now: float, service_arn: str, failed: Deployment, target_id: str, reason: str,
    rollout_reason: str,
) -> None:  # fmt: skip
    """Make `target_id` PRIMARY again; `failed` (already marked) becomes ACTIVE."""
    service = store.services[service_arn]
    target = service.deployment(target_id)
    if target is None:
        raise KeyError(target_id)
    restored = structs.replace(
        target,
        status="PRIMARY",
        rollout="IN_PROGRESS",
        rollout_reason=rollout_reason.format(target_id),
        is_rollback=True,
        service_deployment_arn=failed.service_deployment_arn,
        failed_tasks=0,
        failures=0,
        start_failures=0,
        last_failure_at=None,
        updated_at=now,
    )
    others = tuple(
        structs.replace(d, status="ACTIVE") for d in service.deployments if d.id != target_id
    )
    store.change_service(
        service_arn, deployments=(restored, *others), is_steady=False, is_impaired=False
    )
    store.say(service_arn, f"rolling back to deployment {target_id}.")
    store.change_service_deployment(
        service_arn,
        failed.service_deployment_arn,
        status="ROLLBACK_IN_PROGRESS",
        status_reason=reason,
        rollback_reason=reason,
        rollback_started_at=now,
        rollback_revision_arn=target.revision_arn,
    )


def last_good(service: ServiceRecord, beside: Deployment | None) -> Deployment | None:
    """The newest deployment, other than beside, that was COMPLETED."""
    completed = [d for d in service.deployments if d is not beside and d.has_completed]
    return max(completed, key=lambda deployment: deployment.created_at, default=None)


def stop_on_request(
    store: Store, now: float, service: ServiceRecord, record: ServiceDeployment, *, aborts: bool
) -> None:
    """StopServiceDeployment. ROLLBACK: ConflictException without a deployment to go back to.

    ABORT (aborts) leaves everything where it is: nothing more is started for the deployment, and
    traffic stays where it was shifted, until the next deployment begins."""
    current = next((d for d in service.deployments if d.service_deployment_arn == record.arn), None)
    target = last_good(service, current)
    if current is None or (target is None and not aborts):
        raise AwsError("ConflictException", NO_CANDIDATE)
    why = ABORTED if aborts else ON_REQUEST
    failed = store.change_deployment(service.arn, current.id, rollout="FAILED", rollout_reason=why)
    if aborts or target is None:
        store.say(service.arn, f"(deployment {current.id}) deployment stopped.")
        _end_record(store, now, service, failed, "STOPPED", ABORTED)
        return
    reason = "Rolling back to deploymentId {} on request."
    roll_back(store, now, service.arn, failed, target.id, ON_REQUEST, reason)
