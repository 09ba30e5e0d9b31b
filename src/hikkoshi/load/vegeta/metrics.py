"""vegeta's report: the same figures by the same rules, but for percentiles.

vegeta estimates those by a t-digest; ours come from a histogram exact to 0.1 %.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import add
from pathlib import Path
from typing import Any

from hikkoshi.load.columns import Columns, read_columns
from hikkoshi.load.failures import FAILURES
from hikkoshi.load.histogram import Histogram
from hikkoshi.load.results import read_header
from hikkoshi.load.vegeta.hit import Hit, error_of
from hikkoshi.load.vegeta.reading import form_of, read_hits

_AT_ONCE = 8192


@dataclass(slots=True)
class Metrics:
    """edges_ns: the lower bounds of buckets, if a histogram is asked for. success: 200 to 399,
    whatever the error says, as vegeta has it."""

    edges_ns: Sequence[int] = ()
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    earliest_ns: int = 0
    latest_ns: int = 0
    end_ns: int = 0
    latency: Histogram = field(default_factory=Histogram)
    statuses: Counter[int] = field(default_factory=Counter)
    errors: dict[str, None] = field(default_factory=dict)
    buckets: Counter[int] = field(default_factory=Counter)

    def add(
        self, starts_ns: Sequence[int], latencies_ns: Sequence[int], statuses: Iterable[int],
        bytes_in: int, bytes_out: int, errors: Iterable[str],
    ) -> None:  # fmt: skip
        if not starts_ns:
            return
        earliest = min(starts_ns)
        self.earliest_ns = min(self.earliest_ns, earliest) if self.requests else earliest
        self.latest_ns = max(self.latest_ns, max(starts_ns))
        self.end_ns = max(self.end_ns, max(map(add, starts_ns, latencies_ns)))
        self.requests += len(starts_ns)
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        self.latency.extend_ns(latencies_ns)
        self.statuses.update(statuses)
        self.errors.update(dict.fromkeys(error for error in errors if error))
        if self.edges_ns:
            edges = self.edges_ns
            self.buckets.update([max(0, bisect_right(edges, took) - 1) for took in latencies_ns])

    @property
    def duration_ns(self) -> int:
        return self.latest_ns - self.earliest_ns

    @property
    def wait_ns(self) -> int:
        return self.end_ns - self.latest_ns

    @property
    def succeeded(self) -> int:
        return sum(count for status, count in self.statuses.items() if 200 <= status < 400)

    @property
    def rate(self) -> float:
        seconds = self.duration_ns / 1e9
        return self.requests / seconds if seconds > 0 else float(self.requests)

    @property
    def throughput(self) -> float:
        if self.duration_ns <= 0:
            return float(self.succeeded)
        return self.succeeded / ((self.duration_ns + self.wait_ns) / 1e9)

    def quantiles_ns(self, shares: Iterable[float]) -> list[int]:
        return [round((found or 0.0) * 1e9) for found in self.latency.percentiles(shares)]

    def as_json(self) -> dict[str, Any]:
        """vegeta's keys, in its order."""
        from hikkoshi.load.vegeta.text import time_text

        count = max(1, self.requests)
        p50, p90, p95, p99 = self.quantiles_ns((0.5, 0.9, 0.95, 0.99))
        lowest, highest = self.extremes_ns()
        latencies = {
            "total": self.latency.total_ns, "mean": self.latency.total_ns // count, "50th": p50,
            "90th": p90, "95th": p95, "99th": p99, "max": highest, "min": lowest,
        }  # fmt: skip
        buckets = {str(edge): self.buckets.get(at, 0) for at, edge in enumerate(self.edges_ns)}
        return {
            "latencies": latencies,
            **({"buckets": buckets} if buckets else {}),
            "bytes_in": {"total": self.bytes_in, "mean": self.bytes_in / count},
            "bytes_out": {"total": self.bytes_out, "mean": self.bytes_out / count},
            "earliest": time_text(self.earliest_ns),
            "latest": time_text(self.latest_ns),
            "end": time_text(self.end_ns),
            "duration": self.duration_ns,
            "wait": self.wait_ns,
            "requests": self.requests,
            "rate": self.rate,
            "throughput": self.throughput,
            "success": self.succeeded / count,
            "status_codes": {str(code): n for code, n in sorted(self.statuses.items())},
            "errors": list(self.errors),
        }

    def extremes_ns(self) -> tuple[int, int]:
        if not self.requests:
            return 0, 0
        return round(self.latency.minimum_s * 1e9), round(self.latency.maximum_s * 1e9)


def metrics_of(paths: Iterable[Path], edges_ns: Sequence[int] = ()) -> Metrics:
    """Of all files together, as vegeta reports several. BadInput when one cannot be read."""
    metrics = Metrics(edges_ns)
    for path in paths:
        if form_of(path) == "ours":
            start_ns = int(float(read_header(path)["t_start"]) * 1e9)
            for columns in read_columns(path):
                _add_columns(metrics, columns, start_ns)
            continue
        hits = read_hits(path)
        while some := list(islice(hits, _AT_ONCE)):
            _add_hits(metrics, some)
    return metrics


def _add_hits(metrics: Metrics, hits: list[Hit]) -> None:
    metrics.add(
        [hit.timestamp_ns for hit in hits], [hit.latency_ns for hit in hits],
        [hit.code for hit in hits], sum(hit.bytes_in for hit in hits),
        sum(hit.bytes_out for hit in hits), [hit.error for hit in hits],
    )  # fmt: skip


def _add_columns(metrics: Metrics, columns: Columns, start_ns: int) -> None:
    kinds = set(zip(columns.codes, columns.statuses, columns.are_ok, strict=True))
    errors = [
        error_of(status, FAILURES[code - 1] if code else None, bool(is_ok))
        for code, status, is_ok in sorted(kinds)
    ]
    metrics.add(
        [start_ns + int(due * 1e9) for due in columns.due],
        [int((end - due) * 1e9) for end, due in zip(columns.ends, columns.due, strict=True)],
        columns.statuses, sum(columns.bytes_in), sum(columns.bytes_out), errors,
    )  # fmt: skip
