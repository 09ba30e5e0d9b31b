"""PostgreSQL's own log (jsonlog): read as it grows, one row a line that matters."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hikkoshi.region.rds.configuration import ADMIN, OUR_APPLICATION, REPLICATION

SERIOUS = frozenset({"WARNING", "ERROR", "FATAL", "PANIC"})
LOCKS = (" still waiting for ", " acquired ", " avoided deadlock for ", " detected deadlock while ")
MAX_TEXT = 8000
MAX_READ = 4 << 20


def row_of(line: str, instance: str) -> dict[str, Any] | None:
    """The columns of `database_log`, or None for a line that tells nothing of the application:
    routine messages, the region's own statements, a standby that looks for its writer."""
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
        "instance": instance,
        "severity": severity,
        "sqlstate": entry.get("state_code"),
        "message": message[:MAX_TEXT],
        "detail": _cut(entry.get("detail")),
        "statement": _cut(entry.get("statement")),
    }


class LogTail:
    """Reads what was added to a log since the last time; a line that is not whole waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._rest = b""

    def read(self) -> list[str]:
        """The new whole lines; [] while there is no file. At most 4 MiB at a time."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                data = file.read(MAX_READ)
        except OSError:
            return []
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines if line]


def _time(text: str) -> float | None:
    """`2026-11-23 18:30:00.123 UTC` as seconds since the epoch."""
    try:
        parsed = datetime.strptime(text.removesuffix(" UTC"), "%Y-%m-%d %H:%M:%S.%f")
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC).timestamp()


def _cut(text: object) -> str | None:
    return None if text is None else str(text)[:MAX_TEXT]
