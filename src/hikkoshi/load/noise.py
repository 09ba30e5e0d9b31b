"""How sure a mean over slices of time is: they are few, and neighbours fare alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

# Where neighbours say nearly the same, so few of them are left that nothing can be told.
_MOST_ALIKE = 0.95


def worth_of(series: Sequence[float]) -> float:
    """How many slices that know nothing of each other tell as much as these, which may: n (1 - r) /
    (1 + r), with r how much neighbours are alike: the lag-1 autocorrelation, without its bias
    towards nought in a short series (Kendall, 1954), and, since it is itself only guessed from few,
    rather too much of it than too little. From 1 to n."""
    n = len(series)
    mean = math.fsum(series) / n
    spread = math.fsum((each - mean) ** 2 for each in series)
    if spread <= 0 or n < 3:
        return float(n)
    r = math.fsum((one - mean) * (other - mean) for one, other in pairwise(series)) / spread
    r = min(_MOST_ALIKE, max(0.0, r * (1 + 1.5 / math.sqrt(n)) + (1 + 3 * r) / n))
    return max(1.0, n * (1 - r) / (1 + r))


@cache
def student(df: float, tail: float) -> float:
    """Student's t with df degrees of freedom: above it lies the share `tail` (below a half)."""
    low, high = 0.0, 1.0
    while _above(high, df) > tail:
        high *= 2
        if high > 1e6:
            return math.inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _above(middle, df) > tail else (low, middle)
    return high


def _above(t: float, df: float, steps: int = 400) -> float:
    """The share above t: a half less the area from 0 to t, by Simpson's rule, with t = √df·tan a,
    which makes the density cos(a)^(df-1)."""
    end = math.atan2(t, math.sqrt(df))
    width = end / steps
    area = math.fsum(
        (1 if at in (0, steps) else 4 if at % 2 else 2) * math.cos(at * width) ** (df - 1)
        for at in range(steps + 1)
    ) * (width / 3)
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(math.pi)
    return 0.5 - scale * area
