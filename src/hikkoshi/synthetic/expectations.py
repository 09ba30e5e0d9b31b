"""What an answer must be like, and the judgement of one that came: pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hikkoshi.base.units import format_duration
from hikkoshi.synthetic import xpath
from hikkoshi.synthetic.checks import Check, shown
from hikkoshi.synthetic.jsonpath import JsonPath
from hikkoshi.synthetic.reply import Reply
from hikkoshi.synthetic.schema import complaints

OPERATORS = (
    "equals", "not", "exists", "matches", "contains", "less than", "at most", "more than",
    "at least", "one of",
)  # fmt: skip
_COMPARED = {"less than", "at most", "more than", "at least"}


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
    the test fails; slow_s: above it the answer is right but degraded. schema: a JSON Schema.

    Of a TLS check: days_left of the certificate, its lowest tls_version. Of a TCP check:
    connection is established, refused or timeout. Of a DNS check: records, type → values."""

    statuses: tuple[str, ...] = ()
    time_s: float | None = None
    slow_s: float | None = None
    headers: tuple[tuple[str, Condition], ...] = ()
    json: tuple[tuple[JsonPath, Condition], ...] = ()
    xpath: tuple[tuple[str, Condition], ...] = ()
    schema: Any = None
    body: tuple[Condition, ...] = ()
    days_left: float | None = None
    tls_version: float | None = None
    connection: str | None = None
    records: tuple[tuple[str, tuple[str, ...]], ...] = ()


def check_reply(expected: Expectation, reply: Reply, *, is_http: bool) -> tuple[Check, ...]:
    """Every expectation judged, in the order status, time, headers, json, schema, body, …"""
    checks = [_check_status(expected.statuses, reply.status or 0)] if is_http else []
    for limit, is_soft in ((expected.time_s, False), (expected.slow_s, True)):
        if limit is not None:
            told = f"at most {format_duration(limit)}"
            came = format_duration(reply.total_s)
            checks.append(Check("time", told, came, reply.total_s <= limit, is_soft))
    for name, condition in expected.headers:
        checks.append(_check_header(name, condition, reply.headers))
    if expected.json:
        checks += _check_json(expected.json, reply.body)
    if expected.schema is not None:
        checks.append(_check_schema(expected.schema, reply.body))
    for path, condition in expected.xpath:
        checks.append(_check_xpath(path, condition, reply.body))
    text = reply.body.decode("utf-8", "replace")
    for condition in expected.body:
        is_kept = holds(condition, [text] if text else [])
        checks.append(Check("body", condition.told(), shown(text), is_kept))
    return (*checks, *_check_connection(expected, reply))


def days_until(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds() / 86400


def _check_connection(expected: Expectation, reply: Reply) -> list[Check]:
    checks = []
    if expected.connection is not None:
        came = str(reply.connection)
        kept = came == expected.connection
        checks.append(Check("connection", expected.connection, came, kept))
    for kind, values in expected.records:
        found = reply.records.get(kind, ())
        checks.append(
            Check(
                f"{kind} records",
                ", ".join(values) or "exist",
                ", ".join(found) or "none",
                set(values) <= set(found) if values else bool(found),
            )
        )
    if expected.days_left is not None:
        certificate = reply.tls.certificate if reply.tls else None
        left = days_until(certificate.not_after) if certificate else -1.0
        came = f"{left:.1f} days" if certificate else "no certificate"
        told = f"at least {expected.days_left:g} days left"
        checks.append(Check("certificate", told, came, left >= expected.days_left))
    if expected.tls_version is not None:
        version = reply.tls.version if reply.tls else 0.0
        told = f"at least {expected.tls_version:g}"
        kept = version >= expected.tls_version
        checks.append(Check("TLS version", told, f"{version:g}", kept))
    return checks


def _check_schema(schema: Any, body: bytes) -> Check:
    try:
        document = json.loads(body)
    except ValueError:
        came = f"not JSON: {shown(body.decode('utf-8', 'replace'))}"
        return Check("schema", "fits", came, False)
    found = complaints(schema, document)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Check("schema", "fits", f"{found[0]}{more}" if found else "fits", not found)


def _check_xpath(path: str, condition: Condition, body: bytes) -> Check:
    try:
        found = xpath.find(path, body)
    except (xpath.NotMarkup, ValueError) as error:
        return Check(path, condition.told(), str(error), False)
    came = shown(found[0] if len(found) == 1 else found) if found else "nothing there"
    if condition.operator in ("equals", "not"):
        condition = Condition(condition.operator, str(condition.operand))
    return Check(path, condition.told(), came, holds(condition, found))


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
