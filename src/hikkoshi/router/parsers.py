"""Parsers: json, regex, logfmt and ltsv, as [PARSER] sections define them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from hikkoshi.base.errors import BadInput
from hikkoshi.router.codec import from_json
from hikkoshi.router.match import compile_regex
from hikkoshi.router.section import Section, Settings
from hikkoshi.router.timeformat import compile_time, parse_offset

Fields = dict[str, Any]

_LOGFMT = re.compile(r'([^\s="]+)(?:=(?:"((?:[^"\\]|\\.)*)"|(\S*)))?')
_CASTS: dict[str, Callable[[str], Any]] = {
    "integer": int,
    "float": float,
    "hex": lambda text: int(text, 16),
    "bool": lambda text: text.lower() == "true",
    "string": str,
}


class Parser(NamedTuple):
    """parse: text → (fields, nanoseconds or None), or None where the text is not of this kind."""

    name: str
    parse: Callable[[str], tuple[Fields, int | None] | None]


def make_parser(section: Section) -> Parser:
    """From a [PARSER] section; BadInput for what cannot be interpreted."""
    settings = Settings(section, "parser")
    name = settings.required("name")
    kind = settings.required("format").lower()
    regex = settings.find("regex")
    skip_empty = settings.boolean("skip_empty_values", True)
    split = _splitter(kind, regex.value if regex else None, section, skip_empty)
    casts = _casts(settings)
    key = settings.text("time_key") or "time"
    keep = settings.boolean("time_keep", False)
    settings.ignore(["time_strict", "time_system_timezone", "logfmt_no_bare_keys"])
    read_time = _time_reader(settings)
    settings.finish()

    def parse(text: str) -> tuple[Fields, int | None] | None:
        fields = split(text)
        if fields is None:
            return None
        for field, cast in casts.items():
            value = fields.get(field)
            if isinstance(value, str):
                # What cannot be read stays as it is, as in Fluent Bit.
                with contextlib.suppress(ValueError):
                    fields[field] = cast(value)
        moment = None
        if read_time is not None and isinstance(fields.get(key), str):
            moment = read_time(fields[key])
            if moment is not None and not keep:
                del fields[key]
        return fields, moment

    return Parser(name, parse)


def _time_reader(settings: Settings) -> Callable[[str], int | None] | None:
    offset = settings.read("time_offset", 0, parse_offset, "+0900")
    return settings.read(
        "time_format", None, lambda text: compile_time(text, offset), "strptime's letters"
    )


def _casts(settings: Settings) -> dict[str, Callable[[str], Any]]:
    entry = settings.find("types")
    casts: dict[str, Callable[[str], Any]] = {}
    for pair in entry.value.split() if entry else []:
        field, _, kind = pair.partition(":")
        if kind not in _CASTS:
            raise BadInput(
                f"parser: unknown type {kind!r}",
                where=f"{entry.file}:{entry.line}" if entry else None,
                fix="one of " + ", ".join(_CASTS),
            )
        casts[field] = _CASTS[kind]
    return casts


def _splitter(
    kind: str, regex: str | None, section: Section, skip_empty: bool
) -> Callable[[str], Fields | None]:
    if kind == "json":
        return _from_json
    if kind == "logfmt":
        return _from_logfmt
    if kind == "ltsv":
        return _from_ltsv
    if kind != "regex":
        raise BadInput(
            f"parser: unknown format {kind!r}",
            where=section.where,
            fix="one of json, regex, logfmt, ltsv",
        )
    if regex is None:
        raise BadInput("parser: no Regex is defined", where=section.where, fix="add `Regex …`")
    expression = compile_regex(regex, section.where)

    def split(text: str) -> Fields | None:
        match = expression.search(text)
        if match is None:
            return None
        found = match.groupdict()
        if skip_empty:
            return {key: value for key, value in found.items() if value}
        return {key: value or "" for key, value in found.items()}

    return split


def _from_json(text: str) -> Fields | None:
    if "{" not in text:
        return None
    try:
        value = from_json(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _from_logfmt(text: str) -> Fields | None:
    fields: Fields = {}
    for key, quoted, bare in _LOGFMT.findall(text):
        if quoted:
            fields[key] = re.sub(r"\\(.)", r"\1", quoted)
        else:
            fields[key] = bare if bare or f"{key}=" in text else True
    return fields or None


def _from_ltsv(text: str) -> Fields | None:
    fields: Fields = {}
    for part in text.rstrip("\r\n").split("\t"):
        label, found, value = part.partition(":")
        if not found:
            return None
        fields[label] = value
    return fields or None
