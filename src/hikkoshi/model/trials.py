"""Trials, their outcomes, and the verdict of a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

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
