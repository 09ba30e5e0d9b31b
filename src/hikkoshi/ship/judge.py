"""How a deployment stands, by its own id and never by the service's task definition. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


class State(enum.Enum):
    GOING = "in progress"
    ROLLING_BACK = "rolling back"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    TIMED_OUT = "timed out"
    HOPELESS = "given up"

    @property
    def is_final(self) -> bool:
        return self not in (State.GOING, State.ROLLING_BACK)


EXIT_CODES = {
    State.SUCCEEDED: 0,
    State.FAILED: 1,
    State.HOPELESS: 1,
    State.SUPERSEDED: 1,
    State.ROLLED_BACK: 4,
    State.TIMED_OUT: 5,
}
_STATES = {
    "PENDING": State.GOING,
    "IN_PROGRESS": State.GOING,
    "STOP_REQUESTED": State.ROLLING_BACK,
    "ROLLBACK_REQUESTED": State.ROLLING_BACK,
    "ROLLBACK_IN_PROGRESS": State.ROLLING_BACK,
    "SUCCESSFUL": State.SUCCEEDED,
    "ROLLBACK_SUCCESSFUL": State.ROLLED_BACK,
    "ROLLBACK_FAILED": State.FAILED,
    "STOPPED": State.FAILED,
}


@dataclass(frozen=True, slots=True)
class Ours:
    """The deployment that is watched. id: `ecs-svc/N`; record: its service deployment's ARN, where
    ECS tells one; created_at: of the deployment, as a number."""

    id: str
    record: str | None = None
    created_at: float = 0.0


def judge(service: Document, record: Document | None, ours: Ours) -> tuple[State, str]:
    """service: of DescribeServices; record: of DescribeServiceDeployments, if there is one."""
    mine = next((d for d in service.get("deployments", []) if d["id"] == ours.id), None)
    front = next((d for d in service.get("deployments", []) if d["status"] == "PRIMARY"), None)
    if record is not None:
        return _by_record(record, front, ours)
    if mine is not None and mine["status"] == "PRIMARY":
        return _by_rollout(service, mine)
    if front is not None and front["createdAt"].timestamp() > ours.created_at:
        return State.SUPERSEDED, _superseded(front)
    if mine is not None and mine.get("rolloutState") != "COMPLETED":
        why = mine.get("rolloutStateReason") or "ECS gives no reason"
        done = front is not None and front.get("rolloutState") == "COMPLETED"
        return (State.ROLLED_BACK if done else State.ROLLING_BACK), why
    return State.ROLLED_BACK, "the deployment is gone, and an older one is PRIMARY again"


def _by_record(record: Document, front: Document | None, ours: Ours) -> tuple[State, str]:
    state = _STATES.get(record["status"], State.GOING)
    reason = str(record.get("statusReason") or record["status"])
    is_newer = front is not None and front["createdAt"].timestamp() > ours.created_at
    if record["status"] == "STOPPED" and is_newer and front is not None and front["id"] != ours.id:
        return State.SUPERSEDED, _superseded(front)
    return state, reason


def _by_rollout(service: Document, mine: Document) -> tuple[State, str]:
    rollout = mine.get("rolloutState")
    reason = str(mine.get("rolloutStateReason") or rollout)
    if rollout == "FAILED":
        return State.FAILED, reason
    is_whole = (
        len(service["deployments"]) == 1 and service["runningCount"] == service["desiredCount"]
    )
    # Without rolloutState (controllers of old) only the counts tell.
    if rollout == "COMPLETED" or (rollout is None and is_whole):
        return State.SUCCEEDED, reason
    return State.GOING, reason


def _superseded(front: Document) -> str:
    name = str(front["taskDefinition"]).rsplit("/", 1)[-1]
    return f"someone began a newer deployment, {front['id']} of {name}"
