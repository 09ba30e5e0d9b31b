"""vegeta's reports as text: `text`, `hist[…]` and `hdrplot`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import parse_duration
from hikkoshi.load.vegeta.metrics import Metrics

_STEPS = (3600 * 10**9, 60 * 10**9, 10**9, 10**6, 10**3, 1)
_HIST = re.compile(r"^hist(\[.*\])$")
TYPES_FORM = "write summary, text, json, hdrplot or hist[0,10ms,100ms]"


def edges_of(buckets: str) -> tuple[int, ...]:
    """'[0,1ms,10ms]' → nanoseconds. BadInput unless they rise."""
    inner = buckets.strip().removeprefix("[").removesuffix("]")
    try:
        edges = tuple(round(parse_duration(each.strip()) * 1e9) for each in inner.split(","))
    except ValueError as error:
        raise BadInput(str(error), where="buckets", fix="write [0,10ms,100ms]") from error
    if edges != tuple(sorted(set(edges))):
        raise BadInput(f"{buckets} does not rise", where="buckets", fix="write [0,10ms,100ms]")
    # What lies below the first edge belongs to a bucket too.
    return edges if edges[0] == 0 else (0, *edges)


def buckets_in(kind: str) -> str | None:
    match = _HIST.match(kind)
    return match[1] if match else None


def text_report(metrics: Metrics) -> Iterator[str]:
    count = max(1, metrics.requests)
    lowest, highest = metrics.extremes_ns()
    p50, p90, p95, p99 = metrics.quantiles_ns((0.5, 0.9, 0.95, 0.99))
    latencies = (lowest, metrics.latency.total_ns // count, p50, p90, p95, p99, highest)
    durations = (metrics.duration_ns + metrics.wait_ns, metrics.duration_ns, metrics.wait_ns)
    codes = sorted(metrics.statuses.items(), key=lambda each: str(each[0]))
    rows = (
        ("Requests", "[total, rate, throughput]",
         f"{metrics.requests}, {metrics.rate:.2f}, {metrics.throughput:.2f}"),
        ("Duration", "[total, attack, wait]", ", ".join(map(go_duration, map(rounded, durations)))),
        ("Latencies", "[min, mean, 50, 90, 95, 99, max]",
         ", ".join(map(go_duration, map(rounded, latencies)))),
        ("Bytes In", "[total, mean]", f"{metrics.bytes_in}, {metrics.bytes_in / count:.2f}"),
        ("Bytes Out", "[total, mean]", f"{metrics.bytes_out}, {metrics.bytes_out / count:.2f}"),
        ("Success", "[ratio]", f"{metrics.succeeded / count * 100:.2f}%"),
        ("Status Codes", "[code:count]", "".join(f"{code}:{n}  " for code, n in codes)),
    )  # fmt: skip
    for name, what, value in rows:
        yield f"{name:<14}{what:<34}{value}"
    yield "Error Set:"
    yield from metrics.errors


def hist_report(metrics: Metrics) -> Iterator[str]:
    rows = [["Bucket", "", "#", "%", "Histogram"]]
    edges = [go_duration(edge) for edge in metrics.edges_ns]
    for at, edge in enumerate(edges):
        upper = edges[at + 1] if at + 1 < len(edges) else "+Inf"
        count = metrics.buckets.get(at, 0)
        share = count / max(1, metrics.requests)
        bar = "#" * int(share * 75)
        rows.append([f"[{edge},", f"{upper}]", str(count), f"{share * 100:.2f}%", bar])
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [row[column].ljust(widths[column] + 2) for column in range(4)]
        yield "".join(cells) + row[4]


def hdrplot_report(metrics: Metrics) -> Iterator[str]:
    """The percentiles that HdrHistogram's plotter draws, each doubling in five steps."""
    shares = _shares(metrics.requests)
    rows = [["Value(ms)", "Percentile", "TotalCount", "1/(1-Percentile)"]]
    values = metrics.quantiles_ns(shares)
    for share, value in zip(shares, values, strict=True):
        inverse = 1 / (1 - share) if share < 1 else 10_000_000.0
        rows.append([
            f"{value / 1e6:.6f}", f"{share:.6f}", str(int(share * metrics.requests + 0.5)),
            f"{inverse:.6f}",
        ])  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        yield "".join(row[c].ljust(widths[c] + 2) for c in range(3)) + row[3]


def _shares(requests: int) -> Sequence[float]:
    found: list[float] = []
    left = 1.0
    while left > 1e-6:
        found += [1 - left + left / 2 * step / 5 for step in range(5)]
        left /= 2
    return [*found, 1.0]


def rounded(nanoseconds: int) -> int:
    """To three places after the unit, as vegeta does."""
    for unit, finer in pairwise(_STEPS):
        if nanoseconds >= unit:
            return (nanoseconds + finer // 2) // finer * finer
    return nanoseconds


def go_duration(nanoseconds: int) -> str:
    """As Go prints a time.Duration: 1h2m3.5s, 1.5ms, 0s."""
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < 10**9:
        for unit, name in ((10**6, "ms"), (10**3, "µs")):
            if nanoseconds >= unit:
                return _decimal(nanoseconds, unit) + name
        return f"{nanoseconds}ns"
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest, 10**9) + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(number: int, unit: int) -> str:
    whole, rest = divmod(number, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
