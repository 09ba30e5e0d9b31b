"""Which tables are read whole, and by which statements: pg_stat_user_tables and plans, at a mark.

Only there, since asking needs a session in the application's own database, which the statistics
count. The plan is the generic one (EXPLAIN (GENERIC_PLAN), PostgreSQL 16): nothing is executed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from hikkoshi.region.rds.engine import Scanned, ServerSilent
from hikkoshi.region.rds.postgresql.configuration import ADMIN, ADMIN_DATABASE, REPLICATION

if TYPE_CHECKING:
    from hikkoshi.region.rds.postgresql.server import PostgresServer

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

TABLE_COLUMNS = ("table_name", "seq_scans", "seq_rows", "index_scans", "live_rows")

STATEMENTS = f"""
SELECT DISTINCT ON (s.queryid) s.queryid::text, s.query FROM pg_stat_statements s
JOIN pg_roles r ON r.oid = s.userid JOIN pg_database d ON d.oid = s.dbid
WHERE d.datname = %s AND r.rolname NOT IN ('{ADMIN}', '{REPLICATION}') AND s.queryid IS NOT NULL
"""

SELECTIVE_SHARE = 0.05
"""Own cut: a LIMIT soon ends a scan of which more rows than this pass."""

_SORTS = ("Sort", "Incremental Sort")
_ROW_BY_ROW = frozenset({"Gather", "Nested Loop", "Append", "Result", "LockRows", "Subquery Scan"})
_EXPLAINABLE = re.compile(r"\s*(?:select|update|delete|with)\b", re.IGNORECASE)


class Scans:
    """Of one server: each of its statements is explained once."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._explained: set[str] = set()

    async def look(self, *, with_plans: bool) -> Scanned:
        """Raises ServerSilent."""
        tables: list[dict[str, Any]] = []
        plans: list[dict[str, Any]] = []
        for (database,) in await self._server.ask(DATABASES):
            try:
                async with await self._server.connect(str(database)) as connection:
                    rows = await self._tables(connection)
                    tables += rows
                    if with_plans:
                        plans += await self._plans(connection, str(database), rows)
            except psycopg.Error as error:
                raise ServerSilent(str(error)) from error
        return Scanned(tables, plans)

    async def _tables(self, connection: psycopg.AsyncConnection[Any]) -> list[dict[str, Any]]:
        cursor = await connection.execute(TABLES)
        return [dict(zip(TABLE_COLUMNS, row, strict=True)) for row in await cursor.fetchall()]

    async def _plans(
        self,
        connection: psycopg.AsyncConnection[Any],
        database: str,
        tables: list[dict[str, Any]],
    ) -> list[dict[str, Any]]:
        live = {row["table_name"]: row["live_rows"] for row in tables}
        found: list[dict[str, Any]] = []
        await connection.execute("SET default_transaction_read_only = on")
        await connection.execute("SET statement_timeout = '500ms'")
        for queryid, text in await self._server.ask(STATEMENTS, (database,)):
            if queryid in self._explained or len(self._explained) >= MOST_PLANS:
                continue
            self._explained.add(queryid)
            if not _EXPLAINABLE.match(text):
                continue
            with suppress(psycopg.Error):
                asked = f"EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) {text}"
                answer = await (await connection.execute(asked.encode())).fetchone()
                found += _rows_of_plan(queryid, text, answer, live)
        return found


def _rows_of_plan(
    queryid: str, text: str, answer: Any, live: Mapping[str, int]
) -> list[dict[str, Any]]:
    document = answer[0] if answer else []
    plan = json.loads(document) if isinstance(document, str) else document
    return [
        {"queryid": queryid, "query": text, "table_name": one.table, "filter": one.condition,
         "live_rows": live[one.table], "kept_rows": one.kept_rows}
        for one in scans_in(plan)
        if live.get(one.table, 0) >= LEAST_ROWS
        and not (one.may_stop and one.kept_rows > SELECTIVE_SHARE * live[one.table])
    ]  # fmt: skip


class PlannedScan(NamedTuple):
    """condition: the filter; without one "ORDER BY …" of a sort of which only the first rows are
    wanted. kept_rows: as many rows as the planner expects to pass. may_stop: a LIMIT ends the scan
    when it has enough."""

    table: str
    condition: str
    kept_rows: int
    may_stop: bool


def scans_in(plan: Any, above: tuple[dict[str, Any], ...] = ()) -> Iterator[PlannedScan]:
    """Each sequential scan in a plan of FORMAT JSON that is made for some of its rows."""
    if isinstance(plan, list):
        for part in plan:
            yield from scans_in(part, above)
    elif isinstance(plan, dict):
        if plan.get("Node Type") == "Seq Scan":
            sort = next((one for one in above if one.get("Node Type") in _SORTS), None)
            condition = plan.get("Filter") or _first_rows(sort, above)
            if condition:
                table = f"{plan.get('Schema', 'public')}.{plan.get('Relation Name')}"
                kept, may_stop = int(plan.get("Plan Rows", 0)), _may_stop(above)
                yield PlannedScan(table, str(condition), kept, may_stop)
        if plan.get("Plan"):
            yield from scans_in(plan["Plan"], above)
        if plan.get("Plans"):
            yield from scans_in(plan["Plans"], (plan, *above))


def _first_rows(sort: dict[str, Any] | None, above: tuple[dict[str, Any], ...]) -> str | None:
    """ "ORDER BY …" where there is nothing but a sort of the table between it and a LIMIT."""
    names = [one.get("Node Type") for one in above]
    if sort is None or "Limit" not in names:
        return None
    between = {*names[: names.index("Limit")]}
    if not between <= {*_SORTS, "Gather Merge"}:
        return None
    return f"ORDER BY {', '.join(map(str, sort.get('Sort Key', ())))}"


def _may_stop(above: tuple[dict[str, Any], ...]) -> bool:
    """Whether the nearest LIMIT is fed row by row: nothing beneath it needs them all first."""
    for node in above:
        if node.get("Node Type") == "Limit":
            return True
        if node.get("Node Type") not in _ROW_BY_ROW:
            return False
    return False
