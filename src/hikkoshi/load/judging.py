"""Whether a run kept what was expected of it: thresholds over totals, and what that adds up to."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from hikkoshi.load.conditions import Conditions, Evidence, Threshold, Verdict, judge
from hikkoshi.load.totals import EndpointTotals, Totals

# Fewer requests than this are no reason to abort a run.
LEAST_TO_ABORT = 100


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    # The generator was the bottleneck: neither.
    INVALID = "invalid"


def judge_totals(conditions: Conditions, totals: Totals, seconds: float) -> tuple[Verdict, ...]:
    return tuple(
        _judge_one(each, totals.endpoints, totals.whole(), seconds)
        for each in conditions.thresholds
    )


def _judge_one(
    threshold: Threshold,
    endpoints: Mapping[str, EndpointTotals],
    whole: EndpointTotals,
    seconds: float,
) -> Verdict:
    if threshold.endpoint is None:
        found = whole
    elif threshold.endpoint in endpoints:
        found = endpoints[threshold.endpoint]
    else:
        known = ", ".join(sorted(endpoints)) or "none"
        return Verdict(threshold.text, f"there is no such endpoint; there are {known}", None)
    return judge(threshold, Evidence(found.requests, found.succeeded, found.latency, seconds))


def why_abort(
    conditions: Conditions, endpoints: Mapping[str, EndpointTotals], seconds: float
) -> str | None:
    """The first threshold that a running load breaks; None while there is no reason to end it."""
    whole = EndpointTotals()
    for endpoint in endpoints.values():
        whole.add(endpoint)
    for threshold in conditions.thresholds:
        about = endpoints.get(threshold.endpoint) if threshold.endpoint else whole
        # A number of requests is only known at the end.
        if about is None or about.requests < LEAST_TO_ABORT or threshold.metric == "requests":
            continue
        verdict = _judge_one(threshold, endpoints, whole, seconds)
        if verdict.is_met is False:
            return f"{verdict.text}: {verdict.found}"
    return None


def outcome_of(
    conditions: Conditions | None, verdicts: tuple[Verdict, ...], failed: int, is_valid: bool
) -> Outcome:
    """A failed request fails the run, unless a threshold says how many may."""
    if not is_valid:
        return Outcome.INVALID
    if any(verdict.is_met is not True for verdict in verdicts):
        return Outcome.FAILED
    thresholds = conditions.thresholds if conditions is not None else ()
    may_fail = any(
        each.metric in ("errors", "success") and each.endpoint is None for each in thresholds
    )
    return Outcome.FAILED if failed and not may_fail else Outcome.PASSED
