"""MariaDB's slow query log, where the parameter group switches it on (slow_query_log)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hikkoshi.region.rds.mariadb.configuration import OURS

MAX_TEXT = 8000

_USER = re.compile(r"# User@Host: (\S+?)\[")
_NUMBERS = re.compile(
    r"# Query_time: ([\d.]+)\s+Lock_time: ([\d.]+)\s+Rows_sent: (\d+)\s+Rows_examined: (\d+)"
)
_TIMESTAMP = re.compile(r"SET timestamp=(\d+)(?:\.\d+)?;")
_USE = re.compile(r"use \S+;$", re.IGNORECASE)


class SlowLog:
    """Lines in, rows of `database_log` out: one a statement, when the next one begins or when
    nothing more comes."""

    def __init__(self) -> None:
        self._user = ""
        self._numbers: tuple[str, ...] | None = None
        self._second: float | None = None
        self._text: list[str] = []

    def rows_of(self, lines: Iterable[str], now: float) -> list[dict[str, Any]]:
        found = []
        for line in lines:
            if line.startswith("# User@Host:"):
                found += self._finish(now)
                match = _USER.match(line)
                self._user = match[1] if match else ""
            elif match := _NUMBERS.match(line):
                self._numbers = match.groups()
            elif match := _TIMESTAMP.match(line):
                self._second = float(match[1])
            elif self._second is not None and not line.startswith("#") and not _USE.match(line):
                self._text.append(line)
        return found + (self._finish(now) if self._is_whole() else [])

    def _is_whole(self) -> bool:
        return bool(self._text) and self._text[-1].rstrip().endswith(";")

    def _finish(self, now: float) -> list[dict[str, Any]]:
        numbers, second, text = self._numbers, self._second, "\n".join(self._text).strip()
        self._numbers, self._second, self._text = None, None, []
        if numbers is None or second is None or self._user in OURS:
            return []
        took, waited, sent, examined = numbers
        return [{
            # The log has the second in which the statement ended.
            "t": min(max(second, now), second + 0.999), "severity": "LOG", "sqlstate": None,
            "message": f"slow query: {float(took):.3f} s, {float(waited):.3f} s of it waiting for "
            f"locks, {sent} rows sent, {examined} rows examined",
            "detail": None, "statement": text.rstrip(";")[:MAX_TEXT] or None,
        }]  # fmt: skip
