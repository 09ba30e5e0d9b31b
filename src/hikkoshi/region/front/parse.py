"""From a request to an operation's parameters, by botocore's model (json, query, rest-json)."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from botocore.utils import parse_timestamp

from hikkoshi.region.front.port import AwsError
from hikkoshi.region.front.request import Request

_MAX_LIST = 10_000


def parse_json(body: bytes, operation: Any) -> dict[str, Any]:
    """The json protocol: the whole input is the body. Unknown members are ignored, as AWS does."""
    document = _load_object(body)
    shape = operation.input_shape
    return _structure(document, shape, "", _from_json) if shape is not None else {}


def parse_rest_json(request: Request, operation: Any, labels: Mapping[str, str]) -> dict[str, Any]:
    """rest-json: path labels, query string, headers and the body each give their members."""
    shape = operation.input_shape
    if shape is None:
        return {}
    query = parse_qs(request.query, keep_blank_values=True)
    answer: dict[str, Any] = {}
    in_body: dict[str, Any] = {}
    for name, member in shape.members.items():
        place, wire = member.serialization.get("location"), _wire_name(name, member)
        if place == "uri" and wire in labels:
            answer[name] = _from_text(labels[wire], member, name)
        elif place == "querystring" and wire in query:
            if member.type_name == "list":
                answer[name] = [_from_text(v, member.member, name) for v in query[wire]]
            else:
                answer[name] = _from_text(query[wire][0], member, name)
        elif place == "header" and wire.lower() in request.headers:
            answer[name] = _from_text(request.headers[wire.lower()], member, name)
        elif place is None:
            in_body[name] = member
    payload = shape.serialization.get("payload")
    if payload is not None:
        member = shape.members[payload]
        if member.type_name == "blob":
            answer[payload] = request.body
        elif request.body:
            answer[payload] = _from_json(_load_object(request.body), member, payload)
    elif in_body:
        document = _load_object(request.body)
        answer |= _members(document, in_body, "", _from_json)
    return answer


def parse_query(form: Mapping[str, str], operation: Any) -> dict[str, Any]:
    """The query protocol: dotted names, lists as `Name.member.1` or flattened as `Name.1`."""
    shape = operation.input_shape
    if shape is None:
        return {}
    tree: dict[str, Any] = {}
    for key, value in form.items():
        node, parts = tree, key.split(".")
        if len(parts) > 32:
            raise AwsError("MalformedQueryString", f"{key[:80]} is nested too deeply")
        for part in parts:
            node = node.setdefault(part, {})
        node[""] = value
    return _structure(tree, shape, "", _from_tree)


def _load_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}", parse_constant=_refuse_constant)
    except RecursionError:
        raise AwsError("SerializationException", "the document is nested too deeply") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise AwsError("SerializationException", f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise AwsError(
            "SerializationException", "Start of structure or map found where not expected."
        )
    return document


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _wire_name(name: str, member: Any) -> str:
    return str(member.serialization.get("name", name))


_Convert = Callable[[Any, Any, str], Any]


def _structure(document: Any, shape: Any, path: str, convert: _Convert) -> dict[str, Any]:
    return _members(document, shape.members, path, convert)


def _members(
    document: Mapping[str, Any], members: Mapping[str, Any], path: str, convert: _Convert
) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for name, member in members.items():
        wire = _wire_name(name, member)
        value = document.get(wire)
        if value is None and member.type_name == "list" and convert is _from_tree:
            # A flattened list goes by the name of its member.
            inner = member.member.serialization.get("name")
            value = document.get(inner) if member.serialization.get("flattened") and inner else None
        if value is not None:
            answer[name] = convert(value, member, f"{path}.{name}" if path else name)
    return answer


def _from_json(value: Any, shape: Any, path: str) -> Any:
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return value
        return _structure(_need(value, dict, path, "object"), shape, path, _from_json)
    if kind == "list":
        items = _need(value, list, path, "list")
        _check_length(len(items), path)
        return [
            _from_json(item, shape.member, f"{path}.{index + 1}.member")
            for index, item in enumerate(items)
            if item is not None
        ]
    if kind == "map":
        pairs = _need(value, dict, path, "map").items()
        return {
            _text(key, path): _from_json(item, shape.value, f"{path}.{key}")
            for key, item in pairs
            if item is not None
        }
    if kind == "boolean":
        return _need(value, bool, path, "boolean")
    if kind in ("integer", "long", "float", "double"):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _wrong_type(path, value, "number")
        if kind in ("integer", "long"):
            if value != int(value):
                raise _wrong_type(path, value, "integer")
            return _whole(int(value), kind, path)
        return float(value)
    if kind == "timestamp":
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise _wrong_type(path, value, "timestamp")
        return _timestamp(value, path)
    if kind == "blob":
        return _blob(_need(value, str, path, "base64 text"), path)
    return _text(_need(value, str, path, "string"), path)


def _from_tree(node: Mapping[str, Any], shape: Any, path: str) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return _structure(node, shape, path, _from_tree)
    if kind == "list":
        items = _numbered(node, shape.serialization.get("flattened", False), path)
        return [
            _from_tree(item, shape.member, f"{path}.{index + 1}.member")
            for index, item in enumerate(items)
        ]
    if kind == "map":
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        entries = _numbered(node, shape.serialization.get("flattened", False), path)
        return {
            str(_from_tree(entry.get(key_name, {}), shape.key, path)): _from_tree(
                entry.get(value_name, {}), shape.value, path
            )
            for entry in entries
        }
    if not isinstance(node.get(""), str):
        # Absent, or a name that ended in a dot.
        raise AwsError("MalformedQueryString", f"{path} has members where a value is expected")
    return _from_text(node[""], shape, path)


def _numbered(node: Mapping[str, Any], is_flattened: bool, path: str) -> list[Mapping[str, Any]]:
    """The items of a list in the order of their numbers; holes are closed, as AWS does."""
    inner = {key: value for key, value in node.items() if key}
    if not is_flattened and inner and not any(key.isdigit() for key in inner):
        if len(inner) != 1:
            raise AwsError("MalformedQueryString", f"{path} is not a list: {sorted(inner)[:5]}")
        inner = {key: value for key, value in next(iter(inner.values())).items() if key}
    if not all(key.isascii() and key.isdigit() and len(key) < 10 for key in inner):
        raise AwsError("MalformedQueryString", f"{path} is not a list of numbered items")
    _check_length(len(inner), path)
    return [inner[key] for key in sorted(inner, key=int)]


def _from_text(text: str, shape: Any, path: str) -> Any:
    kind = shape.type_name
    try:
        if kind == "boolean":
            if text.lower() not in ("true", "false"):
                raise ValueError("it is neither true nor false")
            return text.lower() == "true"
        if kind in ("integer", "long"):
            return _whole(int(text), kind, path)
        if kind in ("float", "double"):
            number = float(text)
            if not math.isfinite(number):
                raise ValueError("it is not finite")
            return number
    except ValueError as error:
        raise AwsError("MalformedInput", f"{text[:80]!r} at {path!r} is no {kind}") from error
    if kind == "timestamp":
        return _timestamp(text, path)
    if kind == "blob":
        return _blob(text, path)
    if kind in ("structure", "list", "map"):
        raise AwsError("MalformedInput", f"{path!r} cannot be read from text")
    return _text(text, path)


def _need(value: Any, wanted: type, path: str, name: str) -> Any:
    if not isinstance(value, wanted):
        raise _wrong_type(path, value, name)
    return value


def _wrong_type(path: str, value: Any, wanted: str) -> AwsError:
    found = {dict: "object", list: "list", str: "string", bool: "boolean"}.get(
        type(value), "number"
    )
    return AwsError("SerializationException", f"{path}: a {found} was found, a {wanted} is needed")


def _check_length(length: int, path: str) -> None:
    if length > _MAX_LIST:
        raise AwsError("SerializationException", f"{path} has {length} items, too many")


def _whole(number: int, kind: str, path: str) -> int:
    bits = 31 if kind == "integer" else 63
    if not -(2**bits) <= number < 2**bits:
        raise AwsError("SerializationException", f"{path}: {str(number)[:40]} is not an {kind}")
    return number


def _text(text: str, path: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = f"{path}: half of a surrogate pair is not text"
        raise AwsError("SerializationException", message) from error
    return text


def _timestamp(value: float | str, path: str) -> Any:
    try:
        return parse_timestamp(value)
    except (ValueError, OverflowError, OSError, TypeError, RuntimeError) as error:
        message = f"{path}: {str(value)[:80]!r} is no timestamp"
        raise AwsError("SerializationException", message) from error


def _blob(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise AwsError("SerializationException", f"{path} is not base64") from error
