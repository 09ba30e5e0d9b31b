"""A test's configVariables: their values for one run.

A pattern may have {{ numeric(n) }}, {{ alphabetic(n) }}, {{ alphanumeric(n) }}, {{ uuid }},
{{ date(n unit, format) }} and {{ timestamp(n, unit) }}. What Datadog keeps to itself (global
variables, secure ones) comes from the environment, by its name.
"""

from __future__ import annotations

import random
import re
import string
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.synthetic.definition import Captured

_BUILT_IN = re.compile(r"\{\{\s*(numeric|alphabetic|alphanumeric|uuid|date|timestamp)"
                       r"\s*(?:\(([^)]*)\))?\s*\}\}")  # fmt: skip
_OFFSET = re.compile(r"^\s*([+-]?\d+)\s*(ms|s|m|h|d|w)?\s*$")
_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TOKEN = re.compile(r"\[([^\]]*)\]|YYYY|YY|MMMM|MMM|MM|M|DD|D|HH|H|hh|h|mm|m|ss|s|SSS|A|a|ZZ|Z|X|x")
_ALPHABETS = {
    "numeric": string.digits,
    "alphabetic": string.ascii_letters,
    "alphanumeric": string.ascii_letters + string.digits,
}


def read_variables(
    declared: Sequence[Mapping[str, Any]], env: Mapping[str, str], where: str
) -> tuple[Captured, ...]:
    """BadInput: one that only Datadog has, and that the environment lacks."""
    now = datetime.now(UTC)
    variables = []
    for each in declared:
        name = str(each.get("name"))
        pattern = each.get("pattern")
        is_secret = bool(each.get("secure"))
        if each.get("type") == "global" or not isinstance(pattern, str) or is_kept_back(each):
            if name not in env:
                kind = "a global variable" if each.get("type") == "global" else "its value"
                raise BadInput(
                    f"{name} is not in the environment ({kind} is kept by Datadog alone)",
                    where=where,
                    fix=f"set {name}",
                )
            variables.append(Captured(name, env[name], True))
        else:
            variables.append(Captured(name, generate(pattern, now), is_secret))
    return tuple(variables)


def is_kept_back(variable: Mapping[str, Any]) -> bool:
    """Whether an export has no value: a secure pattern is left out or starred."""
    pattern = str(variable.get("pattern") or "")
    return bool(variable.get("secure")) and not pattern.strip("*•")


def generate(pattern: str, now: datetime) -> str:
    """The pattern with its built-in values made. Others in {{ }} stay."""
    return _BUILT_IN.sub(lambda match: _built_in(match, now), pattern)


def _built_in(match: re.Match[str], now: datetime) -> str:
    name, arguments = match[1], match[2] or ""
    if name == "uuid":
        return str(uuid.uuid4())
    if name in _ALPHABETS:
        count = int(arguments) if arguments.strip().isdigit() else 0
        return "".join(random.choices(_ALPHABETS[name], k=min(count, 1000))) or match[0]
    first, _, second = (part.strip() for part in arguments.partition(","))
    offset = _OFFSET.match(first or "0")
    if offset is None:
        return match[0]
    if name == "timestamp":
        unit = offset[2] or second or "s"
        moment = now + timedelta(seconds=int(offset[1]) * _UNIT_S.get(unit, 1))
        scale = 1000 if "ms" in (second, offset[2]) else 1
        return str(int(moment.timestamp() * scale))
    moment = now + timedelta(seconds=int(offset[1]) * _UNIT_S[offset[2] or "s"])
    return format_date(moment, second or "YYYY-MM-DDTHH:mm:ssZ")


def format_date(moment: datetime, pattern: str) -> str:
    """In the words of moment.js."""
    return _TOKEN.sub(lambda match: _date_part(match, moment), pattern)


def _date_part(match: re.Match[str], moment: datetime) -> str:
    if match[1] is not None:
        return match[1]
    hour = moment.hour % 12 or 12
    parts: dict[str, str] = {
        "YYYY": f"{moment.year:04}", "YY": f"{moment.year % 100:02}", "MMMM": f"{moment:%B}",
        "MMM": f"{moment:%b}", "MM": f"{moment.month:02}", "M": str(moment.month),
        "DD": f"{moment.day:02}", "D": str(moment.day), "HH": f"{moment.hour:02}",
        "H": str(moment.hour), "hh": f"{hour:02}", "h": str(hour), "mm": f"{moment.minute:02}",
        "m": str(moment.minute), "ss": f"{moment.second:02}", "s": str(moment.second),
        "SSS": f"{moment.microsecond // 1000:03}", "A": f"{moment:%p}",
        "a": f"{moment:%p}".lower(), "Z": "+00:00", "ZZ": "+0000",
        "X": str(int(moment.timestamp())), "x": str(int(moment.timestamp() * 1000)),
    }  # fmt: skip
    return parts[match[0]]
