"""The errors that clients were answered, as MariaDB's plugin sql_errlog logs them.

Where the distribution has left the plugin out there is no such log: then of the errors of the
application only deadlocks and refused connections are known, the latter in part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hikkoshi.region.rds.mariadb.configuration import OURS
from hikkoshi.region.rds.mariadb.errorlog import MAX_TEXT, moment

TOO_MANY_CONNECTIONS = "08004"

# MySQL's numbers with their SQLSTATE (its manual's "Server Error Message Reference"); for the rest
# the number is in the message.
_STATES = {
    1040: TOO_MANY_CONNECTIONS, 1044: "42000", 1045: "28000", 1048: "23000", 1049: "42000",
    1054: "42S22", 1062: "23000", 1064: "42000", 1142: "42000", 1146: "42S02", 1203: "42000",
    1205: "HY000", 1226: "42000", 1290: "HY000", 1317: "70100", 1406: "22001", 1451: "23000",
    1452: "23000",
}  # fmt: skip
# A deadlock is in the error log, with both its statements; a client that went away is no answer.
_TOLD_ELSEWHERE = frozenset({1213, 1158, 1159, 1160, 1161})

_LINE = re.compile(
    r"(\d{4}-\d\d-\d\d\s+\d{1,2}:\d\d:\d\d) (?:(\S*?)\[(\S*?)\] @ .*?|.*?)"
    r"(ERROR|WARNING) (\d+): (.*?)(?: : (.*))?$"
)


class SqlErrors:
    """Lines in, rows of `database_log` out; a statement may run over several lines."""

    def rows_of(self, lines: Iterable[str], now: float) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        last: dict[str, Any] | None = None
        for line in lines:
            match = _LINE.match(line)
            if match is None:
                if last is not None and last["statement"]:
                    last["statement"] = f"{last['statement']}\n{line}"[:MAX_TEXT]
                continue
            last = _row(match, now)
            if last is not None:
                found.append(last)
        return found


def _row(match: re.Match[str], now: float) -> dict[str, Any] | None:
    when, user, other, severity, number, text, statement = match.groups()
    if user in OURS or other in OURS or severity != "ERROR" or int(number) in _TOLD_ELSEWHERE:
        return None
    return {
        "t": moment(when, now), "severity": severity, "sqlstate": _STATES.get(int(number)),
        "message": f"{text} ({number})"[:MAX_TEXT], "detail": None,
        "statement": None if statement in (None, "(null)") else statement[:MAX_TEXT],
    }  # fmt: skip
