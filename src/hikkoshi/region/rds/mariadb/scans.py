"""Which tables are read whole, and by which statements: performance_schema and plans, at a mark.

MariaDB keeps a digest without values, which cannot be explained; what it keeps of the last 3000
statements is, with the values that the application sent. EXPLAIN plans, and executes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hikkoshi.region.rds.engine import Scanned, ServerSilent
from hikkoshi.region.rds.mariadb.configuration import ADMIN_DATABASE

if TYPE_CHECKING:
    from hikkoshi.region.rds.mariadb.driver import Connection
    from hikkoshi.region.rds.mariadb.server import MariadbServer

MOST_PLANS = 200
LEAST_ROWS = 100
"""Of a smaller table a scan is the right plan."""
PREFIX = "prepared "
READ_SHARE = 0.5
"""A statement that a LIMIT may end, or that is planned with other values, must have read as much of
the table for a scan."""
LONGEST_TEXT = 2040
"""performance_schema cuts texts at 2048 bytes."""

_SYSTEM = f"'{ADMIN_DATABASE}', 'mysql', 'performance_schema', 'information_schema', 'sys'"

# It counts rows that were fetched without an index, not scans: a scan is a table's worth of them.
TABLES = f"""
SELECT CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME), COALESCE(t.TABLE_ROWS, 0),
       COALESCE(w.COUNT_FETCH, 0)
FROM information_schema.TABLES t
LEFT JOIN performance_schema.table_io_waits_summary_by_index_usage w
       ON w.OBJECT_SCHEMA = t.TABLE_SCHEMA AND w.OBJECT_NAME = t.TABLE_NAME
      AND w.INDEX_NAME IS NULL
WHERE t.TABLE_TYPE = 'BASE TABLE' AND t.TABLE_SCHEMA NOT IN ({_SYSTEM})
"""

SAMPLES = f"""
SELECT h.DIGEST, MIN(TRIM(h.DIGEST_TEXT)), h.CURRENT_SCHEMA, MIN(h.SQL_TEXT), MAX(h.ROWS_EXAMINED)
FROM performance_schema.events_statements_history_long h
WHERE h.DIGEST IS NOT NULL AND h.CURRENT_SCHEMA NOT IN ({_SYSTEM})
  AND h.ERRORS = 0 AND CHAR_LENGTH(h.SQL_TEXT) < {LONGEST_TEXT}
GROUP BY h.DIGEST, h.CURRENT_SCHEMA
"""

ORDER_BY = "ORDER BY "

_LIMIT = re.compile(r"\blimit\b", re.IGNORECASE)
# What is prepared on the server has no values: it is planned with others in their place.
PREPARED = f"""
SELECT CONCAT('{PREFIX}', MD5(i.SQL_TEXT)), MIN(TRIM(i.SQL_TEXT)), h.PROCESSLIST_DB,
       MIN(i.SQL_TEXT), MAX(i.SUM_ROWS_EXAMINED / i.COUNT_EXECUTE)
FROM performance_schema.prepared_statements_instances i
JOIN performance_schema.threads h ON h.THREAD_ID = i.OWNER_THREAD_ID
WHERE h.PROCESSLIST_DB NOT IN ({_SYSTEM}) AND i.COUNT_EXECUTE > 0
  AND CHAR_LENGTH(i.SQL_TEXT) < {LONGEST_TEXT}
GROUP BY i.SQL_TEXT, h.PROCESSLIST_DB
"""
_MARK = re.compile(
    r"""(?P<quoted> '(?:[^'\\]|\\.|\'\')*' | "(?:[^"\\]|\\.)*" | `[^`]*` )
    | (?P<number> \b(?:limit|offset)\s+ (?:\?\s*,\s*)? ) \?
    | \?""",
    re.IGNORECASE | re.VERBOSE,
)

_EXPLAINABLE = re.compile(r"\s*(?:select|update|delete|with)\b", re.IGNORECASE)


class Scans:
    """Of one server: each of its statements is explained once."""

    def __init__(self, server: MariadbServer) -> None:
        self._server = server
        self._explained: set[str] = set()

    def look(self, *, with_plans: bool) -> Scanned:
        """Blocks. Raises ServerSilent."""
        with self._server.connect() as connection:
            # What is asked here is none of the application's statements.
            connection.execute(
                "UPDATE performance_schema.threads SET INSTRUMENTED = 'NO' "
                "WHERE PROCESSLIST_ID = CONNECTION_ID()"
            )
            tables = [_table(*row) for row in connection.execute(TABLES)[0]]
            live = {row["table_name"]: row["live_rows"] for row in tables}
            plans = self._plans(connection, live) if with_plans else []
        return Scanned(tables, plans)

    def _plans(self, connection: Connection, live: Mapping[str, int]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        connection.execute("SET SESSION TRANSACTION READ ONLY")
        connection.execute("SET SESSION max_statement_time = 0.5")
        asked = [*connection.execute(SAMPLES)[0], *connection.execute(PREPARED)[0]]
        for digest, text, schema, sample, examined in asked:
            if digest in self._explained or len(self._explained) >= MOST_PLANS:
                continue
            self._explained.add(digest)
            if not _EXPLAINABLE.match(sample):
                continue
            # A table that is gone meanwhile, a statement of two: such a one has no plan.
            with suppress(ServerSilent):
                connection.select(schema)
                if digest.startswith(PREFIX):
                    sample = with_values(sample)
                answer, _ = connection.execute(f"EXPLAIN FORMAT=JSON {sample}")
                connection.execute(f"EXPLAIN EXTENDED {sample}")
                warnings, _ = connection.execute("SHOW WARNINGS")
                rewritten = " ".join(str(row[2]) for row in warnings)
                plan = json.loads(answer[0][0])
                rows = _rows_of_plan(digest, text, plan, schema, rewritten, live)
                is_known = digest.startswith(PREFIX) or bool(_LIMIT.search(rewritten))
                found += [
                    row for row in rows
                    if not is_known or examined >= READ_SHARE * row["live_rows"]
                ]  # fmt: skip
        return found


def with_values(statement: str) -> str:
    """A prepared statement with a value for each of its marks, for EXPLAIN alone. Pure."""

    def value(match: re.Match[str]) -> str:
        if match["quoted"]:
            return match[0]
        return match[0].replace("?", "10") if match["number"] else "'1'"

    return _MARK.sub(value, statement)


def _table(name: str, live: int, fetched: int) -> dict[str, Any]:
    return {
        "table_name": name, "live_rows": int(live), "seq_rows": int(fetched),
        "seq_scans": int(fetched) // int(live) if live else 0, "index_scans": None,
    }  # fmt: skip


def _rows_of_plan(
    digest: str, text: str, plan: Any, schema: str, rewritten: str, live: Mapping[str, int]
) -> list[dict[str, Any]]:
    found = []
    is_limited = bool(_LIMIT.search(rewritten))
    for alias, condition in scans_in(plan):
        if condition.startswith(ORDER_BY) and not is_limited:
            continue
        table = table_of(alias, schema, rewritten)
        if live.get(table, 0) >= LEAST_ROWS:
            found.append({
                "queryid": digest, "query": text, "table_name": table,
                "filter": condition.replace("`", ""), "live_rows": live[table],
            })  # fmt: skip
    return found


def scans_in(plan: Any, sort_key: str = "") -> Iterator[tuple[str, str]]:
    """(name or alias of a table, condition) for each table, or index, that a plan of FORMAT=JSON
    reads from end to end under a condition; without one "ORDER BY …" where it is sorted."""
    if isinstance(plan, list):
        for part in plan:
            yield from scans_in(part)
    elif isinstance(plan, dict):
        if plan.get("access_type") in ("ALL", "index") and "table_name" in plan:
            condition = plan.get("attached_condition")
            if condition:
                yield str(plan["table_name"]), str(condition)
            elif sort_key and plan["access_type"] == "ALL":
                yield str(plan["table_name"]), ORDER_BY + sort_key
        inner_key = str(plan.get("sort_key") or "")
        for name, inner in plan.items():
            if isinstance(inner, (dict, list)):
                yield from scans_in(inner, inner_key if name == "table" else "")


def table_of(alias: str, schema: str, rewritten: str) -> str:
    """schema.table for the name that a plan has: MariaDB's rewritten statement tells an alias as
    `schema`.`table` `alias`."""
    found = re.search(rf"`([^`]+)`\.`([^`]+)` `{re.escape(alias)}`", rewritten)
    return f"{found[1]}.{found[2]}" if found else f"{schema}.{alias}"
