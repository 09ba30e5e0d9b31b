"""Who waits for whom in the database: deadlocks as circles, waiting sessions as trees."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.evidence.engines import condition
from hikkoshi.evidence.store import EvidenceStore

MOST_SESSIONS = 40


@dataclass(frozen=True, slots=True)
class Waiting:
    """One process of a deadlock: what it ran, and whom it waited for."""

    pid: int
    waits_for: int
    lock: str
    statement: str


@dataclass(frozen=True, slots=True)
class Session:
    """blocked_by: pids, empty for one who waits for nobody. Ages in seconds."""

    pid: int
    state: str
    waits_for: str
    xact_age_s: float | None
    blocked_by: tuple[int, ...]
    query: str


@dataclass(frozen=True, slots=True)
class Blocker:
    session: Session
    depth: int
    blocks: int
    """How many wait for it, directly or not."""


def deadlock_circle(store: EvidenceStore) -> tuple[float, tuple[Waiting, ...]] | None:
    """The first deadlock whose detail could be read: (t, processes in the order of waiting)."""
    rows = store.rows(
        f"SELECT t, detail FROM database_log WHERE {condition('deadlock')} "
        "AND detail IS NOT NULL ORDER BY t LIMIT 20"
    )
    for t, detail in rows:
        circle = read_circle(detail)
        if circle:
            return t, circle
    return None


def read_circle(detail: str) -> tuple[Waiting, ...]:
    """The detail of a deadlock in PostgreSQL's form, into which MariaDB's is brought; empty when
    it is not in that form."""
    statements = {
        int(pid): text.strip()
        for pid, text in re.findall(r"^Process (\d+): ([^\n]*(?:\n(?!Process \d)[^\n]*)*)", detail,
                                    re.MULTILINE)
    }  # fmt: skip
    waits = re.findall(r"Process (\d+) waits for (.+?); blocked by process (\d+)\.", detail)
    return tuple(
        Waiting(int(pid), int(other), lock, statements.get(int(pid), ""))
        for pid, lock, other in waits
    )


def worst_moment(store: EvidenceStore) -> tuple[float, tuple[Blocker, ...]] | None:
    """The moment at which the most sessions waited for others, as trees: (t, rows to read)."""
    found = store.rows(
        "SELECT t, instance FROM database_sessions WHERE coalesce(blocked_by, '') <> '' "
        "GROUP BY t, instance ORDER BY count(*) DESC, t LIMIT 1"
    )
    if not found:
        return None
    t, instance = found[0]
    rows = store.rows(
        "SELECT pid, coalesce(state, ''), concat_ws(': ', wait_event_type, wait_event), "
        "xact_age_s, coalesce(blocked_by, ''), left(coalesce(query, ''), 1000) "
        "FROM database_sessions "
        "WHERE t = ? AND instance IS NOT DISTINCT FROM ? AND pid IS NOT NULL",
        [t, instance],
    )
    sessions = [
        Session(pid, state, event, age, tuple(int(n) for n in re.findall(r"\d+", by)), query)
        for pid, state, event, age, by, query in rows
    ]
    return t, blocker_tree(sessions)


def blocker_tree(sessions: Sequence[Session]) -> tuple[Blocker, ...]:
    """Those who block first, who waits for them below. Each session once; a circle is entered at
    its lowest pid. Sessions that neither block nor wait are left out."""
    by_pid = {session.pid: session for session in sessions}
    below: dict[int, list[Session]] = {}
    for session in sorted(sessions, key=lambda each: each.pid):
        for blocker in session.blocked_by[:1]:
            below.setdefault(blocker, []).append(session)
    heads = [by_pid[pid] for pid in sorted(below) if pid in by_pid and not by_pid[pid].blocked_by]
    heads += [s for s in sorted(sessions, key=lambda each: each.pid) if s.blocked_by]
    rows: list[Blocker] = []
    seen: set[int] = set()
    for head in heads:
        waiting = [(head, 0)]
        while waiting and len(rows) < MOST_SESSIONS:
            session, depth = waiting.pop()
            if session.pid in seen:
                continue
            seen.add(session.pid)
            rows.append(Blocker(session, depth, _count(session.pid, below)))
            waiting += [(each, depth + 1) for each in reversed(below.get(session.pid, []))]
    return tuple(rows)


def _count(pid: int, below: dict[int, list[Session]]) -> int:
    seen: set[int] = {pid}
    waiting = [pid]
    while waiting:
        for session in below.get(waiting.pop(), []):
            if session.pid not in seen:
                seen.add(session.pid)
                waiting.append(session.pid)
    return len(seen) - 1
