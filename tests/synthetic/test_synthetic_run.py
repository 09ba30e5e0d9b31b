"""Synthetic tests against a real HTTP server."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from hikkoshi.base.errors import BadInput
from hikkoshi.cli.synthetic import synthetic
from hikkoshi.synthetic import State, parse_tests, run
from hikkoshi.synthetic.output import as_junit

LIFE = """
tests:
  - name: create and read back
    steps:
      - request: POST /reports
        body: {title: Ladder, tags: [a, b], floor: 3}
        expect: {status: 201, header: {location: {matches: '^/reports/\\d+$'}}}
        capture: {report: $.id, place: header Location, tags: '$.tags[*]'}
      - request: GET /reports/{{report}}
        expect:
          status: 2xx
          time: 5s
          header: {content-type: application/json}
          json:
            $.id: '{{report}}'
            $.status: open
            $.title: {contains: adde, matches: ^L}
            $.tags: '{{tags}}'
            $.tags.length(): 2
            $.floor: {more than: 2, at most: 3}
            $.gone: does not exist
      - request: GET {{place}}
        expect: {body: Ladder}
"""


def outcome(text: str, url: str, **more: Any) -> tuple[State, str]:
    (result,) = run(parse_tests(text), url, pause=lambda seconds: None, **more)
    return result.state, result.reason


def one(request: str, *lines: str) -> str:
    more = "".join(f"    {line}\n" for line in lines)
    return f"tests:\n  - name: it\n    request: {request}\n{more}"


def test_steps_hand_on_what_they_captured(service: Any) -> None:
    (result,) = run(parse_tests(LIFE), service.url)
    assert (result.state, result.reason) == (State.OK, "as expected")
    assert [step.status for step in result.steps] == [201, 200, 200]
    assert service.reports[1]["tags"] == ["a", "b"]
    timings = result.steps[1].timings
    phases = [timings.dns_s, timings.connect_s, timings.first_byte_s, timings.download_s]
    assert all(seconds is not None and seconds > 0 for seconds in phases)
    assert timings.tls_s is None
    assert sum(seconds or 0 for seconds in phases) <= (timings.total_s or 0)


@pytest.mark.parametrize(
    ("expect", "reason"),
    [
        ("{status: 404}", "status expected 404, came 200"),
        ("{status: [201, 3xx]}", "status expected 201 or 3xx, came 200"),
        ("{header: {x-missing: exists}}", "header x-missing expected exists, came no such header"),
        ("{header: {content-type: text/html}}", 'expected "text/html", came "application/json; ch'),
        ("{json: {$.reports.length(): 1}}", "$.reports.length() expected 1, came 0"),
        ("{json: {'$.reports[0].id': exists}}", "$.reports[0].id expected exists, came nothing"),
        ("{json: {'$.reports[*].id': 3}}", "$.reports[*].id expected 3, came nothing there"),
        ("{body: Ladder}", 'body expected contains "Ladder", came "{\\"reports\\": []}"'),
        ("{time: 1us}", "time expected at most 1 µs"),
    ],
)
def test_what_was_expected_and_what_came_is_told(service: Any, expect: str, reason: str) -> None:
    state, told = outcome(one("GET /reports", f"expect: {expect}"), service.url)
    assert state is State.FAILED
    assert reason in told


def test_without_expectations_a_status_of_400_fails(service: Any) -> None:
    state, told = outcome(one("GET /reports/9"), service.url)
    assert (state, told) == (State.FAILED, "GET /reports/9: status expected below 400, came 404")


def test_a_step_after_a_failed_one_is_not_sent(service: Any) -> None:
    text = (
        "tests:\n  - name: it\n    steps:\n      - request: GET /reports/9\n"
        "      - request: POST /reports\n        body: {title: x}\n"
    )
    (result,) = run(parse_tests(text), service.url)
    assert len(result.steps) == 1
    assert service.reports == {}


def test_right_on_a_retry_is_degraded_and_says_what_was_wrong(service: Any) -> None:
    service.failures_left = 2
    pauses: list[float] = []
    text = one("GET /flaky", "retry: {count: 3, interval: 5s}")
    (result,) = run(parse_tests(text), service.url, pause=pauses.append)
    assert (result.state, result.attempts) == (State.DEGRADED, 3)
    assert "right on try 3" in result.reason and "came 503" in result.reason
    assert pauses == [5.0, 5.0]


def test_failing_every_try_is_failed(service: Any) -> None:
    service.failures_left = 9
    state, told = outcome(one("GET /flaky", "retry: 1"), service.url)
    assert state is State.FAILED
    assert told.endswith("came 503 (2 tries)")


def test_slower_than_the_soft_limit_is_degraded(service: Any) -> None:
    state, told = outcome(one("GET /slow", "expect: {slow: 10ms, time: 20s}"), service.url)
    assert state is State.DEGRADED
    assert "time expected at most 10 ms" in told


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/hang", "TIMEOUT: not done within 0.1 s"),
        ("/half", "CONNRESET"),
        ("/garbage", "MALFORMED_RESPONSE: BadStatusLine"),
    ],
)
def test_no_whole_answer_is_a_failure_by_kind(service: Any, path: str, kind: str) -> None:
    state, told = outcome(one(f"GET {path}", "timeout: 100ms"), service.url)
    assert state is State.FAILED
    assert kind in told


def test_nothing_listening_is_a_failure_by_kind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    state, told = outcome(one("GET /"), f"http://127.0.0.1:{port}")
    assert (state, told) == (State.FAILED, "GET /: CONNREFUSED: nothing listens there")


def test_secrets_are_sent_and_never_shown(service: Any) -> None:
    text = one(
        "GET /echo?key={{env.TOKEN}}",
        "headers: {Authorization: 'Bearer {{env.TOKEN}}'}",
        "expect: {json: {$.token: nothing}}",
    )
    (result,) = run(parse_tests(text), service.url, env={"TOKEN": "s3cret/x"})
    assert service.tokens == ["Bearer s3cret/x"]
    assert "Bearer •••" in result.reason
    assert "s3cret" not in json.dumps(result.steps[0].url + result.reason)
    assert "s3cret" not in str(result.steps)


def test_a_missing_secret_is_named_before_anything_is_sent(service: Any) -> None:
    text = LIFE + "  - name: secret\n    request: GET /{{env.NOT_SET}}\n"
    with pytest.raises(BadInput, match="NOT_SET is not in the environment"):
        run(parse_tests(text), service.url, env={})
    assert service.reports == {}


def test_what_cannot_be_captured_fails_the_step(service: Any) -> None:
    text = one("GET /reports", "capture: {first: '$.reports[0].id'}")
    state, told = outcome(text, service.url)
    assert state is State.FAILED
    assert "nothing to capture as first: $.reports[0].id leads nowhere" in told


def test_connections_can_be_led_elsewhere(service: Any) -> None:
    place = service.url.removeprefix("http://")
    state, _ = outcome(one("GET /reports"), "http://reports.example", connect_to=place)
    assert state is State.OK


@pytest.mark.parametrize("url", ["", "localhost:80", "ftp://x", "http://", "http://x:99999"])
def test_a_bad_base_address_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="base address"):
        run(parse_tests(one("GET /")), url)


def test_junit_escapes_what_came_from_outside(service: Any) -> None:
    service.reports[1] = {"id": 1, "title": "<b>\x00\x1b]&"}
    text = one("GET /reports/1", "expect: {json: {$.title: x}}")
    results = run(parse_tests(text), service.url)
    suite = ElementTree.fromstring(as_junit(results, "a & b"))
    assert (suite.get("name"), suite.get("failures")) == ("a & b", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None and "<b>" in (failure.text or "")


def test_the_command_reports_and_exits(service: Any, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(LIFE)
    bad.write_text(one("GET /reports/99"))
    base = ["--base-url", service.url]
    runner = CliRunner()
    passed = runner.invoke(synthetic, ["run", str(good), *base, "--json"])
    assert passed.exit_code == 0
    assert json.loads(passed.stdout)["tests"][0]["state"] == "ok"
    junit = tmp_path / "out.xml"
    failed = runner.invoke(synthetic, ["run", str(good), str(bad), *base, "--junit", str(junit)])
    assert failed.exit_code == 1
    assert "1 of 2 passed" in failed.stdout
    assert ElementTree.fromstring(junit.read_text()).get("tests") == "2"
    broken = runner.invoke(synthetic, ["run", str(tmp_path / "none.yaml"), *base])
    assert isinstance(broken.exception, BadInput)
    assert "cannot be read" in broken.exception.what
