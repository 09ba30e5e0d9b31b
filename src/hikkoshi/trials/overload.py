"""More than planned, in steps, until the limits break: where the knee is, and what is after it."""

from __future__ import annotations

import time

from hikkoshi.aws.access import wait_until
from hikkoshi.base.errors import DeadlinePassed
from hikkoshi.base.units import format_duration
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
    rate = planned_rate(context)
    knee, broke_at = context.kept_rate, None
    notes: list[str] = []
    for factor in context.pace.overload_factors:
        asked = rate * factor
        with send(context, NAME, context.pace.overload_step_s, rate=asked) as sending:
            sending.finish()
        summary = measures.summarise(sending.requests())
        invalid = sending.invalid_because()
        notes.append(
            f"{asked:.0f}/s: p99 {format_duration(summary.p99_s or 0)}, {summary.failed} of "
            f"{summary.sent} failed" + (f" (generator: {invalid})" if invalid else "")
        )
        if _is_over(context, summary):
            broke_at = asked
            break
        if invalid is None:
            knee = asked
    t_load_ended = time.time()
    recovery_s = _wait_whole(context, t_load_ended)
    kept = [
        Measure("last rate that kept the limits", knee, "requests/s"),
        Measure("first rate that broke them", broke_at, "requests/s"),
        Measure(
            "time to recover after the load",
            recovery_s,
            "s",
            f"at most {format_duration(context.limits.recovery)}",
            recovery_s is not None and recovery_s <= context.limits.recovery,
        ),
    ]
    bad = measures.broken(kept)
    return result(
        NAME,
        TITLE,
        t_start,
        Outcome.BROKE if bad else Outcome.HELD,
        "; ".join([*bad, _say_knee(knee, broke_at)]),
        kept,
        notes,
    )


def _say_knee(knee: float | None, broke_at: float | None) -> str:
    if broke_at is None:
        return (
            "nothing was learned" if knee is None else f"no knee up to {knee:.0f}/s, the most tried"
        )
    if knee is None:
        return f"the knee lies below {broke_at:.0f}/s: no rate that was tried kept the limits"
    return f"the knee lies between {knee:.0f}/s and {broke_at:.0f}/s"


def _is_over(context: Context, summary: measures.Summary) -> bool:
    is_slow = summary.p99_s is None or summary.p99_s > context.limits.p99
    return is_slow or summary.failed_share > context.limits.errors


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
