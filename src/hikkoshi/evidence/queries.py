"""What rules ask of the evidence, as typed rows. Each function is one question."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.evidence.engines import Kind, condition
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window


@dataclass(frozen=True, slots=True)
class DatabaseSample:
    """pg_stat_database and pg_stat_activity of one instance at t; sessions is cumulative."""

    t: float
    instance: str
    sessions: int
    deadlocks: int
    connections: int
    max_connections: int | None


@dataclass(frozen=True, slots=True)
class LogLine:
    t: float
    source: str
    """Task/container, or the database instance."""
    text: str


@dataclass(frozen=True, slots=True)
class DatabaseLogRow:
    t: float
    instance: str
    sqlstate: str
    message: str
    detail: str
    statement: str


@dataclass(frozen=True, slots=True)
class StatementDelta:
    """What one statement did while one endpoint was sent `requests` times, alone."""

    endpoint: str
    requests: int
    queryid: str
    query: str
    calls: int
    rows: int
    t_start: float
    t_end: float


@dataclass(frozen=True, slots=True)
class TaskSample:
    """One task at t; cpu_s, periods and throttled_periods are cumulative."""

    t: float
    task: str
    family: str
    cpu_s: float
    limit_vcpu: float
    is_enforced: bool
    periods: int
    throttled_periods: int


@dataclass(frozen=True, slots=True)
class FileSample:
    t: float
    task: str
    container: str
    open_files: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class RepeatedSpans:
    """Siblings of one kind under one parent, gathered over an endpoint's traces."""

    endpoint: str
    statement: str
    has_sql: bool
    traces: int
    traces_with_repeats: int
    median_repeats: float
    most_repeats: int


def database_samples(store: EvidenceStore, window: Window) -> list[DatabaseSample]:
    rows = store.rows(
        """
        SELECT t, coalesce(instance, ''), sessions, deadlocks, coalesce(connections, 0),
               max_connections
        FROM database
        WHERE t BETWEEN ? AND ? AND sessions IS NOT NULL AND deadlocks IS NOT NULL
        ORDER BY t
        """,
        [window.t_start, window.t_end],
    )
    return [DatabaseSample(*row) for row in rows]


def answered_between(store: EvidenceStore, t_start: float, t_end: float) -> int:
    """Requests of the load generator sent in [t_start, t_end] that the service answered without a
    failure of its own (status under 500), of every trial, probes included. One that failed may
    not have come as far as the database."""
    sent = store.rows(
        "SELECT count(*) FROM requests "
        "WHERE status < 500 AND coalesce(t_sent, t_intended) BETWEEN ? AND ?",
        [t_start, t_end],
    )
    probed = store.rows(
        "SELECT coalesce(sum(requests), 0) FROM probes WHERE t_start >= ? AND t_end <= ?",
        [t_start, t_end],
    )
    return int(sent[0][0]) + int(probed[0][0])


def sending_length(store: EvidenceStore, window: Window) -> float | None:
    """Seconds from the first to the last moment at which a request of that trial was due; None
    where no request is known."""
    row = store.rows(
        "SELECT max(t_intended) - min(t_intended) FROM requests "
        "WHERE trial = ? AND t_intended BETWEEN ? AND ?",
        [window.name, window.t_start, window.t_end],
    )[0]
    return float(row[0]) if row[0] is not None else None


def database_log(
    store: EvidenceStore, kind: Kind, window: Window | None = None
) -> list[DatabaseLogRow]:
    """Rows that tell of that, in either engine's terms."""
    rows = store.rows(
        f"""
        SELECT t, coalesce(instance, ''), coalesce(sqlstate, ''), coalesce(message, ''),
               coalesce(detail, ''), coalesce(statement, '')
        FROM database_log
        WHERE {condition(kind)} AND t BETWEEN ? AND ?
        ORDER BY t
        """,
        [
            window.t_start if window else float("-inf"),
            window.t_end if window else float("inf"),
        ],
    )
    return [DatabaseLogRow(*row) for row in rows]


def statement_deltas(store: EvidenceStore) -> list[StatementDelta]:
    """For each probed endpoint, each statement's calls and rows between the two marks.

    Statements of the same text under several ids (users, databases) are added up.
    """
    rows = store.rows(
        """
        WITH marked AS (
            SELECT mark, coalesce(queryid, query) AS queryid, any_value(query) AS query,
                   sum(calls) AS calls, sum("rows") AS rows
            FROM queries WHERE mark IS NOT NULL AND query IS NOT NULL
            GROUP BY mark, coalesce(queryid, query)
        )
        SELECT p.endpoint, p.requests, a.queryid, a.query,
               CAST(a.calls - coalesce(b.calls, 0) AS BIGINT),
               CAST(coalesce(a.rows, 0) - coalesce(b.rows, 0) AS BIGINT),
               coalesce(p.t_start, 0), coalesce(p.t_end, 0)
        FROM probes p
        JOIN marked a ON a.mark = p.mark_after
        LEFT JOIN marked b ON b.mark = p.mark_before AND b.queryid = a.queryid
        WHERE p.requests > 0 AND a.calls - coalesce(b.calls, 0) > 0
        ORDER BY p.endpoint, 5 DESC, a.queryid
        """
    )
    return [StatementDelta(*row) for row in rows]


def probed_endpoints(store: EvidenceStore) -> set[str]:
    """Endpoints whose probe has both of its marks in `queries`."""
    rows = store.rows(
        """
        SELECT DISTINCT endpoint FROM probes
        WHERE requests > 0 AND mark_before IN (SELECT mark FROM queries)
          AND mark_after IN (SELECT mark FROM queries)
        """
    )
    return {str(row[0]) for row in rows}


def task_samples(store: EvidenceStore) -> list[TaskSample]:
    """Ordered by task and time; samples of tasks without a CPU limit are left out."""
    rows = store.rows(
        """
        SELECT t, task, coalesce(family, ''), cpu_s, cpu_limit_vcpu,
               coalesce(cpu_is_enforced, false), coalesce(periods, 0),
               coalesce(throttled_periods, 0)
        FROM task_usage
        WHERE task IS NOT NULL AND cpu_s IS NOT NULL AND cpu_limit_vcpu > 0
        ORDER BY task, t
        """
    )
    return [TaskSample(*row) for row in rows]


def task_starts(store: EvidenceStore) -> dict[str, float]:
    """When each task was first RUNNING, or, without such an event, first sampled."""
    sampled = store.rows("SELECT task, min(t) FROM task_usage WHERE task IS NOT NULL GROUP BY task")
    running = store.rows(
        "SELECT task, min(t) FROM task_events WHERE last_status = 'RUNNING' GROUP BY task"
    )
    return {str(task): float(t) for task, t in [*sampled, *running] if task is not None}


def container_cpu(store: EvidenceStore, task: str, window: Window) -> list[tuple[str, float]]:
    """(container, CPU seconds used in the window), the largest first."""
    rows = store.rows(
        """
        SELECT container, max(cpu_s) - min(cpu_s) AS used FROM usage
        WHERE task = ? AND t BETWEEN ? AND ? AND cpu_s IS NOT NULL AND container IS NOT NULL
        GROUP BY container ORDER BY used DESC, container
        """,
        [task, window.t_start, window.t_end],
    )
    return [(str(name), float(used)) for name, used in rows]


def file_samples(store: EvidenceStore) -> list[FileSample]:
    rows = store.rows(
        """
        SELECT t, coalesce(task, ''), coalesce(container, ''), open_files, open_files_limit
        FROM usage WHERE open_files IS NOT NULL ORDER BY task, container, t
        """
    )
    return [FileSample(*row) for row in rows]


def log_lines_matching(store: EvidenceStore, pattern: str, limit: int) -> list[LogLine]:
    """The first `limit` lines of all containers that match `pattern` (RE2), by time."""
    rows = store.rows(
        """
        SELECT t, concat_ws('/', task, container), line
        FROM logs WHERE regexp_matches(line, ?) ORDER BY t LIMIT ?
        """,
        [pattern, limit],
    )
    return [LogLine(*row) for row in rows]


def most_tasks_alive(store: EvidenceStore) -> int:
    """The largest number of tasks sampled within one second."""
    rows = store.rows(
        """
        SELECT max(tasks) FROM (
            SELECT count(DISTINCT task) AS tasks FROM task_usage GROUP BY floor(t)
        )
        """
    )
    return int(rows[0][0] or 0)


def repeated_spans(store: EvidenceStore, at_least: int) -> list[RepeatedSpans]:
    """Sibling database spans of one statement (or, without SQL, one name), `at_least` a parent.

    A span counts as a database call when it carries SQL, or when it is a remote leaf without a
    URL. Numbers, strings and lists in SQL are taken out, so that one statement is one. An endpoint
    is the root's method and path with its ids taken out.
    """
    rows = store.rows(
        r"""
        WITH roots AS (
            SELECT trace_id, arg_min(concat_ws(' ', method, regexp_replace(
                       regexp_replace(regexp_replace(coalesce(url, name, ''),
                           '^[a-z]+://[^/]*', ''), '[?#].*$', ''),
                       '/([0-9]+|[0-9a-fA-F-]{16,})', '/{id}', 'g')), t_start) AS endpoint
            FROM spans WHERE parent_id IS NULL OR url IS NOT NULL GROUP BY trace_id
        ), calls AS (
            SELECT trace_id, parent_id, sql IS NOT NULL AS has_sql,
                   CASE WHEN sql IS NOT NULL THEN trim(regexp_replace(regexp_replace(
                       regexp_replace(sql, '''(?:[^'']|'''')*''|\$[0-9]+|%s|\b[0-9.]+\b', '?', 'g'),
                       '\(\s*\?(\s*,\s*\?)*\s*\)', '(?)', 'g'), '\s+', ' ', 'g'))
                   ELSE coalesce(name, '') END AS statement
            FROM spans
            WHERE parent_id IS NOT NULL
              AND (sql IS NOT NULL OR (namespace = 'remote' AND url IS NULL))
        ), groups AS (
            SELECT trace_id, statement, has_sql, max(n) AS n FROM (
                SELECT trace_id, parent_id, statement, has_sql, count(*) AS n
                FROM calls GROUP BY ALL)
            GROUP BY trace_id, statement, has_sql
        ), totals AS (SELECT endpoint, count(*) AS traces FROM roots GROUP BY endpoint)
        SELECT r.endpoint, g.statement, g.has_sql, any_value(t.traces),
               count(*) FILTER (g.n >= ?), median(g.n) FILTER (g.n >= ?), max(g.n)
        FROM groups g JOIN roots r USING (trace_id) JOIN totals t ON t.endpoint = r.endpoint
        GROUP BY r.endpoint, g.statement, g.has_sql
        HAVING max(g.n) >= ?
        ORDER BY 7 DESC, 1, 2
        """,
        [at_least, at_least, at_least],
    )
    return [RepeatedSpans(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class MemorySample:
    t: float
    task: str
    container: str
    bytes: int


def memory_samples(store: EvidenceStore) -> list[MemorySample]:
    rows = store.rows(
        """
        SELECT t, coalesce(task, ''), coalesce(container, ''), memory_bytes
        FROM usage WHERE memory_bytes IS NOT NULL ORDER BY task, container, t
        """
    )
    return [MemorySample(*row) for row in rows]


def memory_peak(store: EvidenceStore, container: str) -> int:
    row = store.rows("SELECT max(memory_bytes) FROM usage WHERE container = ?", [container])[0]
    return int(row[0] or 0)


def memory_limit(store: EvidenceStore) -> int | None:
    """Of the service's tasks: the smallest that any had."""
    row = store.rows("SELECT min(memory_limit_bytes) FROM task_usage")[0]
    return int(row[0]) if row[0] else None


def fullest_unenforced(store: EvidenceStore) -> tuple[float, str, int, int] | None:
    """(t, family, bytes, limit) of the fullest task whose limit nothing enforces."""
    rows = store.rows(
        """
        SELECT t, coalesce(family, task), memory_bytes, memory_limit_bytes FROM task_usage
        WHERE memory_is_enforced = false AND memory_limit_bytes > 0 AND memory_bytes IS NOT NULL
        ORDER BY memory_bytes / memory_limit_bytes DESC LIMIT 1
        """
    )
    return (float(rows[0][0]), str(rows[0][1]), int(rows[0][2]), int(rows[0][3])) if rows else None


def database_log_saying(store: EvidenceStore, words: str, window: Window) -> list[DatabaseLogRow]:
    rows = store.rows(
        """
        SELECT t, coalesce(instance, ''), coalesce(sqlstate, ''), coalesce(message, ''),
               coalesce(detail, ''), coalesce(statement, '')
        FROM database_log WHERE contains(message, ?) AND t BETWEEN ? AND ? ORDER BY t
        """,
        [words, window.t_start, window.t_end],
    )
    return [DatabaseLogRow(*row) for row in rows]
