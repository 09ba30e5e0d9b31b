"""What the load balancer counts, as CloudWatch's AWS/ApplicationELB tells it.

HAProxy writes a line for each request into a pipe; the lines are added up by second. AWS adds them
up by minute and shows them minutes later: here they are there at once, and periods of a second are
answered as well.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hikkoshi.region.elb.access import ACCESS_FORMAT
from hikkoshi.region.elb.alb_log import logged_of
from hikkoshi.region.elb.flows import FlowMeter

LOG_FORMAT = f"%f %b %ST %Tr %ts {ACCESS_FORMAT}"
"""Frontend, backend, status, milliseconds until the target's answer (-1: none), how it ended; then
what the access log has."""

KEPT_S = 3 * 3600
_EXACT_MS = 1000

Datapoint = tuple[int, float]
"""(start of the period in epoch seconds, value)."""


@dataclass(slots=True)
class Second:
    """The requests of one group (or of the load balancer itself) that ended in one second."""

    t: int
    by_target: Counter[int] = field(default_factory=Counter)
    """Hundreds of the status (2 … 5) of what targets answered."""
    by_balancer: Counter[int] = field(default_factory=Counter)
    """Whole statuses of what the load balancer answered itself."""
    not_connected: int = 0
    times_ms: Counter[int] = field(default_factory=Counter)


class Meter:
    """Fed with HAProxy's lines on the region's loop; may be asked in any thread."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._rest = b""
        self._seconds: dict[tuple[str, str], deque[Second]] = {}
        self._hosts: dict[str, deque[tuple[int, int, int]]] = {}
        self.flows = FlowMeter()

    def take(self, data: bytes, t: int) -> list[str]:
        """Lines as they come out of the pipe, in any pieces, at t (epoch seconds). Those of
        listeners that are whole now are counted, and answered."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        counted = []
        with self._turn:
            for line in lines:
                text = line.decode("ascii", "replace")
                words = logged_of(text)[1].split(" ", 5)
                if len(words) >= 5 and words[0].startswith("listener-"):
                    self._count(words[:5], t)
                    counted.append(text)
                elif len(words) == 4 and words[0] == "flow":
                    self.flows.ended(words[1], words[3], t)
        return counted

    def _count(self, words: Sequence[str], t: int) -> None:
        frontend, backend, status, time_ms, ending = words
        second = self._second((frontend.rstrip("~"), backend if backend != frontend else ""), t)
        code = int(status) if status.isdigit() else 0
        if time_ms.isdigit():
            second.by_target[code // 100] += 1
            second.times_ms[_rounded(int(time_ms))] += 1
        elif not ending.startswith("C"):
            second.by_balancer[code] += 1
            second.not_connected += ending.startswith(("SC", "sC"))

    def _second(self, key: tuple[str, str], t: int) -> Second:
        seconds = self._seconds.setdefault(key, deque())
        if not seconds or seconds[-1].t < t:
            seconds.append(Second(t))
            while seconds[0].t < t - KEPT_S:
                seconds.popleft()
        return seconds[-1]

    def see_hosts(self, backend: str, t: int, healthy: int, unhealthy: int) -> None:
        with self._turn:
            seen = self._hosts.setdefault(backend, deque(maxlen=KEPT_S))
            if not seen or seen[-1][0] < t:
                seen.append((t, healthy, unhealthy))

    def _of(self, frontends: Iterable[str], backend: str | None) -> Iterator[Second]:
        """Of one group's backend behind these listeners; backend None: all that passed them."""
        wanted = set(frontends)
        for (frontend, name), seconds in self._seconds.items():
            if frontend in wanted and backend in (None, name):
                yield from seconds

    def answer(
        self,
        metric: str,
        statistic: str,
        period_s: int,
        window: tuple[float, float],
        frontends: Iterable[str],
        backend: str | None,
    ) -> list[Datapoint] | None:
        """A value for each period that has any; None: no such metric is kept here."""
        by_period: dict[int, Counter[float]] = {}
        first = math.floor(window[0] / period_s) * period_s
        with self._turn:
            values = self._values(metric, frontends, backend) or self.flows.values(
                metric, frontends
            )
            if values is None:
                return None
            for t, counted in values:
                if first <= t < window[1]:
                    by_period.setdefault(t // period_s * period_s, Counter()).update(counted)
        return [(t, statistic_of(statistic, by_period[t])) for t in sorted(by_period)]

    def _values(
        self, metric: str, frontends: Iterable[str], backend: str | None
    ) -> Iterator[tuple[int, Counter[float]]] | None:
        """(second, value → how often it was seen)."""
        if metric in ("HealthyHostCount", "UnHealthyHostCount"):
            place = 1 if metric == "HealthyHostCount" else 2
            seen = self._hosts.get(backend or "", ())
            return ((row[0], Counter({float(row[place]): 1})) for row in seen)
        seconds = self._of(frontends, backend)
        if metric == "TargetResponseTime":
            return (
                (s.t, Counter({ms / 1000: n for ms, n in s.times_ms.items()}))
                for s in seconds
                if s.times_ms
            )
        if metric == "RequestCount":
            return _ones(
                (s.t, s.by_target.total() + sum(s.by_balancer.values()) - s.by_balancer[503])
                for s in seconds
            )
        if metric == "TargetConnectionErrorCount":
            return _ones((s.t, s.not_connected) for s in seconds)
        for digit in "2345":
            if metric == f"HTTPCode_Target_{digit}XX_Count":
                return _ones((s.t, s.by_target[int(digit)]) for s in seconds)
            if metric == f"HTTPCode_ELB_{digit}XX_Count":
                wanted = range(int(digit) * 100, int(digit) * 100 + 100)
                return _ones((s.t, sum(s.by_balancer[c] for c in wanted)) for s in seconds)
        for code in (500, 502, 503, 504):
            if metric == f"HTTPCode_ELB_{code}_Count":
                return _ones((s.t, s.by_balancer[code]) for s in seconds)
        return None


def _ones(counted: Iterable[tuple[int, int]]) -> Iterator[tuple[int, Counter[float]]]:
    """A count is, at AWS, so many samples of the value one; a second without any has no sample."""
    return ((t, Counter({1.0: n})) for t, n in counted if n)


def _rounded(ms: int) -> int:
    """Three digits, so that a long time does not make a row of its own for each request."""
    return ms if ms < _EXACT_MS else int(float(f"{ms:.3g}"))


def statistic_of(name: str, values: Mapping[float, int]) -> float:
    """values: value → how often. ValueError for a statistic that is not known here."""
    count = sum(values.values())
    total = sum(value * n for value, n in values.items())
    simple = {
        "Sum": total,
        "SampleCount": float(count),
        "Average": total / count,
        "Minimum": min(values),
        "Maximum": max(values),
    }
    if name in simple:
        return simple[name]
    if not name.startswith("p") or not 0 <= (share := float(name[1:])) <= 100:
        raise ValueError(f"the statistic {name[:20]}")
    wanted, seen = math.ceil(count * share / 100), 0
    for value in sorted(values):
        seen += values[value]
        if seen >= wanted:
            return value
    return max(values)
