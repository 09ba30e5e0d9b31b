"""Numbers out of the requests of one trial. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hikkoshi.base.units import format_duration, format_share
from hikkoshi.model.trials import Measure


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: times in seconds since the epoch; latency from the intended time."""

    t_intended: float
    latency_s: float
    status: int
    error: str
    endpoint: str

    @property
    def is_failed(self) -> bool:
        """As vegeta counts it: no answer, or a status outside 200–399."""
        return bool(self.error) or not 200 <= self.status < 400

    @property
    def t_ended(self) -> float:
        return self.t_intended + self.latency_s

    @property
    def cause(self) -> str:
        return self.error or f"HTTP {self.status}"


@dataclass(frozen=True, slots=True)
class Summary:
    """p50_s and p99_s are None without requests. causes: (what, how often), most frequent first."""

    sent: int
    failed: int
    p50_s: float | None
    p99_s: float | None
    t_first_failure: float | None
    t_last_failure: float | None
    causes: tuple[tuple[str, int], ...]

    @property
    def failed_share(self) -> float:
        return self.failed / self.sent if self.sent else 0.0


def summarise(requests: Iterable[Sent]) -> Summary:
    found = list(requests)
    failures = [r for r in found if r.is_failed]
    latencies = sorted(r.latency_s for r in found)
    return Summary(
        sent=len(found),
        failed=len(failures),
        p50_s=quantile(latencies, 0.50),
        p99_s=quantile(latencies, 0.99),
        t_first_failure=min((r.t_ended for r in failures), default=None),
        t_last_failure=max((r.t_ended for r in failures), default=None),
        causes=tuple(Counter(r.cause for r in failures).most_common()),
    )


def quantile(ordered: Sequence[float], q: float) -> float | None:
    """The smallest value that at least the share `q` of an ordered sequence does not exceed."""
    if not ordered:
        return None
    index = max(0, -(-len(ordered) * q // 1) - 1)
    return ordered[min(int(index), len(ordered) - 1)]


def in_window(requests: Iterable[Sent], t_start: float, t_end: float) -> list[Sent]:
    return [r for r in requests if t_start <= r.t_intended < t_end]


def share_kept(summary: Summary, limit: float) -> Measure:
    return Measure(
        "requests failed (share)",
        summary.failed_share,
        "share",
        f"at most {format_share(limit)}",
        summary.failed_share <= limit,
    )


def p99_kept(summary: Summary, limit_s: float) -> Measure:
    return Measure(
        "p99 latency",
        summary.p99_s,
        "s",
        f"at most {format_duration(limit_s)}",
        summary.p99_s is not None and summary.p99_s <= limit_s,
    )


def failures_kept(summary: Summary, most: int) -> Measure:
    limit = "none" if most == 0 else f"at most {most}"
    return Measure("requests failed", float(summary.failed), "", limit, summary.failed <= most)


def broken(measures: Iterable[Measure]) -> list[str]:
    """A sentence for each measure whose limit did not hold."""
    return [
        f"{m.name} was {say(m)}, the limit is {m.limit}" for m in measures if m.is_kept is False
    ]


def say(measure: Measure) -> str:
    if measure.value is None:
        return "not measured"
    if measure.unit == "s":
        return format_duration(measure.value)
    if measure.unit == "share":
        return format_share(measure.value)
    number = (
        f"{measure.value:.0f}" if measure.value == round(measure.value) else f"{measure.value:.1f}"
    )
    return f"{number} {measure.unit}".strip()


def say_causes(summary: Summary) -> str:
    return ", ".join(f"{count} × {cause}" for cause, count in summary.causes[:4])
