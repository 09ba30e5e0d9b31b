"""Decisions as data: what to do, to what, and why in one line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartTasks:
    deployment_id: str
    count: int
    replaced: int
    """How many of them stand in for unhealthy tasks."""
    why: str


@dataclass(frozen=True, slots=True)
class RegisterTargets:
    task_id: str
    why: str


@dataclass(frozen=True, slots=True)
class MarkHealthy:
    """A task is healthy for the first time. resets_failures: the circuit breaker starts anew."""

    task_id: str
    deployment_id: str
    resets_failures: bool
    why: str


@dataclass(frozen=True, slots=True)
class CountFailure:
    """A task of a deployment has failed; the flags say which counters it moves."""

    task_id: str
    deployment_id: str
    feeds_backoff: bool
    feeds_breaker: bool
    why: str


@dataclass(frozen=True, slots=True)
class EndTasks:
    """Set desiredStatus STOPPED and begin draining; `reason` is the task's stoppedReason.
    ailments: for unhealthy tasks, (task id, what the service's events say of it)."""

    deployment_id: str
    task_ids: tuple[str, ...]
    reason: str
    ailments: tuple[tuple[str, str], ...]
    why: str


@dataclass(frozen=True, slots=True)
class TerminateTask:
    """Draining is over: hand the task to the runtime, which sends SIGTERM."""

    task_id: str
    why: str


@dataclass(frozen=True, slots=True)
class DeregisterTargets:
    """The task ends without having been drained first (StopTask, a crash)."""

    task_id: str
    why: str


@dataclass(frozen=True, slots=True)
class FailDeployment:
    """reason: what is said of it; None: that the circuit breaker has tripped. alarms: those that
    it failed for. is_left: nothing was to be rolled back."""

    deployment_id: str
    roll_back_to: str | None
    why: str
    reason: str | None = None
    alarms: tuple[str, ...] = ()
    is_left: bool = False


@dataclass(frozen=True, slots=True)
class BeginBake:
    """A rolling deployment is through, and its alarms are watched for some time more."""

    deployment_id: str
    why: str


@dataclass(frozen=True, slots=True)
class EnterStage:
    """A blue/green deployment's next lifecycleStage."""

    deployment_id: str
    stage: str
    why: str


@dataclass(frozen=True, slots=True)
class ShiftTraffic:
    """percent of the test or production traffic to this deployment, the rest to beside."""

    deployment_id: str
    is_test: bool
    percent: float
    beside: str | None
    why: str


@dataclass(frozen=True, slots=True)
class CompleteDeployment:
    deployment_id: str
    why: str


@dataclass(frozen=True, slots=True)
class RemoveDeployment:
    deployment_id: str
    why: str


@dataclass(frozen=True, slots=True)
class SayImpaired:
    why: str


@dataclass(frozen=True, slots=True)
class SaySteady:
    why: str


@dataclass(frozen=True, slots=True)
class MakeInactive:
    why: str


Step = (
    StartTasks
    | RegisterTargets
    | MarkHealthy
    | CountFailure
    | EndTasks
    | TerminateTask
    | DeregisterTargets
    | FailDeployment
    | BeginBake
    | EnterStage
    | ShiftTraffic
    | CompleteDeployment
    | RemoveDeployment
    | SayImpaired
    | SaySteady
    | MakeInactive
)
