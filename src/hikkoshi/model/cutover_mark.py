"""The tag by which a cutover that is under way tells deploys of it, wherever they are run.

It is on both sides' target groups: a service names its own, and whoever would shift its traffic
finds it there. ELBv2 takes letters, digits, spaces and `+ - = . _ : / @` in a tag's value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TAG = "hikkoshi:cutover"
_TAKEN = re.compile(r"[^\w+\-=.:/@]", re.ASCII)
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class CutoverMark:
    """cutover: its journal's name; owner: `user@host`; since: ISO 8601, UTC."""

    cutover: str
    owner: str
    since: str

    @property
    def value(self) -> str:
        """What the tag has."""
        parts = (self.owner, self.since, self.cutover)
        return " ".join(_TAKEN.sub("_", part)[:_LONGEST] for part in parts)

    @classmethod
    def read(cls, value: str) -> CutoverMark:
        """Also of a tag that a person has written."""
        owner, _, rest = value.partition(" ")
        since, _, cutover = rest.partition(" ")
        return cls(cutover or "unknown", owner or "someone", since or "unknown")

    @property
    def words(self) -> str:
        return f"{self.owner}'s cutover {self.cutover} is under way since {self.since}"
