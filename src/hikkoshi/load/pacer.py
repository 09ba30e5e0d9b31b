"""When each request is due: pure arithmetic, no clock.

A pacer is the integral of a rate and its inverse. Request k (from 0) is due at the moment the
integral reaches k, whatever happened to the requests before it; so a generator that falls behind
knows by how much, and never makes the load lighter by being late.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import accumulate
from typing import Any, Protocol

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import parse_duration, parse_rate

# Integrals of whole rates over whole seconds must not gain a request by rounding.
_ROUNDING = 1e-6
_STAGE = re.compile(r"^(?:(?P<first>[^./]+)\.\.)?(?P<last>[^/]+)/(?P<seconds>.+)$")
_OUTSIDE_BRACKETS = re.compile(r",(?![^()]*\))")
_FORM = re.compile(
    r"^(?P<form>steps|sine|spike)\((?P<arguments>[^()]*)\)\s*(?:/\s*(?P<seconds>[^/]+))?$"
)
STAGES_FORM = (
    "write RATE/DURATION or FROM..TO/DURATION, as in 0..500/30s,500/60s; or steps(FROM,TO,BY)/EACH,"
    " sine(MEAN,SWING,PERIOD)/DURATION, spike(BASE,TOP,BEFORE,SPIKE,AFTER)"
)
MAX_STEPS = 1000


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

    def schedule(self, first: int = 0, stride: int = 1) -> Iterator[float]: ...

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

    def rate_at(self, t: float) -> float:
        return self.first + (self.last - self.first) * t / self.seconds

    def inverse(self, n: float) -> float:
        """The t at which `integral_at(t)` is n; stable for a slope of nought or below."""
        if n <= 0:
            return 0.0
        slope = (self.last - self.first) / self.seconds
        root = math.sqrt(max(0.0, self.first * self.first + 2 * slope * n))
        return min(self.seconds, 2 * n / (self.first + root))


@dataclass(frozen=True, slots=True)
class Wave:
    """rate(t) = mean + swing · sin(2πt / period_s) for `seconds`, with swing ≤ mean."""

    mean: float
    swing: float
    period_s: float
    seconds: float

    @property
    def integral(self) -> float:
        return self.integral_at(self.seconds)

    def rate_at(self, t: float) -> float:
        return self.mean + self.swing * math.sin(2 * math.pi * t / self.period_s)

    def integral_at(self, t: float) -> float:
        turn = 2 * math.pi / self.period_s
        return self.mean * t + self.swing / turn * (1 - math.cos(turn * t))

    def inverse(self, n: float) -> float:
        # The integral never falls and is within swing/turn·2 of the straight line, so the answer
        # is bracketed; Newton's step is taken while it stays inside, else the bracket is halved.
        slack = self.swing * self.period_s / math.pi / self.mean
        low, high = max(0.0, n / self.mean - slack), min(self.seconds, n / self.mean)
        t = high
        for _ in range(60):
            over = self.integral_at(t) - n
            if abs(over) < 1e-9 * max(1, n):
                break
            low, high = (low, t) if over > 0 else (t, high)
            speed = self.rate_at(t)
            step = t - over / speed if speed > 0 else -1.0
            t = step if low < step < high else (low + high) / 2
        return t


Part = Stage | Wave


class Stages:
    """Constant, ramped, stepped and swinging load, one after another; connections live on."""

    def __init__(self, stages: Iterable[Part]) -> None:
        self.stages = tuple(stages)
        if not self.stages:
            raise ValueError("a load has at least one stage")
        for stage in self.stages:
            _check(stage)
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

    def schedule(self, first: int = 0, stride: int = 1) -> Iterator[float]:
        """`due` of first, first + stride, …, for one who wants them all in turn."""
        k, last = first, len(self.stages) - 1
        before = start = 0.0
        for at, stage in enumerate(self.stages):
            until = self.count if at == last else self._ends[at]
            if isinstance(stage, Stage) and stage.first == stage.last:
                while k < until:
                    yield start + min(stage.seconds, (k - before) / stage.first)
                    k += stride
            else:
                while k < until:
                    yield start + stage.inverse(k - before)
                    k += stride
            before, start = self._ends[at], self._times[at]

    def rate(self, t: float) -> float:
        if t < 0 or t >= self.duration_s:
            return 0.0
        at = bisect_right(self._times, t)
        return self.stages[at].rate_at(t - (self._times[at - 1] if at else 0.0))

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
        return {"stages": [list(astuple(stage)) for stage in self.stages]}


def _check(stage: Part) -> None:
    if isinstance(stage, Wave):
        if not 0 <= stage.swing <= stage.mean or stage.mean <= 0 or stage.period_s <= 0:
            raise ValueError("a sine needs 0 ≤ swing ≤ mean, mean > 0, and a period above nought")
    elif stage.first < 0 or stage.last < 0:
        raise ValueError("a stage needs rates of nought or more")
    if stage.seconds <= 0:
        raise ValueError("a stage needs a length above nought")
    if not all(map(math.isfinite, astuple(stage))):
        raise ValueError("rates and lengths must be finite")


def sine(mean: float, swing: float, period_s: float, duration_s: float) -> Stages:
    return Stages([Wave(mean, swing, period_s, duration_s)])


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
    """'0..500/30s,500/60s' → a ramp of 30 s from 0 to 500 requests a second, then 60 s at 500.

    Also `steps(FROM,TO,BY)/EACH`, `sine(MEAN,SWING,PERIOD)/DURATION` and
    `spike(BASE,TOP,BEFORE,SPIKE,AFTER)`. BadInput names the stage.
    """
    parts: list[Part] = []
    for number, part in enumerate(_OUTSIDE_BRACKETS.split(text), 1):
        try:
            stages = _read_stage(part.strip())
            Stages(stages)
        except ValueError as error:
            raise BadInput(str(error), where=f"stage {number}", fix=STAGES_FORM) from error
        parts += stages
    return Stages(parts)


def _read_stage(text: str) -> list[Part]:
    if match := _FORM.match(text):
        arguments = [each.strip() for each in match["arguments"].split(",")]
        return _FORMS[match["form"]](arguments, match["seconds"])
    match = _STAGE.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a stage")
    last = parse_rate(match["last"])
    first = parse_rate(match["first"]) if match["first"] else last
    return [Stage(first, last, parse_duration(match["seconds"]))]


def _read_steps(arguments: list[str], seconds: str | None) -> list[Part]:
    if len(arguments) != 3 or seconds is None:
        raise ValueError("steps are written steps(FROM,TO,BY)/EACH, as in steps(100,500,100)/30s")
    first, last, by = map(parse_rate, arguments)
    each = parse_duration(seconds)
    if by <= 0 or abs(last - first) / by > MAX_STEPS:
        raise ValueError(f"steps by {arguments[2]} are none, or more than {MAX_STEPS}")
    count = math.floor(abs(last - first) / by + _ROUNDING)
    rates = [first + math.copysign(by, last - first) * n for n in range(count + 1)]
    return [Stage(rate, rate, each) for rate in rates]


def _read_sine(arguments: list[str], seconds: str | None) -> list[Part]:
    if len(arguments) != 3 or seconds is None:
        raise ValueError(
            "a sine is written sine(MEAN,SWING,PERIOD)/DURATION, as in sine(200,100,1m)/10m"
        )
    mean, swing = map(parse_rate, arguments[:2])
    return [Wave(mean, swing, parse_duration(arguments[2]), parse_duration(seconds))]


def _read_spike(arguments: list[str], seconds: str | None) -> list[Part]:
    if len(arguments) != 5 or seconds is not None:
        raise ValueError(
            "a spike is written spike(BASE,TOP,BEFORE,SPIKE,AFTER), as in spike(50,500,20s,10s,30s)"
        )
    base, top = map(parse_rate, arguments[:2])
    return list(spike(base, top, *map(parse_duration, arguments[2:])).stages)


_FORMS = {"steps": _read_steps, "sine": _read_sine, "spike": _read_spike}


def from_json(document: dict[str, Any]) -> Pacer:
    """The inverse of `as_json`. A stage has three numbers, a wave four."""
    return Stages(
        Wave(*stage) if len(stage) == 4 else Stage(*stage) for stage in document["stages"]
    )
