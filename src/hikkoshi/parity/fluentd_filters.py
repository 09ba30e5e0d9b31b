"""fluentd's filters over one event; None: it ends here.

https://docs.fluentd.org/filter and the page of each filter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hikkoshi.parity.delivered import HOST_NAME
from hikkoshi.parity.fluentd_parsers import NotInterpreted, make_parser
from hikkoshi.router.fluentd import Directive
from hikkoshi.router.match import compile_regex


@dataclass(frozen=True, slots=True)
class FluentdEvent:
    tag: str
    time_ns: int
    record: dict[str, Any]
    line: int


Filter = Callable[[FluentdEvent], FluentdEvent | None]
_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
_RUBY = re.compile(r"#\{([^}]*)\}")
_RECORD = re.compile(r"""^record(?:\[["']([^"']+)["']\]|\.dig\(["']([^"']+)["']\))$""")
_PART = re.compile(r"^tag_(parts|prefix|suffix)\[(-?\d+)\]$")


def make_fluentd_filter(directive: Directive) -> Filter:
    """Raises NotInterpreted, which names what it is."""
    kind = directive.type
    if kind == "grep":
        return _grep(directive)
    if kind in ("record_transformer", "record_modifier"):
        return _transform(directive)
    if kind == "parser":
        return _parser(directive)
    if kind in ("stdout", "throttle"):
        return lambda event: event
    raise NotInterpreted(f"the filter {kind!r}")


def look_up(record: dict[str, Any], key: str) -> Any:
    """`key`, or the record accessor's `$.a.b` and `$['a']['b']`."""
    if not key.startswith("$"):
        return record.get(key)
    value: Any = record
    for dotted, quoted in re.findall(r"\.([^.\[]+)|\[[\"']?([^\"'\]]+)[\"']?\]", key[1:]):
        if isinstance(value, list) and quoted.isdigit():
            value = value[int(quoted)] if int(quoted) < len(value) else None
        else:
            value = value.get(dotted or quoted) if isinstance(value, dict) else None
    return value


def _grep(directive: Directive) -> Filter:
    wanted: list[Callable[[dict[str, Any]], bool]] = []
    refused: list[Callable[[dict[str, Any]], bool]] = []
    for block in directive.inner:
        if block.kind in ("regexp", "exclude"):
            (wanted if block.kind == "regexp" else refused).append(_test(block))
        elif block.kind in ("and", "or"):
            join = all if block.kind == "and" else any
            for kind, into in (("regexp", wanted), ("exclude", refused)):
                tests = [_test(b) for b in block.all(kind)]
                if tests:
                    into.append(lambda r, j=join, ts=tests: j(t(r) for t in ts))  # type: ignore[misc]
    for key, value in directive.values.items():
        old = re.match(r"^(regexp|exclude)\d+$", key)
        if old:
            name, _, pattern = value.partition(" ")
            block = Directive(old[1], "", directive.where, {"key": name, "pattern": pattern})
            (wanted if old[1] == "regexp" else refused).append(_test(block))

    def run(event: FluentdEvent) -> FluentdEvent | None:
        passes = all(t(event.record) for t in wanted) and not any(t(event.record) for t in refused)
        return event if passes else None

    return run


def _test(block: Directive) -> Callable[[dict[str, Any]], bool]:
    pattern = compile_regex(block.values.get("pattern", ""), block.where)
    key = block.values.get("key", "")

    def run(record: dict[str, Any]) -> bool:
        value = look_up(record, key)
        return pattern.search("" if value is None else text_of(value)) is not None

    return run


def text_of(value: Any) -> str:
    """Ruby's to_s, of what JSON has."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _transform(directive: Directive) -> Filter:
    block = directive.one("record")
    made = {k: expression(v) for k, v in (block.values if block else {}).items()}
    values = directive.values
    removed = [k.strip() for k in values.get("remove_keys", "").split(",") if k.strip()]
    kept = [k.strip() for k in values.get("keep_keys", "").split(",") if k.strip()]
    is_renewed = values.get("renew_record", "false") == "true"
    time_key = values.get("renew_time_key")

    def run(event: FluentdEvent) -> FluentdEvent:
        old = event.record
        record = {k: old[k] for k in kept if k in old} if is_renewed else dict(old)
        for key, value in made.items():
            found = value(event)
            if found is not None:
                record[key] = found
        for key in removed:
            record.pop(key, None)
        moment = event.time_ns
        if time_key and isinstance(record.get(time_key), (int, float, str)):
            moment = int(float(record[time_key]) * 1e9)
        return FluentdEvent(event.tag, moment, record, event.line)

    return run


def expression(text: str) -> Callable[[FluentdEvent], Any]:
    """A value with `${…}` in it. Raises NotInterpreted for Ruby that is more than a name."""
    whole = _PLACEHOLDER.fullmatch(text)
    if whole:
        return _name(whole[1])
    parts: list[Callable[[FluentdEvent], Any] | str] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        parts += [text[end : match.start()], _name(match[1])]
        end = match.end()
    parts.append(text[end:])
    plain = [_ruby(p) if isinstance(p, str) else p for p in parts]

    def run(event: FluentdEvent) -> str:
        return "".join(p if isinstance(p, str) else text_of(p(event) or "") for p in plain)

    return run


def _ruby(text: str) -> str:
    """What fluentd's configuration computes when it is read: `"#{ENV['X']}"`."""

    def put(match: re.Match[str]) -> str:
        inner = match[1].strip()
        variable = re.fullmatch(r"ENV(?:\[|\.fetch\()[\"'](\w+)[\"'](?:\]|\))", inner)
        if variable:
            return f"({variable[1]})"
        if "hostname" in inner.lower():
            return HOST_NAME
        raise NotInterpreted(f"the Ruby expression {inner!r}")

    return _RUBY.sub(put, text)


def _name(inner: str) -> Callable[[FluentdEvent], Any]:
    inner = inner.strip()
    if match := _RECORD.match(inner):
        key = match[1] or match[2]
        return lambda event: event.record.get(key)
    if match := _PART.match(inner):
        kind, index = match[1], int(match[2])
        return lambda event: _tag_part(event.tag.split("."), kind, index)
    if inner == "tag":
        return lambda event: event.tag
    if inner == "time":
        return lambda event: event.time_ns / 1e9
    if inner in ("hostname", "Socket.gethostname"):
        return lambda event: HOST_NAME
    raise NotInterpreted(f"the Ruby expression {inner!r}")


def _tag_part(parts: list[str], kind: str, index: int) -> str | None:
    if not -len(parts) <= index < len(parts):
        return None
    if kind == "prefix":
        return ".".join(parts[: index + 1])
    return ".".join(parts[index:]) if kind == "suffix" else parts[index]


def _parser(directive: Directive) -> Filter:
    parse = make_parser(directive.one("parse") or Directive(
        "parse", "", directive.where, {"@type": directive.values.get("format", ""),
                                       **directive.values}))  # fmt: skip
    values = directive.values
    key = values.get("key_name", "message")
    reserves = values.get("reserve_data", "false") == "true"
    keeps_time = values.get("reserve_time", "false") == "true"
    removes = values.get("remove_key_name_field", "false") == "true"
    prefix, field = values.get("inject_key_prefix", ""), values.get("hash_value_field", "")

    def run(event: FluentdEvent) -> FluentdEvent | None:
        raw = look_up(event.record, key)
        done = parse(text_of(raw)) if raw is not None else None
        if done is None:
            # It goes to @ERROR, which keeps nothing; only with reserve_data it may go on.
            keeps = reserves and values.get("emit_invalid_record_to_error", "true") == "false"
            return event if keeps else None
        fields, moment = done
        new = {f"{prefix}{k}": v for k, v in fields.items()}
        new = {field: new} if field else new
        old = {k: v for k, v in event.record.items() if not (removes and k == key)}
        time_ns = event.time_ns if keeps_time or moment is None else moment
        return FluentdEvent(event.tag, time_ns, {**old, **new} if reserves else new, event.line)

    return run
