"""What a cutover does next: a pure function of the plan and a snapshot."""

from __future__ import annotations

from hikkoshi.base.units import format_duration
from hikkoshi.cutover.judging import breach, requests_to_tell
from hikkoshi.cutover.values import Asked, Decision, Move, Plan, Snapshot, TooFew


def decide(plan: Plan, seen: Snapshot) -> Decision:
    """Back for any breach, at once; on when the step was held and enough was seen; else stay.

    Without a person who asks it to hold, a step ends after `hold_at_most_s` whatever is seen.
    """
    percent = plan.steps[seen.step]
    wrong = why_back(plan, seen)
    if wrong is not None:
        return Decision(Move.BACK, 0, wrong)
    if seen.asked is Asked.HOLD:
        return Decision(Move.STAY, percent, "held, as asked")
    if seen.asked is Asked.ADVANCE:
        return _onward(plan, seen.step, "as asked")
    if seen.held_s < plan.hold_s:
        left = format_duration(plan.hold_s - seen.held_s)
        return Decision(Move.STAY, percent, f"{left} of this step are left")
    missing = what_is_missing(plan, seen)
    if missing is None:
        return _onward(plan, seen.step, f"held for {format_duration(seen.held_s)} with no breach")
    if seen.held_s < plan.hold_at_most_s:
        return Decision(Move.STAY, percent, f"held longer: {missing}")
    if plan.too_few is TooFew.ADVANCE:
        return _onward(plan, seen.step, f"{missing}; going on all the same, as asked")
    waited = format_duration(seen.held_s)
    return Decision(Move.BACK, 0, f"after {waited} at {percent} % this cannot be told: {missing}")


def why_back(plan: Plan, seen: Snapshot) -> str | None:
    if seen.asked is Asked.BACK:
        return "as asked"
    if seen.healthy == 0:
        return "no target of the new side is healthy"
    if plan.limits.has_synthetic and seen.failed_tests:
        return f"synthetic failed: {'; '.join(seen.failed_tests[:3])}"
    return breach(plan.limits, seen.recent, seen.reference) or breach(
        plan.limits, seen.whole, seen.reference
    )


def what_is_missing(plan: Plan, seen: Snapshot) -> str | None:
    """What has not been seen yet that has to be before the step counts as passed."""
    needed = plan.least_requests
    if needed is None:
        needed = requests_to_tell(plan.limits)
    if seen.whole.new.requests < needed:
        return f"{seen.whole.new.requests} of the {needed} requests on the new side that can tell"
    if plan.limits.has_synthetic and seen.runs == 0:
        return "the synthetic tests have not run in this step"
    limit = plan.limits.errors
    worst = max(limit or 0.0, seen.whole.old.share, seen.reference.share)
    if limit is not None and seen.whole.new.share > worst:
        return (
            f"{seen.whole.new.errors} of {seen.whole.new.requests} requests failed on the new "
            "side, more than the limit, but chance may have done it"
        )
    return None


def _onward(plan: Plan, step: int, why: str) -> Decision:
    if step + 1 == len(plan.steps):
        return Decision(Move.DONE, plan.steps[step], why)
    return Decision(Move.ADVANCE, plan.steps[step + 1], why)
