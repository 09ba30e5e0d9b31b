"""What the databases do, sampled into the evidence. The region's own sessions are in a database of
their own (`rdsadmin`), which is left out of every count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import psycopg

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import Recorder
from hikkoshi.region.rds.configuration import ADMIN, ADMIN_DATABASE, REPLICATION
from hikkoshi.region.rds.scans import Scans
from hikkoshi.region.rds.server import Server
from hikkoshi.region.rds.serverlog import LogTail, row_of

INTERVAL_S = 0.5
MAX_QUERY = 2000
MOST_SESSIONS = 60

_OURS = f"'{ADMIN_DATABASE}', 'template0', 'template1'"

ACTIVITY = f"""
SELECT d.sessions, d.deadlocks, d.xacts, a.connections, a.active, a.idle, a.idle_in_transaction,
       a.waiting, current_setting('max_connections')::int
FROM (SELECT coalesce(sum(sessions), 0)::bigint AS sessions,
             coalesce(sum(deadlocks), 0)::bigint AS deadlocks,
             coalesce(sum(xact_commit + xact_rollback), 0)::bigint AS xacts
      FROM pg_stat_database WHERE datname NOT IN ({_OURS})) d,
     (SELECT count(*) AS connections,
             count(*) FILTER (WHERE state = 'active') AS active,
             count(*) FILTER (WHERE state = 'idle') AS idle,
             count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction,
             count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting
      FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND datname NOT IN ({_OURS})) a
"""

# Blockers come along, so that the tree of who waits for whom can be drawn.
SESSIONS = f"""
WITH own AS (
    SELECT pid, host(client_addr) AS client, state, wait_event_type, wait_event, query,
           extract(epoch FROM clock_timestamp() - xact_start)::float8 AS xact_age_s,
           extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_age_s,
           CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(pid) ELSE '{{}}' END AS blockers
    FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND datname NOT IN ({_OURS})
)
SELECT pid, client, state, wait_event_type, wait_event, xact_age_s, state_age_s,
       array_to_string(blockers, ','), left(query, {MAX_QUERY})
FROM own
WHERE state LIKE 'idle in transaction%' OR wait_event_type = 'Lock' OR xact_age_s > 1
   OR pid IN (SELECT unnest(blockers) FROM own)
ORDER BY xact_age_s DESC NULLS LAST LIMIT {MOST_SESSIONS}
"""

CLIENTS = f"""
SELECT host(client_addr), count(*), count(*) FILTER (WHERE state = 'active'),
       count(*) FILTER (WHERE state LIKE 'idle in transaction%')
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname NOT IN ({_OURS}) AND client_addr IS NOT NULL
GROUP BY client_addr
"""

CLIENT_COLUMNS = ("client", "connections", "active", "idle_in_transaction")

SESSION_COLUMNS = (
    "pid", "client", "state", "wait_event_type", "wait_event", "xact_age_s", "state_age_s",
    "blocked_by", "query",
)  # fmt: skip

COLUMNS = (
    "sessions", "deadlocks", "xacts", "connections", "active", "idle", "idle_in_transaction",
    "waiting", "max_connections",
)  # fmt: skip

STATEMENTS = f"""
SELECT s.queryid::text, min(s.query), sum(s.calls)::bigint, sum(s.rows)::bigint,
       sum(s.total_exec_time) / 1000.0
FROM pg_stat_statements s
LEFT JOIN pg_database d ON d.oid = s.dbid LEFT JOIN pg_roles r ON r.oid = s.userid
WHERE d.datname NOT IN ({_OURS}) AND r.rolname NOT IN ('{ADMIN}', '{REPLICATION}')
  AND s.queryid IS NOT NULL
GROUP BY s.queryid
"""

Statement = tuple[str, str, int, int, float]
"""queryid, text, calls, rows, seconds."""


def summed(rows: Iterable[Statement]) -> list[Statement]:
    """One row a query over all servers: standbys are copies, so a query has one id on all."""
    found: dict[str, Statement] = {}
    for queryid, text, calls, count, seconds in rows:
        _, text, c, n, s = found.get(queryid, (queryid, text, 0, 0, 0.0))
        found[queryid] = (queryid, text, c + calls, n + count, s + float(seconds))
    return list(found.values())


Member = tuple[str, str, Server]
"""name, role (`writer` or `reader`), server."""


class Sampler:
    """Every half second a row of `database` for each server that answers, and the new rows of its
    log. A server that does not answer has no row for that moment."""

    def __init__(
        self, members: Callable[[], list[Member]], recorder: Recorder, clock: Clock
    ) -> None:
        self._members = members
        self._recorder = recorder
        self._clock = clock
        self._scans = Scans(recorder, clock)
        self._tails: dict[str, LogTail] = {}
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Read the logs' ends, and stop."""
        self.read_logs()
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None

    async def mark(self, name: str) -> int:
        """Record pg_stat_statements under that name; the number of queries."""
        gathered: list[Statement] = []
        for _, _, server in self._members():
            if server.is_running:
                gathered += await server.ask(STATEMENTS)
        now = self._clock.now()
        rows = summed(gathered)
        for queryid, text, calls, count, seconds in rows:
            self._recorder.record(
                "queries", t=now, mark=name, queryid=queryid, query=text, calls=calls, rows=count,
                total_s=seconds,
            )  # fmt: skip
        for name_of_member, role, server in self._members():
            if server.is_running:
                await self._scans.mark(name_of_member, role, server, name)
        self.read_logs()
        return len(rows)

    def read_logs(self) -> None:
        for name, _, server in self._members():
            tail = self._tails.setdefault(name, LogTail(server.log_file))
            for line in tail.read():
                row = row_of(line, name)
                if row is not None:
                    self._recorder.record("database_log", **row)

    async def sample(self) -> None:
        await asyncio.gather(*(self._sample(*member) for member in self._members()))
        self.read_logs()

    async def _sample(self, name: str, role: str, server: Server) -> None:
        if not server.is_running:
            return
        try:
            async with asyncio.timeout(2.0):
                (values,) = await server.ask(ACTIVITY)
                sessions = await server.ask(SESSIONS)
                clients = await server.ask(CLIENTS)
        except (psycopg.Error, TimeoutError):
            return
        row: dict[str, Any] = dict(zip(COLUMNS, values, strict=True))
        now = self._clock.now()
        self._recorder.record("database", t=now, instance=name, role=role, **row)
        for each in clients:
            columns = dict(zip(CLIENT_COLUMNS, each, strict=True))
            self._recorder.record("database_clients", t=now, instance=name, **columns)
        for each in sessions:
            columns = dict(zip(SESSION_COLUMNS, each, strict=True))
            self._recorder.record("database_sessions", t=now, instance=name, **columns)

    async def _run(self) -> None:
        while True:
            began = self._clock.monotonic()
            await self.sample()
            # A beat, not a wait for something: the evidence is a series in time.
            await asyncio.sleep(max(0.05, INTERVAL_S - (self._clock.monotonic() - began)))
