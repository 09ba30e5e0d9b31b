"""Segment documents: checked, and flattened into rows of `spans`. Standard library only.

Source: AWS's page "X-Ray segment documents", and what its SDKs for Python and Node send."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 64 * 1024
MAX_DEPTH = 60
MAX_NAME = 200
MAX_TEXT = 16_000

_SPAN_ID = re.compile(r"[0-9a-fA-F]{16}")
_TRACE_ID = re.compile(r"1-([0-9a-fA-F]{8})-([0-9a-fA-F]{24})")
_W3C_ID = re.compile(r"[0-9a-fA-F]{32}")


class BadDocumentError(ValueError):
    """A document, or one part of it, that is refused. `reason` is short and fit for counting."""

    def __init__(self, reason: str, identifier: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.identifier = identifier


@dataclass(frozen=True, slots=True)
class Span:
    """A row of `spans`, by its columns. t_end None: it was still going on."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    namespace: str | None
    t_start: float
    t_end: float | None
    fault: bool
    error: bool
    throttle: bool
    method: str | None
    url: str | None
    status: int | None
    sql: str | None
    source: str
    cause: str | None = None
    """The exceptions that it told of: `type: message`, one a line."""

    def row(self) -> dict[str, Any]:
        """Its columns. `dataclasses.asdict` copies each value: most of the intake's time."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Document:
    """One document as it was sent. spans: itself first, then what is embedded in it.
    refused: why embedded parts were left out, one reason each."""

    trace_id: str
    span_id: str
    is_in_progress: bool
    is_subsegment: bool
    text: str
    spans: tuple[Span, ...]
    refused: tuple[str, ...] = ()


def parse_datagram(data: bytes) -> str:
    """What a datagram of the daemon's protocol carries: `{"format":"json","version":1}`, a line
    break, one document. Raises BadDocumentError."""
    header, separator, body = data.partition(b"\n")
    try:
        found = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise BadDocumentError("the header is not JSON") from error
    if not isinstance(found, dict) or not separator:
        raise BadDocumentError("no header")
    if str(found.get("format", "")).lower() != "json" or found.get("version") != 1:
        raise BadDocumentError("the header is not format json, version 1")
    if not body.strip():
        raise BadDocumentError("no document after the header")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadDocumentError("the document is not UTF-8") from error


def parse_document(text: str) -> Document:
    """A document as PutTraceSegments takes it. Raises BadDocumentError."""
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise BadDocumentError("larger than 64 kB")
    try:
        raw = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadDocumentError("not JSON") from error
    if not isinstance(raw, dict):
        raise BadDocumentError("not a JSON object")
    identifier = raw.get("id") if isinstance(raw.get("id"), str) else None
    try:
        trace_id = normal_trace_id(raw.get("trace_id"))
        own = _span(raw, trace_id, _identifier(raw.get("parent_id")), _source(raw))
    except BadDocumentError as error:
        raise BadDocumentError(error.reason, identifier) from error
    is_subsegment = raw.get("type") == "subsegment"
    if is_subsegment and own.parent_id is None:
        raise BadDocumentError("a subsegment without parent_id", identifier)
    spans, refused = [own], []
    for part in _embedded(raw, own):
        if isinstance(part, Span):
            spans.append(part)
        else:
            refused.append(part)
    is_in_progress = own.t_end is None
    return Document(
        trace_id, own.span_id, is_in_progress, is_subsegment, text, tuple(spans), tuple(refused)
    )


def normal_trace_id(value: Any) -> str:
    """`1-8hex-24hex`, lower case; the OpenTelemetry form (32 hex digits) is taken too."""
    if isinstance(value, str):
        match = _TRACE_ID.fullmatch(value)
        if match:
            return f"1-{match.group(1)}-{match.group(2)}".lower()
        if _W3C_ID.fullmatch(value):
            return f"1-{value[:8]}-{value[8:]}".lower()
    raise BadDocumentError("no valid trace_id")


def _embedded(raw: dict[str, Any], own: Span) -> Iterator[Span | str]:
    """Depth first, without recursion: the depth is the sender's choice."""
    stack = [(part, own, 1) for part in reversed(_parts(raw))]
    while stack:
        part, parent, depth = stack.pop()
        if depth > MAX_DEPTH:
            yield "embedded too deeply"
            continue
        if isinstance(part, str):
            continue  # The id of a subsegment that was sent before, alone.
        if not isinstance(part, dict):
            yield "an embedded subsegment is not an object"
            continue
        try:
            span = _span(part, parent.trace_id, parent.span_id, parent.source)
        except BadDocumentError as error:
            yield f"embedded: {error.reason}"
            continue
        yield span
        stack.extend((inner, span, depth + 1) for inner in reversed(_parts(part)))


def _parts(raw: dict[str, Any]) -> list[Any]:
    found = raw.get("subsegments")
    return found if isinstance(found, list) else []


def _span(raw: dict[str, Any], trace_id: str, parent_id: str | None, source: str) -> Span:
    span_id = _identifier(raw.get("id"))
    if span_id is None:
        raise BadDocumentError("no valid id")
    name = raw.get("name")
    if not isinstance(name, str) or not name:
        raise BadDocumentError("no name")
    start = _time(raw.get("start_time"))
    if start is None:
        raise BadDocumentError("no valid start_time")
    end = None if raw.get("in_progress") is True else _time(raw.get("end_time"))
    if end is None and raw.get("in_progress") is not True:
        raise BadDocumentError("neither end_time nor in_progress")
    if end is not None and end < start:
        raise BadDocumentError("it ends before it starts")
    request, response = _http(raw)
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id,
        name=name[:MAX_NAME],
        namespace=_text(raw.get("namespace")),
        t_start=start,
        t_end=end,
        fault=raw.get("fault") is True,
        error=raw.get("error") is True,
        throttle=raw.get("throttle") is True,
        method=_text(request.get("method")),
        url=_text(request.get("url")),
        status=_status(response.get("status")),
        sql=_sql(raw),
        source=source,
        cause=_cause(raw),
    )


def _http(raw: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    http = raw.get("http")
    if not isinstance(http, dict):
        return {}, {}
    request, response = http.get("request"), http.get("response")
    return (
        request if isinstance(request, dict) else {},
        response if isinstance(response, dict) else {},
    )


def _sql(raw: dict[str, Any]) -> str | None:
    sql = raw.get("sql")
    return _text(sql.get("sanitized_query")) if isinstance(sql, dict) else None


def _cause(raw: dict[str, Any]) -> str | None:
    """A cause is an object with exceptions, or the id of one told elsewhere (which says nothing
    here)."""
    cause = raw.get("cause")
    told = cause.get("exceptions") if isinstance(cause, dict) else None
    lines = []
    for one in told if isinstance(told, list) else []:
        if isinstance(one, dict):
            parts = [_text(one.get("type")), _text(one.get("message"))]
            lines.append(": ".join(part for part in parts if part))
    return _text("\n".join(line for line in lines if line))


def _source(raw: dict[str, Any]) -> str:
    """`otlp` for what came by OpenTelemetry, whose exporters name themselves as the SDK."""
    aws = raw.get("aws")
    xray = aws.get("xray") if isinstance(aws, dict) else None
    sdk = xray.get("sdk") if isinstance(xray, dict) else None
    return "otlp" if isinstance(sdk, str) and sdk.startswith("opentelemetry") else "xray"


def _identifier(value: Any) -> str | None:
    if isinstance(value, str) and _SPAN_ID.fullmatch(value):
        return value.lower()
    return None


def _time(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) and 0 < seconds < 1e11 else None


def _status(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 999:
        return value
    return None


def _text(value: Any) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) and value else None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
