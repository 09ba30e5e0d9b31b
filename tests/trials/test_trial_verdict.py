"""From results and findings to ready or not ready: every kind of reason."""

from __future__ import annotations

import dataclasses

import pytest

from hikkoshi.model.findings import Certainty, Finding, Judgement, NotJudged
from hikkoshi.model.trials import Outcome, Readiness, TrialResult
from hikkoshi.trials.verdict import decide

HELD = TrialResult("steady", "t", Outcome.HELD, "all well", 0.0, 1.0)
BROKE = TrialResult("soak", "t", Outcome.BROKE, "p99 was 2 s", 0.0, 1.0)
NOT_TRIED = TrialResult("failover", "t", Outcome.NOT_TRIED, "one instance only", 0.0, 1.0)
NOT_APPLICABLE = dataclasses.replace(NOT_TRIED, is_applicable=False)
CLEAN = Judgement(clean=("deadlocks-under-load",))


def finding(certainty):
    return Finding("a-rule", certainty, "the service", "it does so", (), ("set X",))


def missing(rule="a-rule"):
    return Judgement(not_judged=(NotJudged(rule, "no load was sent"),))


@pytest.mark.parametrize(
    ("results", "judgement", "left_out", "is_ready", "reasons"),
    [
        ((HELD,), CLEAN, (), True, ()),
        ((HELD, NOT_APPLICABLE), CLEAN, (), True, ()),
        ((HELD, BROKE), CLEAN, (), False, ("soak broke: p99 was 2 s",)),
        (
            (HELD, NOT_TRIED), CLEAN, (), False,
            ("failover was not tried: one instance only",),
        ),
        (
            (HELD,), Judgement((finding(Certainty.FACT),)), (), False,
            ("a-rule (fact): it does so",),
        ),
        (
            (HELD,), Judgement((finding(Certainty.LIKELY),)), (), False,
            ("a-rule (likely): it does so",),
        ),
        ((HELD,), Judgement((finding(Certainty.HINT),)), (), True, ("a-rule (hint): it does so",)),
        ((HELD,), missing(), (), False, ("a-rule was not judged: no load was sent",)),
        (
            (HELD,), missing(), ("soak",), False,
            ("a-rule was not judged: no load was sent", "left out on request: soak"),
        ),
        ((HELD,), CLEAN, ("soak", "steady"), True, ("left out on request: soak, steady",)),
        (
            (HELD, BROKE), CLEAN, ("steady",), False,
            ("soak broke: p99 was 2 s", "left out on request: steady"),
        ),
    ],
)  # fmt: skip
def test_what_the_verdict_is_and_why(results, judgement, left_out, is_ready, reasons):
    expected = Readiness.READY if is_ready else Readiness.NOT_READY
    assert decide(results, judgement, left_out) == (expected, reasons)


def test_what_speaks_against_stands_before_what_only_calls_for_care():
    judgement = Judgement(
        findings=(finding(Certainty.HINT), finding(Certainty.FACT)),
        not_judged=(NotJudged("another", "why"),),
    )
    _, reasons = decide([NOT_TRIED, BROKE], judgement, ["steady"])
    assert reasons == (
        "failover was not tried: one instance only",
        "soak broke: p99 was 2 s",
        "a-rule (fact): it does so",
        "another was not judged: why",
        "a-rule (hint): it does so",
        "left out on request: steady",
    )


def test_a_rule_that_has_nothing_to_look_at_is_not_held_against_the_service():
    missing = NotJudged("deadlocks-under-load", "the service has no database", is_applicable=False)
    readiness, reasons = decide([], Judgement(not_judged=(missing,)), [])
    assert (readiness, reasons) == (Readiness.READY, ())
