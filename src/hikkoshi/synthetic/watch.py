"""Runs tests on their schedules and says when one begins or ceases to fail. Deciding is pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hikkoshi.synthetic.definition import SyntheticTest
from hikkoshi.synthetic.run import State, SyntheticResult


class Turn(StrEnum):
    """What an alert tells."""

    FAILING = "failing"
    DEGRADED = "degraded"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class Alert:
    """since: when what it tells began, in epoch seconds."""

    turn: Turn
    test: str
    reason: str
    since: float
    at: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How a test stands. due: when it runs next. told: the last turn that was told."""

    due: float
    state: State = State.OK
    since: float | None = None
    told: Turn | None = None
    runs: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """All tests' standings by their place in the list. default_s: for tests without `every`."""

    default_s: float
    standings: Mapping[int, Standing] = field(default_factory=dict)


def begin(tests: tuple[SyntheticTest, ...], default_s: float, now: float) -> Schedule:
    return Schedule(default_s, {index: Standing(due=now) for index in range(len(tests))})


def next_due(schedule: Schedule) -> tuple[int, float]:
    """Which test is next, and when."""
    index = min(schedule.standings, key=lambda each: (schedule.standings[each].due, each))
    return index, schedule.standings[index].due


def after_run(
    schedule: Schedule, index: int, test: SyntheticTest, result: SyntheticResult
) -> tuple[Schedule, Alert | None]:
    """The schedule after one run, and the alert that it calls for.

    A failing test alerts once, when it has failed for alert_after_s; a degraded one once; and
    either once more when it is ok again. What could not be tried changes nothing. The next run is
    due a period after the last was due; runs that were missed are not made up for.
    """
    was = schedule.standings[index]
    period_s = test.every_s or schedule.default_s
    due = was.due + period_s
    if due <= result.t_end:
        due = result.t_end + period_s - (result.t_end - was.due) % period_s
    now = replace(was, due=due, runs=was.runs + 1)
    if result.state is not State.NOT_TRIED:
        since = was.since if was.state is result.state and was.since else result.t_start
        now = replace(now, state=result.state, since=since)
    turn = _turn(now, test, result)
    told = None if turn is Turn.RECOVERED else turn or now.told
    alert = None
    if turn is not None:
        alert = Alert(turn, test.name, result.reason, now.since or result.t_start, result.t_end)
    standings = {**schedule.standings, index: replace(now, told=told)}
    return replace(schedule, standings=standings), alert


def _turn(now: Standing, test: SyntheticTest, result: SyntheticResult) -> Turn | None:
    match result.state:
        case State.FAILED:
            has_lasted = result.t_end - (now.since or result.t_start) >= test.alert_after_s
            return Turn.FAILING if has_lasted and now.told is not Turn.FAILING else None
        case State.DEGRADED:
            if now.told is Turn.FAILING:
                return Turn.RECOVERED
            return Turn.DEGRADED if now.told is None else None
        case State.OK:
            return Turn.RECOVERED if now.told is not None else None
    return None
