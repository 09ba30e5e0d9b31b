"""What rules about the database ask: who holds what open, who waits for whom, what is scanned."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window


@dataclass(frozen=True, slots=True)
class Session:
    """One session of the application that waited for a lock, blocked another, or held a
    transaction open, at t; ages in seconds."""

    t: float
    instance: str
    pid: int
    state: str
    waits_for_lock: bool
    xact_age_s: float
    state_age_s: float
    blocked_by: tuple[int, ...]
    query: str

    @property
    def is_idle_in_transaction(self) -> bool:
        return self.state.startswith("idle in transaction")


@dataclass(frozen=True, slots=True)
class Activity:
    """The writer's sessions counted at t."""

    t: float
    connections: int
    active: int
    idle_in_transaction: int

    @property
    def busy(self) -> int:
        return self.active + self.idle_in_transaction


@dataclass(frozen=True, slots=True)
class Scan:
    """A statement whose plan reads a whole table under a condition ("ORDER BY …" where it wants the
    first rows only), and what was counted of both between the first mark and the last. kept_rows:
    what the planner expects to pass the condition; None where it does not say."""

    query: str
    table: str
    condition: str
    live_rows: int
    calls: int
    rows: int
    scans: int
    scanned_rows: int
    kept_rows: int | None = None


def sessions(store: EvidenceStore, window: Window) -> list[Session]:
    rows = store.rows(
        """
        SELECT t, coalesce(instance, ''), pid, coalesce(state, ''),
               coalesce(wait_event_type, '') = 'Lock', coalesce(xact_age_s, 0),
               coalesce(state_age_s, 0), coalesce(blocked_by, ''), coalesce(query, '')
        FROM database_sessions WHERE pid IS NOT NULL AND t BETWEEN ? AND ? ORDER BY t, pid
        """,
        [window.t_start, window.t_end],
    )
    return [
        Session(
            *(t, instance, pid, state, waits, xact_s, state_s),
            blocked_by=tuple(int(one) for one in blockers.split(",") if one.isdigit()),
            query=query,
        )
        for t, instance, pid, state, waits, xact_s, state_s, blockers, query in rows
    ]


def activity(store: EvidenceStore, window: Window) -> list[Activity]:
    """Samples of the instance that had the most connections: the one that the service uses."""
    rows = store.rows(
        """
        SELECT t, coalesce(connections, 0), coalesce(active, 0), coalesce(idle_in_transaction, 0)
        FROM database WHERE t BETWEEN ? AND ? AND coalesce(instance, '') = (
            SELECT coalesce(instance, '') FROM database WHERE t BETWEEN ? AND ?
            GROUP BY 1 ORDER BY max(connections) DESC NULLS LAST LIMIT 1)
        ORDER BY t
        """,
        [window.t_start, window.t_end] * 2,
    )
    return [Activity(*row) for row in rows]


def activity_by_client(store: EvidenceStore, window: Window) -> dict[str, list[Activity]]:
    """The same for each client's own sessions, on the instance where it had the most; empty for a
    run of before schema 3."""
    rows = store.rows(
        """
        SELECT client, t, connections, active, idle_in_transaction FROM database_clients AS c
        WHERE t BETWEEN ? AND ? AND instance = (
            SELECT instance FROM database_clients AS other
            WHERE t BETWEEN ? AND ? AND other.client = c.client
            GROUP BY 1 ORDER BY max(connections) DESC, 1 LIMIT 1)
        ORDER BY client, t
        """,
        [window.t_start, window.t_end] * 2,
    )
    found: dict[str, list[Activity]] = {}
    for client, *counts in rows:
        found.setdefault(client, []).append(Activity(*counts))
    return found


def connection_limit(store: EvidenceStore) -> int | None:
    row = store.rows("SELECT max(max_connections) FROM database")[0]
    return int(row[0]) if row[0] else None


def tasks_at_once(store: EvidenceStore, window: Window) -> int:
    """The most tasks that were sampled within one second of the window."""
    row = store.rows(
        """
        SELECT max(tasks) FROM (SELECT count(DISTINCT task) AS tasks FROM task_usage
            WHERE t BETWEEN ? AND ? GROUP BY floor(t))
        """,
        [window.t_start, window.t_end],
    )[0]
    return int(row[0] or 0)


def scans(store: EvidenceStore) -> list[Scan]:
    """Of statements that were called between the marks, the most rows scanned first."""
    rows = store.rows(
        """
        WITH ends AS (
            SELECT queryid, arg_min(calls, t) AS calls_first, arg_max(calls, t) AS calls_last,
                   arg_min("rows", t) AS rows_first, arg_max("rows", t) AS rows_last, min(t) AS t
            FROM queries WHERE queryid IS NOT NULL AND mark IS NOT NULL GROUP BY queryid
        ), born AS (SELECT min(t) AS t FROM queries), read AS (
            SELECT table_name, sum(scans) AS scans, sum(scanned) AS scanned FROM (
                SELECT table_name, instance, max(seq_scans) - min(seq_scans) AS scans,
                       max(seq_rows) - min(seq_rows) AS scanned
                FROM table_scans GROUP BY table_name, instance) GROUP BY table_name
        )
        SELECT p.query, p.table_name, any_value(p.filter), max(p.live_rows),
               any_value(CAST(CASE WHEN e.t > b.t THEN e.calls_last
                    ELSE e.calls_last - e.calls_first END AS BIGINT)) AS calls,
               any_value(CAST(CASE WHEN e.t > b.t THEN e.rows_last
                    ELSE e.rows_last - e.rows_first END AS BIGINT)),
               coalesce(any_value(CAST(r.scans AS BIGINT)), 0),
               coalesce(any_value(CAST(r.scanned AS BIGINT)), 0) AS scanned, max(p.kept_rows)
        FROM scan_plans p JOIN ends e USING (queryid) CROSS JOIN born b
        LEFT JOIN read r USING (table_name)
        GROUP BY p.query, p.table_name HAVING calls > 0
        ORDER BY scanned DESC, p.query
        """
    )
    return [Scan(*row) for row in rows]


def was_explained(store: EvidenceStore) -> bool:
    return store.has_rows("table_scans")
