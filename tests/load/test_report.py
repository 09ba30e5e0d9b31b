"""Figures and doubts from totals, in tables."""

from __future__ import annotations

import json

import pytest

from hikkoshi.load.failures import Failure
from hikkoshi.load.pacer import constant
from hikkoshi.load.report import LoadSummary, as_json, summarize, text_lines
from hikkoshi.load.totals import EndpointTotals, Totals


def totals(
    count: int = 1000,
    latency_s: float = 0.1,
    late_s: float = 0.0001,
    last_issue_s: float = 9.99,
    failures: int = 0,
    failure: Failure = Failure.TIMEOUT,
) -> Totals:
    endpoint = EndpointTotals(requests=count, succeeded=count - failures)
    made = Totals(planned=count, issued=count, sent=count, done=count)
    for _ in range(count):
        endpoint.latency.record(latency_s)
        endpoint.service.record(latency_s)
        made.lateness.record(late_s)
    endpoint.statuses[200] = count - failures
    if failures:
        endpoint.errors[failure.value] = failures
    made.endpoints["GET /"] = endpoint
    made.last_issue_s = last_issue_s
    made.last_done_s = last_issue_s + latency_s
    return made


def summary(made: Totals) -> LoadSummary:
    return summarize(made, trial="t", t_start=50.0, pacer=constant(100, 10), duration_s=10)


def test_the_figures() -> None:
    found = summary(totals(failures=100))
    assert found.is_valid
    assert found.asked_rate == pytest.approx(100)
    assert found.sent_rate == pytest.approx(100)
    assert found.throughput == pytest.approx(900 / 10.09)
    assert found.whole.success == pytest.approx(0.9)
    assert found.failed == 100
    assert (found.t_start, found.t_end) == (50.0, pytest.approx(60.09))
    assert found.whole.latency.p99 == pytest.approx(0.1, rel=0.001)


@pytest.mark.parametrize(
    ("made", "doubt"),
    [
        (totals(), None),
        (totals(last_issue_s=10.05), None),
        (totals(last_issue_s=10.4), "sent 97 % of the asked rate"),
        (totals(late_s=0.009, latency_s=0.01), None),
        (totals(late_s=0.04), None),
        (totals(late_s=0.06), "60"),
        (totals(failures=1, failure=Failure.NO_LOCAL_PORT), "own limit, NoLocalPort"),
        (totals(failures=1), None),
        (Totals(planned=1000), "no request was sent"),
    ],
)
def test_a_run_is_doubted_for_a_stated_reason(made: Totals, doubt: str | None) -> None:
    found = summary(made)
    assert found.is_valid is (doubt is None)
    assert doubt is None or doubt in found.invalid[0]


def test_totals_merge_and_survive_json() -> None:
    merged = totals()
    merged.add(Totals.from_json(json.loads(json.dumps(totals(latency_s=0.3).as_json()))))
    assert (merged.planned, merged.whole().requests) == (2000, 2000)
    assert merged.whole().latency.percentiles((0.5, 0.9)) == pytest.approx([0.1, 0.3], rel=1e-3)


def test_both_forms_say_the_same() -> None:
    found = summary(totals(failures=7))
    document = json.loads(json.dumps(as_json(found)))
    assert (document["requests"], document["failed"]) == (1000, 7)
    assert document["errors"] == {"Timeout": 7}
    assert document["latency_s"]["p99"] == pytest.approx(0.1, rel=1e-3)
    text = "\n".join(text_lines(found))
    assert "99.3 %, 7 failed" in text and "Timeout: 7" in text
