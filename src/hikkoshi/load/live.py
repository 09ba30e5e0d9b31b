"""A running load as it stands: the latest windows of all its processes as one snapshot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hikkoshi.load.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Live:
    """The run as it stood at `t`, epoch seconds: the end of the last window that was reported.

    Rates, percentiles, statuses, errors and failed are those of that window (`report_every_s`);
    planned, issued, done, retries, failed_so_far and failures_so_far (errors, and statuses from 400
    on as `HTTP 500`) count from the start.
    """

    t: float
    elapsed_s: float = 0.0
    planned: int = 0
    issued: int = 0
    done: int = 0
    retries: int = 0
    failed_so_far: int = 0
    rate: float = 0.0
    ok_rate: float = 0.0
    p50_s: float | None = None
    p99_s: float | None = None
    lateness_p99_s: float | None = None
    statuses: Mapping[int, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    connections: int = 0
    busy: int = 0
    queued: int = 0
    failed: int = 0
    failures_so_far: Mapping[str, int] = field(default_factory=dict)


_COUNTS = (
    "planned", "issued", "done", "retries", "failed_so_far", "connections", "busy", "queued",
)  # fmt: skip


def live_of(windows: list[dict[str, Any]], t_start: float) -> Live:
    """The latest windows of all workers as one snapshot."""
    if not windows:
        return Live(t=t_start)
    latency, lateness = Histogram(), Histogram()
    statuses: Counter[int] = Counter()
    errors: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    rate = ok_rate = 0.0
    ended = ok = 0
    for window in windows:
        latency.add(Histogram.from_json(window["latency"]))
        lateness.add(Histogram.from_json(window["lateness"]))
        statuses.update({int(status): count for status, count in window["statuses"].items()})
        errors.update(window["errors"])
        failures.update(window["failures_so_far"])
        seconds = max(window["window_s"], 1e-9)
        rate += window["ended"] / seconds
        ended += window["ended"]
        ok += window["ok"]
        ok_rate += window["ok"] / seconds
    counts = {name: sum(window[name] for window in windows) for name in _COUNTS}
    p50, p99 = latency.percentiles((0.5, 0.99))
    elapsed_s = max(window["elapsed_s"] for window in windows)
    return Live(
        t=t_start + elapsed_s,
        elapsed_s=elapsed_s,
        rate=rate,
        ok_rate=ok_rate,
        failed=ended - ok,
        p50_s=p50,
        p99_s=p99,
        lateness_p99_s=lateness.percentile(0.99),
        statuses=statuses,
        errors=errors,
        failures_so_far=failures,
        **counts,
    )
