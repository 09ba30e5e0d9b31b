"""Segment documents, good and hostile."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hikkoshi.region.xray.documents import parse_document
from hikkoshi.region.xray.lenient import read_by_parts
from hikkoshi.region.xray.otlp import documents_of, read_json
from hikkoshi.region.xray.wire import (
    CAPTURED,
    BadDocumentError,
    normal_trace_id,
    parse_datagram,
    root_of,
)

TRACE = "1-5759e988-bd862e3fe1be46a994272793"
SEGMENT: dict[str, Any] = {
    "name": "genba",
    "id": "70de5b6f19ff9a0a",
    "trace_id": TRACE,
    "start_time": 1478293361.271,
    "end_time": 1478293361.449,
}


def parse(**changes: Any) -> Any:
    document = {key: value for key, value in (SEGMENT | changes).items() if value is not ...}
    return parse_document(json.dumps(document))


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (
            {"exceptions": [{"type": "OSError", "message": "no\x00 room"}, {"message": "so"}]},
            "OSError: no\x00 room\nso",
        ),
        ("70de5b6f19ff9a0b", None),
        ({"exceptions": ["not an object", {"type": 3}]}, None),
        ({"exceptions": "none"}, None),
    ],
)
def test_what_went_wrong_is_kept_in_words(cause: Any, expected: str | None) -> None:
    assert parse(fault=True, cause=cause).spans[0].cause == expected


EXCEPTION = [
    {"key": "exception.type", "value": {"stringValue": "ValueError"}},
    {"key": "exception.message", "value": {"stringValue": "<b>bad</b>"}},
]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([{"name": "exception", "attributes": EXCEPTION}], "ValueError: <b>bad</b>"),
        ([{"name": "log", "attributes": EXCEPTION}], "it broke"),
        (["not an object"], "it broke"),
    ],
)
def test_what_went_wrong_comes_by_opentelemetry_too(events: Any, expected: str) -> None:
    span = {
        "traceId": "5" * 32, "spanId": "7" * 16, "name": "GET /", "kind": 2,
        "startTimeUnixNano": "1478293361000000000", "endTimeUnixNano": "1478293362000000000",
        "status": {"code": 2, "message": "it broke"}, "events": events,
    }  # fmt: skip
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    spans, refused = read_json(body)
    assert refused == 0
    (text,) = documents_of(spans)
    assert parse_document(text).spans[0].cause == expected


def test_a_whole_segment_becomes_rows_with_its_subsegments() -> None:
    document = parse(
        http={
            "request": {"method": "GET", "url": "http://genba/reports", "user_agent": "x"},
            "response": {"status": 500, "content_length": "12"},
        },
        fault=True,
        subsegments=[
            {
                "id": "53995c3f42cd8ad8",
                "name": "genba@db",
                "namespace": "remote",
                "start_time": 1478293361.3,
                "end_time": 1478293361.4,
                "sql": {"sanitized_query": "SELECT * FROM items WHERE report_id = ?"},
                "subsegments": [
                    {
                        "id": "53995c3f42cd8ad9",
                        "name": "inner",
                        "start_time": 1478293361.31,
                        "in_progress": True,
                    }
                ],
            }
        ],
    )
    segment, query, inner = document.spans
    assert (segment.method, segment.url, segment.status) == ("GET", "http://genba/reports", 500)
    assert segment.fault and not segment.error and segment.parent_id is None
    assert query.trace_id == TRACE and query.parent_id == segment.span_id
    assert query.sql == "SELECT * FROM items WHERE report_id = ?"
    assert query.namespace == "remote" and query.source == "xray"
    assert inner.parent_id == query.span_id and inner.t_end is None
    assert not document.refused and not document.is_in_progress


def test_error_and_throttle_are_told_apart() -> None:
    span = parse(error=True, throttle=True).spans[0]
    assert span.error and span.throttle and not span.fault


def test_both_forms_of_a_trace_id_are_one() -> None:
    assert normal_trace_id("5759E988bd862e3fe1be46a994272793") == TRACE
    assert normal_trace_id(TRACE.upper().replace("1-", "1-", 1)) == TRACE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trace_id": ...}, "no valid trace_id"),
        ({"trace_id": "1-zz"}, "no valid trace_id"),
        ({"id": "70de5b6f"}, "no valid id"),
        ({"id": 7}, "no valid id"),
        ({"name": ""}, "no name"),
        ({"start_time": "now"}, "no valid start_time"),
        ({"start_time": True}, "no valid start_time"),
        ({"start_time": -1}, "no valid start_time"),
        ({"start_time": 10**400}, "not JSON|no valid start_time"),
        ({"end_time": ...}, "neither end_time nor in_progress"),
        ({"end_time": 1.0}, "it ends before it starts"),
        ({"type": "subsegment"}, "a subsegment without parent_id"),
        ({"name": "x" * 70_000}, "larger than 64 kB"),
    ],
)
def test_what_is_refused_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadDocumentError, match=reason):
        parse(**changes)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 20_000, '{"start_time": NaN}'])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(BadDocumentError):
        parse_document(text)


def test_a_bad_part_costs_only_itself() -> None:
    good = {"id": "53995c3f42cd8ad8", "name": "db", "start_time": 1478293361.3, "end_time": 1e10}
    document = parse(subsegments=[{"id": "x"}, 7, "53995c3f42cd8ad7", good], http=[], sql="x")
    assert [span.name for span in document.spans] == ["genba", "db"]
    assert document.refused == (
        "embedded: no valid id",
        "an embedded subsegment is not an object",
    )


def test_deep_nesting_is_cut() -> None:
    part: dict[str, Any] = {}
    for number in range(80):
        part = {
            "id": f"{number:016x}",
            "name": "n",
            "start_time": 1.0,
            "end_time": 2.0,
            "subsegments": [part] if part else [],
        }
    document = parse(subsegments=[part])
    assert len(document.spans) == 61 and document.refused == ("embedded too deeply",)


@pytest.mark.parametrize(
    ("header", "root"),
    [
        (f"Root={TRACE}", TRACE),
        (f"Self=1-67891234-{'a' * 24};Root={TRACE};Parent=53995c3f42cd8ad8;Sampled=1", TRACE),
        ([f"Root={TRACE.upper()}"], TRACE),
        (f"Self={TRACE}", None),
        (f"Root={TRACE}0", None),
        ("", None),
        (None, None),
    ],
)
def test_the_root_of_a_captured_header(header: Any, root: str | None) -> None:
    assert root_of(header) == root


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b'{"format":"json","version":1}\n{"a":1}', '{"a":1}'),
        (b'{"format": "JSON", "version": 1}\n{"a":\n1}', '{"a":\n1}'),
    ],
)
def test_datagrams_are_read(data: bytes, body: str) -> None:
    assert parse_datagram(data) == body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b'{"format":"json","version":1}',
        b'{"format":"json","version":1}\n  ',
        b'{"format":"xml","version":1}\n{}',
        b'{"format":"json","version":2}\n{}',
        b"[]\n{}",
        b'{"format":"json","version":1}\n\xff\xfe',
    ],
)
def test_bad_datagrams_are_refused(data: bytes) -> None:
    with pytest.raises(BadDocumentError):
        parse_datagram(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*SEGMENT, "subsegments", "http", "sql", "request", "aws", "xray"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


def read(parser: Any, text: str) -> Any:
    try:
        return parser(text)
    except BadDocumentError as error:
        return error.reason, error.identifier


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from([*SEGMENT, "subsegments", "http", "sql"]), json_values))
def test_no_document_breaks_the_parser(changes: dict[str, Any]) -> None:
    text = json.dumps(SEGMENT | changes)
    document = read(parse_document, text)
    assert document == read(read_by_parts, text)
    assert isinstance(document, tuple) or document.spans[0].span_id


_ODD = st.sampled_from([
    None, True, False, 0, 7, 200, 200.0, 404.5, -1, 1e9, 2.5e9, 10**30, "", "x", "200", "é\ud800",
    "n" * 300, "70de5b6f19ff9a0b", "70DE5B6F19FF9A0C", "subsegment", "opentelemetry for go", [], {},
    {"exceptions": [{"type": "E", "message": "m"}]}, {"sdk": "opentelemetry"}, [{}], TRACE,
    f"Self={TRACE};Root={TRACE.upper()}", [f"Root={TRACE}"], f"Root={TRACE}7",
])  # fmt: skip
_HTTP = st.fixed_dictionaries({}, optional={
    "request": st.fixed_dictionaries({}, optional={"method": _ODD, "url": _ODD}) | _ODD,
    "response": st.fixed_dictionaries({}, optional={"status": _ODD}) | _ODD,
})  # fmt: skip
_FIELDS = {
    "name": _ODD, "namespace": _ODD, "fault": _ODD, "error": _ODD, "throttle": _ODD,
    "in_progress": _ODD, "end_time": _ODD, "cause": _ODD, "http": _HTTP | _ODD, "parent_id": _ODD,
    "sql": st.fixed_dictionaries({}, optional={"sanitized_query": _ODD}) | _ODD,
    "aws": st.fixed_dictionaries({}, optional={"xray": _ODD}) | _ODD, "type": _ODD,
    "metadata": st.fixed_dictionaries({}, optional={
        "default": st.fixed_dictionaries({}, optional={CAPTURED: _ODD}) | _ODD,
    }) | _ODD,
}  # fmt: skip
_GOOD = {"id": "53995c3f42cd8ad8", "name": "db", "start_time": 1478293361.3, "end_time": 2e9}
_PARTS = st.recursive(
    st.fixed_dictionaries({}, optional=_FIELDS).map(lambda odd: _GOOD | odd) | _ODD,
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: _GOOD | {"subsegments": parts}),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(st.fixed_dictionaries({}, optional=_FIELDS), st.lists(_PARTS, max_size=3) | _ODD)
def test_in_one_go_or_part_by_part_it_is_the_same(odd: dict[str, Any], parts: Any) -> None:
    """Few fields are odd at a time, so that both ways are gone."""
    text = json.dumps(SEGMENT | odd | ({} if parts is None else {"subsegments": parts}))
    assert read(parse_document, text) == read(read_by_parts, text)
