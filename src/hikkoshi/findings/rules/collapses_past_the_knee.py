"""Good answers a second that fall when more is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.evidence import occasions
from hikkoshi.evidence.occasions import Answer, Step
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured, service_of
from hikkoshi.findings.rule import Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "collapses-past-the-knee"
TITLE = "Does less when more is asked"
APPLIES = Applies((Need.LOAD,), ("overload",), since=2)

# Own cuts. A service at its limit goes on doing what it can; one that collapses does less.
FACT_SHARE = 0.6
LIKELY_SHARE = 0.75
MORE = 1.3
LEAST_REQUESTS = 40


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one step: good answers a second, by when they were over."""

    step: Step
    sent: int
    goodput: float


def done_in(step: Step, answers: Sequence[Answer]) -> Done:
    """Pure. Time runs until the step's last good answer, so that a backlog that is worked off
    counts for the time that it took."""
    own = [one for one in answers if step.t_start <= one.t_intended <= step.t_end]
    good = [one for one in own if one.is_good]
    t_end = max([step.t_end, *(one.t_ended for one in good)])
    return Done(step, len(own), len(good) / max(t_end - step.t_start, 1e-6))


def certainty_of(before: Done, after: Done) -> Certainty | None:
    if min(before.sent, after.sent) < LEAST_REQUESTS:
        return None
    if after.step.rate < MORE * before.step.rate or before.goodput <= 0:
        return None
    share = after.goodput / before.goodput
    if share < FACT_SHARE:
        return Certainty.FACT
    return Certainty.LIKELY if share < LIKELY_SHARE else None


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    done = [
        done_in(step, occasions.answers(evidence, step.trial))
        for trial in ("steady", "overload")
        for step in occasions.steps(evidence, trial)
    ]
    if not any(one.step.trial == "overload" for one in done) or len(done) < 2:
        return NotJudged(NAME, "no two rates were sent to compare (trials steady and overload)")
    pairs = [
        (level, before, after)
        for place, after in enumerate(done)
        for before in done[:place]
        if (level := certainty_of(before, after))
    ]
    if not pairs:
        why = occasions.why_not_tried(evidence, "overload")
        return None if why is None else NotJudged(NAME, f"overload was not tried: {why}")
    level, before, after = min(pairs, key=lambda pair: pair[2].goodput / pair[1].goodput)
    return Finding(
        NAME,
        level,
        service_of(evidence),
        f"At {before.step.rate:.0f} requests a second it gave {before.goodput:.0f} good answers a "
        f"second, at {after.step.rate:.0f} only {after.goodput:.0f}: past its limit it does less, "
        "not as much as it can.",
        (
            measured(
                "good answers a second, with more asked, of those with less",
                f"{after.goodput:.0f} of {before.goodput:.0f} "
                f"({after.goodput / before.goodput:.0%})",
                f"under {FACT_SHARE:.0%} is a fact, under {LIKELY_SHARE:.0%} is likely, from "
                f"{MORE:g} times the rate",
                after.step.window,
            ),
        ),
        (
            "Limit how many requests are at work at once, and refuse the rest with 503 and "
            "Retry-After: gunicorn --workers × --threads with a short backlog, golang.org/x/sync/"
            "semaphore, p-limit in Node.",
            "Let work end that nobody waits for any more: deadlines from the request down to the "
            "query (statement_timeout, MySQL's max_execution_time, context.WithTimeout, "
            "AbortSignal.timeout).",
            "Let target tracking add tasks before the knee: its target at 60–70 % of the rate at "
            "which a task broke.",
        ),
    )
