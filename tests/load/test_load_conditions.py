"""Conditions: how they are read, what they say of an answer and of a run."""

from __future__ import annotations

import gzip
import json

import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.load.checking import Answer, Checker
from hikkoshi.load.conditions import parse_conditions
from hikkoshi.load.judging import Outcome, judge_totals, outcome_of, why_abort
from hikkoshi.load.totals import EndpointTotals, Totals

BODY = {"ok": True, "count": 3, "items": [{"id": 1, "state": "done"}, {"id": 2, "state": "open"}],
        "name": "genba, site", "none": None}  # fmt: skip
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nX-N: 7\r\n\r\n"


def answer(status: int = 200, latency_s: float = 0.05) -> Answer:
    body = json.dumps(BODY).encode()
    return Answer(status, HEAD, body, len(body), latency_s)


@pytest.mark.parametrize(
    "text",
    [
        "status<400", "status==200", "status==2xx", "status==200|204", "status!=5xx",
        "status = 200",
        "$.ok==true", "$.count>=3", "$.count<4", "$.items[0].state==done", "$.items[-1].id==2",
        "$.items[*].id<3", "$.items.length()==2", "$['name']=='genba, site'", "$.none==null",
        "$.name contains site", "$.name ~ ^genba", "$.items exists", "$.ok!=false",
        "header.content-type contains json", "header.X-N==7", "header.x-n<8", "header.x-n exists",
        "header.missing!=x", 'body contains "genba, site"', "body ~ \"ok\": (true|false)",
        "time<300ms", "size>10",
    ],
)  # fmt: skip
def test_an_answer_as_expected(text: str) -> None:
    conditions = parse_conditions(text)
    assert len(conditions.checks) == 1, conditions
    assert Checker(conditions.checks).problem(answer()) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("status<200", "the status was 200"),
        ("status!=2xx", "the status was 200"),
        ("$.ok==1", "it was 'true'"),
        ("$.count>3", "it was '3'"),
        ("$.count=='three'", "it was '3'"),
        ("$.items[*].state==done", "it was 'open'"),
        ("$.items[7].id==1", "there is no such value"),
        ("$.nothing exists", "there is no such value"),
        ("header.missing==1", "not there"),
        ("header.x-n>7", "the header was '7'"),
        ("body contains absent", "the body was"),
        ("time<10ms", "it took 50 ms"),
        ("size<10", "bytes"),
    ],
)
def test_an_answer_that_is_not(text: str, words: str) -> None:
    problem = Checker(parse_conditions(text).checks).problem(answer())
    assert problem is not None and words in problem


def test_a_body_that_is_no_json_and_one_in_gzip() -> None:
    checker = Checker(parse_conditions("$.ok==true").checks)
    assert "not JSON" in str(checker.problem(answer()._replace(body=b"<html>")))
    head = HEAD.replace(b"X-N: 7", b"Content-Encoding: gzip")
    packed = answer()._replace(head=head, body=gzip.compress(json.dumps(BODY).encode()))
    assert checker.problem(packed) is None


def test_a_failed_status_needs_no_second_reason() -> None:
    assert Checker(parse_conditions("$.ok==true").checks).problem(answer(500)) is None
    assert Checker(parse_conditions("status==500, $.ok==false").checks).problem(answer(500))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no condition"),
        ("p99", "is no condition"),
        ("p99<", "nothing stands after <"),
        ("p99<soon", "not a duration"),
        ("errors<200%", "not a share"),
        ("latency<1s", "nothing that is measured"),
        ("status==ok", "a status is written"),
        ("$.a[?(@.b)]==1", "cannot be read from"),
        ("body<3", "a body is compared with"),
        ("p99 contains 3", "is compared with"),
        ("body ~ '('", "missing )"),
    ],
)
def test_a_condition_that_cannot_be_read_is_named(text: str, words: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_conditions(text)
    assert error.value.where == "--expect"
    assert words in error.value.what


def totals(failed: int = 0, latency_s: float = 0.1) -> Totals:
    made = Totals()
    endpoint = made.endpoints.setdefault("list", EndpointTotals())
    endpoint.requests, endpoint.succeeded = 1000, 1000 - failed
    endpoint.latency.extend([latency_s] * 1000)
    return made


@pytest.mark.parametrize(
    ("text", "failed", "outcome"),
    [
        ("p99<300ms", 0, Outcome.PASSED),
        ("p99<300ms", 1, Outcome.FAILED),
        ("p99<300ms, errors<0.5%", 1, Outcome.PASSED),
        ("p99<300ms, errors<0.5%", 5, Outcome.FAILED),
        ("success>=99.9%", 1, Outcome.PASSED),
        ("p99<50ms", 0, Outcome.FAILED),
        ("p99.9<300ms, mean<=0.1s, max<1s, min>1ms, throughput>=100, requests==1000", 0,
         Outcome.PASSED),
        ("p99[list]<300ms", 0, Outcome.PASSED),
        ("p99[other]<300ms", 0, Outcome.FAILED),
    ],
)  # fmt: skip
def test_a_run_is_judged(text: str, failed: int, outcome: Outcome) -> None:
    conditions = parse_conditions(text)
    verdicts = judge_totals(conditions, totals(failed), 10.0)
    assert len(verdicts) == text.count(",") + 1
    assert outcome_of(conditions, verdicts, failed, is_valid=True) is outcome
    assert outcome_of(conditions, verdicts, failed, is_valid=False) is Outcome.INVALID


def test_a_run_is_aborted_only_with_reason() -> None:
    conditions = parse_conditions("requests>=2000, errors<10%")
    assert why_abort(conditions, totals(failed=50).endpoints, 10) is None
    assert why_abort(conditions, totals(failed=500).endpoints, 10) == (
        "errors<10%: errors was 50 %"
    )
    few = EndpointTotals(requests=99)
    assert why_abort(conditions, {"list": few}, 10) is None


def test_an_answer_that_is_nested_too_deeply_is_only_a_wrong_one() -> None:
    checker = Checker(parse_conditions("$.ok==true").checks)
    problem = checker.problem(Answer(200, b"", b"[" * 200_000, 200_000, 0.1))
    assert problem is not None and "is not JSON" in problem


def test_a_pattern_for_a_body_is_one_of_bytes() -> None:
    with pytest.raises(BadInput, match="bad escape"):
        parse_conditions("body ~ \\u00e9")
    assert parse_conditions("body ~ é").checks and parse_conditions("header.a ~ \\u00e9").checks
