"""From an operation's answer, or an error, to bytes, by botocore's model."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from xml.sax.saxutils import escape

from hikkoshi.region.front.catalogue import ServiceDescription
from hikkoshi.region.front.port import AwsError

# XML 1.0 has no way to write these, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False, default=b"")


def serialize(
    service: ServiceDescription, operation: Any, answer: Mapping[str, Any], request_id: str
) -> Response:
    """Members that are None are left out; what the model does not know is a ValueError, for it
    is a mistake of ours."""
    shape = operation.output_shape
    if service.protocol == "query":
        return _query(service, operation, answer, request_id)
    headers = {"x-amzn-RequestId": request_id}
    if service.protocol == "json":
        headers["Content-Type"] = f"application/x-amz-json-{service.json_version}"
        document = _json(answer, shape, "body") if shape is not None else {}
        return Response(200, headers, _dump(document))
    headers["Content-Type"] = "application/json"
    status = operation.http.get("responseCode", 200)
    return _rest_json(answer, shape, headers, status)


def serialize_error(service: ServiceDescription, error: AwsError, request_id: str) -> Response:
    code, status_of_model = service.error(error.code)
    status = status_of_model if status_of_model and error.status == 400 else error.status
    return error_response(
        service.protocol, code, error.message, status, request_id,
        namespace=service.namespace, json_version=service.json_version,
    )  # fmt: skip


def error_response(
    protocol: str,
    code: str,
    message: str,
    status: int,
    request_id: str,
    *,
    namespace: str = "",
    json_version: str = "1.1",
) -> Response:
    """An error in AWS's shape for `json`, `rest-json`, `query` or, for S3's kind, `rest-xml`."""
    headers = {"x-amzn-RequestId": request_id}
    if protocol == "json":
        headers["Content-Type"] = f"application/x-amz-json-{json_version}"
        return Response(status, headers, _dump({"__type": code, "message": message}))
    if protocol == "rest-json":
        headers |= {"Content-Type": "application/json", "x-amzn-ErrorType": code}
        return Response(status, headers, _dump({"__type": code, "message": message}))
    headers["Content-Type"] = "text/xml"
    if protocol == "rest-xml":
        inner = _element("Code", code) + _element("Message", message)
        text = f"<Error>{inner}{_element('RequestId', request_id)}</Error>"
    else:
        kind = "Receiver" if status >= 500 else "Sender"
        inner = _element("Type", kind) + _element("Code", code) + _element("Message", message)
        xmlns = f' xmlns="{escape(namespace)}"' if namespace else ""
        text = (
            f"<ErrorResponse{xmlns}><Error>{inner}</Error>"
            f"{_element('RequestId', request_id)}</ErrorResponse>"
        )
    return Response(status, headers, _xml_bytes(text))


def _query(
    service: ServiceDescription, operation: Any, answer: Mapping[str, Any], request_id: str
) -> Response:
    name, shape = operation.name, operation.output_shape
    result = ""
    if shape is not None:
        result = _xml_members(answer, shape)
        wrapper = shape.serialization.get("resultWrapper")
        result = f"<{wrapper}>{result}</{wrapper}>" if wrapper else result
    xmlns = f' xmlns="{escape(service.namespace)}"' if service.namespace else ""
    text = (
        f"<{name}Response{xmlns}>{result}<ResponseMetadata>{_element('RequestId', request_id)}"
        f"</ResponseMetadata></{name}Response>"
    )
    headers = {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}
    return Response(200, headers, _xml_bytes(text))


def _rest_json(
    answer: Mapping[str, Any], shape: Any, headers: dict[str, str], status: int
) -> Response:
    if shape is None:
        return Response(status, headers, b"{}")
    _check_known(answer, shape)
    in_body: dict[str, Any] = {}
    payload = shape.serialization.get("payload")
    for name, member in shape.members.items():
        value = answer.get(name)
        if value is None:
            continue
        place = member.serialization.get("location")
        if place == "header":
            headers[_wire_name(name, member)] = _text(value, member, "header")
        elif place == "statusCode":
            status = int(value)
        elif name == payload and member.type_name == "blob":
            return Response(status, headers | {"Content-Type": "application/octet-stream"}, value)
        elif name == payload:
            return Response(status, headers, _dump(_json(value, member, "body")))
        else:
            in_body[_wire_name(name, member)] = _json(value, member, "body")
    return Response(status, headers, _dump(in_body))


def _check_known(answer: Mapping[str, Any], shape: Any) -> None:
    unknown = answer.keys() - shape.members.keys()
    if unknown:
        raise ValueError(f"{shape.name} has no member {sorted(unknown)}")


def _wire_name(name: str, member: Any) -> str:
    return str(member.serialization.get("name", name))


def _json(value: Any, shape: Any, place: str) -> Any:
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return value
        _check_known(value, shape)
        return {
            _wire_name(name, shape.members[name]): _json(item, shape.members[name], place)
            for name, item in value.items()
            if item is not None
        }
    if kind == "list":
        return [_json(item, shape.member, place) for item in value]
    if kind == "map":
        return {str(key): _json(item, shape.value, place) for key, item in value.items()}
    if kind == "timestamp":
        return _moment(value, shape.serialization.get("timestampFormat", "unixTimestamp"))
    if kind == "blob":
        return base64.b64encode(value).decode()
    if kind == "boolean":
        return bool(value)
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("float", "double"):
        return float(value)
    return str(value)


def _xml_members(value: Mapping[str, Any], shape: Any) -> str:
    _check_known(value, shape)
    return "".join(
        _xml(value[name], member, _wire_name(name, member))
        for name, member in shape.members.items()
        if value.get(name) is not None
    )


def _xml(value: Any, shape: Any, name: str) -> str:
    kind = shape.type_name
    if kind == "structure":
        return f"<{name}>{_xml_members(value, shape)}</{name}>"
    if kind == "list":
        inner = shape.member.serialization.get("name")
        if shape.serialization.get("flattened"):
            return "".join(_xml(item, shape.member, inner or name) for item in value)
        items = "".join(_xml(item, shape.member, inner or "member") for item in value)
        return f"<{name}>{items}</{name}>"
    if kind == "map":
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        is_flattened = shape.serialization.get("flattened")
        tag = name if is_flattened else "entry"
        entries = "".join(
            f"<{tag}>{_element(key_name, str(key))}{_xml(item, shape.value, value_name)}</{tag}>"
            for key, item in value.items()
        )
        return entries if is_flattened else f"<{name}>{entries}</{name}>"
    return _element(name, _text(value, shape, "xml"))


def _text(value: Any, shape: Any, place: str) -> str:
    kind = shape.type_name
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "timestamp":
        default = "rfc822" if place == "header" else "iso8601"
        return str(_moment(value, shape.serialization.get("timestampFormat", default)))
    if kind == "blob":
        return base64.b64encode(value).decode()
    if kind in ("integer", "long"):
        return str(int(value))
    return str(value)


def _moment(value: datetime | float, form: str) -> float | str:
    moment = value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    moment = moment.astimezone(UTC)
    if form == "unixTimestamp":
        return round(moment.timestamp(), 3)
    if form == "rfc822":
        return format_datetime(moment, usegmt=True)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(_NOT_XML.sub(chr(0xFFFD), text), {chr(13): '&#13;'})}</{name}>"


def _xml_bytes(text: str) -> bytes:
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode("utf-8", "replace")


def _dump(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
