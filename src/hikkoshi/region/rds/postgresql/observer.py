"""What PostgreSQL's own views and log tell of the application. The region's own sessions are in a
database of their own (`rdsadmin`), which is left out of every count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hikkoshi.region.rds.engine import Sample, Scanned, Statement
from hikkoshi.region.rds.logtail import LogTail
from hikkoshi.region.rds.postgresql.configuration import ADMIN, ADMIN_DATABASE, REPLICATION
from hikkoshi.region.rds.postgresql.scans import Scans
from hikkoshi.region.rds.postgresql.serverlog import row_of

if TYPE_CHECKING:
    from hikkoshi.region.rds.postgresql.server import PostgresServer

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


class PostgresObserver:
    """Of one server, as the protocol Observer says."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._scans = Scans(server)
        self._tail = LogTail(lambda: server.log_file)

    async def sample(self) -> Sample:
        ask = self._server.ask
        (activity,) = await ask(ACTIVITY)
        sessions = await ask(SESSIONS)
        clients = await ask(CLIENTS)
        return Sample(
            dict(zip(COLUMNS, activity, strict=True)),
            [dict(zip(CLIENT_COLUMNS, each, strict=True)) for each in clients],
            [dict(zip(SESSION_COLUMNS, each, strict=True)) for each in sessions],
        )

    async def statements(self) -> list[Statement]:
        return [
            (queryid, text, calls, rows, float(seconds))
            for queryid, text, calls, rows, seconds in await self._server.ask(STATEMENTS)
        ]

    async def scans(self, *, with_plans: bool) -> Scanned:
        return await self._scans.look(with_plans=with_plans)

    def log_rows(self, now: float) -> list[dict[str, Any]]:
        return [row for line in self._tail.read() if (row := row_of(line)) is not None]
