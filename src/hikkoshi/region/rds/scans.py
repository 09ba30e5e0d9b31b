"""Which tables are read whole, and by which statements: pg_stat_user_tables and plans, at a mark.

Only there, since asking needs a session in the application's own database, which the statistics
count. The plan is the generic one (EXPLAIN (GENERIC_PLAN), PostgreSQL 16): nothing is executed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import Recorder
from hikkoshi.region.rds.configuration import ADMIN, ADMIN_DATABASE, REPLICATION
from hikkoshi.region.rds.server import Server

MOST_PLANS = 200
LEAST_ROWS = 100
"""Of a smaller table a scan is the right plan."""

DATABASES = f"""
SELECT datname FROM pg_database
WHERE datallowconn AND datname NOT IN ('{ADMIN_DATABASE}', 'postgres', 'template0', 'template1')
"""

TABLES = """
SELECT schemaname || '.' || relname, coalesce(seq_scan, 0), coalesce(seq_tup_read, 0),
       coalesce(idx_scan, 0), coalesce(n_live_tup, 0)
FROM pg_stat_user_tables
"""

STATEMENTS = f"""
SELECT DISTINCT ON (s.queryid) s.queryid::text, s.query FROM pg_stat_statements s
JOIN pg_roles r ON r.oid = s.userid JOIN pg_database d ON d.oid = s.dbid
WHERE d.datname = %s AND r.rolname NOT IN ('{ADMIN}', '{REPLICATION}') AND s.queryid IS NOT NULL
"""

_EXPLAINABLE = re.compile(r"\s*(?:select|update|delete|with)\b", re.IGNORECASE)


class Scans:
    """Rows of `table_scans` and `scan_plans`; each statement is explained once."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._explained: set[str] = set()

    async def mark(self, instance: str, role: str, server: Server, name: str) -> None:
        """Never raises for a server that goes away meanwhile: then there are no rows."""
        with suppress(psycopg.Error):
            for (database,) in await server.ask(DATABASES):
                async with await server.connect(str(database)) as connection:
                    rows = await self._tables(connection, instance, name)
                    if role == "writer":
                        await self._plans(connection, server, str(database), rows)

    async def _tables(
        self, connection: psycopg.AsyncConnection[Any], instance: str, mark: str
    ) -> dict[str, int]:
        """Live rows by table name."""
        found: dict[str, int] = {}
        now = self._clock.now()
        for table, scans, read, by_index, live in await (
            await connection.execute(TABLES)
        ).fetchall():
            found[table] = live
            self._recorder.record(
                "table_scans", t=now, mark=mark, instance=instance, table_name=table,
                seq_scans=scans, seq_rows=read, index_scans=by_index, live_rows=live,
            )  # fmt: skip
        return found

    async def _plans(
        self,
        connection: psycopg.AsyncConnection[Any],
        server: Server,
        database: str,
        live: dict[str, int],
    ) -> None:
        await connection.execute("SET default_transaction_read_only = on")
        await connection.execute("SET statement_timeout = '500ms'")
        for queryid, text in await server.ask(STATEMENTS, (database,)):
            if queryid in self._explained or len(self._explained) >= MOST_PLANS:
                continue
            self._explained.add(queryid)
            if not _EXPLAINABLE.match(text):
                continue
            with suppress(psycopg.Error):
                asked = f"EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) {text}"
                answer = await (await connection.execute(asked.encode())).fetchone()
                self._record_plan(queryid, text, answer, live)

    def _record_plan(self, queryid: str, text: str, answer: Any, live: dict[str, int]) -> None:
        document = answer[0] if answer else []
        plan = json.loads(document) if isinstance(document, str) else document
        for table, condition in scans_in(plan):
            if live.get(table, 0) >= LEAST_ROWS:
                self._recorder.record(
                    "scan_plans", t=self._clock.now(), queryid=queryid, query=text,
                    table_name=table, filter=condition, live_rows=live[table],
                )  # fmt: skip


def scans_in(plan: Any) -> Iterator[tuple[str, str]]:
    """(schema.table, filter) of each sequential scan with a filter in a plan of FORMAT JSON."""
    if isinstance(plan, list):
        for part in plan:
            yield from scans_in(part)
    elif isinstance(plan, dict):
        if plan.get("Node Type") == "Seq Scan" and plan.get("Filter"):
            yield f"{plan.get('Schema', 'public')}.{plan.get('Relation Name')}", str(plan["Filter"])
        for inner in (plan.get("Plan"), plan.get("Plans")):
            if inner:
                yield from scans_in(inner)
