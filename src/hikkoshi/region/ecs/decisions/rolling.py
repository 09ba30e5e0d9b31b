"""The arithmetic of a rolling deployment (C15)."""

from __future__ import annotations

from dataclasses import dataclass


def floor_of(desired: int, minimum_percent: int) -> int:
    """Healthy tasks that must stay: rounded up."""
    return -(-desired * minimum_percent // 100)


def cap_of(desired: int, maximum_percent: int) -> int:
    """Tasks that may be running or pending: rounded down."""
    return desired * maximum_percent // 100


@dataclass(frozen=True, slots=True)
class Counts:
    """A service's tasks with desired status RUNNING, by deployment and health.

    `old` is every deployment but the primary. idle: old tasks that give nothing (not RUNNING
    yet, or unhealthy); waiting: RUNNING, not proven healthy. Protected old tasks are in
    old_protected and in no other old count.
    """

    new_healthy: int = 0
    new_waiting: int = 0
    new_unhealthy: int = 0
    old_healthy: int = 0
    old_waiting: int = 0
    old_idle: int = 0
    old_protected: int = 0
    old_protected_healthy: int = 0

    @property
    def healthy(self) -> int:
        return self.new_healthy + self.old_healthy + self.old_protected_healthy

    @property
    def alive(self) -> int:
        """What the cap counts: wanted tasks, running or pending."""
        new = self.new_healthy + self.new_waiting + self.new_unhealthy
        return new + self.old_healthy + self.old_waiting + self.old_idle + self.old_protected


@dataclass(frozen=True, slots=True)
class Moves:
    """start: new tasks; the rest: how many to end of each kind."""

    start: int = 0
    end_old_idle: int = 0
    end_old_waiting: int = 0
    end_old_healthy: int = 0
    end_new_unhealthy: int = 0


def plan_moves(
    desired: int, minimum_percent: int, maximum_percent: int, counts: Counts, *, may_start: bool,
    is_rolling_out: bool,
) -> Moves:  # fmt: skip
    """The next moves towards `desired` tasks of the primary deployment and none of the others.

    Never ends a healthy task below the floor, never starts one above the cap. Starting comes
    before ending wherever the cap allows. While rolling out, an unhealthy new task is ended as
    soon as its replacement was ordered (as in published traces); in a settled service it waits
    until the replacement is healthy (API_DeploymentConfiguration, maximumPercent).
    """
    floor, cap = floor_of(desired, minimum_percent), cap_of(desired, maximum_percent)
    good = counts.new_healthy + counts.new_waiting
    want = max(0, desired - good) if may_start else 0
    alive = counts.alive
    spare = max(0, counts.healthy - floor)
    # Old tasks that give nothing go first, but only while something can take their place.
    end_idle = counts.old_idle if may_start or counts.new_healthy >= desired else 0
    alive -= end_idle
    is_done = counts.new_healthy >= desired
    end_waiting = counts.old_waiting if is_done else 0
    surplus = counts.old_healthy + counts.new_healthy - desired
    end_healthy = min(counts.old_healthy, max(0, surplus), spare)
    if not may_start and not is_done:
        # A failed deployment without rollback: what still serves stays.
        end_healthy = 0
    alive -= end_waiting + end_healthy
    # What ends in this round leaves its room to the next one, so that the cap holds in between.
    start = max(0, min(want, cap - counts.alive))
    missing = want - max(start, min(want, cap - alive))
    # No room to start first: unhealthy new tasks make room, then unproven old ones, then healthy
    # old ones as far as the floor allows.
    end_unhealthy = min(counts.new_unhealthy, missing)
    missing -= end_unhealthy
    more_waiting = min(counts.old_waiting - end_waiting, missing)
    missing -= more_waiting
    more_healthy = min(counts.old_healthy - end_healthy, missing, spare - end_healthy)
    if is_rolling_out or not may_start or counts.new_healthy >= desired:
        end_unhealthy = counts.new_unhealthy
    return Moves(
        start, end_idle, end_waiting + more_waiting, end_healthy + more_healthy, end_unhealthy
    )
