"""What MariaDB's performance_schema, information_schema and log tell of the application. The
region's own sessions, and their database `rdsadmin`, are left out of every count."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hikkoshi.model.evidence import UNSEEN_STATEMENTS
from hikkoshi.region.rds.engine import Sample, Scanned, Statement
from hikkoshi.region.rds.logtail import LogTail
from hikkoshi.region.rds.mariadb.configuration import ADMIN_DATABASE, OURS
from hikkoshi.region.rds.mariadb.errorlog import ErrorLog
from hikkoshi.region.rds.mariadb.scans import Scans
from hikkoshi.region.rds.mariadb.slowlog import SlowLog
from hikkoshi.region.rds.mariadb.sqlerrors import TOO_MANY_CONNECTIONS, SqlErrors

if TYPE_CHECKING:
    from hikkoshi.region.rds.mariadb.server import MariadbServer

MAX_QUERY = 2000
MOST_SESSIONS = 60
MOST_REFUSED = 500
"""Rows of one sample for refused connections."""

_OURS = ", ".join(f"'{one}'" for one in OURS)

COUNTERS = f"""
SELECT (SELECT COALESCE(SUM(TOTAL_CONNECTIONS), 0) FROM performance_schema.users
        WHERE USER NOT IN ({_OURS})),
       (SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS
        WHERE VARIABLE_NAME = 'INNODB_DEADLOCKS'),
       (SELECT COALESCE(SUM(COUNT_STAR), 0)
        FROM performance_schema.events_transactions_summary_by_user_by_event_name
        WHERE USER NOT IN ({_OURS})),
       (SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS
        WHERE VARIABLE_NAME = 'CONNECTION_ERRORS_MAX_CONNECTIONS'),
       @@max_connections
"""

# A transaction's age is a difference of performance_schema's timers; this statement's own is now.
SESSIONS = f"""
SELECT p.ID, SUBSTRING_INDEX(p.HOST, ':', 1), p.COMMAND, COALESCE(p.STATE, ''),
       p.TIME_MS / 1000, x.STATE = 'ACTIVE',
       (me.TIMER_START + me.TIMER_WAIT - x.TIMER_START) / 1e12, LEFT(s.SQL_TEXT, {MAX_QUERY})
FROM information_schema.PROCESSLIST p
JOIN performance_schema.threads h ON h.PROCESSLIST_ID = p.ID
LEFT JOIN performance_schema.events_statements_current s
       ON s.THREAD_ID = h.THREAD_ID AND s.NESTING_EVENT_LEVEL = 0
LEFT JOIN performance_schema.events_transactions_current x ON x.THREAD_ID = h.THREAD_ID
JOIN performance_schema.threads mine ON mine.PROCESSLIST_ID = CONNECTION_ID()
JOIN performance_schema.events_statements_current me
       ON me.THREAD_ID = mine.THREAD_ID AND me.NESTING_EVENT_LEVEL = 0
WHERE p.USER NOT IN ({_OURS}, 'system user', 'event_scheduler', 'unauthenticated user')
  AND p.COMMAND NOT IN ('Daemon', 'Connect')
"""

ROW_WAITS = """
SELECT r.trx_mysql_thread_id, b.trx_mysql_thread_id
FROM information_schema.INNODB_LOCK_WAITS w
JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id
JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id
"""

TABLE_WAITS = """
SELECT DISTINCT wt.PROCESSLIST_ID, ht.PROCESSLIST_ID
FROM performance_schema.metadata_locks w
JOIN performance_schema.metadata_locks h
  ON h.OBJECT_TYPE = w.OBJECT_TYPE AND h.OBJECT_SCHEMA = w.OBJECT_SCHEMA
 AND h.OBJECT_NAME = w.OBJECT_NAME AND h.LOCK_STATUS = 'GRANTED'
 AND h.OWNER_THREAD_ID <> w.OWNER_THREAD_ID
JOIN performance_schema.threads wt ON wt.THREAD_ID = w.OWNER_THREAD_ID
JOIN performance_schema.threads ht ON ht.THREAD_ID = h.OWNER_THREAD_ID
WHERE w.LOCK_STATUS = 'PENDING' AND w.OBJECT_TYPE = 'TABLE'
"""

STATEMENTS = f"""
SELECT DIGEST, TRIM(MIN(DIGEST_TEXT)), SUM(COUNT_STAR),
       SUM(SUM_ROWS_SENT + SUM_ROWS_AFFECTED), SUM(SUM_TIMER_WAIT) / 1e12
FROM performance_schema.events_statements_summary_by_digest
WHERE DIGEST IS NOT NULL AND COALESCE(SCHEMA_NAME, '') <> '{ADMIN_DATABASE}'
GROUP BY DIGEST
"""

# MariaDB keeps no text and no digest of what clients prepare on the server (mysql2's execute, JDBC,
# Prisma): those are known while they are prepared, which drivers that cache them leave them.
PREPARED = f"""
SELECT CONCAT('prepared ', MD5(i.SQL_TEXT)), TRIM(i.SQL_TEXT), SUM(i.COUNT_EXECUTE),
       SUM(i.SUM_ROWS_SENT + i.SUM_ROWS_AFFECTED), SUM(i.SUM_TIMER_EXECUTE) / 1e12
FROM performance_schema.prepared_statements_instances i
JOIN performance_schema.threads h ON h.THREAD_ID = i.OWNER_THREAD_ID
WHERE h.PROCESSLIST_USER NOT IN ({_OURS}) AND i.COUNT_EXECUTE > 0
GROUP BY i.SQL_TEXT
"""

# All executions of prepared statements, of those that are closed again (go-sql-driver's), too.
EXECUTED = f"""
SELECT COALESCE(SUM(COUNT_STAR), 0), COALESCE(SUM(SUM_ROWS_SENT + SUM_ROWS_AFFECTED), 0),
       COALESCE(SUM(SUM_TIMER_WAIT), 0) / 1e12
FROM performance_schema.events_statements_summary_by_user_by_event_name
WHERE EVENT_NAME = 'statement/com/Execute' AND USER NOT IN ({_OURS})
"""

_WAITS_FOR_A_TABLE = "Waiting for table"


@dataclass(frozen=True, slots=True)
class Session:
    """One session of the application; ages in seconds, of its state and of its transaction."""

    pid: int
    client: str
    command: str
    stage: str
    state_age_s: float
    is_in_transaction: bool
    xact_age_s: float | None
    query: str | None

    @property
    def is_asleep(self) -> bool:
        return self.command == "Sleep"

    @property
    def state(self) -> str:
        """In PostgreSQL's words, which are the evidence's."""
        if not self.is_asleep:
            return "active"
        return "idle in transaction" if self.is_in_transaction else "idle"


def session_rows(
    sessions: Sequence[Session], blockers: Mapping[int, Sequence[int]]
) -> list[dict[str, Any]]:
    """Rows of `database_sessions`: who waits, who blocks, who holds a transaction open. Pure."""
    blocking = {pid for pids in blockers.values() for pid in pids}
    found = []
    for one in sorted(sessions, key=lambda each: -(each.xact_age_s or 0.0)):
        waits_for_table = one.stage.startswith(_WAITS_FOR_A_TABLE)
        waits = one.pid in blockers or waits_for_table
        is_long = one.is_in_transaction and (one.xact_age_s or 0.0) > 1
        if not (waits or is_long or one.pid in blocking or one.state == "idle in transaction"):
            continue
        found.append({
            "pid": one.pid, "client": one.client, "state": one.state,
            "wait_event_type": "Lock" if waits else None,
            "wait_event": ("table" if waits_for_table else "row") if waits else None,
            "xact_age_s": one.xact_age_s if one.is_in_transaction else None,
            "state_age_s": one.state_age_s,
            "blocked_by": ",".join(map(str, blockers.get(one.pid, ()))), "query": one.query,
        })  # fmt: skip
    return found[:MOST_SESSIONS]


def activity_of(sessions: Sequence[Session], waiting: int) -> dict[str, int]:
    """The counts of `database`. Pure."""
    states = [one.state for one in sessions]
    return {
        "connections": len(states), "active": states.count("active"),
        "idle": states.count("idle"), "idle_in_transaction": states.count("idle in transaction"),
        "waiting": waiting,
    }  # fmt: skip


def client_rows(sessions: Sequence[Session]) -> list[dict[str, Any]]:
    by_client: dict[str, list[Session]] = {}
    for one in sessions:
        by_client.setdefault(one.client, []).append(one)
    found = []
    for client, own in by_client.items():
        counts = activity_of(own, 0)
        kept = ("connections", "active", "idle_in_transaction")
        found.append({"client": client} | {name: counts[name] for name in kept})
    return found


def unseen(executed: tuple[int, int, float], known: Sequence[Statement]) -> list[Statement]:
    """Executions of prepared statements (calls, rows, seconds) whose text is not `known`, as one
    statement more; [] where there is none. Pure."""
    calls, rows, seconds = executed
    calls -= sum(one[2] for one in known)
    rows -= sum(one[3] for one in known)
    seconds -= sum(one[4] for one in known)
    if calls <= 0:
        return []
    return [("prepared and closed", UNSEEN_STATEMENTS, calls, max(0, rows), max(0.0, seconds))]


class MariadbObserver:
    """Of one server, as the protocol Observer says."""

    def __init__(self, server: MariadbServer) -> None:
        self._server = server
        self._scans = Scans(server)
        self._logs: list[tuple[LogTail, ErrorLog | SlowLog | SqlErrors]] = [
            (LogTail(lambda: server.log_file), ErrorLog()),
            (LogTail(lambda: server.sql_error_file), SqlErrors()),
            (LogTail(lambda: server.slow_log_file), SlowLog()),
        ]
        self._refused: int | None = None
        self._refusals: list[dict[str, Any]] = []

    async def sample(self) -> Sample:
        return await asyncio.to_thread(self._look)

    def _look(self) -> Sample:
        ask = self._server.ask_now
        ((opened, deadlocks, xacts, refused, most),) = ask(COUNTERS)
        sessions = [
            Session(pid, client, command, stage, float(age), bool(has_xact),
                    None if xact_age is None else float(xact_age), query)
            for pid, client, command, stage, age, has_xact, xact_age, query in ask(SESSIONS)
        ]  # fmt: skip
        blockers: dict[int, list[int]] = {}
        waits = ask(ROW_WAITS)
        if any(one.stage.startswith(_WAITS_FOR_A_TABLE) for one in sessions):
            waits += ask(TABLE_WAITS)
        for waiter, blocker in waits:
            blockers.setdefault(int(waiter), []).append(int(blocker))
        rows = session_rows(sessions, blockers)
        waiting = sum(row["wait_event_type"] == "Lock" for row in rows)
        self._count_refused(int(refused))
        counters = {
            "sessions": int(opened), "deadlocks": int(deadlocks), "xacts": int(xacts),
            "max_connections": int(most),
        }  # fmt: skip
        return Sample(counters | activity_of(sessions, waiting), client_rows(sessions), rows)

    async def statements(self) -> list[Statement]:
        texts, prepared = [
            [
                (queryid, text, int(calls), int(rows), float(seconds))
                for queryid, text, calls, rows, seconds in await self._server.ask(asked)
            ]
            for asked in (STATEMENTS, PREPARED)
        ]
        ((calls, rows, seconds),) = await self._server.ask(EXECUTED)
        return [*texts, *prepared, *unseen((int(calls), int(rows), float(seconds)), prepared)]

    async def scans(self, *, with_plans: bool) -> Scanned:
        return await asyncio.to_thread(self._scans.look, with_plans=with_plans)

    def log_rows(self, now: float) -> list[dict[str, Any]]:
        refusals, self._refusals = self._refusals, []
        rows = [{"t": now} | row for row in refusals]
        for tail, log in self._logs:
            rows += log.rows_of(tail.read(), now)
        return rows

    def _count_refused(self, refused: int) -> None:
        """Of those that were refused at the door only a counter tells; sql_errlog of those that
        had come as far as their password."""
        before, self._refused = self._refused, refused
        new = refused - before if before is not None and refused >= before else 0
        refusal = {
            "severity": "ERROR", "sqlstate": TOO_MANY_CONNECTIONS,
            "message": "Too many connections", "detail": None, "statement": None,
        }  # fmt: skip
        self._refusals += [refusal] * min(new, MOST_REFUSED)
