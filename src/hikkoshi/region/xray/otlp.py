"""OTLP traces turned into segment documents. Standard library, except where protobuf came.

As the OpenTelemetry Collector's X-Ray exporter does it: a span that serves (or has no parent) is a
segment, any other a subsegment sent alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from hikkoshi.region.xray.wire import CAPTURED, BadDocumentError, normal_trace_id, root_of

SERVER, CONSUMER, CLIENT, PRODUCER = 2, 5, 3, 4
STATUS_ERROR = 2
MAX_EXCEPTIONS = 5
MAX_MESSAGE = 1000
_DASHED = "http.request.header.x-amzn-trace-id"
_KINDS = {
    "SPAN_KIND_UNSPECIFIED": 0, "SPAN_KIND_INTERNAL": 1, "SPAN_KIND_SERVER": SERVER,
    "SPAN_KIND_CLIENT": CLIENT, "SPAN_KIND_PRODUCER": PRODUCER, "SPAN_KIND_CONSUMER": CONSUMER,
}  # fmt: skip

Flat = dict[str, Any]
"""One span, whichever encoding it had: trace, id, parent (hex), name, kind, start, end (seconds),
status, status_message, exceptions (their attributes), attributes, resource."""


def read_json(body: bytes) -> tuple[list[Flat], int]:
    """(spans, how many were refused). Raises ValueError for what is no OTLP JSON."""
    try:
        document = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    spans, refused = [], 0
    for resource_spans in _list(document, "resourceSpans"):
        resource = _attributes(_dict(resource_spans, "resource"))
        for scope_spans in _list(resource_spans, "scopeSpans"):
            for raw in _list(scope_spans, "spans"):
                try:
                    spans.append(_from_json(raw, resource))
                except (ValueError, TypeError, KeyError):
                    refused += 1
    return spans, refused


def read_protobuf(body: bytes) -> tuple[list[Flat], int]:
    """(spans, how many were refused). Raises ValueError for what is no OTLP protobuf."""
    # Only who sends protobuf pays for loading it.
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    spans = []
    for resource_spans in request.resource_spans:
        resource = {one.key: _any_value(one.value) for one in resource_spans.resource.attributes}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                spans.append(_from_protobuf(span, resource))
    return spans, 0


def documents_of(spans: list[Flat]) -> Iterator[str]:
    """One document for each span that has what a segment needs; the others are left out."""
    for span in spans:
        document = _document(span)
        if document is not None:
            yield json.dumps(document, separators=(",", ":"))


def _document(span: Flat) -> dict[str, Any] | None:
    try:
        trace_id = normal_trace_id(span["trace"])
    except BadDocumentError:
        return None
    if len(span["id"]) != 16 or not span["start"] or span["end"] < span["start"]:
        return None
    attributes, resource = span["attributes"], span["resource"]
    serves = span["kind"] in (SERVER, CONSUMER)
    is_segment = serves or not span["parent"]
    service = str(resource.get("service.name", "unknown_service"))
    language = resource.get("telemetry.sdk.language", "unknown")
    found: dict[str, Any] = {
        "name": (span["name"] or service)[:200],
        "id": span["id"],
        "trace_id": trace_id,
        "start_time": span["start"],
        "end_time": span["end"],
        "aws": {"xray": {"sdk": f"opentelemetry for {language}"}},
        "service": {"name": service},
    }
    if span["parent"]:
        found["parent_id"] = span["parent"]
    if not is_segment:
        found["type"] = "subsegment"
        if span["kind"] in (CLIENT, PRODUCER):
            found["namespace"] = "aws" if attributes.get("rpc.system") == "aws-api" else "remote"
    _add_http(found, attributes, serves)
    _add_sql(found, attributes)
    _add_failure(found, span, attributes)
    # OpenTelemetry's names for a header have had dashes and underscores.
    root = root_of(attributes.get(CAPTURED) or attributes.get(_DASHED))
    if root is not None:
        found["metadata"] = {"default": {CAPTURED: f"Root={root}"}}
    return found


def _add_http(found: dict[str, Any], attributes: dict[str, Any], serves: bool) -> None:
    method = attributes.get("http.request.method") or attributes.get("http.method")
    if method is None:
        return
    url = attributes.get("url.full") or attributes.get("http.url")
    if url is None:
        path = attributes.get("url.path") or attributes.get("http.target") or ""
        host = attributes.get("server.address") or attributes.get("http.host") or ""
        scheme = attributes.get("url.scheme") or attributes.get("http.scheme") or "http"
        url = f"{scheme}://{host}{path}"
    status = attributes.get("http.response.status_code", attributes.get("http.status_code"))
    found["http"] = {"request": {"method": str(method), "url": str(url)}}
    if status is not None:
        found["http"]["response"] = {"status": status}


def _add_sql(found: dict[str, Any], attributes: dict[str, Any]) -> None:
    system = attributes.get("db.system.name") or attributes.get("db.system")
    query = attributes.get("db.query.text") or attributes.get("db.statement")
    if system is not None or query is not None:
        sql = {"database_type": system, "sanitized_query": query}
        found["sql"] = {name: str(value) for name, value in sql.items() if value is not None}
        found.setdefault("namespace", "remote")


def _add_failure(found: dict[str, Any], span: Flat, attributes: dict[str, Any]) -> None:
    status = attributes.get("http.response.status_code", attributes.get("http.status_code"))
    code = int(str(status)) if str(status).isdecimal() else 0
    if 400 <= code < 500:
        found["error"] = True
        found["throttle"] = code == 429
    elif code >= 500 or span["status"] == STATUS_ERROR:
        found["fault"] = True
    told = [
        {"type": each.get("exception.type"), "message": each.get("exception.message")}
        for each in span["exceptions"]
    ]
    if not told and span["status"] == STATUS_ERROR and span["status_message"]:
        told = [{"type": None, "message": span["status_message"]}]
    exceptions = [
        {name: str(value)[:MAX_MESSAGE] for name, value in each.items() if value}
        for each in told[:MAX_EXCEPTIONS]
    ]
    if exceptions:
        found["cause"] = {"exceptions": exceptions}


def _from_json(raw: dict[str, Any], resource: dict[str, Any]) -> Flat:
    kind = raw.get("kind", 0)
    status = _dict(raw, "status").get("code", 0)
    return {
        "trace": str(raw["traceId"]).lower(),
        "id": str(raw["spanId"]).lower(),
        "parent": str(raw.get("parentSpanId") or "").lower(),
        "name": str(raw.get("name") or ""),
        "kind": _KINDS.get(kind, 0) if isinstance(kind, str) else int(kind),
        "start": int(raw["startTimeUnixNano"]) / 1e9,
        "end": int(raw["endTimeUnixNano"]) / 1e9,
        "status": STATUS_ERROR if status in (STATUS_ERROR, "STATUS_CODE_ERROR") else 0,
        "status_message": str(_dict(raw, "status").get("message") or ""),
        "exceptions": [
            _attributes(event)
            for event in _list(raw, "events")
            if isinstance(event, dict) and event.get("name") == "exception"
        ],
        "attributes": _attributes(raw),
        "resource": resource,
    }


def _from_protobuf(span: Any, resource: dict[str, Any]) -> Flat:
    return {
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "kind": span.kind,
        "start": span.start_time_unix_nano / 1e9,
        "end": span.end_time_unix_nano / 1e9,
        "status": span.status.code,
        "status_message": span.status.message,
        "exceptions": [
            {one.key: _any_value(one.value) for one in event.attributes}
            for event in span.events
            if event.name == "exception"
        ],
        "attributes": {one.key: _any_value(one.value) for one in span.attributes},
        "resource": resource,
    }


def _any_value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind in ("string_value", "bool_value", "int_value", "double_value"):
        return getattr(value, kind)
    return None if kind is None else str(getattr(value, kind))


def _attributes(owner: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for pair in _list(owner, "attributes"):
        value = _dict(pair, "value")
        for kind in ("stringValue", "boolValue", "doubleValue"):
            if kind in value:
                found[str(pair.get("key"))] = value[kind]
        if "arrayValue" in value:
            found[str(pair.get("key"))] = str(value["arrayValue"])
        if "intValue" in value:
            found[str(pair.get("key"))] = int(value["intValue"])
        if "bytesValue" in value:
            found[str(pair.get("key"))] = base64.b64decode(value["bytesValue"]).hex()
    return found


def _list(owner: Any, key: str) -> list[Any]:
    value = owner.get(key) if isinstance(owner, dict) else None
    return value if isinstance(value, list) else []


def _dict(owner: Any, key: str) -> dict[str, Any]:
    value = owner.get(key) if isinstance(owner, dict) else None
    return value if isinstance(value, dict) else {}
