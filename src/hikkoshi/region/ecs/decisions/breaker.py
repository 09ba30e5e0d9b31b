"""When a deployment has failed often enough (C16), and how long to wait between tries (C22)."""

from __future__ import annotations

from hikkoshi.fargate import limits
from hikkoshi.region.ecs.decisions.snapshot import Breaker, DeploymentView, TaskView

_FIRST_DELAY_S = 10.0
_FREE_TRIES = 3
_QUICK_EXIT_S = 5.0


def threshold(breaker: Breaker, desired: int) -> int:
    """Failures at which the breaker trips.

    BOUNDED_PERCENT: the share of the desired count, rounded up, between 3 and 200 (by default
    half: 1 → 3, 25 → 13, 400 → 200). UNBOUNDED_PERCENT: the share alone, at least 1. COUNT: the
    value itself."""
    if breaker.kind == "COUNT":
        return max(1, breaker.value)
    share = -(-desired * breaker.value // 100)
    if breaker.kind == "UNBOUNDED_PERCENT":
        return max(1, share)
    return min(limits.BREAKER_LARGEST, max(limits.BREAKER_SMALLEST, share))


def has_tripped(breaker: Breaker, deployment: DeploymentView, desired: int) -> bool:
    return (
        breaker.is_enabled
        and deployment.rollout == "IN_PROGRESS"
        and deployment.failures >= threshold(breaker, desired)
    )


def restart_delay(start_failures: int, desired: int, longest_s: float) -> float:
    """Seconds from the last failed start to the next try.

    AWS publishes the longest wait (15 minutes) and that it grows, not the curve: here the first
    three rounds are free, then 10 s and doubling. A round is one try for each desired task.
    `longest_s` below 10 s (a rehearsal) is the delay from the fourth round on."""
    rounds = -(-start_failures // max(1, desired))
    if rounds < _FREE_TRIES:
        return 0.0
    doublings = min(rounds - _FREE_TRIES, 16)
    return float(min(longest_s, _FIRST_DELAY_S * 2**doublings))


def is_failed_start(task: TaskView) -> bool:
    """C22: only tasks that never reached RUNNING are delayed. A process that exits within seconds
    counts as one: on AWS such a task is mostly never seen RUNNING, and starting one takes half a
    minute by itself, where here a crash loop would turn several times a second."""
    if task.started_at is None or task.ended_at is None:
        return True
    return task.ended_at - task.started_at < _QUICK_EXIT_S


def is_waiting_to_restart(
    deployment: DeploymentView, desired: int, longest_s: float, now: float
) -> bool:
    if deployment.last_failure_at is None:
        return False
    delay = restart_delay(deployment.start_failures, desired, longest_s)
    return now < deployment.last_failure_at + delay
