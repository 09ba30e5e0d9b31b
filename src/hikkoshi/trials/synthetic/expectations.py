"""What an answer must be like, and the judgement of one that came: pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hikkoshi.base.units import format_duration
from hikkoshi.trials.synthetic.jsonpath import JsonPath

OPERATORS = (
    "equals", "not", "exists", "matches", "contains", "less than", "at most", "more than",
    "at least", "one of",
)  # fmt: skip
_COMPARED = {"less than", "at most", "more than", "at least"}
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator and its operand; `operand` may hold {{names}} until a test runs."""

    operator: str
    operand: Any

    def told(self) -> str:
        if self.operator == "equals":
            return shown(self.operand)
        if self.operator == "exists":
            return "exists" if self.operand else "does not exist"
        return f"{self.operator} {shown(self.operand)}"


@dataclass(frozen=True, slots=True)
class Expectation:
    """statuses: each a number or a class like `2xx`; empty: anything below 400. time_s: above it
    the test fails; slow_s: above it the answer is right but degraded."""

    statuses: tuple[str, ...] = ()
    time_s: float | None = None
    slow_s: float | None = None
    headers: tuple[tuple[str, Condition], ...] = ()
    json: tuple[tuple[JsonPath, Condition], ...] = ()
    body: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came. Header names in lower case; several of one name are joined by a comma."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    total_s: float


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was expected and what came. is_soft: broken, it degrades and does not fail."""

    what: str
    expected: str
    came: str
    is_kept: bool
    is_soft: bool = False


def check_answer(expected: Expectation, answer: Answer) -> tuple[Check, ...]:
    """Every expectation judged, in the order status, time, headers, json, body."""
    checks = [_check_status(expected.statuses, answer.status)]
    for limit, is_soft in ((expected.time_s, False), (expected.slow_s, True)):
        if limit is not None:
            told = f"at most {format_duration(limit)}"
            came = format_duration(answer.total_s)
            checks.append(Check("time", told, came, answer.total_s <= limit, is_soft))
    for name, condition in expected.headers:
        checks.append(_check_header(name, condition, answer.headers))
    if expected.json:
        checks += _check_json(expected.json, answer.body)
    text = answer.body.decode("utf-8", "replace")
    for condition in expected.body:
        is_kept = holds(condition, [text] if text else [])
        checks.append(Check("body", condition.told(), shown(text), is_kept))
    return tuple(checks)


def holds(condition: Condition, values: Sequence[Any]) -> bool:
    """Whether every value meets the condition; none at all meets only `exists: false`."""
    if condition.operator == "exists":
        return bool(values) is bool(condition.operand)
    return bool(values) and all(_meets(condition, value) for value in values)


def _meets(condition: Condition, value: Any) -> bool:
    operand = condition.operand
    match condition.operator:
        case "equals":
            return is_same(value, operand)
        case "not":
            return not is_same(value, operand)
        case "matches":
            return isinstance(value, str) and re.search(str(operand), value) is not None
        case "contains":
            return _contains(value, operand)
        case "one of":
            return any(is_same(value, each) for each in operand)
        case operator if operator in _COMPARED:
            number = _number(value)
            return number is not None and _compared(operator, number, float(operand))
    raise AssertionError(f"operator {condition.operator!r} was let through by the reader")


def is_same(value: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1, but 1 is 1.0."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(is_same, value, other))
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(is_same(value[k], other[k]) for k in value)
    return bool(value == other)


def _contains(value: Any, part: Any) -> bool:
    if isinstance(value, str):
        return str(part) in value
    if isinstance(value, list):
        return any(is_same(each, part) for each in value)
    return isinstance(value, dict) and part in value


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _compared(operator: str, value: float, limit: float) -> bool:
    if operator == "less than":
        return value < limit
    if operator == "at most":
        return value <= limit
    return value > limit if operator == "more than" else value >= limit


def _check_status(statuses: tuple[str, ...], status: int) -> Check:
    if not statuses:
        return Check("status", "below 400", str(status), status < 400)
    is_kept = str(status) in statuses or f"{status // 100}xx" in statuses
    return Check("status", " or ".join(statuses), str(status), is_kept)


def _check_header(name: str, condition: Condition, headers: Mapping[str, str]) -> Check:
    value = headers.get(name.lower())
    values = [] if value is None else [value]
    # `application/json` is meant without the charset that many servers add.
    is_plain = condition.operator == "equals" and ";" not in str(condition.operand)
    if name.lower() == "content-type" and is_plain and value is not None:
        values = [value.partition(";")[0].strip()]
    came = "no such header" if value is None else shown(value)
    if condition.operator in ("equals", "not"):
        condition = Condition(condition.operator, str(condition.operand))
    return Check(f"header {name}", condition.told(), came, holds(condition, values))


def _check_json(expected: tuple[tuple[JsonPath, Condition], ...], body: bytes) -> list[Check]:
    try:
        document = json.loads(body)
    except ValueError:
        came = f"not JSON: {shown(body.decode('utf-8', 'replace'))}"
        return [Check(path.text, c.told(), came, False) for path, c in expected]
    checks = []
    for path, condition in expected:
        values = path.find(document)
        found: Any = values if path.is_many else (values[0] if values else None)
        came = shown(found) if values else "nothing there"
        checks.append(Check(path.text, condition.told(), came, holds(condition, values)))
    return checks


def shown(value: Any) -> str:
    """A value as JSON, cut to a length that fits a line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
