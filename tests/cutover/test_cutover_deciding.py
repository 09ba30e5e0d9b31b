"""What a cutover decides: tables, and properties that hold whatever is seen."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.base.errors import BadInput
from hikkoshi.cutover.deciding import decide
from hikkoshi.cutover.judging import LEAST_FOR_P99, breach, chance_of, requests_to_tell
from hikkoshi.cutover.reading import read_limits, read_steps, say_limits
from hikkoshi.cutover.values import (
    Asked,
    Limits,
    Move,
    Plan,
    Side,
    Snapshot,
    TooFew,
    Window,
)

LIMITS = Limits(errors=0.005, p99_times=2.0, has_synthetic=True)
PLAN = Plan((1, 5, 25, 50, 100), 600.0, 1800.0, LIMITS)
WELL = Side(10_000, 0, 0.1)


def seen(step=1, held_s=600.0, new=WELL, old=WELL, **more):
    window = Window(new, old, more.pop("nobodys", 0))
    given = {"whole": window, "recent": window, "healthy": 2, "runs": 3} | more
    return Snapshot(step, held_s, **given)


@pytest.mark.parametrize(
    ("snapshot", "move", "percent", "words"),
    [
        (seen(held_s=10.0), Move.STAY, 5, "left"),
        (seen(), Move.ADVANCE, 25, "no breach"),
        (seen(step=4), Move.DONE, 100, "no breach"),
        # Too few to tell: 600 for a limit of 0.5 %.
        (seen(new=Side(599, 0, 0.1)), Move.STAY, 5, "599 of the 600"),
        (seen(new=Side(600, 0, 0.1)), Move.ADVANCE, 25, ""),
        (seen(new=Side(599, 0, 0.1), held_s=1800.0), Move.BACK, 0, "cannot be told"),
        (seen(runs=0), Move.STAY, 5, "synthetic tests have not run"),
        # Breaches, at any moment.
        (seen(held_s=1.0, healthy=0), Move.BACK, 0, "no target"),
        (seen(held_s=1.0, failed_tests=("a: 500",)), Move.BACK, 0, "synthetic failed: a: 500"),
        (seen(held_s=1.0, new=Side(50, 25, 0.1)), Move.BACK, 0, "25 of 50"),
        # Two failures are no verdict, nor is what chance may do.
        (seen(held_s=1.0, new=Side(10, 2, 0.1)), Move.STAY, 5, ""),
        (seen(new=Side(1000, 8, 0.1)), Move.STAY, 5, "chance"),
        # The old side fails as much: not the new one's fault, but not passed above the limit.
        (seen(new=Side(1000, 50, 0.1), old=Side(1000, 60, 0.1)), Move.ADVANCE, 25, ""),
        (seen(new=Side(1000, 150, 0.1), old=Side(1000, 60, 0.1)), Move.BACK, 0, "errors"),
        # p99: a multiple, on enough requests, and more than next to nothing.
        (seen(held_s=1.0, new=Side(1000, 0, 0.21)), Move.BACK, 0, "p99"),
        (seen(held_s=1.0, new=Side(299, 0, 0.9)), Move.STAY, 5, ""),
        (
            seen(held_s=1.0, new=Side(1000, 0, 0.04), old=Side(1000, 0, 0.01)),
            Move.STAY,
            5,
            "",
        ),
        # The last step has no old side: what it last did is compared with.
        (
            seen(step=4, old=Side(), new=Side(1000, 0, 0.3), reference=Side(900, 0, 0.1)),
            Move.BACK,
            0,
            "p99",
        ),
        # What the load balancer answers itself belongs to nobody, and counts.
        (seen(held_s=1.0, nobodys=500), Move.BACK, 0, "load balancer itself"),
        # A person asks.
        (seen(held_s=9e9, asked=Asked.HOLD), Move.STAY, 5, "as asked"),
        (seen(held_s=1.0, asked=Asked.ADVANCE), Move.ADVANCE, 25, "as asked"),
        (seen(held_s=1.0, asked=Asked.BACK), Move.BACK, 0, "as asked"),
        (seen(asked=Asked.HOLD, healthy=0), Move.BACK, 0, "no target"),
        (seen(asked=Asked.ADVANCE, healthy=0), Move.BACK, 0, "no target"),
    ],
)
def test_decisions(snapshot, move, percent, words):
    decision = decide(PLAN, snapshot)
    assert (decision.move, decision.percent) == (move, percent)
    assert words in decision.why


def test_a_late_fault_is_seen_in_what_is_recent():
    whole = Window(Side(100_000, 40, 0.1), Side(100_000, 0, 0.1))
    recent = Window(Side(100, 40, 0.1), Side(100, 0, 0.1))
    assert breach(LIMITS, whole, Side()) is None
    decision = decide(PLAN, seen(held_s=599.0, whole=whole, recent=recent))
    assert decision.move is Move.BACK


def test_with_too_few_requests_one_may_ask_to_go_on():
    plan = Plan((50, 100), 10, 20, LIMITS, too_few=TooFew.ADVANCE)
    assert decide(plan, seen(step=0, held_s=20.0, new=Side(3, 0, 0.1))).move is Move.ADVANCE
    lower = Plan((50, 100), 10, 20, LIMITS, least_requests=3)
    assert decide(lower, seen(step=0, held_s=10.0, new=Side(3, 0, 0.1))).move is Move.ADVANCE


@pytest.mark.parametrize(
    ("errors", "requests", "share", "expected"),
    [
        # Summed up in rational numbers, term by term.
        (3, 10, 0.05, 0.0115035574),
        (1, 2, 0.005, 0.009975),
        (5, 100, 0.01, 0.0034323216),
        (30, 2000, 0.005, 2.2757130264e-07),
    ],
)
def test_the_tail_of_the_binomial_distribution(errors, requests, share, expected):
    assert chance_of(errors, requests, share) == pytest.approx(expected, rel=1e-7)


@given(st.integers(1, 300), st.integers(0, 300), st.floats(0.001, 0.999, allow_nan=False))
def test_the_tail_agrees_with_the_sum_by_hand(requests, errors, share):
    chance = chance_of(errors, requests, share)
    assert 0 <= chance <= 1
    if requests >= errors > requests * share:
        exact = sum(
            math.comb(requests, k) * share**k * (1 - share) ** (requests - k)
            for k in range(errors, requests + 1)
        )
        assert chance == pytest.approx(exact, rel=1e-6, abs=1e-12)


sides = st.builds(
    lambda requests, part, p99: Side(requests, int(requests * part), p99),
    st.integers(0, 100_000),
    st.sampled_from([0, 0, 0, 0.001, 0.004, 0.01, 0.5, 1]),
    st.none() | st.floats(0.001, 10),
)
windows = st.builds(Window, sides, sides, st.integers(0, 50))
limits = st.builds(
    Limits,
    st.none() | st.sampled_from([0.0, 0.001, 0.005, 0.1]),
    st.none() | st.floats(1, 5),
    st.none() | st.floats(0.01, 5),
    st.booleans(),
)
plans = st.builds(
    lambda steps, hold, more, limits, least, few: Plan(
        (*sorted(steps), 100), hold, hold + more, limits, least, few
    ),
    st.sets(st.integers(1, 99), max_size=6),
    st.floats(0, 1000),
    st.floats(0, 1000),
    limits,
    st.none() | st.integers(1, 1000),
    st.sampled_from(TooFew),
)
moments = st.tuples(
    windows,
    windows,
    sides,
    st.none() | st.integers(0, 5),
    st.sampled_from([(), (), (), ("a failed",)]),
    st.integers(0, 3),
    st.sampled_from([None, None, None, Asked.ADVANCE, Asked.BACK]),
)


@given(plans, st.lists(moments, min_size=1, max_size=30))
def test_it_always_ends_at_0_or_at_100_and_only_rises_between(plan, passing):
    """Whatever is seen: weights rise along the steps, a breach ends at 0, and it terminates."""
    step, held, percents = 0, 0.0, [plan.steps[0]]
    every = max(plan.hold_at_most_s / 3, 0.001)
    for n in range(5 * len(plan.steps) + 5):
        whole, recent, reference, healthy, failed, runs, asked = passing[n % len(passing)]
        now = Snapshot(step, held, whole, recent, reference, healthy, failed, runs, asked)
        decision = decide(plan, now)
        percents.append(decision.percent)
        is_wrong = (
            healthy == 0
            or asked is Asked.BACK
            or bool(failed and plan.limits.has_synthetic)
            or breach(plan.limits, whole, reference) is not None
            or breach(plan.limits, recent, reference) is not None
        )
        if is_wrong:
            assert decision.move is Move.BACK
        if decision.move is Move.BACK:
            assert decision.percent == 0
            break
        if decision.move is Move.DONE:
            assert decision.percent == 100
            break
        if decision.move is Move.ADVANCE:
            step, held = step + 1, 0.0
            assert decision.percent == plan.steps[step]
        else:
            assert decision.percent == plan.steps[step]
            held += every
    else:
        raise AssertionError("it did not end")
    rising = percents if percents[-1] else percents[:-1]
    assert rising == sorted(rising)
    assert all(0 <= percent <= 100 for percent in percents)


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        (Limits(errors=0.005), 600),
        (Limits(errors=0.01, p99_times=2), 300),
        (Limits(errors=0.1), 30),
        (Limits(errors=0.0), 300),
        (Limits(p99_s=0.5), LEAST_FOR_P99),
        (Limits(has_synthetic=True), 1),
    ],
)
def test_how_many_requests_can_tell(limits, needed):
    assert requests_to_tell(limits) == needed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("errors>0.5%, p99>2x, synthetic failed", LIMITS),
        ("p99 > 800ms", Limits(p99_s=0.8)),
        ("synthetic  failed,errors > 0", Limits(errors=0.0, has_synthetic=True)),
    ],
)
def test_limits_are_read_and_said(text, expected):
    assert read_limits(text) == expected
    assert read_limits(say_limits(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "errors", "errors>x", "errors>200%", "p99>0.5x", "errors>1%, errors>2%", "p98>2x"]
)
def test_limits_that_cannot_be_read(text):
    with pytest.raises(BadInput) as caught:
        read_limits(text)
    assert caught.value.where == "--abort-on"


def test_steps():
    assert read_steps("1, 5%,100") == (1, 5, 100)
    for text in ("", "5,1,100", "1,50", "0,100", "x,100", "1,1,100", "1.5,100", "50,100,200"):
        with pytest.raises(BadInput) as caught:
            read_steps(text)
        assert caught.value.where == "--steps"
