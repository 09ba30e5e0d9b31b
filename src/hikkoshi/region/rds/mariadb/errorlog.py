"""MariaDB's error log: deadlocks with both statements, and warnings of the application's sessions.

Its times are whole seconds, so a row gets the moment of reading within its second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hikkoshi.region.rds.mariadb.configuration import OURS

MAX_TEXT = 8000
# MySQL's own numbers: error 1213 is SQLSTATE 40001, error 1040 is 08004.
DEADLOCK_STATE = "40001"
DEADLOCK_TEXT = "Deadlock found when trying to get lock; try restarting transaction"

_HEAD = re.compile(r"(\d{4}-\d\d-\d\d\s+\d{1,2}:\d\d:\d\d) (\d+) \[(\w+)\] (.*)")
_TRANSACTION = re.compile(r"TRANSACTION (\d+), ACTIVE ")
_THREAD = re.compile(r"MariaDB thread id (\d+), ")
_LOCK = re.compile(
    r"(RECORD LOCKS|TABLE LOCK) .*?(?:index (\S+) of )?table (\S+) trx id (\d+) lock[_ ]mode (\S+)"
)
_VICTIM = re.compile(r"\*\*\* WE ROLL BACK TRANSACTION \((\d+)\)")
# What the server tells of replication, of its own start and of the region's own sessions.
_NOT_OF_THE_APPLICATION = re.compile(
    r"user: '(?:" + "|".join(OURS) + r")'|[Ss]emi-?sync|\bSlave\b|\bslave\b|Master|binlog dump|"
    r"max_open_files|skip-name-resolve"
)


@dataclass(slots=True)
class _Party:
    """One transaction of a deadlock as it is told."""

    transaction: str = ""
    thread: str = ""
    statement: list[str] = field(default_factory=list)
    wants: str = ""
    conflicts_with: str = ""


class ErrorLog:
    """Lines in, rows of `database_log` out; a deadlock's lines are gathered until its last."""

    def __init__(self) -> None:
        self._parties: list[_Party] | None = None
        self._t: float | None = None
        self._part = ""

    def rows_of(self, lines: Iterable[str], now: float) -> list[dict[str, Any]]:
        found = []
        for line in lines:
            head = _HEAD.match(line)
            row = self._take_head(head, now) if head else self._take_rest(line)
            if row is not None:
                found.append(row)
        return found

    def _take_head(self, head: re.Match[str], now: float) -> dict[str, Any] | None:
        when, thread, severity, text = head.groups()
        if "Transactions deadlock detected" in text:
            self._parties, self._t, self._part = [], moment(when, now), ""
            return None
        if self._parties is not None and text.startswith("InnoDB:"):
            return self._take_rest(text.removeprefix("InnoDB:").strip())
        self._parties = None
        if severity not in ("Warning", "ERROR") or thread == "0":
            return None
        if _NOT_OF_THE_APPLICATION.search(text):
            return None
        return {
            "t": moment(when, now), "severity": severity.upper(), "sqlstate": None,
            "message": text[:MAX_TEXT], "detail": None, "statement": None,
        }  # fmt: skip

    def _take_rest(self, line: str) -> dict[str, Any] | None:
        parties = self._parties
        if parties is None:
            return None
        victim = _VICTIM.match(line)
        if victim:
            row = _deadlock(parties, int(victim[1]) - 1, self._t)
            self._parties = None
            return row
        if line.startswith("*** ("):
            parties.append(_Party())
            self._part = "head"
        elif line.startswith("*** WAITING FOR"):
            self._part = "wants"
        elif line.startswith("*** CONFLICTING WITH"):
            self._part = "conflicts"
        elif parties:
            self._note(parties[-1], line)
        return None

    def _note(self, party: _Party, line: str) -> None:
        lock = _LOCK.match(line)
        if lock and self._part == "wants" and not party.wants:
            kind, index, table, _, mode = lock.groups()
            row = f"row lock on index {index} of" if kind == "RECORD LOCKS" else "lock on"
            party.wants = f"{mode} {row} table {table.replace('`', '')}"
        elif lock and self._part == "conflicts" and not party.conflicts_with:
            party.conflicts_with = lock[4]
        elif self._part == "head":
            transaction, thread = _TRANSACTION.match(line), _THREAD.match(line)
            if transaction:
                party.transaction = transaction[1]
            elif thread:
                party.thread, self._part = thread[1], "statement"
        elif self._part == "statement":
            party.statement.append(line)


def _deadlock(parties: list[_Party], victim: int, t: float | None) -> dict[str, Any]:
    """detail: in the form that PostgreSQL gives it, which is the evidence's."""
    threads = {party.transaction: party.thread for party in parties}
    waits = [
        f"Process {one.thread} waits for {one.wants}; "
        f"blocked by process {threads.get(one.conflicts_with, '?')}."
        for one in parties
        if one.wants
    ]
    texts = {one.thread: "\n".join(one.statement).strip() for one in parties}
    detail = "\n".join([*waits, *(f"Process {pid}: {text}" for pid, text in texts.items())])
    failed = texts.get(parties[victim].thread) if 0 <= victim < len(parties) else None
    return {
        "t": t, "severity": "ERROR", "sqlstate": DEADLOCK_STATE, "message": DEADLOCK_TEXT,
        "detail": detail[:MAX_TEXT], "statement": failed[:MAX_TEXT] if failed else None,
    }  # fmt: skip


def moment(when: str, now: float) -> float:
    """`2026-11-30 16:03:24` as seconds since the epoch: within that second, as late as `now`."""
    parsed = datetime.strptime(" ".join(when.split()), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return min(max(parsed.timestamp(), now), parsed.timestamp() + 0.999)
