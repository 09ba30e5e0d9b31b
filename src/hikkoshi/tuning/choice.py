"""What tuning answers: a choice for each setting, with its reason, or why it was not judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hikkoshi.model.findings import Certainty

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """One value of a document of AWS's. document: "task" or "service"."""

    document: str
    path: Path
    value: Any


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting. now None: the files do not say. because: what was measured, and the arithmetic.

    advice: what is to be done outside the two documents, in code or settings."""

    setting: str
    now: str | None
    wanted: str
    certainty: Certainty
    because: tuple[str, ...]
    edits: tuple[Edit, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def is_change(self) -> bool:
        return self.now != self.wanted


@dataclass(frozen=True, slots=True)
class NotJudged:
    setting: str
    why: str


Answer = Choice | NotJudged
