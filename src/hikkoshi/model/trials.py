"""Trials, their outcomes, and the verdict of a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from hikkoshi.model.findings import Judgement


class Outcome(StrEnum):
    HELD = "held"
    BROKE = "broke"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a trial, with the limit that had to hold, if there was one."""

    name: str
    value: float | None
    unit: str
    limit: str | None = None
    is_kept: bool | None = None


@dataclass(frozen=True, slots=True)
class TrialResult:
    name: str
    title: str
    outcome: Outcome
    reason: str
    t_start: float
    t_end: float
    measures: tuple[Measure, ...] = ()
    notes: tuple[str, ...] = ()
    is_applicable: bool = True
    """False: the service has nothing that this trial could try; the verdict does not mind."""


class Readiness(StrEnum):
    READY = "ready"
    NOT_READY = "not ready"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole outcome of one rehearsal; `verdict.json` is this, as written."""

    run_id: str
    directory: str
    service: str
    readiness: Readiness
    reasons: tuple[str, ...]
    trials: tuple[TrialResult, ...]
    judgement: Judgement
    engine: str
    stand_ins: tuple[str, ...]
    not_enforced: tuple[str, ...]
    shortened_timers: tuple[tuple[str, float, float], ...]
    adapted: tuple[str, ...]
    t_start: float
    t_end: float
    versions: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Live:
    """What the load generator sees now; times in seconds, counts since the trial's start."""

    sent: int = 0
    failed: int = 0
    rate: float = 0.0
    p99_s: float | None = None


class Progress(Protocol):
    """Told what goes on while a rehearsal runs; the command line shows it."""

    def say(self, text: str) -> None: ...

    def trial_started(self, name: str, title: str, expected_s: float) -> None: ...

    def live(self, name: str, live: Live) -> None: ...

    def trial_ended(self, result: TrialResult) -> None: ...
