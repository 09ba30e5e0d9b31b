"""hikkoshi.yaml into `Settings`, with every mistake at its line."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from hikkoshi.base.units import parse_duration, parse_rate, parse_share
from hikkoshi.model.project import Rate, Seconds, Settings, Share
from hikkoshi.project.documents import Document, KeyPath, nearest

_RENAMED = {"from_": "from"}
_PATH_PART = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def read_settings(document: Document) -> Settings:
    """Raises BadInput with file, line, key, and the nearest known key."""
    if not isinstance(document.data, dict):
        raise document.refuse((), "this file must be a mapping of keys")
    data = _checked(document, document.data, Settings, ())
    try:
        return msgspec.convert(data, Settings, dec_hook=_decode)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `")
        key = _key_of(place.rstrip("`"))
        raise document.refuse(key, _plain(what)) from error


def _decode(kind: type, value: Any) -> Any:
    parsers: dict[Any, Any] = {Seconds: parse_duration, Rate: parse_rate, Share: parse_share}
    parse = parsers.get(kind)
    if parse is None:
        raise NotImplementedError(kind)
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not what is wanted here")
    number = parse(value)
    if number < 0:
        raise ValueError(f"{value!r} is less than nothing")
    return kind(number)


def _checked(document: Document, value: Any, kind: Any, key: KeyPath) -> Any:
    """The value with renamed keys, after refusing keys that `kind` does not have."""
    kind = _without_none(kind)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        fields = {_RENAMED.get(f.name, f.name): f.name for f in dataclasses.fields(kind)}
        made = {}
        for name, item in value.items():
            if name not in fields:
                raise document.refuse(
                    (*key, str(name)), f"there is no key {name!r} here", nearest(str(name), fields)
                )
            made[fields[name]] = _checked(document, item, hints[fields[name]], (*key, name))
        for field in dataclasses.fields(kind):
            is_required = (
                field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            )
            if is_required and field.name not in made:
                name = _RENAMED.get(field.name, field.name)
                raise document.refuse(key, f"the key {name!r} is missing here")
        return made
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is Mapping and isinstance(value, dict):
        return {
            str(name): _as_text(_checked(document, item, arguments[1], (*key, name)), arguments[1])
            for name, item in value.items()
        }
    return value


def _as_text(value: Any, kind: Any) -> Any:
    """YAML reads `8080` as a number; where text is wanted that is what was meant."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if kind is str and is_number else value


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [k for k in typing.get_args(kind) if k is not type(None)]
        return rest[0] if len(rest) == 1 else kind
    return kind


def _key_of(place: str) -> KeyPath:
    parts: list[str | int] = []
    for name, index in _PATH_PART.findall(place):
        parts.append(int(index) if index.isdigit() else _RENAMED.get(name, name))
    return tuple(parts)


def _plain(what: str) -> str:
    what = what.replace("`", "").replace("Expected ", "this must be ").replace(", got ", ", not ")
    words = {
        "str": "text",
        "int": "a whole number",
        "float": "a number",
        "array": "a list",
        "object": "a mapping of keys",
        "bool": "true or false",
        "null": "nothing",
    }
    return re.sub(r"\b(str|int|float|array|object|bool|null)\b", lambda m: words[m[0]], what)
