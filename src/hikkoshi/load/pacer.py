"""When each request is due: pure arithmetic, no clock.

A pacer is the integral of a rate and its inverse. Request k (from 0) is due at the moment the
integral reaches k, whatever happened to the requests before it; so a generator that falls behind
knows by how much, and never makes the load lighter by being late.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import parse_duration, parse_rate

# Integrals of whole rates over whole seconds must not gain a request by rounding.
_ROUNDING = 1e-6
_STAGE = re.compile(r"^(?:(?P<first>[^./]+)\.\.)?(?P<last>[^/]+)/(?P<seconds>.+)$")
STAGES_FORM = "write RATE/DURATION or FROM..TO/DURATION, as in 0..500/30s,500/60s"


class Pacer(Protocol):
    """Seconds count from the start of the attack; rates are requests a second."""

    @property
    def duration_s(self) -> float: ...

    @property
    def count(self) -> int:
        """How many requests are due before `duration_s`."""
        ...

    def due(self, k: int) -> float:
        """Seconds after the start at which request k is due, 0 ≤ k < count."""
        ...

    def rate(self, t: float) -> float: ...

    def integral(self, t: float) -> float:
        """Requests due by t, as a real number."""
        ...

    def as_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Stage:
    """The rate goes straight from `first` to `last` within `seconds`."""

    first: float
    last: float
    seconds: float

    @property
    def integral(self) -> float:
        return (self.first + self.last) / 2 * self.seconds

    def integral_at(self, t: float) -> float:
        return self.first * t + (self.last - self.first) / (2 * self.seconds) * t * t

    def inverse(self, n: float) -> float:
        """The t at which `integral_at(t)` is n; stable for a slope of nought or below."""
        if n <= 0:
            return 0.0
        slope = (self.last - self.first) / self.seconds
        root = math.sqrt(max(0.0, self.first * self.first + 2 * slope * n))
        return min(self.seconds, 2 * n / (self.first + root))


class Stages:
    """Constant, ramped and stepped load, one stage after another; connections live through it."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        self.stages = tuple(stages)
        if not self.stages:
            raise ValueError("a load has at least one stage")
        for stage in self.stages:
            if stage.seconds <= 0 or stage.first < 0 or stage.last < 0:
                raise ValueError("a stage needs rates of nought or more and a length above nought")
            if not all(map(math.isfinite, (stage.first, stage.last, stage.seconds))):
                raise ValueError("rates and lengths must be finite")
        self._ends = tuple(accumulate(stage.integral for stage in self.stages))
        self._times = tuple(accumulate(stage.seconds for stage in self.stages))
        self.duration_s = self._times[-1]
        self.count = max(0, math.ceil(self._ends[-1] - _ROUNDING))

    def due(self, k: int) -> float:
        # bisect_right: a request on the border of two stages opens the later one, and stages of
        # rate nought, which add nothing to the integral, are stepped over.
        at = min(bisect_right(self._ends, k), len(self.stages) - 1)
        before = self._ends[at - 1] if at else 0.0
        start = self._times[at - 1] if at else 0.0
        return start + self.stages[at].inverse(k - before)

    def rate(self, t: float) -> float:
        if t < 0 or t >= self.duration_s:
            return 0.0
        at = bisect_right(self._times, t)
        stage = self.stages[at]
        within = t - (self._times[at - 1] if at else 0.0)
        return stage.first + (stage.last - stage.first) * within / stage.seconds

    def integral(self, t: float) -> float:
        if t <= 0:
            return 0.0
        if t >= self.duration_s:
            return self._ends[-1]
        at = bisect_right(self._times, t)
        before = self._ends[at - 1] if at else 0.0
        start = self._times[at - 1] if at else 0.0
        return before + self.stages[at].integral_at(t - start)

    def as_json(self) -> dict[str, Any]:
        return {"stages": [[s.first, s.last, s.seconds] for s in self.stages]}


class Sine:
    """rate(t) = mean + swing · sin(2πt / period), with swing ≤ mean."""

    def __init__(self, mean: float, swing: float, period_s: float, duration_s: float) -> None:
        if not 0 <= swing <= mean or mean <= 0 or period_s <= 0 or duration_s <= 0:
            raise ValueError("a sine needs 0 ≤ swing ≤ mean, mean > 0, and lengths above nought")
        self.mean, self.swing, self.period_s = mean, swing, period_s
        self.duration_s = duration_s
        self.count = max(0, math.ceil(self.integral(duration_s) - _ROUNDING))

    def rate(self, t: float) -> float:
        if t < 0 or t >= self.duration_s:
            return 0.0
        return self.mean + self.swing * math.sin(2 * math.pi * t / self.period_s)

    def integral(self, t: float) -> float:
        t = min(max(t, 0.0), self.duration_s)
        turn = 2 * math.pi / self.period_s
        return self.mean * t + self.swing / turn * (1 - math.cos(turn * t))

    def due(self, k: int) -> float:
        # The integral never falls and is within swing/turn·2 of the straight line, so the answer
        # is bracketed; Newton's step is taken while it stays inside, else the bracket is halved.
        slack = self.swing * self.period_s / math.pi / self.mean
        low, high = max(0.0, k / self.mean - slack), min(self.duration_s, k / self.mean)
        t = high
        for _ in range(60):
            over = self.integral(t) - k
            if abs(over) < 1e-9 * max(1, k):
                break
            low, high = (low, t) if over > 0 else (t, high)
            speed = self.mean + self.swing * math.sin(2 * math.pi * t / self.period_s)
            step = t - over / speed if speed > 0 else -1.0
            t = step if low < step < high else (low + high) / 2
        return t

    def as_json(self) -> dict[str, Any]:
        return {"sine": [self.mean, self.swing, self.period_s, self.duration_s]}


def constant(rate: float, duration_s: float) -> Stages:
    return Stages([Stage(rate, rate, duration_s)])


def ramp(first: float, last: float, duration_s: float) -> Stages:
    return Stages([Stage(first, last, duration_s)])


def steps(rates: Iterable[float], seconds: float) -> Stages:
    """Each rate held for `seconds`, one after another: the load that finds a knee."""
    return Stages([Stage(rate, rate, seconds) for rate in rates])


def spike(base: float, top: float, before_s: float, spike_s: float, after_s: float) -> Stages:
    """`base`, suddenly `top`, suddenly `base` again."""
    parts = ((base, before_s), (top, spike_s), (base, after_s))
    return Stages([Stage(rate, rate, seconds) for rate, seconds in parts])


def parse_stages(text: str) -> Stages:
    """'0..500/30s,500/60s' → a ramp of 30 s from 0 to 500 requests a second, then 60 s at 500."""
    stages = []
    for number, part in enumerate(text.split(","), 1):
        match = _STAGE.match(part.strip())
        try:
            if match is None:
                raise ValueError(f"{part.strip()!r} is not a stage")
            last = parse_rate(match["last"])
            first = parse_rate(match["first"]) if match["first"] else last
            stage = Stage(first, last, parse_duration(match["seconds"]))
            Stages([stage])
        except ValueError as error:
            raise BadInput(str(error), where=f"stage {number}", fix=STAGES_FORM) from error
        stages.append(stage)
    return Stages(stages)


def from_json(document: dict[str, Any]) -> Pacer:
    """The inverse of `as_json`."""
    if "stages" in document:
        return Stages([Stage(*stage) for stage in document["stages"]])
    mean, swing, period_s, duration_s = document["sine"]
    return Sine(mean, swing, period_s, duration_s)
