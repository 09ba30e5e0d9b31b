"""ECS's events as EventBridge carries them, from changes of records. Pure.

Shapes: Amazon ECS Developer Guide, "Amazon ECS events" (task state change, service action,
deployment state change).
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from hikkoshi.region.ecs.arns import Arns
from hikkoshi.region.ecs.records import Deployment, ServiceRecord, TaskRecord
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.ecs.task_shapes import task_shape
from hikkoshi.region.ports import TaskState

TASK = "ECS Task State Change"
SERVICE = "ECS Service Action"
DEPLOYMENT = "ECS Deployment State Change"


class Happening(msgspec.Struct, frozen=True):
    """at: seconds since the epoch. id: 128 bits at random. event() is EventBridge's envelope, with
    `time` in ISO 8601; `detail` makes what is in it when it is read, since most events never are.
    """

    detail_type: str
    resources: tuple[str, ...]
    detail: Callable[[], dict[str, Any]]
    at: float
    id: int

    def event(self, names: Arns) -> dict[str, Any]:
        return {
            "version": "0",
            "id": str(uuid.UUID(int=self.id, version=4)),
            "detail-type": self.detail_type,
            "source": "aws.ecs",
            "account": names.account_id,
            "time": iso(self.at, "seconds"),
            "region": names.region,
            "resources": list(self.resources),
            "detail": self.detail(),
        }


def of_task(
    before: TaskRecord | None, task: TaskRecord, store: Store, now: float
) -> Happening | None:
    """None for a change that AWS does not speak of (targets, counters, protection)."""
    if before is not None and (_is_silent(before, task) or not _differs(before, task)):
        return None

    def detail() -> dict[str, Any]:
        shape: dict[str, Any] = plain(task_shape(task, store, []))
        shape.pop("tags", None)
        return {**shape, "updatedAt": iso(now)}

    return Happening(TASK, (task.arn,), detail, now, random.getrandbits(128))


def _is_silent(before: TaskRecord, task: TaskRecord) -> bool:
    """Whether nothing of what `_differs` reads was replaced: seen without comparing it."""
    return (
        before.state is task.state
        and before.stop_request is task.stop_request
        and before.is_handed_over is task.is_handed_over
        and before.targets is task.targets
    )


def _differs(before: TaskRecord, task: TaskRecord) -> bool:
    """What costs least first: every change of every task passes here."""
    if before.last_status != task.last_status or before.desired_status != task.desired_status:
        return True
    was, state = before.state, task.state
    if (was.connectivity_at if was else None) != (state.connectivity_at if state else None):
        return True
    return _told(was) != _told(state)


def _told(state: TaskState | None) -> tuple[object, ...]:
    containers = state.containers if state is not None else ()
    return tuple([(c.name, c.last_status, c.exit_code, c.health) for c in containers])


def of_service(
    before: ServiceRecord | None, service: ServiceRecord, now: float
) -> Iterator[Happening]:
    was = {d.id: d.rollout for d in (before.deployments if before else ())}
    for deployment in service.deployments:
        if was.get(deployment.id) != deployment.rollout:
            yield _deployment(service, deployment, now)
    if before is None:
        return
    if service.is_steady and not before.is_steady:
        yield _action(service, "INFO", "SERVICE_STEADY_STATE", now)
    if service.is_impaired and not before.is_impaired:
        yield _action(service, "WARN", "SERVICE_TASK_START_IMPAIRED", now)
    if service.desired_count != before.desired_count and service.status == "ACTIVE":
        more = {"desiredCount": service.desired_count}
        yield _action(service, "INFO", "SERVICE_DESIRED_COUNT_UPDATED", now, more)


def _deployment(service: ServiceRecord, deployment: Deployment, now: float) -> Happening:
    detail = {
        "eventType": "ERROR" if deployment.rollout == "FAILED" else "INFO",
        "eventName": f"SERVICE_DEPLOYMENT_{deployment.rollout}",
        "deploymentId": deployment.id,
        "updatedAt": iso(now),
        "reason": deployment.rollout_reason,
    }
    return Happening(DEPLOYMENT, (service.arn,), lambda: detail, now, random.getrandbits(128))


def _action(
    service: ServiceRecord, kind: str, name: str, now: float, more: dict[str, Any] | None = None
) -> Happening:
    detail = {
        "eventType": kind,
        "eventName": name,
        "clusterArn": service.cluster_arn,
        "createdAt": iso(now),
        **(more or {}),
    }
    return Happening(SERVICE, (service.arn,), lambda: detail, now, random.getrandbits(128))


def iso(seconds: float, timespec: str = "milliseconds") -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """With every datetime as EventBridge writes it."""
    if isinstance(value, datetime):
        return iso(value.timestamp())
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    return value
