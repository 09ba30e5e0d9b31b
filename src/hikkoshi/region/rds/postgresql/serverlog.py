"""PostgreSQL's own log (jsonlog): read as it grows, one row a line that matters."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hikkoshi.region.rds.postgresql.configuration import ADMIN, OUR_APPLICATION, REPLICATION

SERIOUS = frozenset({"WARNING", "ERROR", "FATAL", "PANIC"})
LOCKS = (" still waiting for ", " acquired ", " avoided deadlock for ", " detected deadlock while ")
MAX_TEXT = 8000


def row_of(line: str) -> dict[str, Any] | None:
    """The columns of `database_log` but the instance, or None for a line that tells nothing of the
    application: routine messages, the region's own statements, a standby looking for its writer."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict):
        return None
    severity = str(entry.get("error_severity", ""))
    message = str(entry.get("message", ""))
    is_lock = severity == "LOG" and any(words in message for words in LOCKS)
    if severity not in SERIOUS and not is_lock:
        return None
    if entry.get("application_name") == OUR_APPLICATION or entry.get("user") in (
        ADMIN,
        REPLICATION,
    ):
        return None
    if entry.get("backend_type") in ("walreceiver", "startup", "checkpointer", "postmaster"):
        return None
    return {
        "t": _time(str(entry.get("timestamp", ""))),
        "severity": severity,
        "sqlstate": entry.get("state_code"),
        "message": message[:MAX_TEXT],
        "detail": _cut(entry.get("detail")),
        "statement": _cut(entry.get("statement")),
    }


def _time(text: str) -> float | None:
    """`2026-11-23 18:30:00.123 UTC` as seconds since the epoch."""
    try:
        parsed = datetime.strptime(text.removesuffix(" UTC"), "%Y-%m-%d %H:%M:%S.%f")
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC).timestamp()


def _cut(text: object) -> str | None:
    return None if text is None else str(text)[:MAX_TEXT]
