from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path

import pytest

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.load.request import Form, prepare, request_bytes
from hikkoshi.load.targets import Target, load_targets, order_by_weight, parse_targets

FILE = """\
# A comment that means nothing
# name: list reports
# weight: 3
GET http://genba/reports?limit=20
Accept: application/json
X-Two: a:b

POST /reports
Content-Type: application/json
# a comment inside
@body.json
GET /a
HEAD /b
"""


def test_the_http_format(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_bytes(b'{"title": "x"}')
    (tmp_path / "targets").write_text(FILE)
    assert load_targets(tmp_path / "targets") == (
        Target("GET", "http://genba/reports?limit=20",
               (("Accept", "application/json"), ("X-Two", "a:b")), b"", "list reports", 3),
        Target("POST", "/reports", (("Content-Type", "application/json"),), b'{"title": "x"}'),
        Target("GET", "/a"),
        Target("HEAD", "/b"),
    )  # fmt: skip


def test_an_endpoint_without_a_name_is_method_and_path() -> None:
    listed, other = parse_targets("GET http://h/reports?x=1\nPOST http://h")
    assert (listed.endpoint, other.endpoint) == ("GET /reports", "POST /")


def test_the_json_format() -> None:
    line = {
        "method": "PUT", "url": "http://h/x", "body": base64.b64encode(b"\x00hi").decode(),
        "header": {"A": ["1", "2"], "B": "3"}, "name": "put x", "weight": 2,
    }  # fmt: skip
    (target,) = parse_targets(json.dumps(line) + "\n\n")
    headers = (("A", "1"), ("A", "2"), ("B", "3"))
    assert target == Target("PUT", "http://h/x", headers, b"\x00hi", "put x", 2)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "t", "no target"),
        ("# only\n", "t", "no target"),
        ("get http://h/\n", "t:1", "not a request line"),
        ("GET http://h/\nnonsense\n", "t:2", "not a header"),
        ("GET http://h/\nBad Name: x\n", "t:2", "not a header"),
        ("\nGET h/x\n", "t:2", "neither http://"),
        ("GET http:///x\n", "t:1", "names no host"),
        ("GET http://h:99999/\n", "t:1", "not an address"),
        ("GET http://me:pw@h/\n", "t:1", "Authorization"),
        ("POST http://h/\n@no-such-file\n", "t:2", "cannot be read"),
        ("# weight: 0\nGET http://h/\n", "t:1", "weight is '0'"),
        ("# weight: many\nGET http://h/\n", "t:1", "weight is 'many'"),
        ("GET http://h/\n# name: lost\n", "t:2", "no request after it"),
        ('{"method": "GET"}\n', "t:1", "url None"),
        ('{"method": "GET", "url": "http://h/"}\n{"metod": 1}\n', "t:2", "did you mean 'method'"),
        ('{"method": "GET", "url": "http://h/", "body": "%"}\n', "t:1", "not base64"),
        ('{"method": "GET", "url": "http://h/", "header": {"A": ["x\\r\\ny"]}}\n', "t:1", "'A'"),
        ('{"method": "G T", "url": "http://h/"}\n', "t:1", "method is 'G T'"),
        ('{"method"\n', "t:1", "not JSON"),
    ],
)
def test_a_bad_line_is_named(text: str, place: str, words: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_targets(text, where="t")
    assert error.value.where == place
    assert words in str(error.value)


def test_weights_are_spread_evenly() -> None:
    targets = [Target("GET", "/a", weight=6), Target("GET", "/b", weight=2)]
    order = order_by_weight(targets)
    assert len(order) == 4
    assert Counter(order) == {0: 3, 1: 1}
    assert order_by_weight([Target("GET", "/a"), Target("GET", "/b")]) == (0, 1)


def test_the_bytes_of_a_request() -> None:
    target = Target("POST", "/é?q=ü b", (("X-A", "1"),), b"body")
    assert request_bytes(target, "http://h:8080/é?q=ü b") == (
        b"POST /%C3%A9?q=%C3%BC%20b HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: hikkoshi\r\n"
        b"Accept: */*\r\nX-A: 1\r\nContent-Length: 4\r\n\r\nbody"
    )


def test_given_headers_win() -> None:
    given = (("host", "x"), ("User-Agent", "me"), ("Accept", "a"), ("Connection", "close"))
    data = request_bytes(Target("GET", "/", given), "http://h/", is_kept_alive=False)
    assert data.count(b"\r\n") == 6
    assert b"Host: h" not in data and data.lower().count(b"connection:") == 1


def test_a_path_needs_a_base_and_a_name_must_resolve() -> None:
    with pytest.raises(BadInput, match="names no host"):
        prepare(parse_targets("GET /x"))
    with pytest.raises(CannotRun, match="does not resolve"):
        prepare(parse_targets("GET http://no.such.host.invalid/"))
    with pytest.raises(BadInput, match="place to connect to"):
        prepare(parse_targets("GET http://h/"), Form(connect_to="nowhere"))


def test_a_host_that_is_no_name_is_told_before_anything_is_sent() -> None:
    there = Form(connect_to="127.0.0.1:1")
    (odd,) = prepare(parse_targets(f"GET http://a..{'b' * 70}/"), there)
    assert f"Host: a..{'b' * 70}".encode() in odd.data
    with pytest.raises(BadInput, match="is not a host's name"):
        prepare(parse_targets("GET http://\u00e9..b/"), there)
    with pytest.raises(BadInput, match="CONNECT asks a proxy"):
        prepare(parse_targets("CONNECT http://h/"), there)


def test_bodies_of_http2_are_never_in_chunks() -> None:
    target = parse_targets(json.dumps({
        "method": "POST", "url": "http://h/", "body": base64.b64encode(b"body").decode(),
        "header": {"Transfer-Encoding": ["chunked"]},
    }))  # fmt: skip
    (made,) = prepare(target, Form(connect_to="127.0.0.1:1", is_http2=True))
    assert made.data.endswith(b"Content-Length: 4\r\n\r\nbody")
    assert b"chunked" not in made.data
