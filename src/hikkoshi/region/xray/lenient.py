"""A segment document part by part: what is wrong costs only itself, and is said. For what
documents.py cannot read in one go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hikkoshi.region.xray.spans import (
    MAX_DEPTH,
    MAX_NAME,
    Document,
    Span,
    cause_of,
    identifier_of,
    status_of,
    text_of,
    time_of,
)
from hikkoshi.region.xray.wire import CAPTURED, BadDocumentError, normal_trace_id, root_of


def read_by_parts(text: str) -> Document:
    """Raises BadDocumentError where the segment itself cannot be kept."""
    try:
        raw = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadDocumentError("not JSON") from error
    if not isinstance(raw, dict):
        raise BadDocumentError("not a JSON object")
    identifier = raw.get("id") if isinstance(raw.get("id"), str) else None
    try:
        trace_id = normal_trace_id(raw.get("trace_id"))
        own = _span(raw, trace_id, identifier_of(raw.get("parent_id")), _source(raw))
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
    span_id = identifier_of(raw.get("id"))
    if span_id is None:
        raise BadDocumentError("no valid id")
    name = raw.get("name")
    if not isinstance(name, str) or not name:
        raise BadDocumentError("no name")
    start = time_of(raw.get("start_time"))
    if start is None:
        raise BadDocumentError("no valid start_time")
    end = None if raw.get("in_progress") is True else time_of(raw.get("end_time"))
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
        namespace=text_of(raw.get("namespace")),
        t_start=start,
        t_end=end,
        fault=raw.get("fault") is True,
        error=raw.get("error") is True,
        throttle=raw.get("throttle") is True,
        method=text_of(request.get("method")),
        url=text_of(request.get("url")),
        status=status_of(response.get("status")),
        sql=_sql(raw),
        source=source,
        cause=cause_of(raw.get("cause")),
        balancer_trace_id=_captured(raw),
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
    return text_of(sql.get("sanitized_query")) if isinstance(sql, dict) else None


def _captured(raw: dict[str, Any]) -> str | None:
    metadata = raw.get("metadata")
    default = metadata.get("default") if isinstance(metadata, dict) else None
    return root_of(default.get(CAPTURED)) if isinstance(default, dict) else None


def _source(raw: dict[str, Any]) -> str:
    """`otlp` for what came by OpenTelemetry, whose exporters name themselves as the SDK."""
    aws = raw.get("aws")
    xray = aws.get("xray") if isinstance(aws, dict) else None
    sdk = xray.get("sdk") if isinstance(xray, dict) else None
    return "otlp" if isinstance(sdk, str) and sdk.startswith("opentelemetry") else "xray"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
