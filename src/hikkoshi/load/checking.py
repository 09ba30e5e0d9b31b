"""Checks of single answers, made ready to be asked some ten thousand times a second."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hikkoshi.base.units import format_duration, parse_duration
from hikkoshi.load.conditions import COMPARE, Check
from hikkoshi.load.json_path import find, parse_json_path

MAX_BODY_BYTES = 8 * 1024 * 1024
_SHOWN = 60
_MISSING: Any = object()


class Answer(NamedTuple):
    """head: the raw status line and headers. body: empty when no check needs it."""

    status: int
    head: bytes
    body: bytes
    size: int
    latency_s: float


Ask = Callable[[Answer], str | None]


class Checker:
    """`problem` says what is wrong with an answer, None when it is as expected."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._asks = [_ask(check) for check in checks]
        self.needs_body = any(check.kind in ("body", "json") for check in checks)
        # With a condition on the status it alone decides; without one, 200 to 399 is asked for.
        self.has_status = any(check.kind == "status" for check in checks)

    def problem(self, answer: Answer) -> str | None:
        if not self.has_status and not 200 <= answer.status < 400:
            # Counted by its status already; no second reason is needed.
            return None
        if self.needs_body and answer.body:
            answer = answer._replace(body=decoded(answer.head, answer.body))
        for ask in self._asks:
            found = ask(answer)
            if found is not None:
                return found
        return None


def header_of(head: bytes, name: bytes) -> str | None:
    """The value of a header (name in lower case); several are joined by commas."""
    values = [
        line.partition(b":")[2].strip()
        for line in head.split(b"\r\n")[1:]
        if line.partition(b":")[0].strip().lower() == name
    ]
    return b", ".join(values).decode("latin-1") if values else None


def decoded(head: bytes, body: bytes) -> bytes:
    """A body without its gzip or deflate coding; as it is if it has another, or is broken."""
    coding = (header_of(head, b"content-encoding") or "").strip().lower()
    if coding not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(47).decompress(body, MAX_BODY_BYTES)
    except zlib.error:
        return body


def _ask(check: Check) -> Ask:
    return {
        "status": _ask_status, "body": _ask_body, "json": _ask_json, "header": _ask_header,
        "time": _ask_time, "size": _ask_size,
    }[check.kind](check)  # fmt: skip


def _ask_status(check: Check) -> Ask:
    if check.operator in ("==", "!="):
        patterns = [re.compile(each.replace("x", r"\d")) for each in check.value.split("|")]
        meant = {n for n in range(100, 1000) if any(p.fullmatch(str(n)) for p in patterns)}
        allowed = meant if check.operator == "==" else set(range(100, 1000)) - meant
    else:
        compare, limit = COMPARE[check.operator], int(check.value)
        allowed = {n for n in range(100, 1000) if compare(n, limit)}
    return lambda answer: (
        None if answer.status in allowed else f"{check.text}: the status was {answer.status}"
    )


def _ask_time(check: Check) -> Ask:
    compare, limit = COMPARE[check.operator], parse_duration(check.value)
    return lambda answer: (
        None
        if compare(answer.latency_s, limit)
        else f"{check.text}: it took {format_duration(answer.latency_s)}"
    )


def _ask_size(check: Check) -> Ask:
    compare, limit = COMPARE[check.operator], float(check.value)
    return lambda answer: (
        None if compare(answer.size, limit) else f"{check.text}: the body has {answer.size} bytes"
    )


def _ask_body(check: Check) -> Ask:
    wanted = check.value.encode()
    pattern = re.compile(wanted) if check.operator == "matches" else None

    def ask(answer: Answer) -> str | None:
        if pattern is not None:
            is_right = pattern.search(answer.body) is not None
        elif check.operator == "contains":
            is_right = wanted in answer.body
        else:
            is_right = (answer.body == wanted) is (check.operator == "==")
        return None if is_right else f"{check.text}: the body was {answer.body[:_SHOWN]!r}"

    return ask


def _ask_header(check: Check) -> Ask:
    name = check.name.encode()

    def ask(answer: Answer) -> str | None:
        value = header_of(answer.head, name)
        is_right = _compare(check, _MISSING if value is None else value)
        return None if is_right else f"{check.text}: the header was {_shown(value)}"

    return ask


def _ask_json(check: Check) -> Ask:
    steps = parse_json_path(check.name)

    def ask(answer: Answer) -> str | None:
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            return f"{check.text}: the body is not JSON: {answer.body[:_SHOWN]!r}"
        found = find(document, steps)
        if not found:
            return f"{check.text}: there is no such value"
        # Several values (by [*]) must all be right.
        wrong = next((value for value in found if not _compare(check, value)), _MISSING)
        return None if wrong is _MISSING else f"{check.text}: it was {_shown(wrong)}"

    return ask


def _compare(check: Check, value: Any) -> bool:
    if check.operator == "exists":
        return value is not _MISSING
    if value is _MISSING:
        return check.operator == "!="
    if check.operator == "contains":
        return check.value in (value if isinstance(value, str) else json.dumps(value))
    if check.operator == "matches":
        return re.search(check.value, _as_text(value)) is not None
    if check.operator in ("==", "!="):
        return (_is_equal(value, check.value)) is (check.operator == "==")
    try:
        return COMPARE[check.operator](float(value), float(check.value))
    except (TypeError, ValueError):
        return False


def _is_equal(value: Any, wanted: str) -> bool:
    if isinstance(value, str):
        return value == wanted
    try:
        # 1 is not true: a bool equals a bool alone.
        other = json.loads(wanted)
    except ValueError:
        return False
    return bool(value == other) and isinstance(value, bool) is isinstance(other, bool)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _shown(value: Any) -> str:
    if value is None:
        return "null or not there"
    text = value if isinstance(value, str) else json.dumps(value)
    return repr(text[:_SHOWN])
