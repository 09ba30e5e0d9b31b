"""A document's spans, and what each of their fields may be.

Source: AWS's page "X-Ray segment documents", and what its SDKs for Python and Node send."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import msgspec

MAX_DEPTH = 60
MAX_NAME = 200
MAX_TEXT = 16_000
MAX_TIME = 1e11

_SPAN_ID = re.compile(r"[0-9a-fA-F]{16}")


class Span(msgspec.Struct, frozen=True, gc=False):
    """A row of `spans`, by its columns. t_end None: it was still going on."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    namespace: str | None
    t_start: float
    t_end: float | None
    fault: bool
    error: bool
    throttle: bool
    method: str | None
    url: str | None
    status: int | None
    sql: str | None
    source: str
    cause: str | None = None
    """The exceptions that it told of: `type: message`, one a line."""
    balancer_trace_id: str | None = None
    """Root of the load balancer's header, where the span carries the header as an attribute."""

    def row(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)


@dataclass(frozen=True, slots=True)
class Document:
    """One document as it was sent. spans: itself first, then what is embedded in it.
    refused: why embedded parts were left out, one reason each."""

    trace_id: str
    span_id: str
    is_in_progress: bool
    is_subsegment: bool
    text: str
    spans: tuple[Span, ...]
    refused: tuple[str, ...] = ()


def cause_of(cause: Any) -> str | None:
    """A cause is an object with exceptions, or the id of one told elsewhere (which says nothing
    here)."""
    told = cause.get("exceptions") if isinstance(cause, dict) else None
    lines = []
    for one in told if isinstance(told, list) else []:
        if isinstance(one, dict):
            parts = [text_of(one.get("type")), text_of(one.get("message"))]
            lines.append(": ".join(part for part in parts if part))
    return text_of("\n".join(line for line in lines if line))


def identifier_of(value: Any) -> str | None:
    if isinstance(value, str) and _SPAN_ID.fullmatch(value):
        return value.lower()
    return None


def time_of(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) and 0 < seconds < MAX_TIME else None


def status_of(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 999:
        return value
    return None


def text_of(value: Any) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) and value else None
