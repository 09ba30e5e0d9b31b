"""A complaint: what stands where, by which rule, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """error: AWS or Fluent Bit refuses it, or it cannot work. warning: it works, and hurts one day.
    note: worth a look."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Complaint:
    """line and column count from 1; file is as it was named to us."""

    file: str
    line: int
    column: int
    rule: str
    message: str
    fix: str | None = None
    severity: Severity = Severity.ERROR

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"
