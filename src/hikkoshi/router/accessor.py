"""Record accessors: `$key`, `$key['sub'][0]`, and templates such as `app.$TAG[1].$level`.

https://docs.fluentbit.io/manual/administration/configuring-fluent-bit/classic-mode/record-accessor
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

Record = dict[str, Any]
MISSING = object()

_STEP = re.compile(r"""\[(?:'([^']*)'|"([^"]*)"|(\d+))\]""")
_PART = re.compile(
    r"""\$(?:(?P<capture>\d)|(?P<tag>TAG)(?:\[(?P<index>\d)\])?"""
    r"""|(?P<key>[A-Za-z_@][\w@\-/]*)(?P<steps>(?:\[(?:'[^']*'|"[^"]*"|\d+)\])*))"""
)


def getter(expression: str) -> Callable[[Record], Any]:
    """What a key or accessor points at in a record, or MISSING. Without `$` it is a plain key."""
    if not expression.startswith("$"):
        return lambda record: record.get(expression, MISSING)
    match = _PART.fullmatch(expression)
    if match is None or match.group("key") is None:
        plain = expression[1:]
        return lambda record: record.get(plain, MISSING)
    return _follow(match.group("key"), _steps(match.group("steps")))


def _steps(text: str) -> list[str | int]:
    return [
        int(number) if number else single or double
        for single, double, number in _STEP.findall(text or "")
    ]


def _follow(key: str, steps: Sequence[str | int]) -> Callable[[Record], Any]:
    if not steps:
        return lambda record: record.get(key, MISSING)

    def value(record: Record) -> Any:
        found = record.get(key, MISSING)
        for step in steps:
            if isinstance(step, str) and isinstance(found, dict):
                found = found.get(step, MISSING)
            elif isinstance(step, int) and isinstance(found, list) and step < len(found):
                found = found[step]
            else:
                return MISSING
        return found

    return value


def as_text(value: Any) -> str:
    """A record's value as a regular expression or template sees it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return "" if value is None or value is MISSING else str(value)


def template(text: str) -> Callable[[str, Record, Sequence[str]], str]:
    """Compile a template; the answer takes (tag, record, captures $0 $1 …) and gives the text.
    What is missing becomes nothing."""
    parts: list[str | Callable[[str, Record, Sequence[str]], str]] = []
    end = 0
    for match in _PART.finditer(text):
        parts.append(text[end : match.start()])
        parts.append(_part(match))
        end = match.end()
    parts.append(text[end:])

    def render(tag: str, record: Record, captures: Sequence[str]) -> str:
        return "".join(p if isinstance(p, str) else p(tag, record, captures) for p in parts)

    return render


def _part(match: re.Match[str]) -> Callable[[str, Record, Sequence[str]], str]:
    if match.group("capture") is not None:
        number = int(match.group("capture"))
        return lambda tag, record, captures: captures[number] if number < len(captures) else ""
    if match.group("tag") is not None:
        if match.group("index") is None:
            return lambda tag, record, captures: tag
        index = int(match.group("index"))

        def piece(tag: str, record: Record, captures: Sequence[str]) -> str:
            pieces = tag.split(".")
            return pieces[index] if index < len(pieces) else ""

        return piece
    value = _follow(match.group("key"), _steps(match.group("steps")))
    return lambda tag, record, captures: as_text(value(record))
