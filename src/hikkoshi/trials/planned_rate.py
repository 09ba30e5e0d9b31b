"""The planned rate, held: a short while (steady), and a long run (soak)."""

from __future__ import annotations

import time

from hikkoshi.model.trials import Measure, Outcome, TrialResult
from hikkoshi.trials import measures
from hikkoshi.trials.context import Context, result
from hikkoshi.trials.sending import planned_rate, send
from hikkoshi.trials.watch import wait_settled

# A p99 of fewer requests is one outlier, not a percentile.
LEAST_FOR_P99 = 100


STEADY_TITLE = "the planned rate holds"
SOAK_TITLE = "a long run (shortened) stays level"


def try_steady(context: Context) -> TrialResult:
    return _hold(context, "steady", STEADY_TITLE, context.pace.steady_s)


def try_soak(context: Context) -> TrialResult:
    return _hold(context, "soak", SOAK_TITLE, context.pace.soak_s)


def _hold(context: Context, name: str, title: str, duration_s: float) -> TrialResult:
    # A task that still starts up says nothing of the planned rate, nor would a rule count it.
    wait_settled(context.home)
    t_start = time.time()
    with send(context, name, duration_s) as sending:
        sending.finish()
    requests = sending.requests()
    summary = measures.summarise(requests)
    invalid = sending.invalid_because()
    if invalid is not None:
        return result(
            name, title, t_start, Outcome.NOT_TRIED, f"the generator was the bottleneck: {invalid}"
        )
    half = t_start + (time.time() - t_start) / 2
    late = measures.summarise(r for r in requests if r.t_intended >= half)
    early = measures.summarise(r for r in requests if r.t_intended < half)
    kept = [
        measures.share_kept(summary, context.limits.errors),
        measures.p99_kept(summary, context.limits.p99),
        Measure("requests sent", float(summary.sent), ""),
        Measure("rate", summary.sent / duration_s, "requests/s"),
        Measure("p50 latency", summary.p50_s, "s"),
        Measure("p99 of the first half", early.p99_s, "s"),
        Measure("p99 of the second half", late.p99_s, "s"),
    ]
    bad = measures.broken(kept)
    if not bad:
        context.kept_rate = max(context.kept_rate or 0.0, planned_rate(context))
    notes = [f"failures: {measures.say_causes(summary)}"] if summary.failed else []
    if summary.sent < LEAST_FOR_P99:
        notes.append(f"p99 of only {summary.sent} requests is weak evidence")
    return result(
        name,
        title,
        t_start,
        Outcome.BROKE if bad else Outcome.HELD,
        "; ".join(bad) or f"{summary.sent} requests, {summary.failed} failed",
        kept,
        notes,
    )
