"""Findings: a named problem, the numbers that convinced, and the cure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Certainty(StrEnum):
    FACT = "fact"
    LIKELY = "likely"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One number that convinced: what was measured, over which window, against which threshold."""

    what: str
    value: str
    threshold: str | None = None
    t_start: float | None = None
    t_end: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    certainty: Certainty
    subject: str
    summary: str
    evidence: tuple[Evidence, ...]
    advice: tuple[str, ...]
    details: tuple[str, ...] = ()
    """Longer texts to show under the finding: both statements of a deadlock, a query, a stack."""


@dataclass(frozen=True, slots=True)
class NotJudged:
    """A rule that lacked its evidence; the verdict never counts that as good.

    is_applicable False: the service has nothing that the rule could look at (no database)."""

    rule: str
    why: str
    is_applicable: bool = True


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a rule saw that another rule's finding explains. cause: that rule's name."""

    rule: str
    cause: str
    summary: str


@dataclass(frozen=True, slots=True)
class Judgement:
    findings: tuple[Finding, ...] = ()
    not_judged: tuple[NotJudged, ...] = ()
    clean: tuple[str, ...] = field(default=())
    """Rules that had their evidence and found nothing."""
    consequences: tuple[Consequence, ...] = ()
    """What was seen as well, and follows from a finding: it is cured with that."""
