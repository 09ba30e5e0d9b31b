"""A log-linear histogram of durations: exact to 0.1 %, sparse, merged by adding.

Durations are kept as whole microseconds. Up to 2,047 µs each has a cell of its own; above, each
doubling is cut into 1,024 cells. A long run costs no more memory than a short one.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_BITS = 11
_HALF = 1 << (_BITS - 1)
# From so many durations on, looking cells up is worth the table: all below about a second, 8 MB.
_MANY = 4096
_TABLED_US = 1 << 20


def cell_of(microseconds: int) -> int:
    if microseconds < 2 * _HALF:
        return max(0, microseconds)
    shift = microseconds.bit_length() - _BITS
    return (shift << (_BITS - 1)) + (microseconds >> shift)


def top_of(cell: int) -> int:
    """The largest number of microseconds that falls into the cell."""
    if cell < 2 * _HALF:
        return cell
    shift = cell // _HALF - 1
    return (((cell - shift * _HALF) + 1) << shift) - 1


@functools.cache
def _table() -> list[int]:
    """cell_of for 0 … _TABLED_US - 1."""
    table = list(range(2 * _HALF))
    for shift in range(1, _TABLED_US.bit_length() - _BITS):
        for cell in range(_HALF, 2 * _HALF):
            table += [(shift << (_BITS - 1)) + cell] * (1 << shift)
    return table


class Histogram:
    """Counts of durations in seconds. Not safe to share between threads."""

    __slots__ = ("cells", "count", "maximum_s", "minimum_s", "total_ns")

    def __init__(self) -> None:
        self.cells: Counter[int] = Counter()
        self.count = 0
        # A whole number, so that the sum is the same in whichever order parts are added.
        self.total_ns = 0
        self.minimum_s = math.inf
        self.maximum_s = 0.0

    def record(self, seconds: float) -> None:
        self.extend((max(0.0, seconds),))

    def extend(self, durations: Sequence[float], also: Histogram | None = None) -> None:
        """All of them at once, at a tenth of what one alone costs. None may be below nought.

        also: another histogram of the same durations."""
        if any(durations):
            self.extend_ns([int(seconds * 1e9) for seconds in durations], also)
        elif durations:
            self._take(Counter({0: len(durations)}), len(durations), 0, 0.0, 0.0, also)

    def extend_ns(self, durations: Sequence[int], also: Histogram | None = None) -> None:
        """The same of whole nanoseconds."""
        if not durations:
            return
        highest = max(durations)
        if len(durations) >= _MANY and highest < _TABLED_US * 1000:
            table = _table()
            cells = [table[each // 1000] for each in durations]
        else:
            # cell_of, written out: this runs several times a request.
            cells = [
                value if value < 2048 else
                ((shift := value.bit_length() - 11) << 10) + (value >> shift)
                for value in [each // 1000 for each in durations]
            ]  # fmt: skip
        lowest_s, highest_s = min(durations) / 1e9, highest / 1e9
        self._take(cells, len(durations), sum(durations), lowest_s, highest_s, also)

    def _take(
        self, cells: list[int] | Counter[int], count: int, total_ns: int, lowest: float,
        highest: float, also: Histogram | None,
    ) -> None:  # fmt: skip
        """cells: one for each duration, or how many lie in each."""
        for histogram in (self,) if also is None else (self, also):
            histogram.cells.update(cells)
            histogram.count += count
            histogram.total_ns += total_ns
            histogram.minimum_s = min(histogram.minimum_s, lowest)
            histogram.maximum_s = max(histogram.maximum_s, highest)

    def add(self, other: Histogram) -> None:
        """As if every duration of the other had been recorded here."""
        self.cells.update(other.cells)
        self.count += other.count
        self.total_ns += other.total_ns
        self.minimum_s = min(self.minimum_s, other.minimum_s)
        self.maximum_s = max(self.maximum_s, other.maximum_s)

    @property
    def mean_s(self) -> float | None:
        return self.total_ns / 1e9 / self.count if self.count else None

    def percentile(self, q: float) -> float | None:
        """The duration that the share q (0…1) of all stay at or below; None when empty.

        Nearest rank: with q = 1 the exact maximum; otherwise the top of the cell, which is at
        most 0.1 % (or 1 µs) above the duration itself, and never above the maximum.
        """
        return next(iter(self.percentiles((q,))))

    def percentiles(self, shares: Iterable[float]) -> list[float | None]:
        """Several percentiles by one pass; the shares must rise."""
        if not self.count:
            return [None for _ in shares]
        answers: list[float | None] = []
        ordered = iter(sorted(self.cells.items()))
        seen, top = 0, 0
        for q in shares:
            rank = max(1, math.ceil(q * self.count - 1e-9))
            while seen < rank:
                cell, count = next(ordered)
                seen += count
                top = top_of(cell)
            if rank >= self.count:
                answers.append(self.maximum_s)
            else:
                answers.append(max(self.minimum_s, min(self.maximum_s, (top + 1) / 1e6)))
        return answers

    def above(self, seconds: float) -> int:
        """How many lie in cells wholly above `seconds`."""
        limit = cell_of(int(seconds * 1e6))
        return sum(count for cell, count in self.cells.items() if cell > limit)

    def as_json(self) -> dict[str, Any]:
        return {
            "cells": [[cell, count] for cell, count in sorted(self.cells.items())],
            "total_ns": self.total_ns,
            "min_s": self.minimum_s if self.count else None,
            "max_s": self.maximum_s,
        }

    def as_columns(self) -> dict[str, Any]:
        """The same at a third of the cost, in no order: for whoever has no time."""
        return {
            "columns": [list(self.cells), list(self.cells.values())],
            "total_ns": self.total_ns,
            "min_s": self.minimum_s if self.count else None,
            "max_s": self.maximum_s,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Histogram:
        """Of either form."""
        histogram = cls()
        if "columns" in document:
            histogram.cells = Counter(dict(zip(*document["columns"], strict=True)))
        else:
            histogram.cells = Counter({int(cell): int(count) for cell, count in document["cells"]})
        histogram.count = sum(histogram.cells.values())
        histogram.total_ns = int(document["total_ns"])
        if document["min_s"] is not None:
            histogram.minimum_s = float(document["min_s"])
        histogram.maximum_s = float(document["max_s"])
        return histogram

    def hdr_lines(self) -> Iterator[str]:
        """The percentile distribution as HdrHistogram prints it (values in milliseconds), which
        its plotters read."""
        yield f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}"
        yield ""
        seen = 0
        for cell, count in sorted(self.cells.items()):
            seen += count
            share = seen / self.count
            value = min(top_of(cell) + 1, self.maximum_s * 1e6) / 1e3
            inverse = f"{1 / (1 - share):>14.2f}" if seen < self.count else f"{'inf':>14}"
            yield f"{value:12.3f} {share:14.12f} {seen:10d} {inverse}"
        mean = (self.mean_s or 0.0) * 1e3
        squares = sum(
            count * ((top_of(cell) + 0.5) / 1e3 - mean) ** 2 for cell, count in self.cells.items()
        )
        deviation = math.sqrt(squares / self.count) if self.count else 0.0
        yield f"#[Mean    = {mean:12.3f}, StdDeviation   = {deviation:12.3f}]"
        yield f"#[Max     = {self.maximum_s * 1e3:12.3f}, Total count    = {self.count:12d}]"
