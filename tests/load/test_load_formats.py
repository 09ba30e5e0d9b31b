"""Targets out of recordings, documents and logs, from samples in the very form of each."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.load.formats.reading import guess, parse_found, read_found
from hikkoshi.load.targets import Target

SAMPLES = Path(__file__).parent / "samples"


def test_an_alb_log_is_its_own_mix() -> None:
    found = read_found(SAMPLES / "alb.log")
    assert found.targets == (
        Target("GET", "http://www.example.com/reports/17", (("User-Agent", "curl/7.46.0"),),
               name="GET /reports/:id", weight=1),
        Target("GET", "https://www.example.com/reports?limit=20",
               (("User-Agent", 'Mozilla/5.0 (\\"x\\")'),), name="GET /reports", weight=2),
    )  # fmt: skip
    assert found.notes == (
        "6 requests in 10 s: the log's own rate was 0.60/s",
        "1 POST requests were left out: a log has no bodies",
        "1 ws connections were left out",
        "1 requests that the balancer itself could not read were left out",
    )


def test_a_gzipped_log_and_a_base_address(tmp_path: Path) -> None:
    (tmp_path / "log.gz").write_bytes(gzip.compress((SAMPLES / "alb.log").read_bytes()))
    found = read_found(tmp_path / "log.gz", is_rebased=True)
    assert [target.url for target in found.targets] == ["/reports/17", "/reports?limit=20"]


def test_a_recording_keeps_bodies_and_headers_but_not_others_hosts() -> None:
    found = read_found(SAMPLES / "recording.har")
    assert [(t.method, t.url, t.weight, t.body) for t in found.targets] == [
        ("GET", "https://genba.example.com/reports/17", 2, b""),
        ("POST", "https://genba.example.com/reports", 1, b'{"title": "x"}\n'),
        ("POST", "https://genba.example.com/login", 1, b"user=a+b&word=c%26d"),
    ]
    assert found.targets[0].headers == (
        ("accept", "text/html"), ("accept-encoding", "gzip, deflate"),
    )  # fmt: skip
    assert found.targets[2].headers == (("Content-Type", "application/x-www-form-urlencoded"),)
    assert any("other hosts than genba.example.com" in note for note in found.notes)
    assert any("(data:)" in note for note in found.notes)


def test_openapi_is_filled_from_examples_and_schemas() -> None:
    found = read_found(SAMPLES / "openapi.yaml")
    listed, made, one = found.targets
    assert listed.url == "https://api.example.com/v1/reports?limit=20"
    assert listed.headers == (("X-Tenant", "acme"),)
    assert json.loads(made.body) == {"title": "現場", "reference": "${uuid}", "tags": ["roof"]}
    assert (one.method, one.url, one.name) == (
        "GET", "https://api.example.com/v1/reports/7", "GET /reports/{id}",
    )  # fmt: skip
    assert any("DELETE" in note for note in found.notes)
    assert any("path parameter key" in note for note in found.notes)
    (deleted,) = read_found(SAMPLES / "openapi.yaml", methods=["delete"]).targets
    assert deleted.method == "DELETE"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("GET http://h/\n", "http"),
        ('{"method": "GET", "url": "http://h/"}\n', "json"),
        ('{\n "log": {"entries": []}}', "har"),
        ('{"openapi": "3.1.0", "paths": {}}', "openapi"),
        ("# a comment\nopenapi: 3.0.0\n", "openapi"),
        ((SAMPLES / "alb.log").read_text(), "alb-log"),
    ],
)
def test_the_format_is_told_by_the_beginning(text: str, form: str) -> None:
    assert guess(text) == form


@pytest.mark.parametrize(
    ("form", "text", "place", "words"),
    [
        ("har", "{", "t:1", "not JSON"),
        ("har", '{"log": {}}', "t", "no log.entries"),
        ("har", '{"log": {"entries": [{}]}}', "t: log.entries[0]", "without a request"),
        ("har", '{"log": {"entries": []}}', "t", "no request in it"),
        ("openapi", "openapi: 3.0.0\npaths: [", "t:2", "not YAML"),
        ("openapi", "swagger: '2.0'\n", "t", "Swagger 2"),
        (
            "openapi",
            "openapi: 3.0.0\npaths: {/x: {get: {$ref: '#/nowhere'}}}",
            "t",
            "leads nowhere",
        ),
        ("openapi", "openapi: 3.0.0\npaths: {/x: {delete: {}}}", "t", "no operation"),
        ("alb-log", "\nnonsense\n", "t:2", "not a line of"),
        ("http", "GET http://h/\nbad line\n", "t:2", "not a header"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    form: str, text: str, place: str, words: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(words)) as error:
        parse_found(text, form, where="t")
    assert error.value.where == place


ODD = """
openapi: 3.1.0
x-about: whatever
servers: [{url: "https://api.example.com/v1/"}]
paths:
  x-internal: true
  /items/{id}: {$ref: "#/components/pathItems/item"}
  /search:
    servers: [{url: "https://search.example.com"}]
    get:
      parameters:
        - $ref: "#/paths/~1old~1%7Bid%7D/get/parameters/0"
        - {name: since, in: query, required: true, schema: {type: string}, example: 2024-02-03}
        - {name: cursor, in: query, schema: {type: string, default: null}}
        - {name: filter, in: query, required: true,
           content: {application/json: {schema: {type: object, properties: {a: {const: 1}}}}}}
        - {name: a, in: cookie, required: true, schema: {const: "1"}}
        - {name: b, in: cookie, required: true, schema: {const: "2"}}
        - {name: X-Ids, in: header, required: true, schema: {type: array, items: {enum: [7]}}}
        - {name: Accept, in: header, required: true, schema: {type: string}}
  /old/{id}:
    get:
      parameters: [{name: lang, in: query, required: true, schema: {type: string, maxLength: 2}}]
  /broken:
    get: {parameters: [{name: X-A, in: header, required: true, example: "a\\nb"}]}
  /made:
    post: {requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/A"}}}}}
components:
  pathItems:
    item: {get: {parameters: [{name: id, in: path, schema: {type: [integer, "null"]}}]}}
  schemas:
    Colour: {type: string, enum: [red]}
    A:
      allOf: [{$ref: "#/components/schemas/Named"}]
      properties:
        colour: {allOf: [{$ref: "#/components/schemas/Colour"}]}
        note: {anyOf: [{type: "null"}, {type: string, maxLength: 3}]}
        anything: true
        pair: {type: array, minItems: 2, items: {type: integer}}
        parent: {$ref: "#/components/schemas/A"}
    Named: {type: object, properties: {name: {type: string}}}
"""


def test_openapi_31_with_references_of_every_kind() -> None:
    found = parse_found(ODD, where="t")
    item, search, made = found.targets
    assert (item.method, item.url) == ("GET", "https://api.example.com/v1/items/1")
    assert search.url == (
        "https://search.example.com/search?lang=st&since=2024-02-03&filter={%22a%22:+1}"
    )
    assert search.headers == (("X-Ids", "7"), ("Cookie", "a=1; b=2"))
    assert json.loads(made.body) == {
        "name": "string", "colour": "red", "note": "str", "pair": [1, 1],
    }  # fmt: skip
    assert any("a path parameter of /old/{id}" in note for note in found.notes)
    assert any("header 'X-A' that can be sent" in note for note in found.notes)


def test_schemas_that_name_each_other_freely_are_filled_in_no_time() -> None:
    names = [f"S{at}" for at in range(30)]
    schemas = {
        name: {
            "type": "object",
            "properties": {other: {"$ref": f"#/components/schemas/{other}"} for other in names},
        }
        for name in names
    }
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}}
    document = {
        "info": {"title": "Before its version"}, "openapi": "3.0.0",
        "paths": {"/x": {"post": {"requestBody": body}}}, "components": {"schemas": schemas},
    }  # fmt: skip
    (target,) = parse_found(json.dumps(document), where="t").targets
    assert len(target.body) < 1_000_000


def test_what_was_recorded_is_no_template() -> None:
    request = {
        "method": "POST", "url": "http://h/?q=${env:HOME}",
        "headers": [{"name": "X-A", "value": "${jndi:x}"}],
        "postData": {"mimeType": "text/plain", "text": "${seq} \ud83d"},
    }  # fmt: skip
    connect = {"method": "CONNECT", "url": "https://h:443", "headers": []}
    text = json.dumps({"log": {"entries": [{"request": connect}, {"request": request}]}})
    found = parse_found(text, where="t")
    (target,) = found.targets
    assert (target.url, target.headers[0]) == ("http://h/?q=$${env:HOME}", ("X-A", "$${jndi:x}"))
    assert target.body == b"$${seq} ?"
    assert found.notes == ("1 CONNECT requests, to a proxy, were left out",)
    line = (SAMPLES / "alb.log").read_text().splitlines()[0].replace("curl/", "${env:HOME}\u2028/")
    (logged,) = parse_found(
        line + "\n" + line.replace("://www.example.com", "://["), where="t"
    ).targets
    assert logged.headers == (("User-Agent", "$${env:HOME}\u2028/7.46.0"),)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('{"log": {"entries": '
         '[{"request": {"method": "GET", "url": "http://h/", "headers": [1]}}]}}',
         "t: log.entries[0].request.headers", "not a list"),
        ('{"log": ' + "[" * 100_000, "t", "nested too deeply"),
        ('{"method": "GET", "url": "http://h/", "header": {"A": 1}}', "t:1", "header 'A': 1"),
        ('{"method": "GET", "url": "http://h/\\ud83d"}', "t:1", "half a character"),
        ('{"method": "GET", "url": ' + "[" * 100_000, "t:1", "nested too deeply"),
    ],
)  # fmt: skip
def test_odd_json_is_named_with_its_place(text: str, place: str, words: str) -> None:
    with pytest.raises(BadInput, match=re.escape(words)) as error:
        parse_found(text, where="t")
    assert error.value.where == place


def test_json_lines_may_have_what_is_no_end_of_a_line_to_json() -> None:
    text = '{"method": "GET", "url": "http://h/", "name": "a\u2028b\x85c"}\r\n' * 2
    assert [each.name for each in parse_found(text, where="t").targets] == ["a\u2028b\x85c"] * 2
