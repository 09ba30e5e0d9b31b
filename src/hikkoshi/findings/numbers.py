"""What rules share when they tell what convinced them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window
from hikkoshi.model.findings import Certainty, Evidence

QUARTERS = 4
LEAST_SAMPLES_A_QUARTER = 2
# Own cut: what must still be held once the load is over, of what was held at its end.
STILL_HELD_SHARE = 0.90
# Own cut: keep-alive connections of the load balancer, and a garbage collector, need a moment.
QUIET_AFTER_S = 2.0


def measured(
    what: str, value: object, threshold: object = None, window: Window | None = None
) -> Evidence:
    return Evidence(
        what,
        str(value),
        None if threshold is None else str(threshold),
        window.t_start if window else None,
        window.t_end if window else None,
    )


def service_of(evidence: EvidenceStore) -> str:
    return evidence.meta().get("service") or "the service"


def whole_number(evidence: EvidenceStore, key: str) -> int | None:
    """A fact of `meta` that is a whole number; None where it is not there."""
    text = evidence.meta().get(key, "")
    return int(text) if text.isdecimal() else None


def surest(levels: Sequence[Certainty]) -> Certainty:
    return min(levels, key=list(Certainty).index)


@dataclass(frozen=True, slots=True)
class Growth:
    """Medians in the four quarters of one trial, and the least seen after it."""

    window: Window
    medians: tuple[float, ...]
    least_after: float | None

    @property
    def growth(self) -> float:
        return self.medians[-1] - self.medians[0]

    @property
    def is_held(self) -> bool:
        """It was looked at when the load was over, and had not come back."""
        return self.least_after is not None


@dataclass(frozen=True, slots=True)
class Leak:
    """How much growth is a leak: in each quarter at least `step`, in all at least `growth` and
    that share of where it began."""

    step: float
    growth: float
    share: float


def growth_in(
    samples: Sequence[tuple[float, float]], trial: Window, quiet: Window | None, leak: Leak
) -> Growth | None:
    """How a series of (t, value) grew in a trial, if it grew as a leak does: a pool, a cache or
    keep-alive fills up once and stays; a leak grows in each quarter and does not come back."""
    quarter_s = trial.length_s / QUARTERS
    quarters: list[list[float]] = [[] for _ in range(QUARTERS)]
    for t, value in samples:
        if trial.t_start <= t < trial.t_end:
            quarters[min(QUARTERS - 1, int((t - trial.t_start) / quarter_s))].append(value)
    if any(len(quarter) < LEAST_SAMPLES_A_QUARTER for quarter in quarters):
        return None
    medians = tuple(float(median(quarter)) for quarter in quarters)
    if any(later - earlier < leak.step for earlier, later in pairwise(medians)):
        return None
    if medians[-1] - medians[0] < max(leak.growth, leak.share * medians[0]):
        return None
    after = [value for t, value in samples if quiet and quiet.t_start <= t <= quiet.t_end]
    least = min(after, default=None)
    if least is not None and least < STILL_HELD_SHARE * medians[-1]:
        return None
    return Growth(trial, medians, least)


def quiet_after(trial: Window, trials: Sequence[Window]) -> Window | None:
    """From a little after a trial until the next one starts; None when they follow closely."""
    t_start = trial.t_end + QUIET_AFTER_S
    nexts = [other.t_start for other in trials if other.t_start >= trial.t_end - 0.001]
    t_end = min(nexts, default=float("inf"))
    return Window("quiet", t_start, t_end) if t_end > t_start else None
