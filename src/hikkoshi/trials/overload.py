"""More than planned, in steps, until the limits break: where the knee is, and what is after it."""

from __future__ import annotations

import time

from hikkoshi.aws.access import wait_until
from hikkoshi.base.errors import DeadlinePassed
from hikkoshi.base.units import format_duration
from hikkoshi.load.knee import Objectives, Step, broken, find_knee, step_of
from hikkoshi.model.trials import Measure, Outcome, TrialResult
from hikkoshi.trials import measures
from hikkoshi.trials.context import Context, result
from hikkoshi.trials.sending import planned_rate, send
from hikkoshi.trials.watch import is_whole

NAME = "overload"
TITLE = "overload finds the knee, and the service comes back from it"


def try_overload(context: Context) -> TrialResult:
    """Held: when the load ends, the service is whole again within the limit for recovery."""
    t_start = time.time()
    objectives = Objectives(max_p99_s=context.limits.p99, max_failed_share=context.limits.errors)
    steps, notes = _climb(context, objectives)
    found = find_knee(steps, objectives)
    knee = context.kept_rate if found.rate is None else found.rate
    t_load_ended = time.time()
    recovery_s = _wait_whole(context, t_load_ended)
    kept = [
        Measure("last rate that kept the limits", knee, "requests/s"),
        Measure("first rate that broke them", found.broke_at, "requests/s"),
        Measure(
            "time to recover after the load",
            recovery_s,
            "s",
            f"at most {format_duration(context.limits.recovery)}",
            recovery_s is not None and recovery_s <= context.limits.recovery,
        ),
    ]
    bad = measures.broken(kept)
    said = [_say_knee(knee, found.broke_at)]
    if any(not step.is_valid for step in steps):
        said.append(found.why)
    was_loaded = any(step.is_valid for step in steps)
    outcome = Outcome.HELD if was_loaded else Outcome.NOT_TRIED
    return result(
        NAME, TITLE, t_start, Outcome.BROKE if bad else outcome, "; ".join([*bad, *said]), kept,
        notes,
    )  # fmt: skip


def _climb(context: Context, objectives: Objectives) -> tuple[list[Step], list[str]]:
    """One rate after another, until one breaks the limits or the generator itself gives way: a
    step that it could not send tells nothing of the service."""
    rate = planned_rate(context)
    steps: list[Step] = []
    notes: list[str] = []
    for factor in context.pace.overload_factors:
        asked = rate * factor
        with send(context, NAME, context.pace.overload_step_s, rate=asked) as sending:
            sending.finish()
        summary = sending.summary
        assert summary is not None
        step = step_of(summary, asked, objectives)
        steps.append(step)
        notes.append(
            f"{asked:.0f}/s: p99 {format_duration(step.p99_s or 0)}, {summary.failed} of "
            f"{summary.whole.requests} failed"
            + ("" if step.is_valid else f" (generator: {'; '.join(summary.invalid)})")
        )
        if not step.is_valid or broken(step, objectives) is not None:
            break
    return steps, notes


def _say_knee(knee: float | None, broke_at: float | None) -> str:
    if broke_at is None:
        return (
            "nothing was learned" if knee is None else f"no knee up to {knee:.0f}/s, the most tried"
        )
    if knee is None:
        return f"the knee lies below {broke_at:.0f}/s: no rate that was tried kept the limits"
    return f"the knee lies between {knee:.0f}/s and {broke_at:.0f}/s"


def _wait_whole(context: Context, since: float) -> float | None:
    try:
        wait_until(
            "the service whole after overload",
            lambda: is_whole(context.home),
            context.limits.recovery + 5,
        )
    except DeadlinePassed:
        return None
    return time.time() - since
