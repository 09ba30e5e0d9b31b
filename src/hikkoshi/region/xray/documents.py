"""Segment documents: checked, and flattened into rows of `spans`.

A document that is as AWS describes it is read in one go, by types. Anything else is read part by
part (lenient.py), which takes three times as long and comes to the same for the former."""

from __future__ import annotations

from typing import Any

import msgspec

from hikkoshi.region.xray.lenient import read_by_parts
from hikkoshi.region.xray.spans import (
    MAX_DEPTH,
    MAX_NAME,
    MAX_TIME,
    Document,
    Span,
    cause_of,
    identifier_of,
    status_of,
    text_of,
)
from hikkoshi.region.xray.wire import CAPTURED, BadDocumentError, normal_trace_id, root_of

MAX_BYTES = 64 * 1024


class _Request(msgspec.Struct):
    method: str | None = None
    url: str | None = None


class _Response(msgspec.Struct):
    status: Any = None


class _Http(msgspec.Struct):
    request: _Request | None = None
    response: _Response | None = None


class _Sql(msgspec.Struct):
    sanitized_query: str | None = None


class _Default(msgspec.Struct, rename={"captured": CAPTURED}):
    captured: Any = None


class _Metadata(msgspec.Struct):
    default: _Default | None = None


class _Part(msgspec.Struct):
    """A subsegment within. Every field that is read; others are skipped without being built."""

    id: str
    name: str
    start_time: float
    end_time: float | None = None
    in_progress: bool = False
    namespace: str | None = None
    fault: bool = False
    error: bool = False
    throttle: bool = False
    http: _Http | None = None
    sql: _Sql | None = None
    cause: Any = None
    metadata: _Metadata | None = None
    subsegments: list[_Part] | None = None


class _Sdk(msgspec.Struct):
    sdk: str | None = None


class _Aws(msgspec.Struct):
    xray: _Sdk | None = None


class _Whole(_Part):
    """What was sent: a segment, or a subsegment alone."""

    trace_id: str = ""
    parent_id: str | None = None
    type: str | None = None
    aws: _Aws | None = None


_decode = msgspec.json.Decoder(_Whole).decode


class _NotPlain(Exception):
    """Something is to be refused or left out: that is done part by part."""


def parse_document(text: str) -> Document:
    """A document as PutTraceSegments takes it. Raises BadDocumentError."""
    if len(text) > MAX_BYTES or (
        not text.isascii() and len(text.encode(errors="replace")) > MAX_BYTES
    ):
        raise BadDocumentError("larger than 64 kB")
    try:
        return _read_plain(_decode(text), text)
    except (_NotPlain, BadDocumentError, msgspec.MsgspecError, ValueError, RecursionError):
        return read_by_parts(text)


def _read_plain(whole: _Whole, text: str) -> Document:
    trace_id = normal_trace_id(whole.trace_id)
    parent_id = identifier_of(whole.parent_id)
    is_subsegment = whole.type == "subsegment"
    if is_subsegment and parent_id is None:
        raise _NotPlain
    sdk = whole.aws.xray.sdk if whole.aws and whole.aws.xray else None
    source = "otlp" if sdk and sdk.startswith("opentelemetry") else "xray"
    own = _span(whole, trace_id, parent_id, source)
    spans = [own]
    if whole.subsegments:
        _gather(whole.subsegments, own, 1, spans)
    return Document(trace_id, own.span_id, own.t_end is None, is_subsegment, text, tuple(spans))


def _gather(parts: list[_Part], parent: Span, depth: int, into: list[Span]) -> None:
    """Depth first, as they were sent."""
    if depth > MAX_DEPTH:
        raise _NotPlain
    for part in parts:
        span = _span(part, parent.trace_id, parent.span_id, parent.source)
        into.append(span)
        if part.subsegments:
            _gather(part.subsegments, span, depth + 1, into)


def _span(part: _Part, trace_id: str, parent_id: str | None, source: str) -> Span:
    span_id = identifier_of(part.id)
    start, end, http = part.start_time, part.end_time, part.http
    if part.in_progress:
        end = None
    elif end is None or not start <= end < MAX_TIME:
        raise _NotPlain
    if span_id is None or not part.name or not 0 < start < MAX_TIME:
        raise _NotPlain
    method = url = status = captured = None
    if part.metadata is not None and part.metadata.default is not None:
        captured = root_of(part.metadata.default.captured)
    if http is not None:
        if http.request is not None:
            method, url = text_of(http.request.method), text_of(http.request.url)
        if http.response is not None:
            status = status_of(http.response.status)
    return Span(
        trace_id,
        span_id,
        parent_id,
        part.name[:MAX_NAME],
        text_of(part.namespace),
        start,
        end,
        part.fault,
        part.error,
        part.throttle,
        method,
        url,
        status,
        text_of(part.sql.sanitized_query) if part.sql is not None else None,
        source,
        cause_of(part.cause) if part.cause is not None else None,
        captured,
    )
