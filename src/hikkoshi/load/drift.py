"""Whether something creeps up during a long run: latency, memory, descriptors, connections.

The slope is Theil and Sen's (the median of all slopes between two points), which a few outliers
do not bend; whether there is one at all is Mann and Kendall's test of rank. A leak is a rise that
the test is sure of and that is large beside the level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

LEAST_POINTS = 8
# Two-sided 99 %.
_SURE = 2.576
# All pairs of so many points are looked at; more are thinned.
_MOST_POINTS = 240


@dataclass(frozen=True, slots=True)
class Drift:
    """level: the median of the first fifth. rise: by how much it went from the beginning to the
    end along the slope, in the same unit. is_rising: sure, and above what is allowed.
    None where there are too few points to tell."""

    name: str
    unit: str
    level: float | None
    rise: float | None
    is_rising: bool | None

    @property
    def share(self) -> float | None:
        return self.rise / self.level if self.rise is not None and self.level else None


def drift_of(
    name: str, unit: str, points: Sequence[tuple[float, float]], *, allowed: float
) -> Drift:
    """points: (seconds, value) in order of time. allowed: a rise up to this share of the level
    is no drift."""
    if len(points) < LEAST_POINTS:
        return Drift(name, unit, None, None, None)
    thinned = list(points[:: max(1, len(points) // _MOST_POINTS)])
    level = median(value for _, value in thinned[: max(2, len(thinned) // 5)])
    slope = median(
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in combinations(thinned, 2)
        if later[0] > earlier[0]
    )
    rise = slope * (thinned[-1][0] - thinned[0][0])
    is_sure = _rank_score([value for _, value in thinned]) > _SURE
    return Drift(name, unit, level, rise, is_sure and rise > allowed * abs(level))


def _rank_score(values: Sequence[float]) -> float:
    """Mann and Kendall's Z, with ties: above 0 when later values tend to be higher."""
    count = len(values)
    signs = sum((b > a) - (b < a) for a, b in combinations(values, 2))
    ties: dict[float, int] = {}
    for value in values:
        ties[value] = ties.get(value, 0) + 1
    variance = count * (count - 1) * (2 * count + 5) - sum(
        n * (n - 1) * (2 * n + 5) for n in ties.values()
    )
    if variance <= 0 or signs == 0:
        return 0.0
    return (signs - math.copysign(1, signs)) / math.sqrt(variance / 18)
