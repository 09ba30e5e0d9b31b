"""Series over the common time axis of a run, thinned to what a chart can show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hikkoshi.evidence.store import EvidenceStore

MOST_POINTS = 600
SMALLEST_BUCKET_S = 0.25
MOST_TASKS = 24


@dataclass(frozen=True, slots=True)
class Series:
    """Points (seconds since the timeline's start, value), by time; None breaks the line."""

    name: str
    points: tuple[tuple[float, float | None], ...]


@dataclass(frozen=True, slots=True)
class Mark:
    t: float
    t_end: float | None
    name: str
    proof: str | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """t_start in epoch seconds; series by chart. Rates in 1/s, latencies in seconds, CPU as a
    share of the task's limit."""

    t_start: float
    t_end: float
    bucket_s: float
    rate: tuple[Series, ...]
    latency: tuple[Series, ...]
    tasks: tuple[Series, ...]
    connections: tuple[Series, ...]
    cpu: tuple[Series, ...]
    max_connections: int | None
    marks: tuple[Mark, ...]
    files: tuple[Series, ...] = ()
    """Open files of each task's fullest container."""
    files_limit: int | None = None
    memory: tuple[Series, ...] = ()
    """Memory of each task, as a share of its limit."""


def timeline(store: EvidenceStore, t_start: float, t_end: float) -> Timeline:
    """Everything between the two moments, in at most 600 buckets."""
    t_end = max(t_end, t_start + 1.0)
    bucket_s = max(SMALLEST_BUCKET_S, (t_end - t_start) / MOST_POINTS)
    axis = _Axis(store, t_start, t_end, bucket_s)
    rate, latency = _requests(axis)
    limit = store.rows(
        "SELECT max(max_connections) FROM database WHERE t BETWEEN ? AND ?", [t_start, t_end]
    )[0][0]
    return Timeline(
        t_start,
        t_end,
        bucket_s,
        rate,
        latency,
        _tasks(axis),
        _connections(axis),
        _cpu(axis),
        limit,
        _marks(axis),
        _files(axis),
        store.rows("SELECT min(open_files_limit) FROM usage WHERE open_files_limit > 0")[0][0],
        _memory(axis),
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    store: EvidenceStore
    t_start: float
    t_end: float
    bucket_s: float

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """SQL with $t_start, $t_end and $bucket, of which it must use all."""
        parameters: Mapping[str, float] = {
            "t_start": self.t_start,
            "t_end": self.t_end,
            "bucket": self.bucket_s,
        }
        return self.store.named_rows(sql, parameters)

    def at(self, bucket: int) -> float:
        """The middle of a bucket, in seconds since the start."""
        return round((bucket + 0.5) * self.bucket_s, 3)

    def since(self, t: float) -> float:
        return round(t - self.t_start, 3)


def _requests(axis: _Axis) -> tuple[tuple[Series, ...], tuple[Series, ...]]:
    rows = axis.rows(
        """
        SELECT CAST(floor((t_intended - $t_start) / $bucket) AS INTEGER) AS place,
               count(*) FILTER (error IS NULL AND coalesce(status, 0) BETWEEN 200 AND 399),
               count(*) FILTER (error IS NOT NULL OR coalesce(status, 0) NOT BETWEEN 200 AND 399),
               quantile_cont(latency_s, 0.5), quantile_cont(latency_s, 0.99)
        FROM requests WHERE t_intended >= $t_start AND t_intended < $t_end
        GROUP BY place ORDER BY place
        """
    )
    if not rows:
        return (), ()
    good, bad, median, high = [], [], [], []
    last = None
    for place, ok, failed, p50, p99 in rows:
        if last is not None and place > last + max(1.0, 1.0 / axis.bucket_s):
            # Nothing was asked for a while: the rate falls to zero, the latency has no value.
            for empty in (last + 1, place - 1):
                good.append((axis.at(empty), 0.0))
                bad.append((axis.at(empty), 0.0))
            median.append((axis.at(last + 1), None))
            high.append((axis.at(last + 1), None))
        last = place
        good.append((axis.at(place), round(ok / axis.bucket_s, 2)))
        bad.append((axis.at(place), round(failed / axis.bucket_s, 2)))
        median.append((axis.at(place), _rounded(p50)))
        high.append((axis.at(place), _rounded(p99)))
    return (
        (Series("answered", tuple(good)), Series("failed", tuple(bad))),
        (Series("p50", tuple(median)), Series("p99", tuple(high))),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _tasks(axis: _Axis) -> tuple[Series, ...]:
    events = axis.store.rows(
        "SELECT t, task, last_status FROM task_events WHERE task IS NOT NULL AND t <= ? ORDER BY t",
        [axis.t_end],
    )
    running: set[str] = set()
    points: list[tuple[float, float | None]] = []
    for t, task, status in events:
        before = len(running)
        if status == "RUNNING":
            running.add(task)
        else:
            running.discard(task)
        if len(running) != before:
            at = axis.since(max(t, axis.t_start))
            points += [(at, float(before)), (at, float(len(running)))]
    series = []
    if points:
        points.append((axis.since(axis.t_end), float(len(running))))
        series.append(Series("running tasks", tuple(points)))
    healthy = axis.rows(
        """
        SELECT place, sum(least_healthy) FROM (
            SELECT CAST(floor((t - $t_start) / $bucket) AS INTEGER) AS place, target_group,
                   min(healthy) AS least_healthy
            FROM targets WHERE t >= $t_start AND t < $t_end AND healthy IS NOT NULL
            GROUP BY place, target_group)
        GROUP BY place ORDER BY place
        """
    )
    if healthy:
        series.append(
            Series("healthy targets", tuple((axis.at(place), float(n)) for place, n in healthy))
        )
    return tuple(series)


def _connections(axis: _Axis) -> tuple[Series, ...]:
    rows = axis.rows(
        """
        SELECT coalesce(instance, 'database') AS instance,
               CAST(floor((t - $t_start) / $bucket) AS INTEGER) AS place, max(connections)
        FROM database WHERE t >= $t_start AND t < $t_end AND connections IS NOT NULL
        GROUP BY instance, place ORDER BY instance, place
        """
    )
    return _by_name(axis, [(name, place, float(value)) for name, place, value in rows])


def _cpu(axis: _Axis) -> tuple[Series, ...]:
    rows = axis.rows(
        """
        WITH steps AS (
            SELECT task, t, cpu_limit_vcpu AS vcpu,
                   cpu_s - lag(cpu_s) OVER w AS used, t - lag(t) OVER w AS passed
            FROM task_usage
            WHERE task IS NOT NULL AND cpu_s IS NOT NULL AND cpu_limit_vcpu > 0
              AND t >= $t_start - 5 AND t < $t_end
            WINDOW w AS (PARTITION BY task ORDER BY t)
        )
        SELECT task, CAST(floor((t - $t_start) / $bucket) AS INTEGER) AS place,
               sum(used) / sum(passed * vcpu)
        FROM steps WHERE passed > 0 AND used >= 0 AND t >= $t_start
        GROUP BY task, place ORDER BY min(min(t)) OVER (PARTITION BY task), task, place
        """
    )
    series = _by_name(axis, [(name, place, round(share, 4)) for name, place, share in rows])
    return series[:MOST_TASKS]


def _files(axis: _Axis) -> tuple[Series, ...]:
    rows = axis.rows(
        """
        SELECT task, CAST(floor((t - $t_start) / $bucket) AS INTEGER) AS place, max(open_files)
        FROM usage WHERE t >= $t_start AND t < $t_end AND open_files IS NOT NULL
                     AND task IS NOT NULL
        GROUP BY task, place ORDER BY min(min(t)) OVER (PARTITION BY task), task, place
        """
    )
    return _by_name(axis, [(task, place, float(n)) for task, place, n in rows])[:MOST_TASKS]


def _memory(axis: _Axis) -> tuple[Series, ...]:
    rows = axis.rows(
        """
        SELECT task, CAST(floor((t - $t_start) / $bucket) AS INTEGER) AS place,
               max(memory_bytes / memory_limit_bytes)
        FROM task_usage
        WHERE t >= $t_start AND t < $t_end AND memory_bytes IS NOT NULL
          AND memory_limit_bytes > 0 AND task IS NOT NULL
        GROUP BY task, place ORDER BY min(min(t)) OVER (PARTITION BY task), task, place
        """
    )
    return _by_name(axis, [(task, at, round(share, 4)) for task, at, share in rows])[:MOST_TASKS]


def _by_name(axis: _Axis, rows: list[tuple[str, int, float]]) -> tuple[Series, ...]:
    found: dict[str, list[tuple[float, float | None]]] = {}
    for name, place, value in rows:
        found.setdefault(name, []).append((axis.at(place), value))
    return tuple(Series(name, tuple(points)) for name, points in found.items())


def _marks(axis: _Axis) -> tuple[Mark, ...]:
    rows = axis.store.rows(
        """
        SELECT t_injected, coalesce(t_recovered, t_undone), coalesce(name, 'fault'), proof
        FROM faults WHERE t_injected BETWEEN ? AND ? ORDER BY t_injected
        """,
        [axis.t_start, axis.t_end],
    )
    return tuple(
        Mark(axis.since(t), axis.since(t_end) if t_end else None, name, proof)
        for t, t_end, name, proof in rows
    )
