"""Datadog's tests: each assertion and operator, extraction, flow, and what is not tried."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.synthetic import State, run
from hikkoshi.synthetic.datadog.assertions import judge
from hikkoshi.synthetic.datadog.read import parse_document
from hikkoshi.synthetic.datadog.step import extract
from hikkoshi.synthetic.datadog.variables import format_date, generate
from hikkoshi.synthetic.definition import CannotCapture
from hikkoshi.synthetic.reply import Certificate, Packets, Reply, Timings, Tls

BODY = {
    "status": "healthy", "version": 3, "ok": True, "none": None,
    "items": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
}  # fmt: skip
SOON = datetime.now(UTC) + timedelta(days=20, hours=1)
CERTIFICATE = Certificate(
    {"CN": "api.example.com", "O": "Genba"}, {"CN": "R3", "O": "Authority"}, ("api.example.com",),
    SOON - timedelta(days=70), SOON, "0a", "ab" * 32,
)  # fmt: skip
REPLY = Reply(
    Timings(dns_s=0.1, total_s=0.25),
    200,
    {"content-type": "application/json; charset=utf-8"},
    json.dumps(BODY).encode(),
    Tls(1.3, "TLS_AES", CERTIFICATE, 1.2),
    "established",
    {"A": ("192.0.2.1", "192.0.2.2"), "TXT": ("v=spf1",)},
    packets=Packets(4, (0.010, 0.020, 0.030)),
)


def on_body(means: str, **target: Any) -> dict[str, Any]:
    return {"type": "body", "operator": means, "target": target}


def path(text: str, operator: str, value: Any = None, elements: str | None = None) -> Any:
    more = {"elementsOperator": elements} if elements else {}
    return on_body("validatesJSONPath", jsonPath=text, operator=operator, targetValue=value, **more)


def plain(kind: str, operator: str, target: Any = None, property_: str | None = None) -> Any:
    more = {"property": property_} if property_ else {}
    return {"type": kind, "operator": operator, "target": target, **more}


SCHEMA = json.dumps({"type": "object", "required": ["status"]})


@pytest.mark.parametrize(
    ("assertion", "is_kept"),
    [
        (plain("statusCode", "is", 200), True),
        (plain("statusCode", "is", "200"), True),
        (plain("statusCode", "isNot", 200), False),
        (plain("statusCode", "matches", "^2\\d\\d$"), True),
        (plain("statusCode", "doesNotMatch", "/^2/"), False),
        (plain("responseTime", "lessThan", 251), True),
        (plain("responseTime", "lessThan", 250), False),
        (plain("responseTime", "lessThanOrEqual", 250), True),
        (plain("responseTime", "moreThan", 250), False),
        (plain("responseTime", "moreThanOrEqual", "250"), True),
        ({**plain("responseTime", "lessThan", 160), "timingsScope": "withoutDNS"}, True),
        ({**plain("responseTime", "lessThan", 160), "timingsScope": "all"}, False),
        (plain("header", "contains", "json", "Content-Type"), True),
        (plain("header", "doesNotContain", "json", "Content-Type"), False),
        (plain("header", "is", "application/json", "content-type"), False),
        (plain("header", "matches", "/JSON/i", "content-type"), True),
        (plain("header", "is", "x", "x-missing"), False),
        (plain("header", "doesNotExist", None, "x-missing"), True),
        (plain("header", "isUndefined", None, "content-type"), False),
        (plain("body", "contains", "healthy"), True),
        (plain("body", "doesNotContain", "healthy"), False),
        (plain("body", "is", json.dumps(BODY)), True),
        (plain("body", "isNot", "other"), True),
        (plain("body", "matches", '"(?<word>heal)thy"'), True),
        (plain("body", "doesNotMatch", "sick"), True),
        (path("$.status", "is", "healthy"), True),
        (path("status", "is", "healthy"), True),
        (path("$.ok", "is", True), True),
        (path("$.ok", "is", "true"), True),
        (path("$.none", "is", "null"), True),
        (path("$.version", "moreThan", 2), True),
        (path("$.version", "is", "3"), True),
        (path("$.version", "lessThan", "3"), False),
        (path("$.missing", "isUndefined"), True),
        (path("$.status", "isUndefined"), False),
        (path("$.missing", "isNot", "x"), False),
        (path("$.items.length", "is", 2), True),
        (path("$.items[*].id", "is", 1), True),
        (path("$.items[*].id", "is", 1, "firstElementMatches"), True),
        (path("$.items[*].id", "is", 2, "firstElementMatches"), False),
        (path("$.items[*].id", "is", 2, "atLeastOneElementMatches"), True),
        (path("$.items[*].id", "is", 2, "everyElementMatches"), False),
        (path("$.items[*].id", "lessThan", 3, "everyElementMatches"), True),
        (path("$.items[*].id", "is", "[1,2]", "serializationMatches"), True),
        (path("$.items[*].name", "contains", '"b"', "serializationMatches"), True),
        (path("$[", "is", 1), False),
        (on_body("validatesJSONSchema", jsonSchema=SCHEMA, metaSchema="draft-07"), True),
        (on_body("validatesJSONSchema", jsonSchema='{"type": "array"}'), False),
        (on_body("validatesXPath", xPath="//a", operator="is", targetValue="x"), False),
        (plain("certificate", "isInMoreThan", 20), True),
        (plain("certificate", "isInMoreThan", 21), False),
        (plain("certificate", "isInLessThan", "21"), True),
        (plain("property", "is", "Authority", "issuer.O"), True),
        (plain("property", "contains", "example", "subject.CN"), True),
        (plain("property", "is", "x", "subject.OU"), False),
        (plain("tlsVersion", "moreThanOrEqual", "1.2"), True),
        (plain("tlsVersion", "lessThan", 1.3), False),
        (plain("minTlsVersion", "moreThanOrEqual", 1.2), True),
        (plain("connection", "is", "established"), True),
        (plain("connection", "is", "refused"), False),
        (plain("recordEvery", "matches", "^192\\.0\\.2\\.", "A"), True),
        (plain("recordEvery", "is", "192.0.2.1", "A"), False),
        (plain("recordSome", "is", "192.0.2.1", "A"), True),
        (plain("recordSome", "contains", "spf", "TXT"), True),
        (plain("recordSome", "is", "x", "MX"), False),
        (plain("packetLossPercentage", "lessThanOrEqual", 25), True),
        (plain("packetLossPercentage", "is", 0), False),
        (plain("packetsReceived", "is", 3), True),
        (plain("latency", "lessThan", 21, "avg"), True),
        (plain("latency", "lessThan", 30, "max"), False),
        (plain("jitter", "is", 10), True),
    ],
)
def test_assertions(assertion: Any, is_kept: bool) -> None:
    check = judge(assertion, REPLY)
    assert check.not_tried is None
    assert check.is_kept is is_kept, check


@pytest.mark.parametrize("operator", ["md5", "sha1", "sha256"])
def test_the_hash_of_a_body(operator: str) -> None:
    import hashlib

    digest = hashlib.new(operator, REPLY.body).hexdigest()
    assert judge(plain("bodyHash", operator, digest.upper()), REPLY).is_kept
    assert not judge(plain("bodyHash", operator, "0" * len(digest)), REPLY).is_kept


HTML = b"<!doctype html><html><body><ul id=a><li>one<li>two<br></ul><p>x &amp; y</body></html>"


@pytest.mark.parametrize(
    ("body", "xpath", "value"),
    [
        (HTML, "//ul[@id='a']/li[2]/text()", "two"),
        (HTML, "count(//li)", "2"),
        (HTML, "//p", "x & y"),
        (b"<r><a n='1'>x</a></r>", "/r/a/@n", "1"),
        (b"<r><a>x</a></r>", "string(//a)", "x"),
    ],
)
def test_xpath_over_xml_and_html(body: bytes, xpath: str, value: str) -> None:
    reply = Reply(Timings(), 200, {}, body)
    assertion = on_body("validatesXPath", xPath=xpath, operator="is", targetValue=value)
    check = judge(assertion, reply)
    assert check.is_kept, check


@pytest.mark.parametrize(
    ("assertion", "words"),
    [
        ({"type": "javascript", "code": "dd.expect(1)"}, "JavaScript"),
        (plain("networkHop", "lessThan", 9), "hops"),
        (plain("grpcProto", "validates", "x"), "gRPC"),
        (plain("body", "validates", "x"), "operator validates"),
        (plain("moonPhase", "is", "full"), "moonPhase"),
        (path("$.status", "resembles", "x"), "operator resembles"),
    ],
)
def test_what_cannot_be_judged_is_not_tried_and_never_kept(assertion: Any, words: str) -> None:
    check = judge(assertion, REPLY)
    assert not check.is_kept
    assert words in (check.not_tried or "")


def value_of(kind: str, parser: Any, field: str | None = None, body: bytes = REPLY.body) -> Any:
    wanted = {"name": "V", "type": kind, "field": field, "parser": parser}
    return extract(wanted, Reply(Timings(), 200, {"location": "/reports/17"}, body)).value


def test_values_are_extracted_by_each_parser() -> None:
    raw = {"type": "raw"}
    assert value_of("http_header", raw, "Location") == "/reports/17"
    assert value_of("http_status_code", raw) == "200"
    assert value_of("http_header", {"type": "regex", "value": r"(\d+)$"}, "location") == "17"
    assert value_of("http_header", {"type": "regex", "value": r"\d+"}, "location") == "17"
    assert value_of("http_body", {"type": "json_path", "value": "$.items[1].id"}) == "2"
    assert value_of("http_body", {"type": "x_path", "value": "//li[2]"}, body=HTML) == "two"
    with pytest.raises(CannotCapture, match="leads nowhere"):
        value_of("http_body", {"type": "json_path", "value": "$.missing"})
    with pytest.raises(CannotCapture, match="no header"):
        value_of("http_header", raw, "x-missing")


def test_built_in_patterns_are_made() -> None:
    now = datetime(2026, 7, 1, 9, 5, 3, tzinfo=UTC)
    assert generate("{{ date(0d, YYYY-MM-DD) }}", now) == "2026-07-01"
    assert generate("{{ date(-1d, DD/MM/YY HH:mm) }}", now) == "30/06/26 09:05"
    assert generate("{{ timestamp(10, s) }}", now) == str(int(now.timestamp()) + 10)
    assert generate("{{ timestamp(0, ms) }}", now) == str(int(now.timestamp()) * 1000)
    made = generate("x{{ numeric(4) }}-{{alphabetic(3)}}-{{ uuid }}", now)
    assert made[0] == "x" and made[1:5].isdigit() and made[6:9].isalpha() and len(made) == 46
    assert generate("{{ OTHER }}", now) == "{{ OTHER }}"
    assert format_date(now, "[at] h:mm A") == "at 9:05 AM"


def test_a_multistep_test_hands_on_what_it_extracted(service: Any) -> None:
    document = {
        "name": "create and read", "type": "api", "subtype": "multi",
        "config": {
            "configVariables": [{"name": "TITLE", "type": "text", "pattern": "L{{numeric(3)}}"}],
            "steps": [
                {"name": "create", "subtype": "http",
                 "request": {"method": "POST", "url": "https://api.example.com/reports",
                             "body": '{"title": "{{ TITLE }}"}', "bodyType": "application/json"},
                 "assertions": [plain("statusCode", "is", 201)],
                 "extractedValues": [{"name": "ID", "type": "http_body",
                                      "parser": {"type": "json_path", "value": "$.id"}}]},
                {"name": "read", "subtype": "http",
                 "request": {"method": "GET", "url": "https://api.example.com/reports/{{ ID }}"},
                 "assertions": [path("$.title", "is", "{{ TITLE }}")]},
            ],
        },
    }  # fmt: skip
    (result,) = run(parse_document(json.dumps(document), "t.json"), service.url)
    assert (result.state, result.reason) == (State.OK, "as expected")
    assert service.reports[1]["title"][0] == "L"
    assert [step.title for step in result.steps] == ["1. create", "2. read"]


def stepping(service: Any, *steps: dict[str, Any]) -> Any:
    whole = [{"name": f"s{i}", "subtype": "http", **step} for i, step in enumerate(steps)]
    document = {"name": "t", "type": "api", "subtype": "multi", "config": {"steps": whole}}
    tests = parse_document(json.dumps(document), "t.json")
    (result,) = run(tests, service.url, env={}, pause=lambda seconds: None)
    return result


GOOD: dict[str, Any] = {
    "request": {"url": "/reports"},
    "assertions": [plain("statusCode", "is", 200)],
}
BAD: dict[str, Any] = {**GOOD, "assertions": [plain("statusCode", "is", 404)]}


def test_a_step_that_may_fail_degrades_unless_it_is_critical(service: Any) -> None:
    mild = stepping(service, {**BAD, "allowFailure": True}, GOOD)
    assert mild.state is State.DEGRADED and len(mild.steps) == 2
    critical = stepping(service, {**BAD, "allowFailure": True, "isCritical": True}, GOOD)
    assert critical.state is State.FAILED and len(critical.steps) == 2
    assert len(stepping(service, BAD, GOOD).steps) == 1
    assert len(stepping(service, {**GOOD, "exitIfSucceed": True}, BAD).steps) == 1


def test_a_step_is_retried_by_itself(service: Any) -> None:
    service.failures_left = 2
    flaky = {**GOOD, "request": {"url": "/flaky"}, "retry": {"count": 3, "interval": 10}}
    result = stepping(service, flaky)
    assert (result.state, result.steps[0].attempts) == (State.DEGRADED, 3)


def test_a_step_that_is_not_tried_takes_those_that_need_it_along(service: Any) -> None:
    value = {"name": "T", "type": "http_header", "field": "x", "parser": {"type": "raw"}}
    digest = {"url": "/reports", "basicAuth": {"type": "digest", "username": "u"}}
    result = stepping(
        service,
        {**GOOD, "request": digest, "extractedValues": [value]},
        {**GOOD, "request": {"url": "/reports?t={{ T }}"}},
        GOOD,
    )
    assert result.state is State.NOT_TRIED
    assert "digest" in result.not_tried[0] and "needs T" in result.not_tried[1]
    assert result.steps[2].status == 200


def single(**more: Any) -> str:
    config = {"request": {"method": "GET", "url": "/reports"},
              "assertions": [plain("statusCode", "is", 200)]}  # fmt: skip
    return json.dumps({"name": "t", "type": "api", "subtype": "http", "config": config, **more})


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (single(subtype="grpc"), "gRPC"),
        (single(type="browser"), "browser"),
        (single(status="paused"), "paused"),
        (single(options={"ci": {"executionRule": "skipped"}}), "executionRule"),
        (single(subtype="carrierPigeon"), "carrierPigeon"),
    ],
)
def test_whole_tests_that_are_not_tried(service: Any, document: str, words: str) -> None:
    (result,) = run(parse_document(document, "t.json"), service.url)
    assert result.state is State.NOT_TRIED
    assert words in result.reason


def test_one_untried_assertion_keeps_a_test_from_being_ok(service: Any) -> None:
    config = {"request": {"url": "/reports"}, "assertions": [
        plain("statusCode", "is", 200), {"type": "javascript", "code": "x"}]}  # fmt: skip
    (result,) = run(parse_document(single(config=config), "t.json"), service.url)
    assert result.state is State.NOT_TRIED
    assert "JavaScript" in result.reason and "1 other checks held" in result.reason


def test_secrets_that_datadog_keeps_come_from_the_environment(service: Any) -> None:
    config = {
        "request": {"url": "/echo", "headers": {"Authorization": "Bearer {{ TOKEN }}"}},
        "assertions": [path("$.token", "is", "nothing")],
        "configVariables": [{"name": "TOKEN", "type": "global", "id": "1-2-3"}],
    }
    tests = parse_document(single(config=config), "t.json")
    with pytest.raises(BadInput, match="TOKEN is not in the environment"):
        run(tests, service.url, env={})
    (result,) = run(tests, service.url, env={"TOKEN": "s3cret-value"})
    assert service.tokens == ["Bearer s3cret-value"]
    assert "s3cret" not in str(result) and "Bearer •••" in result.reason


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("{", "t.json", "not JSON"),
        ("[]", "t.json", "empty"),
        ('{"tests": [{"name": "x"}]}', "t.json (tests[0])", "neither type nor config"),
        ('{"tests": [{"id": "abc-def-ghi"}]}', "t.json (tests[0])", "lies at Datadog"),
        ('[{"type": "api", "config": 3}]', "t.json ([0])", "not a test"),
        ('{"type": "api", "subtype": "multi", "config": {}}', "t.json", "without steps"),
        (single(options={"retry": 3}), "t.json", "retry is 3"),
    ],
)
def test_what_is_no_export_is_said(text: str, where: str, words: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_document(text, "t.json")
    assert error.value.where == where
    assert words in error.value.what
