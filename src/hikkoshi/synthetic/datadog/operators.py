"""Datadog's operators over a value that came and a target."""

from __future__ import annotations

import json
import re
from typing import Any

NUMERIC = {"lessThan", "lessThanOrEqual", "moreThan", "moreThanOrEqual"}
ABSENCE = {"isUndefined", "doesNotExist"}
TEXTUAL = {"contains", "doesNotContain", "matches", "doesNotMatch"}
KNOWN = NUMERIC | ABSENCE | TEXTUAL | {"is", "isNot"}
_SLASHED = re.compile(r"^/(.*)/([gimsuy]*)$", re.DOTALL)
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}


class BadTarget(Exception):
    """A target that its operator cannot take."""


def meets(operator: str, came: Any, target: Any) -> bool:
    """operator: one of KNOWN without ABSENCE. Raises BadTarget."""
    if operator in NUMERIC:
        left, right = number(came), number(target)
        if right is None:
            raise BadTarget(f"{operator} needs a number, and has {target!r}")
        return left is not None and _compared(operator, left, right)
    match operator:
        case "is":
            return is_same(came, target)
        case "isNot":
            return not is_same(came, target)
        case "contains":
            return text(target) in text(came)
        case "doesNotContain":
            return text(target) not in text(came)
        case "matches":
            return expression(target).search(text(came)) is not None
        case "doesNotMatch":
            return expression(target).search(text(came)) is None
    raise AssertionError(f"operator {operator!r} was let through")


def is_same(came: Any, target: Any) -> bool:
    """Numbers by value, also where one of the two is written as text; else as text."""
    left, right = number(came), number(target)
    if left is not None and right is not None:
        return left == right
    if isinstance(came, (dict, list)) and isinstance(target, str):
        try:
            return bool(came == json.loads(target))
        except ValueError:
            pass
    if isinstance(came, (dict, list)) and isinstance(target, (dict, list)):
        return bool(came == target)
    return text(came) == text(target)


def text(value: Any) -> str:
    """As JavaScript writes it into a text."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return float(value) if isinstance(value, str) and value.strip() else None
    except ValueError:
        return None


def expression(target: Any) -> re.Pattern[str]:
    """A JavaScript regular expression, bare or between slashes."""
    source, flags = text(target), re.NOFLAG
    slashed = _SLASHED.match(source)
    if slashed:
        source = slashed[1]
        for letter in slashed[2]:
            flags |= _FLAGS.get(letter, re.NOFLAG)
    source = re.sub(r"\(\?<(?![=!])", "(?P<", source)
    try:
        return re.compile(source, flags)
    except re.error as error:
        raise BadTarget(f"{source!r} is not a regular expression: {error}") from error


def _compared(operator: str, left: float, right: float) -> bool:
    match operator:
        case "lessThan":
            return left < right
        case "lessThanOrEqual":
            return left <= right
        case "moreThan":
            return left > right
    return left >= right
