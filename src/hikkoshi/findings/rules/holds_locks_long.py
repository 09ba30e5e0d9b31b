"""Sessions that wait for another's lock for a second or longer, and who holds it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.evidence import database, queries
from hikkoshi.evidence.database import Session
from hikkoshi.evidence.engines import engine_of
from hikkoshi.evidence.queries import DatabaseLogRow
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows
from hikkoshi.findings.numbers import measured, service_of
from hikkoshi.findings.rule import PLANNED, Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "holds-locks-long"
TITLE = "Holds locks so long that others wait"
APPLIES = Applies((Need.DATABASE, Need.LOAD), PLANNED, since=2)

# facts/observability.md: log_lock_waits tells of waits longer than deadlock_timeout, 1 s.
LONG_S = 1.0
LIKELY_WAITS = 1
FACT_WAITS = 3
# A wait that ended in a deadlock is that rule's.
DEADLOCK_NEAR_S = 2.5
DEEPEST = 8

_PROCESS = re.compile(r"process (\d+) still waiting for")


@dataclass(frozen=True, slots=True)
class Waits:
    """pids: the sessions that waited, each counted once. tree: the longest wait, drawn."""

    window: Window
    pids: frozenset[int]
    longest_s: float
    tree: str


def waits_in(
    window: Window,
    sessions: Sequence[Session],
    told: Sequence[DatabaseLogRow],
    deadlocks: Sequence[DatabaseLogRow],
) -> Waits | None:
    """Pure. told: the log's lines about waits; those near a deadlock are left out."""

    def is_near(t: float) -> bool:
        return any(abs(row.t - t) <= DEADLOCK_NEAR_S for row in deadlocks)

    waiting = [
        one
        for one in sessions
        if one.waits_for_lock and one.state_age_s >= LONG_S and not is_near(one.t)
    ]
    pids = {one.pid for one in waiting}
    for row in told:
        match = _PROCESS.search(row.message)
        if match and not is_near(row.t):
            pids.add(int(match[1]))
    if not pids:
        return None
    if not waiting:
        return Waits(window, frozenset(pids), LONG_S, "")
    longest = max(waiting, key=lambda one: one.state_age_s)
    same = [one for one in sessions if one.t == longest.t and one.instance == longest.instance]
    return Waits(window, frozenset(pids), longest.state_age_s, draw(longest, same))


def draw(waiter: Session, same: Sequence[Session]) -> str:
    """Who waits for whom, from the one that waits down to the one that waits for nobody."""
    by_pid = {one.pid: one for one in same}
    lines = [f"{waiter.pid} has waited {waiter.state_age_s:.1f} s: {waiter.query}"]
    current, seen = waiter, {waiter.pid}
    while current.blocked_by and len(seen) < DEEPEST:
        pid = next((one for one in current.blocked_by if one not in seen), None)
        if pid is None:
            break
        seen.add(pid)
        found = by_pid.get(pid)
        indent = "  " * (len(seen) - 1)
        if found is None:
            lines.append(f"{indent}for {pid}, which was not seen")
            break
        lines.append(
            f"{indent}for {pid}, {found.state or 'busy'}, in a transaction of "
            f"{found.xact_age_s:.1f} s: {found.query}"
        )
        current = found
    return "\n".join(lines)


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    if not any(database.activity(evidence, window) for window in windows.planned):
        return NotJudged(NAME, "the database was not sampled during steady or soak")
    deadlocks = queries.database_log(evidence, "deadlock")
    found = [
        waits
        for window in windows.planned
        if (
            waits := waits_in(
                window,
                database.sessions(evidence, window),
                queries.database_log_saying(evidence, "still waiting for", window),
                deadlocks,
            )
        )
    ]
    if not found:
        return None
    worst = max(found, key=lambda waits: (len(waits.pids), waits.longest_s))
    number = len({pid for waits in found for pid in waits.pids})
    return Finding(
        NAME,
        Certainty.FACT if number >= FACT_WAITS else Certainty.LIKELY,
        service_of(evidence),
        f"{number} sessions waited {LONG_S:g} s or longer for a lock that another held "
        f"(the longest seen: {worst.longest_s:.1f} s).",
        (
            measured(
                f"sessions that waited {LONG_S:g} s or longer for a lock",
                number,
                f"{FACT_WAITS} is a fact, {LIKELY_WAITS} is likely",
                worst.window,
            ),
        ),
        (*_ADVICE, _LET_IT_END[engine_of(evidence).name]),
        (worst.tree,) if worst.tree else (),
    )


_ADVICE = (
    "Make the transaction that holds the lock short: no call to another service, no loop over "
    "many rows, no waiting for a user between its first write and COMMIT.",
    "Update a counter or a parent row last, just before COMMIT, or keep it in a table of its own "
    "and add it up; a queue takes FOR UPDATE SKIP LOCKED.",
)
_LET_IT_END = {
    "postgresql": (
        "Let waiting end: SET lock_timeout = '2s', and change tables with lock_timeout and retries."
    ),
    "mysql": (
        "Let waiting end: innodb_lock_wait_timeout is 50 s by default; set 2–5 s, and roll the "
        "whole transaction back on error 1205, which undoes one statement alone. Change tables "
        "with lock_wait_timeout and retries. sys.innodb_lock_waits and SHOW ENGINE INNODB STATUS "
        "show who waits for whom; an UPDATE without an index locks every row that it reads."
    ),
}
