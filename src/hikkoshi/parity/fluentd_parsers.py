"""fluentd's parsers: a line into fields and a time, or None where fluentd drops it.

https://docs.fluentd.org/configuration/parse-section and the page of each parser.
"""

from __future__ import annotations

import csv
import datetime
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.router.fluentd import Directive
from hikkoshi.router.match import compile_regex
from hikkoshi.router.timeformat import compile_time, parse_offset

Fields = dict[str, Any]
Parse = Callable[[str], tuple[Fields, int | None] | None]
"""line → (fields, nanoseconds or None for the time of arrival), or None: not matched."""

_APACHE2 = (
    r'^(?<host>[^ ]*) [^ ]* (?<user>[^ ]*) \[(?<time>[^\]]*)\] "(?<method>\S+)'
    r'(?: +(?<path>(?:[^\"]|\\.)*?)(?: +\S*)?)?" (?<code>[^ ]*) (?<size>[^ ]*)'
    r'(?: "(?<referer>(?:[^\"]|\\.)*)" "(?<agent>(?:[^\"]|\\.)*)")?$'
)
_NGINX = (
    r'^(?<remote>[^ ]*) (?<host>[^ ]*) (?<user>[^ ]*) \[(?<time>[^\]]*)\] "(?<method>\S+)'
    r'(?: +(?<path>[^\"]*?)(?: +\S*)?)?" (?<code>[^ ]*) (?<size>[^ ]*)'
    r'(?: "(?<referer>[^\"]*)" "(?<agent>[^\"]*)"(?:\s+(?<http_x_forwarded_for>[^ ]+))?)?$'
)
_SYSLOG = (
    r"^(?<time>[^ ]* {1,2}[^ ]* [^ ]*) (?<host>[^ ]*) (?<ident>[^ :\[]*)(?:\[(?<pid>[0-9]+)\])?"
    r"(?:[^\:]*\:)? *(?<message>.*)$"
)
_ACCESS_TIME = "%d/%b/%Y:%H:%M:%S %z"
_TYPES: Mapping[str, Callable[[str], Any]] = {
    "integer": lambda text: int(text, 10), "float": float, "string": str,
    "bool": lambda text: text.strip().lower() in ("yes", "true", "1"),
    "array": lambda text: text.split(","),
}  # fmt: skip


class NotInterpreted(Exception):
    """The parser is none of those here."""


def make_parser(parse: Directive | None) -> Parse:
    """Raises NotInterpreted, or BadInput for a pattern that is none."""
    kind = parse.type if parse else "none"
    values = parse.values if parse else {}
    where = parse.where if parse else ""
    if kind.startswith("/") or (not kind and "expression" in values):
        values = {"expression": kind, **values}
        kind = "regexp"
    split, defaults = _splitter(kind, values, where)
    values = {**defaults, **values}
    read_time = _time_reader(values, where)
    types = _types(values)
    key = values.get("time_key", "time")
    keeps = values.get("keep_time_key", "false") == "true"

    def run(line: str) -> tuple[Fields, int | None] | None:
        fields = split(line)
        if fields is None:
            return None
        moment = None
        if kind != "none" and fields.get(key) is not None:
            try:
                moment = read_time(fields[key])
            except (ValueError, TypeError):
                return None  # fluentd: "invalid time format": the line is dropped.
            if not keeps:
                del fields[key]
        for name, cast in types.items():
            if isinstance(fields.get(name), str):
                try:
                    fields[name] = cast(fields[name])
                except ValueError:
                    fields[name] = 0  # Ruby's to_i and to_f.
        return fields, moment

    return run


def _splitter(
    kind: str, values: Mapping[str, str], where: str
) -> tuple[Callable[[str], Fields | None], dict[str, str]]:
    if kind == "none":
        key = values.get("message_key", "message")
        return lambda line: {key: line}, {}
    if kind == "json":
        return _json, {"time_type": "float"}
    if kind == "ltsv":
        return _ltsv(values), {}
    if kind in ("csv", "tsv"):
        return _table(kind, values), {}
    fixed = {"apache2": _APACHE2, "nginx": _NGINX, "syslog": _SYSLOG}
    if kind in fixed:
        form = "%b %d %H:%M:%S" if kind == "syslog" else _ACCESS_TIME
        split = _regexp(fixed[kind], where)
        return (_apache2(split) if kind == "apache2" else split), {"time_format": form}
    if kind in ("regexp", "regex"):
        if "expression" not in values:
            raise BadInput("the regexp parser has no expression", where=where)
        return _regexp(values["expression"], where), {}
    raise NotInterpreted(f"the parser {kind!r}")


def _regexp(expression: str, where: str) -> Callable[[str], Fields | None]:
    pattern = compile_regex(expression, where)

    def split(line: str) -> Fields | None:
        match = pattern.search(line)
        if match is None:
            return None
        return {name: text for name, text in match.groupdict().items() if text is not None}

    return split


def _apache2(split: Callable[[str], Fields | None]) -> Callable[[str], Fields | None]:
    """Its numbers are numbers, and `-` is nil."""

    def run(line: str) -> Fields | None:
        fields = split(line)
        if fields is None:
            return None
        for name in ("user", "size", "code", "referer", "agent"):
            if fields.get(name) == "-":
                fields[name] = None
            elif name in ("size", "code") and str(fields.get(name, "")).isdigit():
                fields[name] = int(fields[name])
        return fields

    return run


def _json(line: str) -> Fields | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _ltsv(values: Mapping[str, str]) -> Callable[[str], Fields | None]:
    delimiter = values.get("delimiter", "\t").replace("\\t", "\t")
    label = values.get("label_delimiter", ":")

    def split(line: str) -> Fields | None:
        parts = [part.partition(label) for part in line.split(delimiter)]
        return {key: value for key, found, value in parts if found}

    return split


def _table(kind: str, values: Mapping[str, str]) -> Callable[[str], Fields | None]:
    keys = [key.strip() for key in values.get("keys", "").split(",") if key.strip()]
    delimiter = values.get("delimiter", "," if kind == "csv" else "\t").replace("\\t", "\t")

    def split(line: str) -> Fields | None:
        row = next(csv.reader([line], delimiter=delimiter)) if kind == "csv" else \
              line.split(delimiter)  # fmt: skip
        return dict(zip(keys, row, strict=False))

    return split


def _types(values: Mapping[str, str]) -> dict[str, Callable[[str], Any]]:
    found = {}
    for pair in values.get("types", "").split(","):
        name, _, kind = pair.strip().partition(":")
        if name:
            if kind not in _TYPES:
                raise NotInterpreted(f"the type {kind!r} of {name}")
            found[name] = _TYPES[kind]
    return found


def _time_reader(values: Mapping[str, str], where: str) -> Callable[[Any], int]:
    kind = values.get("time_type", "string")
    if kind in ("float", "unixtime"):
        return lambda value: round(float(value) * 1e6) * 1000
    form = values.get("time_format", "")
    try:
        offset = parse_offset(values.get("timezone", "Z"))
    except ValueError as error:
        raise NotInterpreted(f"the time zone {values['timezone']!r}") from error
    if not form:
        return lambda value: _free_time(str(value), offset)
    try:
        read = compile_time(re.sub(r"%\d*N", "%L", form), offset)
    except ValueError as error:
        raise NotInterpreted(f"the time format {form!r}") from error

    def parse(value: Any) -> int:
        moment = read(str(value))
        if moment is None:
            raise ValueError(value)
        return moment

    return parse


def _free_time(text: str, offset_s: int) -> int:
    """Ruby's Time.parse, of what people log: ISO 8601, with or without zone."""
    moment = datetime.datetime.fromisoformat(text.strip().replace(" UTC", "Z"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone(datetime.timedelta(seconds=offset_s)))
    return int(moment.timestamp() * 1e6) * 1000
