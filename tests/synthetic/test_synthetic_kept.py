"""Datadog's JSON into files of ours and back, and our own tests as Datadog's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from hikkoshi.base.errors import BadInput
from hikkoshi.cli.synthetic import synthetic
from hikkoshi.synthetic import State, load_tests, parse_tests, run
from hikkoshi.synthetic.datadog.export import to_datadog
from hikkoshi.synthetic.datadog.kept import as_documents, as_yaml
from hikkoshi.synthetic.datadog.read import parse_document
from hikkoshi.synthetic.marked import read_marked

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc:#{} -yn~0", min_size=1), inner),
    max_leaves=12,
)


def back(text: str) -> Any:
    """Through a file of ours, as the commands do it."""
    written = as_yaml(text, "t.json")
    kept = read_marked(written, "t.yaml").pairs()["datadog"].value()
    return as_documents(parse_tests(written, "t.yaml"), kept, None)[0]


@settings(max_examples=60, deadline=None)
@given(unknown=VALUES, form=st.sampled_from(["single", "list", "tests", "rest"]))
def test_nothing_of_an_export_is_lost(unknown: Any, form: str) -> None:
    test = {
        "name": "t", "type": "api", "subtype": "http", "unheard_of": unknown,
        "config": {"request": {"url": "https://a.example"}, "assertions": [], "x": unknown},
    }  # fmt: skip
    document: Any = {
        "single": test,
        "list": [test, test],
        "tests": {"tests": [test]},
        "rest": {"exportedAt": "2026-07-01", "more": unknown, "tests": [test, test]},
    }[form]
    text = json.dumps(document)
    assert json.dumps(back(text), sort_keys=True) == json.dumps(json.loads(text), sort_keys=True)


OURS = """
tests:
  - name: create and read back
    retry: {count: 2, interval: 100ms}
    every: 5m
    steps:
      - request: POST /reports
        headers: {X-Key: '{{env.api_key}}'}
        body: {title: Ladder, floor: 3}
        expect: {status: [201, 3xx], time: 5s}
        capture: {report: $.id, place: header Location}
      - request: GET /reports/{{report}}
        expect:
          status: 200
          header: {content-type: {contains: json}}
          json: {$.title: Ladder, $.id: '{{report}}', $.gone: does not exist,
                 $.floor: {at least: 3}, $.title.length(): 6}
          schema: {type: object, required: [title]}
          body: adder
"""


def test_our_tests_pass_as_datadogs_too(service: Any) -> None:
    (test,) = parse_tests(OURS, "t.yaml")
    document, notes = to_datadog(test, service.url)
    assert notes == ["$.title.length() is left out: Datadog counts nothing by JSONPath"]
    assert document["subtype"] == "multi" and document["options"]["tick_every"] == 300
    assert document["config"]["configVariables"] == [
        {"name": "API_KEY", "type": "text", "pattern": "", "secure": True}
    ]
    tests = parse_document(json.dumps(document), "t.json")
    (result,) = run(tests, None, env={"API_KEY": "k3y"})
    assert (result.state, result.reason) == (State.OK, "as expected")
    changed = json.dumps(document).replace('"Ladder"', '"Broom"')
    (failed,) = run(parse_document(changed, "t.json"), None, env={"API_KEY": "k3y"})
    assert failed.state is State.FAILED


def test_one_request_is_a_test_of_one_request() -> None:
    (test,) = parse_tests(
        "tests:\n  - name: it\n    tls: example.com\n    expect: {days left: 14}\n"
    )
    document, _ = to_datadog(test, None)
    assert document["subtype"] == "ssl"
    assert document["config"]["request"]["host"] == "example.com"
    assert document["config"]["assertions"] == [
        {"type": "certificate", "operator": "isInMoreThan", "target": 14.0}
    ]
    (path_alone,) = parse_tests("tests:\n  - name: it\n    request: GET /\n")
    with pytest.raises(BadInput, match="path alone"):
        to_datadog(path_alone, None)


def test_the_commands_import_run_and_export(service: Any, tmp_path: Path) -> None:
    test = {
        "name": "reports", "type": "api", "subtype": "http", "public_id": "abc-def-ghi",
        "config": {"request": {"method": "GET", "url": "https://api.example.com/reports"},
                   "assertions": [{"type": "statusCode", "operator": "is", "target": 200}]},
    }  # fmt: skip
    grpc = {**test, "name": "calls", "subtype": "grpc"}
    export = tmp_path / "reports.synthetics.json"
    export.write_text(json.dumps({"tests": [test, grpc]}))
    runner, ours = CliRunner(), tmp_path / "ours"
    command = ["import", "datadog", str(export), "-o", str(ours)]
    imported = runner.invoke(synthetic, command)
    assert imported.exit_code == 0, imported.output
    assert "2 tests" in imported.stdout and "gRPC is not spoken here" in imported.stdout
    assert isinstance(runner.invoke(synthetic, command).exception, BadInput)
    ran = runner.invoke(synthetic, ["run", str(ours), "--base-url", service.url])
    assert ran.exit_code == 3
    assert "1 of 2 passed, 1 not tried" in ran.stdout
    allowed = ["run", str(ours), "--base-url", service.url, "--allow-not-tried"]
    assert runner.invoke(synthetic, allowed).exit_code == 0
    exported = runner.invoke(synthetic, ["export", "datadog", str(ours)])
    assert json.loads(exported.stdout) == json.loads(export.read_text())


HAR = {"log": {"entries": [
    {"request": {"method": "POST", "url": "https://a.example/login?api_key=hidden",
                 "headers": [{"name": "Authorization", "value": "Bearer hidden"},
                             {"name": "Cookie", "value": "hidden"}],
                 "postData": {"text": '{"user": "u", "password": "hidden"}'}},
     "response": {"status": 201, "content": {"mimeType": "application/json; charset=utf-8"}}},
    {"request": {"method": "GET", "url": "https://a.example/logo.png", "headers": []},
     "response": {"status": 200, "content": {"mimeType": "image/png"}}},
    {"request": {"method": "GET", "url": "https://other.example/", "headers": []},
     "response": {"status": 200, "content": {}}},
]}}  # fmt: skip

LOG = """\
192.0.2.1 - - [01/Jul/2026:09:00:00 +0900] "GET /reports?limit=20 HTTP/1.1" 200 5123 "-" "curl"
192.0.2.1 - - [01/Jul/2026:09:00:01 +0900] "GET /reports?limit=20 HTTP/1.1" 200 5123
192.0.2.1 - - [01/Jul/2026:09:00:02 +0900] "GET /old HTTP/1.1" 301 0
192.0.2.1 - - [01/Jul/2026:09:00:02 +0900] "GET /broken HTTP/1.1" 500 0
192.0.2.1 - - [01/Jul/2026:09:00:02 +0900] "POST /reports HTTP/1.1" 201 0
http 2026-07-01T00:00:00.1Z app/x/1 192.0.2.1:1 10.0.0.1:80 0.0 0.1 0.0 200 200 34 366 \
"GET http://a.example:80/lb?token=hidden HTTP/1.1" "curl" - -
not a request
"""

OPENAPI = """
openapi: 3.0.3
security: [{bearer: []}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Report: {type: object, required: [id], properties: {id: {type: integer},
             title: {type: string, nullable: true}, parent: {$ref: '#/components/schemas/Report'}}}
paths:
  /reports/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}, example: 7}]
    get:
      summary: a report
      responses:
        '200': {content: {application/json: {schema: {$ref: '#/components/schemas/Report'}}}}
    delete: {security: [], responses: {'204': {}}}
  /sites/{id}: {get: {parameters: [{name: id, in: path, required: true}], responses: {}}}
"""


@pytest.mark.parametrize(
    ("source", "text", "tests", "notes"),
    [
        ("har", json.dumps(HAR), [{
            "name": "POST /login?api_key={{env.API_KEY}}",
            "request": "POST /login?api_key={{env.API_KEY}}",
            "headers": {"Authorization": "{{env.AUTHORIZATION}}"},
            "body": {"user": "u", "password": "{{env.PASSWORD}}"},
            "expect": {"status": 201, "header": {"content-type": "application/json"}},
        }], "1 requests to other hosts"),
        ("access-log", LOG, [
            {"name": "GET /reports?limit=20", "request": "GET /reports?limit=20",
             "expect": {"status": 200}},
            {"name": "GET /lb?token={{env.TOKEN}}", "request": "GET /lb?token={{env.TOKEN}}",
             "expect": {"status": 200}},
            {"name": "GET /old", "request": "GET /old", "expect": {"status": 301}},
        ], "1 requests that write are left out"),
    ],
)  # fmt: skip
def test_tests_are_drafted_without_secrets(
    tmp_path: Path, source: str, text: str, tests: Any, notes: str
) -> None:
    file = tmp_path / "source"
    file.write_text(text)
    done = CliRunner().invoke(synthetic, ["record", "--from", source, str(file)])
    assert done.exit_code == 0, done.output
    assert yaml.safe_load(done.stdout) == {"tests": tests}
    assert notes in done.stderr and "hidden" not in done.stdout


def test_an_openapi_document_gives_tests_that_run(service: Any, tmp_path: Path) -> None:
    file, drafted = tmp_path / "openapi.yaml", tmp_path / "tests.yaml"
    file.write_text(OPENAPI)
    command = ["record", "--from", "openapi", str(file), "-o", str(drafted)]
    done = CliRunner().invoke(synthetic, command)
    assert "GET /sites/{id} is left out: parameter id has no example" in done.stderr
    tests = load_tests(drafted)
    assert [test.steps[0].title for test in tests] == ["GET /reports/7", "DELETE /reports/7"]
    service.reports[7] = {"id": 7, "title": None, "parent": {"id": 6}}
    (good,) = run(tests[:1], service.url, env={"TOKEN": "x"})
    assert good.state is State.OK
    service.reports[7] = {"id": "seven"}
    (bad,) = run(tests[:1], service.url, env={"TOKEN": "x"})
    assert bad.state is State.FAILED and "not of type 'integer'" in bad.reason


@pytest.mark.parametrize("source", ["har", "openapi", "access-log"])
def test_what_is_not_of_its_kind_is_refused(tmp_path: Path, source: str) -> None:
    file = tmp_path / "source"
    file.write_text("neither this nor that: [")
    done = CliRunner().invoke(synthetic, ["record", "--from", source, str(file)])
    assert isinstance(done.exception, BadInput)
