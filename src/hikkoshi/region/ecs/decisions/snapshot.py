"""What the scheduler knows of one service at one moment. Times are seconds since the epoch.

Tasks and their targets are structs of msgspec, as their records are: a pass makes many
thousands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from hikkoshi.fargate import limits


class Stopping(StrEnum):
    """How far a task's end has come."""

    NOT = "not"
    DRAINING = "draining"
    """The scheduler wants it gone and its targets are being drained; it still runs."""
    HANDED_OVER = "handed over"
    """The runtime stops it, or it stops by itself."""
    STOPPED = "stopped"


class TargetView(msgspec.Struct, frozen=True):
    """One target group's view of a task. state None: not registered yet. retry_at: when to try
    again after the load balancer refused."""

    target_group_arn: str
    port: int
    state: str | None = None
    description: str | None = None
    is_deregistered: bool = False
    retry_at: float | None = None

    def is_due(self, now: float) -> bool:
        """It waits to be registered, and may be now."""
        if self.state is not None or self.is_deregistered:
            return False
        return self.retry_at is None or now >= self.retry_at


class TaskView(msgspec.Struct, frozen=True):
    task_id: str
    deployment_id: str
    created_at: float
    last_status: str = "PENDING"
    health: str = "UNKNOWN"
    has_health_check: bool = False
    """An essential container has a healthCheck in the task definition."""
    started_at: float | None = None
    ended_at: float | None = None
    """When its end began (AWS's stoppingAt)."""
    has_address: bool = True
    stopping: Stopping = Stopping.NOT
    has_stopped_by_itself: bool = False
    """It failed to start, or an essential container exited: nobody asked for its end."""
    targets: tuple[TargetView, ...] = ()
    is_protected: bool = False
    has_been_healthy: bool = False
    is_failure_counted: bool = False

    @property
    def is_wanted(self) -> bool:
        """Its desired status is RUNNING."""
        return self.stopping is Stopping.NOT

    @property
    def is_running(self) -> bool:
        return self.last_status == "RUNNING"


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """failures: what the circuit breaker has counted; start_failures: tasks in a row that ended
    by themselves before they were ever healthy, at last_failure_at."""

    deployment_id: str
    created_at: float
    is_primary: bool = True
    rollout: str = "IN_PROGRESS"
    has_completed: bool = False
    """It was COMPLETED once, so that a rollback can go back to it."""
    is_rollback: bool = False
    failures: int = 0
    start_failures: int = 0
    last_failure_at: float | None = None


@dataclass(frozen=True, slots=True)
class Breaker:
    """deploymentCircuitBreaker; kind and value as in thresholdConfiguration."""

    is_enabled: bool = False
    is_rolling_back: bool = False
    kind: str = "BOUNDED_PERCENT"
    value: int = limits.BREAKER_DEFAULT_PERCENT
    resets_on_healthy_task: bool = True


@dataclass(frozen=True, slots=True)
class Shift:
    """So much of the production traffic to the new revision, held so long before the next."""

    percent: float
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BlueGreen:
    """A service deployment in which ECS shifts traffic, and the traffic as the listener rules have
    it now.

    stage: lifecycleStage, since stage_at; None: it has not begun. shifted_at: of production
    traffic. production, test: percentage of the traffic by deployment; None: ECS does not manage
    it (no load balancer, no test rule). problem: why traffic could not be shifted."""

    stage: str | None = None
    stage_at: float = 0.0
    shifted_at: float | None = None
    bake_s: float = 0.0
    shifts: tuple[Shift, ...] = (Shift(100.0),)
    production: Mapping[str, float] | None = None
    test: Mapping[str, float] | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class AlarmWatch:
    """The CloudWatch alarms of the deployment that is in progress.

    ringing: names of those in ALARM. bakes_since: since when a rolling deployment is through but
    for its bake time of bake_s (blue/green has a stage for that)."""

    ringing: tuple[str, ...] = ()
    is_rolling_back: bool = False
    bake_s: float = 0.0
    bakes_since: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceSnapshot:
    name: str
    desired_count: int
    deployments: tuple[DeploymentView, ...]
    tasks: tuple[TaskView, ...] = ()
    is_draining: bool = False
    """DeleteService was called: everything goes."""
    minimum_percent: int = limits.DEFAULT_MINIMUM_HEALTHY_PERCENT
    maximum_percent: int = limits.DEFAULT_MAXIMUM_PERCENT
    grace_s: float = 0.0
    breaker: Breaker = Breaker()
    is_steady: bool = False
    """`has reached a steady state` was the last thing said about it."""
    is_impaired: bool = False
    """`is unable to consistently start tasks` was said and nothing was healthy since."""
    steady_without_checks_s: float = 40.0
    restart_backoff_s: float = 900.0
    blue_green: BlueGreen | None = None
    """None: the deployment that is in progress is a rolling one, or there is none."""
    alarms: AlarmWatch | None = None
    """None: no deployment is in progress, or it is not watched by alarms."""

    @property
    def primary(self) -> DeploymentView | None:
        return next((d for d in self.deployments if d.is_primary), None)

    @property
    def last_good(self) -> DeploymentView | None:
        """C17: what a rollback goes back to, the newest other deployment that was COMPLETED."""
        candidates = [d for d in self.deployments if not d.is_primary and d.has_completed]
        return max(candidates, key=lambda d: d.created_at, default=None)
