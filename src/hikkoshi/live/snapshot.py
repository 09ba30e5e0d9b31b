"""What the live page shows now, from the evidence so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.timeline import timeline
from hikkoshi.report.charts import chart_specs, marks_of, short_task
from hikkoshi.report.text import one_line, visible

SHOWN_S = 300.0
LATEST_S = 5.0
MOST_EVENTS = 40


def snapshot(store: EvidenceStore, now: float) -> dict[str, Any]:
    """Charts of the last five minutes, the numbers of the last five seconds, and the last events.
    `now` None in `last`: nothing has been recorded yet."""
    first, last = bounds(store)
    start = max(first or now, now - SHOWN_S)
    line = timeline(store, start, now)
    return {
        "t": round(now, 3),
        "quiet_s": quiet_s(last, now),
        "length": round(line.t_end - line.t_start, 3),
        "bucket": line.bucket_s,
        "bands": _bands(store, line.t_start, line.t_end),
        "marks": [{"t": mark["t"]} for mark in marks_of(line)],
        "charts": chart_specs(line),
        "numbers": numbers(store, now),
        "events": [
            [round(now - each.t, 1), each.kind, each.words] for each in events(store, MOST_EVENTS)
        ],
    }


def bounds(store: EvidenceStore) -> tuple[float | None, float | None]:
    """When the first and the last thing was recorded; None: nothing has been yet."""
    return store.rows(
        "SELECT min(a), max(b) FROM (SELECT min(t_intended) AS a, max(t_intended + latency_s) AS b "
        "FROM requests UNION ALL SELECT min(t), max(t) FROM task_usage UNION ALL "
        "SELECT min(t), max(t) FROM database UNION ALL SELECT min(t), max(t) FROM task_events)"
    )[0]


def quiet_s(last: float | None, now: float) -> float | None:
    return None if last is None else round(max(0.0, now - last), 1)


def _bands(store: EvidenceStore, start: float, end: float) -> list[dict[str, Any]]:
    rows = store.rows(
        "SELECT name, outcome, t_start, t_end FROM trials WHERE t_end > ? AND name IS NOT NULL "
        "ORDER BY t_start",
        [start],
    )
    return [
        {
            "title": visible(name),
            "outcome": outcome or "",
            "start": round(max(0.0, t_start - start), 3),
            "end": round(min(end, t_end) - start, 3),
        }
        for name, outcome, t_start, t_end in rows
    ]


def numbers(store: EvidenceStore, now: float) -> dict[str, Any]:
    """Of the last LATEST_S. Requests count from when they ended: the newest have not been answered
    yet."""
    count, failed, p99 = store.rows(
        "SELECT count(*), count(*) FILTER (WHERE error IS NOT NULL OR coalesce(status, 0) NOT "
        "BETWEEN 200 AND 399), quantile_cont(latency_s, 0.99) FROM requests "
        "WHERE t_intended + latency_s BETWEEN ? AND ?",
        [now - LATEST_S - 1, now - 1],
    )[0]
    connections = store.rows(
        "SELECT sum(c), max(m) FROM (SELECT arg_max(connections, t) AS c, "
        "max(max_connections) AS m FROM database WHERE t > ? GROUP BY instance)",
        [now - LATEST_S],
    )[0]
    (running,) = store.rows(
        "SELECT count(*) FROM (SELECT task, arg_max(last_status, t) AS status FROM task_events "
        "WHERE task IS NOT NULL GROUP BY task) WHERE status = 'RUNNING'"
    )[0]
    return {
        "rate": round(count / LATEST_S, 1),
        "failed": round(failed / LATEST_S, 1),
        "p99_s": p99,
        "connections": connections[0],
        "max_connections": connections[1],
        "tasks": running,
    }


@dataclass(frozen=True, slots=True)
class Event:
    """kind: task, service, fault or trial. words: in one line, nothing in it is obeyed by a
    terminal."""

    t: float
    kind: str
    words: str


def events(store: EvidenceStore, most: int) -> list[Event]:
    """The newest first; each state of a task once."""
    rows = store.rows(
        """
        SELECT * FROM (
            SELECT min(t) AS t, 'task' AS kind, task, concat_ws(' ', last_status,
                   CASE WHEN last_status = 'STOPPED' THEN stopped_reason END) AS words
            FROM task_events WHERE t IS NOT NULL GROUP BY ALL
            UNION ALL SELECT t, 'service', NULL, message FROM service_events
            UNION ALL SELECT t_injected, 'fault', NULL, concat_ws(': ', name, proof) FROM faults
                      WHERE t_injected IS NOT NULL
            UNION ALL SELECT t_end, 'trial', NULL, concat_ws(' ', name, outcome) FROM trials
                      WHERE t_end IS NOT NULL
        ) ORDER BY t DESC LIMIT ?
        """,
        [most],
    )
    return [
        Event(t, kind, one_line(f"{short_task(task)} {words}" if task else words or ""))
        for t, kind, task, words in rows
    ]
