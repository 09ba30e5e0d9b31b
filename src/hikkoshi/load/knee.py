"""Where a service stops keeping its limits as the load rises: a pure rule over measured steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hikkoshi.base.units import format_duration, format_share
from hikkoshi.load.report import (
    LATENESS_FLOOR_S,
    MAX_LATENESS_SHARE,
    LoadSummary,
    StageFigures,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One rate, held for a while. is_valid False: the generator, not the service, gave way."""

    asked_rate: float
    achieved_rate: float
    p99_s: float | None
    failed_share: float
    is_valid: bool = True


@dataclass(frozen=True, slots=True)
class Objectives:
    """What must hold at a rate for the rate to be kept.

    min_achieved: the share of the asked rate that must succeed within the step's own time. Below
    it a queue grows, whatever the percentiles still say.
    """

    max_p99_s: float = 0.3
    max_failed_share: float = 0.001
    min_achieved: float = 0.95


@dataclass(frozen=True, slots=True)
class Knee:
    """rate: the last rate that kept the objectives, None if the lowest already broke them.

    is_bounded: a higher rate was seen to break them; without it the knee lies at `rate` or above.
    broke_at, why: the lowest rate that broke them, and how.
    """

    rate: float | None
    is_bounded: bool
    broke_at: float | None
    why: str


def broken(step: Step, objectives: Objectives) -> str | None:
    """Which objective the step broke, in words; None if it kept all."""
    if step.failed_share > objectives.max_failed_share:
        return (
            f"{format_share(step.failed_share)} failed "
            f"(at most {format_share(objectives.max_failed_share)})"
        )
    if step.p99_s is None:
        return "nothing was answered"
    if step.p99_s > objectives.max_p99_s:
        return (
            f"p99 was {format_duration(step.p99_s)} "
            f"(at most {format_duration(objectives.max_p99_s)})"
        )
    if step.achieved_rate < objectives.min_achieved * step.asked_rate:
        return (
            f"{step.achieved_rate:.1f}/s of {step.asked_rate:.1f}/s succeeded in time "
            f"(at least {format_share(objectives.min_achieved)})"
        )
    return None


def find_knee(steps: Iterable[Step], objectives: Objectives) -> Knee:
    """The rule: upwards from the lowest rate, the last step before the first that broke an
    objective. A step above that holds again is luck and does not count. A step in which the
    generator gave way ends the search: nothing is known from there on.
    """
    kept: float | None = None
    for step in sorted(steps, key=lambda each: each.asked_rate):
        if not step.is_valid:
            why = f"at {step.asked_rate:.1f}/s the generator was the bottleneck"
            return Knee(kept, False, None, why)
        problem = broken(step, objectives)
        if problem is not None:
            return Knee(kept, True, step.asked_rate, f"at {step.asked_rate:.1f}/s {problem}")
        kept = step.asked_rate
    why = "no step was measured" if kept is None else "every step kept the objectives"
    return Knee(kept, False, None, why)


def step_of(summary: LoadSummary, asked_rate: float, objectives: Objectives) -> Step:
    """A whole run at one rate as a step. The last requests may take as long as is allowed beyond
    its end: that is no queue that grows."""
    whole = summary.whole
    seconds = max(summary.duration_s, summary.totals.last_done_s - objectives.max_p99_s)
    return Step(
        asked_rate=asked_rate,
        achieved_rate=whole.succeeded / seconds,
        p99_s=whole.latency.p99,
        failed_share=summary.failed / max(1, whole.requests),
        is_valid=summary.is_valid,
    )


def steps_of(figures: Iterable[StageFigures]) -> tuple[Step, ...]:
    """The stages of a run (report.by_stage) as steps; ramps between them should be left out."""
    return tuple(
        Step(
            asked_rate=each.asked_rate,
            achieved_rate=each.achieved_rate,
            p99_s=each.p99_s,
            failed_share=each.failed_share,
            is_valid=not _is_late(each),
        )
        for each in figures
    )


def _is_late(figures: StageFigures) -> bool:
    late, latency = figures.lateness_p99_s, figures.p99_s
    if late is None or latency is None or late <= LATENESS_FLOOR_S:
        return False
    return late > MAX_LATENESS_SHARE * latency
