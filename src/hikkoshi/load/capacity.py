"""How much a service bears: the search for the knee as a pure rule over the probes so far.

First upwards by a factor until the objectives break, then halving between what held and what
broke, then once more at the ends, since one probe may have had luck. What comes out is a range:
the highest rate that held whenever it was tried, and the lowest above it that broke.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import format_share
from hikkoshi.load.conditions import Conditions
from hikkoshi.load.knee import Objectives, Step, broken

# Two rates nearer than this are the same to a plan.
DEFAULT_PRECISION = 0.05


@dataclass(frozen=True, slots=True)
class Search:
    """first: requests a second to begin with. growth: the factor upwards. most: never above it.
    precision: how near the ends of the range are to come to each other. confirmations: how often
    each end is tried at least."""

    first: float
    most: float
    growth: float = 2.0
    precision: float = DEFAULT_PRECISION
    confirmations: int = 2
    most_probes: int = 40


class Ending(StrEnum):
    FOUND = "found"
    # The first rate broke already, as did all lower ones that were tried.
    NOTHING_HELD = "nothing held"
    # The most that was allowed still held.
    NOT_REACHED = "not reached"
    # The generator gave way before the service did.
    GENERATOR = "generator"
    TOO_MANY_PROBES = "too many probes"


@dataclass(frozen=True, slots=True)
class Probe:
    """The next rate to try, and why."""

    rate: float
    why: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """holds: the highest rate that held in all its probes, and below which none broke; None if
    there is none. breaks: the lowest rate that broke; None if none did. attempts: probes at each
    end. why: in words."""

    holds: float | None
    breaks: float | None
    holds_probes: int
    breaks_probes: int
    ending: Ending
    why: str


def objectives_of(conditions: Conditions) -> Objectives:
    """Thresholds as the knee's objectives. BadInput for what it does not weigh."""
    limits = {}
    for each in conditions.thresholds:
        is_upper = each.operator in ("<", "<=")
        if each.metric == "p99" and is_upper and each.endpoint is None:
            limits["max_p99_s"] = each.limit
        elif each.metric == "errors" and is_upper and each.endpoint is None:
            limits["max_failed_share"] = each.limit
        elif each.metric == "success" and not is_upper and each.endpoint is None:
            limits["max_failed_share"] = 1 - each.limit
        else:
            raise BadInput(
                f"{each.text!r} is no objective of a capacity", where="--objective",
                fix="write p99<300ms and errors<0.1% (or success>99.9%); checks of answers may "
                "stand beside them",
            )  # fmt: skip
    if not limits:
        raise BadInput("no objective", where="--objective", fix="write 'p99<300ms, errors<0.1%'")
    return Objectives(**limits)


def next_step(search: Search, steps: Sequence[Step], objectives: Objectives) -> Probe | Capacity:
    """Pure: the same probes always lead to the same next one."""
    holds, breaks = _bounds(steps, objectives)
    if steps and not steps[-1].is_valid:
        # Once more may be only noise; twice at the same rate is the generator's own limit.
        rate = steps[-1].asked_rate
        if sum(not each.is_valid and each.asked_rate == rate for each in steps) >= 2:
            why = f"at {rate:.0f}/s the generator was the bottleneck, not the service"
            return _ended(Ending.GENERATOR, why, holds, breaks, steps)
        return Probe(rate, "the generator was late; the same again")
    if len(steps) >= search.most_probes:
        why = f"{search.most_probes} probes did not come nearer"
        return _ended(Ending.TOO_MANY_PROBES, why, holds, breaks, steps)
    if holds is None and breaks is None:
        return Probe(search.first, "the first")
    if holds is None:
        assert breaks is not None
        if breaks <= max(1.0, search.first / 64):
            problem = _why(steps, breaks, objectives)
            return _ended(Ending.NOTHING_HELD, problem, holds, breaks, steps)
        return Probe(breaks / 2, f"{breaks:.0f}/s broke; lower")
    if breaks is None:
        if holds >= search.most:
            why = f"{holds:.0f}/s, the most allowed, still held"
            return _ended(Ending.NOT_REACHED, why, holds, breaks, steps)
        return Probe(min(search.most, holds * search.growth), f"{holds:.0f}/s held; higher")
    if breaks - holds > max(1.0, search.precision * breaks):
        return Probe(round((holds + breaks) / 2, 1), f"between {holds:.0f}/s and {breaks:.0f}/s")
    for rate, what in ((holds, "held"), (breaks, "broke")):
        if _count(steps, rate) < search.confirmations:
            return Probe(rate, f"{rate:.0f}/s {what} once; again")
    return _ended(Ending.FOUND, _why(steps, breaks, objectives), holds, breaks, steps)


def _bounds(steps: Sequence[Step], objectives: Objectives) -> tuple[float | None, float | None]:
    """A rate holds when more of its probes held than broke, so that one stumble may be
    outvoted; nothing above the lowest rate that broke counts as holding."""
    votes: dict[float, int] = {}
    for step in steps:
        if step.is_valid:
            is_kept = broken(step, objectives) is None
            votes[step.asked_rate] = votes.get(step.asked_rate, 0) + (1 if is_kept else -1)
    breaks = min((rate for rate, vote in votes.items() if vote <= 0), default=None)
    held = [rate for rate, vote in votes.items() if vote > 0 and (breaks is None or rate < breaks)]
    return max(held, default=None), breaks


def _count(steps: Sequence[Step], rate: float) -> int:
    return sum(step.is_valid and step.asked_rate == rate for step in steps)


def _why(steps: Sequence[Step], rate: float, objectives: Objectives) -> str:
    problems = [broken(step, objectives) for step in steps if step.asked_rate == rate]
    problem = next((each for each in problems if each is not None), "it broke")
    return f"at {rate:.0f}/s {problem}"


def _ended(
    ending: Ending, why: str, holds: float | None, breaks: float | None, steps: Sequence[Step]
) -> Capacity:
    return Capacity(
        holds=holds,
        breaks=breaks,
        holds_probes=_count(steps, holds) if holds is not None else 0,
        breaks_probes=_count(steps, breaks) if breaks is not None else 0,
        ending=ending,
        why=why,
    )


def say(capacity: Capacity) -> str:
    """One sentence with the range."""
    holds, breaks = capacity.holds, capacity.breaks
    if holds is None:
        return f"no rate that was tried holds: {capacity.why}"
    if breaks is None:
        return f"{holds:.0f}/s holds; where it breaks was not found: {capacity.why}"
    width = format_share((breaks - holds) / breaks)
    return (
        f"the knee lies between {holds:.0f}/s (held in {capacity.holds_probes} probes) and "
        f"{breaks:.0f}/s (broke; {capacity.breaks_probes} probes), a range of {width}: "
        f"{capacity.why}"
    )
