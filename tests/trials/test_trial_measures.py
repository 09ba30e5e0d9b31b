"""Tables for the numbers of a trial: what counts as failed, quantiles, limits, and their words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.model.trials import Measure
from hikkoshi.trials import measures
from hikkoshi.trials.measures import Sent, summarise


def sent(t=0.0, latency=0.01, status=200, error=""):
    return Sent(t, latency, status, error, "GET /")


@pytest.mark.parametrize(
    ("status", "error", "is_failed", "cause"),
    [
        (200, "", False, "HTTP 200"),
        (204, "", False, "HTTP 204"),
        (399, "", False, "HTTP 399"),
        (199, "", True, "HTTP 199"),
        (400, "", True, "HTTP 400"),
        (404, "", True, "HTTP 404"),
        (503, "", True, "HTTP 503"),
        (0, "refused", True, "refused"),
        (200, "cut off in the body", True, "cut off in the body"),
    ],
)
def test_what_counts_as_failed(status, error, is_failed, cause):
    request = sent(status=status, error=error)
    assert (request.is_failed, request.cause) == (is_failed, cause)


def test_a_request_ends_its_latency_after_it_was_due():
    assert sent(t=100.0, latency=2.5).t_ended == 102.5


def test_nothing_sent_has_no_quantiles_and_no_failures():
    empty = summarise([])
    assert (empty.sent, empty.failed, empty.failed_share) == (0, 0, 0.0)
    assert empty.p50_s is empty.p99_s is empty.t_first_failure is empty.t_last_failure is None
    assert empty.causes == ()


def test_a_summary_counts_times_and_names_failures():
    requests = [
        sent(t=1.0, latency=0.5),
        sent(t=2.0, latency=3.0, status=502),
        sent(t=3.0, latency=0.1, status=0, error="refused"),
        sent(t=4.0, latency=0.2, status=502),
    ]
    found = summarise(iter(requests))
    assert (found.sent, found.failed, found.failed_share) == (4, 3, 0.75)
    # The first failure is the one that was seen first, not the one that was sent first.
    assert found.t_first_failure == pytest.approx(3.1)
    assert found.t_last_failure == pytest.approx(5.0)
    assert found.causes == (("HTTP 502", 2), ("refused", 1))
    assert measures.say_causes(found) == "2 × HTTP 502, 1 × refused"


def test_only_the_four_most_frequent_causes_are_said():
    requests = [sent(status=500 + n) for n in range(6) for _ in range(6 - n)]
    words = measures.say_causes(summarise(requests))
    assert words == "6 × HTTP 500, 5 × HTTP 501, 4 × HTTP 502, 3 × HTTP 503"


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [
        ([], 0.5, None),
        ([7.0], 0.0, 7.0),
        ([7.0], 0.99, 7.0),
        ([1, 2, 3, 4], 0.5, 2),
        ([1, 2, 3, 4, 5], 0.5, 3),
        ([1, 2, 3, 4], 1.0, 4),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 102)), 0.99, 100),
    ],
)
def test_quantiles(values, q, expected):
    assert measures.quantile(values, q) == expected


@given(st.lists(st.integers(0, 1000), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_the_smallest_value_that_the_share_does_not_exceed(values, q):
    ordered = sorted(values)
    found = measures.quantile(ordered, q)
    enough = math.ceil(q * len(ordered) - 1e-9)
    assert sum(v <= found for v in ordered) >= enough
    assert sum(v < found for v in ordered) < enough


def test_a_window_has_its_start_and_not_its_end():
    requests = [sent(t=float(t)) for t in range(5)]
    assert [r.t_intended for r in measures.in_window(requests, 1.0, 3.0)] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("failed", "limit", "is_kept"), [(0, 0.0, True), (1, 0.01, True), (2, 0.01, False)]
)
def test_the_share_of_failures_is_kept_up_to_its_limit(failed, limit, is_kept):
    summary = summarise([sent(status=500)] * failed + [sent()] * (100 - failed))
    assert measures.share_kept(summary, limit).is_kept is is_kept


def test_a_p99_that_was_not_measured_is_not_kept():
    measure = measures.p99_kept(summarise([]), 0.5)
    assert (measure.value, measure.is_kept) == (None, False)
    assert measures.broken([measure]) == [
        "p99 latency was not measured, the limit is at most 500 ms"
    ]


@pytest.mark.parametrize(("latency", "is_kept"), [(0.499, True), (0.5, True), (0.501, False)])
def test_p99_is_kept_up_to_its_limit(latency, is_kept):
    assert measures.p99_kept(summarise([sent(latency=latency)]), 0.5).is_kept is is_kept


@pytest.mark.parametrize(
    ("failed", "most", "limit", "is_kept"),
    [(0, 0, "none", True), (1, 0, "none", False), (3, 3, "at most 3", True)],
)
def test_counted_failures(failed, most, limit, is_kept):
    measure = measures.failures_kept(summarise([sent(status=0, error="x")] * failed), most)
    assert (measure.limit, measure.is_kept, measure.value) == (limit, is_kept, float(failed))


def test_broken_says_only_what_had_a_limit_and_broke_it():
    found = measures.broken(
        [
            Measure("a", 1.0, ""),
            Measure("b", 1.0, "", "at most 2", True),
            Measure("time to recover", 20.0, "s", "at most 15 s", False),
            Measure("requests failed (share)", 0.25, "share", "at most 0.1 %", False),
        ]
    )
    assert found == [
        "time to recover was 20 s, the limit is at most 15 s",
        "requests failed (share) was 25 %, the limit is at most 0.1 %",
    ]


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, "s", "not measured"),
        (0.25, "s", "250 ms"),
        (90.0, "s", "1 m 30 s"),
        (0.001, "share", "0.1 %"),
        (120.0, "requests/s", "120 requests/s"),
        (119.96, "requests/s", "120.0 requests/s"),
        (3.0, "", "3"),
    ],
)
def test_a_measure_in_words(value, unit, words):
    assert measures.say(Measure("m", value, unit)) == words
