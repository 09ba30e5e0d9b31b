"""What arrived at a destination, and how recorded records are read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput

HOST_NAME = "(hostname)"
"""Stands for the name of the machine on both sides: it differs, and means the same. One word: it
stands in a configuration's line."""
_TIMES = ("@timestamp", "timestamp")


@dataclass(frozen=True, slots=True)
class Delivered:
    """line: index of the sample's line that it came of; None where that is not known. time_ns: of
    the event; None where it is not recorded. tag: "" where it is not recorded."""

    destination: str
    record: dict[str, Any]
    tag: str = ""
    time_ns: int | None = None
    line: int | None = None


@dataclass(slots=True)
class Outcome:
    """Of one pipeline. notes: what was not interpreted, or is only told."""

    records: list[Delivered] = field(default_factory=list)
    not_interpreted: list[str] = field(default_factory=list)
    dropped: dict[int, str] = field(default_factory=dict)
    """Line → where and why the pipeline let go of it."""


def read_recorded(path: Path) -> Outcome:
    """JSON lines. A record of a run has `destination` and `record` (its JSON as text); any other
    object is a record itself, with its `tag` and time taken out where they are beside `record`.
    Raises BadInput with file:line."""
    outcome = Outcome()
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise BadInput(f"it cannot be read: {error.strerror}", where=str(path)) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            outcome.records.append(_recorded(line, f"{path}:{number}"))
    return outcome


def _recorded(line: str, where: str) -> Delivered:
    try:
        value = json.loads(line)
        if isinstance(value, dict) and "record" in value:
            record = value["record"]
            record = json.loads(record) if isinstance(record, str) else record
            if isinstance(record, dict):
                return Delivered(
                    str(value.get("destination", "")), record, str(value.get("tag", "")),
                    _time(value.get("time"), record),
                )  # fmt: skip
        elif isinstance(value, dict):
            return Delivered("", value, "", _time(None, value))
    except ValueError as error:
        raise BadInput(f"this is no JSON: {error}", where=where) from error
    raise BadInput("this is no record", where=where, fix="one JSON object a line")


def _time(seconds: Any, record: dict[str, Any]) -> int | None:
    """Beside the record, in seconds; else what Datadog is sent in it, in milliseconds."""
    if isinstance(seconds, (int, float)):
        return int(seconds * 1e9)
    sent = record.get("timestamp")
    return int(sent * 1e6) if isinstance(sent, (int, float)) and sent > 1e11 else None


def opened(record: dict[str, Any]) -> dict[str, Any]:
    """As a destination shows it: a line that is a JSON object is opened into fields, as Datadog,
    CloudWatch Logs Insights and Elasticsearch do. `message` and `log` are one."""
    fields = dict(record)
    text = fields.pop("message", None)
    text = fields.pop("log", None) if text is None else text
    if isinstance(text, str) and text.lstrip().startswith("{"):
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if isinstance(value, dict):
            return {**value, **fields}
    return fields if text is None else {**fields, "message": text}


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    """Without the fields into which an output writes the event's time."""
    return {key: value for key, value in record.items() if key not in _TIMES}


def names(records: Iterable[Delivered]) -> list[str]:
    return sorted({record.destination for record in records})
