"""What may start, what must stop, who is healthy: pure functions over frozen views of containers.

`now` and every `*_at` are monotonic seconds. Sources: facts C4–C8; ecs-agent's dependency graph and
restart tracker for what AWS's guide leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from hikkoshi.region.task.definition import Condition, Dependency, HealthCheck, RestartPolicy

DEPENDENCY_FAILED_EXIT_CODE = 143
ESSENTIAL_EXITED = ("EssentialContainerExited", "Essential container in task exited")
FAILED_TO_START = ("TaskFailedToStart", "Task failed to start")


class Phase(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container at one moment. started_at None: its process never ran."""

    name: str
    phase: Phase = Phase.WAITING
    is_essential: bool = True
    depends_on: tuple[Dependency, ...] = ()
    exit_code: int | None = None
    health: str = "UNKNOWN"
    has_health_check: bool = False
    started_at: float | None = None
    start_timeout_s: float | None = None


# ── what may start ──────────────────────────────────────────────────────────────────────────────


class Verdict(StrEnum):
    MET = "met"
    NOT_YET = "not yet"
    NEVER = "never"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class Ruling:
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    container: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The container will never start: exit code 143 and a CannotStartContainerError."""

    container: str
    why: str


@dataclass(frozen=True, slots=True)
class StopTask:
    code: str
    reason: str


Move = Start | GiveUp | StopTask


def judge_dependency(condition: Condition, on: ContainerView, now: float) -> Ruling:
    """Whether a dependency holds, may still hold, or never will."""
    if condition is Condition.START:
        started = on.phase in (Phase.RUNNING, Phase.STOPPED)
        return Ruling(Verdict.MET if started else Verdict.NOT_YET)
    is_stopped = on.phase is Phase.STOPPED
    if condition is Condition.COMPLETE and is_stopped:
        return Ruling(Verdict.MET)
    if condition is Condition.SUCCESS and is_stopped:
        if on.exit_code == 0:
            return Ruling(Verdict.MET)
        return Ruling(Verdict.NEVER, f"dependency {on.name} exited with {on.exit_code}, not 0")
    if condition is Condition.HEALTHY:
        if is_stopped:
            return Ruling(Verdict.NEVER, f"dependency {on.name} stopped before it was healthy")
        if not on.has_health_check:
            return Ruling(Verdict.NEVER, f"dependency {on.name} has no healthCheck")
        if on.phase is Phase.RUNNING and on.health == "HEALTHY":
            return Ruling(Verdict.MET)
    if _is_past_start_timeout(on, now):
        return Ruling(
            Verdict.TIMED_OUT,
            f"dependency {on.name} did not reach {condition} within its startTimeout "
            f"of {on.start_timeout_s:g} s",
        )
    return Ruling(Verdict.NOT_YET)


def _is_past_start_timeout(on: ContainerView, now: float) -> bool:
    """startTimeout belongs to the dependency and runs from its start (C5)."""
    if on.started_at is None or on.start_timeout_s is None:
        return False
    return now >= on.started_at + on.start_timeout_s


def moves_to_run(views: Sequence[ContainerView], now: float) -> tuple[Move, ...]:
    """What to do for a task that is to run. A StopTask, when there is one, comes last."""
    ended = _essential_end(views)
    if ended is not None:
        return (ended,)
    by_name = {view.name: view for view in views}
    moves: list[Move] = []
    stop: StopTask | None = None
    for view in views:
        if view.phase is not Phase.WAITING:
            continue
        ruling = _judge_all(view, by_name, now)
        if ruling.verdict is Verdict.MET:
            moves.append(Start(view.name))
        elif ruling.verdict is not Verdict.NOT_YET:
            moves.append(GiveUp(view.name, ruling.why))
            if ruling.verdict is Verdict.TIMED_OUT:
                stop = StopTask(*FAILED_TO_START)
    return (*moves, stop) if stop is not None else tuple(moves)


def _judge_all(view: ContainerView, by_name: Mapping[str, ContainerView], now: float) -> Ruling:
    """The worst ruling of a container's dependencies: never and timed out come before not yet."""
    rulings = []
    for dependency in view.depends_on:
        on = by_name.get(dependency.container)
        if on is None:
            return Ruling(Verdict.NEVER, f"dependency {dependency.container} is not in the task")
        rulings.append(judge_dependency(dependency.condition, on, now))
    for verdict in (Verdict.NEVER, Verdict.TIMED_OUT, Verdict.NOT_YET):
        for ruling in rulings:
            if ruling.verdict is verdict:
                return ruling
    return Ruling(Verdict.MET)


def _essential_end(views: Sequence[ContainerView]) -> StopTask | None:
    """Why the task must stop, if an essential container (or every container) has ended."""
    ended = [v for v in views if v.is_essential and v.phase is Phase.STOPPED]
    if not ended and not all(v.phase is Phase.STOPPED for v in views):
        return None
    never_ran = any(v.started_at is None for v in ended)
    return StopTask(*(FAILED_TO_START if never_ran else ESSENTIAL_EXITED))


def next_deadline(views: Sequence[ContainerView]) -> float | None:
    """The earliest moment at which time alone can change `moves_to_run`."""
    by_name = {view.name: view for view in views}
    deadlines = []
    for view in views:
        if view.phase is not Phase.WAITING:
            continue
        for dependency in view.depends_on:
            on = by_name.get(dependency.container)
            if dependency.condition is Condition.START or on is None:
                continue
            if on.started_at is not None and on.start_timeout_s is not None:
                deadlines.append(on.started_at + on.start_timeout_s)
    return min(deadlines, default=None)


def has_started(views: Sequence[ContainerView]) -> bool:
    """A task is RUNNING once none of its containers waits or starts."""
    return all(view.phase in (Phase.RUNNING, Phase.STOPPED) for view in views)


def circle(views: Sequence[ContainerView]) -> tuple[str, ...]:
    """The containers that wait for one another, or ()."""
    waiting = {v.name: {d.container for d in v.depends_on} for v in views}
    while True:
        free = {name for name, on in waiting.items() if not on & waiting.keys()}
        if not free:
            return tuple(sorted(waiting))
        waiting = {name: on for name, on in waiting.items() if name not in free}


# ── what may stop ───────────────────────────────────────────────────────────────────────────────


def may_be_signalled(views: Sequence[ContainerView]) -> tuple[str, ...]:
    """Of a task that is to stop: the running containers on which no running one depends (C6)."""
    needed = {
        dependency.container
        for view in views
        if view.phase in (Phase.STARTING, Phase.RUNNING)
        for dependency in view.depends_on
        if dependency.container != view.name
    }
    return tuple(v.name for v in views if v.phase is Phase.RUNNING and v.name not in needed)


def may_restart(
    policy: RestartPolicy | None, exit_code: int, ran_for_s: float, *, is_stopping: bool
) -> bool:
    """A container is restarted only if it ran for the attempt period (ECS: 60 to 1800 s)."""
    if policy is None or is_stopping or exit_code in policy.ignored_exit_codes:
        return False
    return ran_for_s >= policy.attempt_period_s


# ── health ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class HealthRecord:
    """A container's health so far. has_passed: one probe passed, which ends the start period."""

    status: str = "UNKNOWN"
    failures_in_a_row: int = 0
    has_passed: bool = False


def after_probe(
    record: HealthRecord, check: HealthCheck, *, has_passed: bool, since_start_s: float
) -> HealthRecord:
    """Docker's rule: a failure within startPeriod does not count until a probe has passed."""
    if has_passed:
        return HealthRecord("HEALTHY", 0, True)
    if since_start_s < check.start_period_s and not record.has_passed:
        return record
    failures = record.failures_in_a_row + 1
    status = "UNHEALTHY" if failures >= check.retries else record.status
    return replace(record, status=status, failures_in_a_row=failures)


def task_health(views: Sequence[ContainerView]) -> str:
    """Only essential containers with a health check count; UNHEALTHY > UNKNOWN > HEALTHY (C8)."""
    seen = {v.health for v in views if v.is_essential and v.has_health_check}
    for status in ("UNHEALTHY", "UNKNOWN", "HEALTHY"):
        if status in seen:
            return status
    return "UNKNOWN"
