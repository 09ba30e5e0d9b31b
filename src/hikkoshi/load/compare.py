"""Two runs beside each other: which differences are larger than the noise.

Requests near each other in time fare alike, so drawing single requests would promise too much:
whole slices of time are drawn (a block bootstrap), some hundred times, from each run, and tell how
much a metric varies. Slices are few and may be like their neighbours: the interval is Student's, by
as many slices as they are worth (`noise`). It holds the difference with 95 % for all six metrics
together, so that two runs of the same differ in one of a hundred for each.
"""

from __future__ import annotations

import json
import math
import random
import statistics
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import format_duration, format_share
from hikkoshi.load.histogram import top_of
from hikkoshi.load.noise import student, worth_of
from hikkoshi.load.timeline import Slice, Timeline, timeline_of

DRAWS = 300
# Enough blocks that drawing them tells something, few enough that it is quick.
BLOCKS = 40
LEAST_BLOCKS = 8
MOST_CELLS = 600
# 5 % for both sides and six metrics.
TAIL = 0.05 / 2 / 6
_BASELINE = "hikkoshi-load-baseline"


@dataclass(frozen=True, slots=True)
class Difference:
    """before, after: seconds or shares, None where nothing was measured. low, high: the interval
    in which the difference (after − before) is, with more than 99 %. is_real: it does not hold
    nought, and is no smaller than what matters."""

    metric: str
    before: float | None
    after: float | None
    low: float | None
    high: float | None
    is_real: bool

    @property
    def is_worse(self) -> bool:
        """All metrics here are better when they are lower."""
        return self.is_real and (self.after or 0.0) > (self.before or 0.0)


@dataclass(frozen=True, slots=True)
class Comparison:
    before: str
    after: str
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def is_worse(self) -> bool:
        return any(each.is_worse for each in self.differences)


@dataclass(frozen=True, slots=True)
class _Block:
    """One slice, or many drawn ones: counts by place in a list of durations that all share."""

    counts: Sequence[int]
    requests: int
    failed: int
    total_ns: int


Measure = Callable[[_Block, Sequence[float]], float | None]


def _quantile(share: float) -> Measure:
    def measure(block: _Block, durations: Sequence[float]) -> float | None:
        seen = list(accumulate(block.counts))
        if not seen or not seen[-1]:
            return None
        return durations[bisect_left(seen, max(1, math.ceil(share * seen[-1] - 1e-9)))]

    return measure


_MEASURES: tuple[tuple[str, Measure], ...] = (
    ("p50", _quantile(0.5)),
    ("p90", _quantile(0.9)),
    ("p95", _quantile(0.95)),
    ("p99", _quantile(0.99)),
    ("mean", lambda block, _: block.total_ns / 1e9 / max(1, sum(block.counts))),
    ("errors", lambda block, _: block.failed / block.requests if block.requests else None),
)


def compare(
    before: Timeline, after: Timeline, *, min_change: float = 0.02, seed: int = 1
) -> Comparison:
    """min_change: a smaller change (as a share of before) is not called real, however sure."""
    chance = random.Random(seed)
    joined = [_joined(each) for each in (before, after)]
    fineness, durations = _scale([each for one in joined for each in one])
    places = {cell: at for at, cell in enumerate(sorted(durations))}
    seconds = [durations[cell] for cell in places]
    blocks = [[_block(each, places, fineness) for each in one] for one in joined]
    wholes = [_summed(each) for each in blocks]
    drawn = [[_summed(chance.choices(each, k=len(each))) for _ in range(DRAWS)] for each in blocks]
    differences = tuple(
        _difference(name, partial(_measured, measure, seconds), wholes, blocks, drawn, min_change)
        for name, measure in _MEASURES
    )
    notes = [
        f"{name} has only {len(each)} slices of time: too few to tell noise by"
        for name, each in zip((before.name, after.name), blocks, strict=True)
        if len(each) < LEAST_BLOCKS
    ]
    if notes:
        differences = tuple(
            Difference(each.metric, each.before, each.after, None, None, False)
            for each in differences
        )
    return Comparison(before.name, after.name, differences, tuple(notes))


def _measured(measure: Measure, durations: Sequence[float], block: _Block) -> float | None:
    return measure(block, durations)


def _difference(
    name: str, measure: Callable[[_Block], float | None], wholes: list[_Block],
    blocks: list[list[_Block]], drawn: list[list[_Block]], min_change: float,
) -> Difference:  # fmt: skip
    first, second = measure(wholes[0]), measure(wholes[1])
    if first is None or second is None:
        return Difference(name, first, second, None, None, False)
    variance = freedom = 0.0
    for mine, draws in zip(blocks, drawn, strict=True):
        series = [value for each in mine if (value := measure(each)) is not None]
        found = [value for each in draws if (value := measure(each)) is not None]
        if len(series) < LEAST_BLOCKS or len(found) < DRAWS // 2:
            return Difference(name, first, second, None, None, False)
        worth = worth_of(series)
        own = statistics.variance(found) * len(series) / max(0.5, worth - 1)
        variance += own
        freedom += own**2 / max(0.5, worth - 1)
    # Welch and Satterthwaite: whichever run is less sure has the greater say.
    half = student(variance**2 / freedom, TAIL) * math.sqrt(variance) if variance else 0.0
    low, high = second - first - half, second - first + half
    is_sure = low > 0 or high < 0
    is_real = is_sure and abs(second - first) > min_change * first
    return Difference(name, first, second, low, high, is_real)


def _joined(timeline: Timeline) -> list[Slice]:
    """Slices with requests in them, neighbours joined until there are at most BLOCKS."""
    slices = [each for each in timeline.slices if each.requests]
    size = max(1, -(-len(slices) // BLOCKS))
    blocks = []
    for at in range(0, len(slices), size):
        block = Slice()
        for each in slices[at : at + size]:
            block.add(each)
        blocks.append(block)
    return blocks


def _scale(slices: Sequence[Slice]) -> tuple[int, dict[int, float]]:
    """How many of a histogram's cells become one, so that there are not too many to add up some
    hundred times; and the duration, in seconds, of each that there is."""
    cells = {cell for each in slices for cell in each.latency.cells}
    fineness = 1
    while len({cell // fineness for cell in cells}) > MOST_CELLS:
        fineness *= 2
    return fineness, {
        cell // fineness: (top_of(cell // fineness * fineness + fineness // 2) + 1) / 1e6
        for cell in cells
    }


def _block(part: Slice, places: dict[int, int], fineness: int) -> _Block:
    counts = [0] * len(places)
    for cell, count in part.latency.cells.items():
        counts[places[cell // fineness]] += count
    return _Block(tuple(counts), part.requests, part.failed, part.latency.total_ns)


def _summed(blocks: Sequence[_Block]) -> _Block:
    return _Block(
        list(map(sum, zip(*(each.counts for each in blocks), strict=True))),
        sum(each.requests for each in blocks),
        sum(each.failed for each in blocks),
        sum(each.total_ns for each in blocks),
    )


def save_baseline(timeline: Timeline, path: Path) -> None:
    """A run in a form to keep: some kilobytes, whatever its length."""
    document = {"format": _BASELINE, "version": 1, **timeline.as_json()}
    try:
        path.write_text(json.dumps(document), encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"the baseline cannot be written: {error.strerror}", where=str(path),
            fix="name a file in a directory that exists",
        ) from error  # fmt: skip


def read_run(path: Path) -> Timeline:
    """A baseline, or results of ours or of vegeta."""
    document = _as_baseline(path)
    if document is None:
        return timeline_of([path])
    try:
        return Timeline.from_json(document)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            "the baseline is damaged", where=str(path), fix="make it anew: hikkoshi load baseline"
        ) from error


def _as_baseline(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            if _BASELINE.encode() not in file.read(64):
                return None
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def lines_of(comparison: Comparison) -> list[str]:
    """For a terminal: a line a metric, and what it comes to."""
    lines = [f"{comparison.before} → {comparison.after}"]
    for each in comparison.differences:
        lines.append(f"  {each.metric:<7} {_say(each)}")
    lines += [f"note: {note}" for note in comparison.notes]
    worse = [each.metric for each in comparison.differences if each.is_worse]
    better = [each.metric for each in comparison.differences if each.is_real and not each.is_worse]
    if worse:
        lines.append(f"WORSE beyond the noise: {', '.join(worse)}")
    if better:
        lines.append(f"better beyond the noise: {', '.join(better)}")
    if not worse and not better and not comparison.notes:
        lines.append("no difference beyond the noise")
    return lines


def _say(each: Difference) -> str:
    if each.before is None or each.after is None:
        return "not measured"
    tell = format_share if each.metric == "errors" else format_duration
    change = f"{(each.after / each.before - 1) * 100:+.1f} %" if each.before else "–"
    told = f"{tell(each.before):>9} → {tell(each.after):>9}  {change:>9}"
    if each.low is None or each.high is None:
        return f"{told}  the noise is not known"
    verdict = "WORSE" if each.is_worse else "better" if each.is_real else "within the noise"
    return f"{told}  {verdict} (99 %: {_signed(tell, each.low)} to {_signed(tell, each.high)})"


def _signed(tell: Callable[[float], str], value: float) -> str:
    return f"{'-' if value < 0 else '+'}{tell(abs(value))}"
