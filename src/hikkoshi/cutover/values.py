"""What a cutover is decided from, and what can be decided. Shares lie between 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Limits:
    """What the new side must not do. None, or False: not looked at."""

    errors: float | None = None
    """More than this share of its requests failing (or than the old side's, if that is more)."""
    p99_times: float | None = None
    """A p99 of more than so many times the old side's."""
    p99_s: float | None = None
    has_synthetic: bool = False
    """A synthetic test failing."""


class TooFew(StrEnum):
    """What to do at a step whose time is over, with too few requests to tell."""

    BACK = "back"
    ADVANCE = "advance"


@dataclass(frozen=True, slots=True)
class Plan:
    """steps: per cent of the traffic for the new side, rising, the last one 100. Each is held for
    `hold_s`, and longer, up to `hold_at_most_s`, as long as there are too few requests to tell."""

    steps: tuple[int, ...]
    hold_s: float
    hold_at_most_s: float
    limits: Limits
    least_requests: int | None = None
    """On the new side in each step; None: as many as the limits need."""
    too_few: TooFew = TooFew.BACK


@dataclass(frozen=True, slots=True)
class Side:
    """What one target group did in a time. p99_s None: nothing answered."""

    requests: int = 0
    errors: int = 0
    p99_s: float | None = None

    @property
    def share(self) -> float:
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """Both sides in the same time. nobodys: what the load balancer answered with a 5xx of its own,
    and could not tell of which side."""

    new: Side = Side()
    old: Side = Side()
    nobodys: int = 0


class Asked(StrEnum):
    """What a person has asked of a cutover that is under way."""

    HOLD = "hold"
    ADVANCE = "advance"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of a cutover. step: index into the plan's steps. held_s: since its weights were set.

    whole: since then; recent: the last seconds of it. reference: what the old side last did while
    it had traffic, for the step in which it has none. healthy: targets of the new side, None if
    that could not be asked. failed_tests: names with reasons; runs: how often the tests ran.
    """

    step: int
    held_s: float
    whole: Window = Window()
    recent: Window = Window()
    reference: Side = Side()
    healthy: int | None = None
    failed_tests: tuple[str, ...] = ()
    runs: int = 0
    asked: Asked | None = None


class Move(StrEnum):
    STAY = "stay"
    ADVANCE = "advance"
    BACK = "back"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Decision:
    """percent: what the new side gets from now on. why: a sentence."""

    move: Move
    percent: int
    why: str


@dataclass(frozen=True, slots=True)
class ClockHome:
    """Where the account keeps the clocks of cutovers: the outputs of the stack that does. ARNs, but
    for the schedules' group, which is a name."""

    group: str
    function: str
    role: str
