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
