"""awslogs-multiline-pattern and awslogs-datetime-format: lines joined into messages.

As Docker's awslogs driver does it (moby, daemon/logger/awslogs/cloudwatchlogs.go): a line that
matches begins a message, what follows belongs to it, and each line keeps its newline. A message
ends when the next begins, when it would be too long for an event, or with the driver's next
publication once it is older than the time between two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

PATTERN, DATETIME = "awslogs-multiline-pattern", "awslogs-datetime-format"
MAX_EVENT_BYTES = 262_144 - 26
"""Docker's limit of one event; CloudWatch Logs took no more for years."""

_TWO = r"[0-5][0-9]"
_DATETIME: Mapping[str, str] = {
    "a": "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
    "A": "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
    "w": "[0-6]",
    "d": r"(?:0[1-9]|[12][0-9]|3[01])",
    "b": "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
    "B": "(?:January|February|March|April|May|June|July|August|September|October|November"
    "|December)",
    "m": r"(?:0[1-9]|1[0-2])",
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "H": r"(?:[01][0-9]|2[0-3])",
    "I": r"(?:0[0-9]|1[0-2])",
    "p": "[AP]M",
    "M": _TWO,
    "S": _TWO,
    "f": r"\d{6}",
    "z": r"[+-]\d{4}",
    "Z": "[A-Z]{1,4}T",
    "j": r"(?:[0-2][0-9][0-9]|3[0-5][0-9]|36[0-6])",
    # Docker's own letter: the dot belongs to it.
    "L": r"\.\d{3}",
}
_CLASSES: Mapping[str, str] = {
    "alnum": "A-Za-z0-9", "alpha": "A-Za-z", "digit": "0-9", "lower": "a-z", "upper": "A-Z",
    "space": r"\s", "word": r"\w", "xdigit": "0-9A-Fa-f", "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
}  # fmt: skip


def pattern_of(options: Mapping[str, str]) -> re.Pattern[bytes] | None:
    """What begins a message; None where each line is one. ValueError for an expression that is
    none, or for both options, which Docker refuses."""
    pattern, datetime = options.get(PATTERN), options.get(DATETIME)
    if pattern and datetime:
        raise ValueError(
            f"you cannot configure log opt '{DATETIME}' and '{PATTERN}' at the same time"
        )
    if datetime:
        pattern = re.sub(r"%(.)", lambda found: _DATETIME.get(found[1], found[0]), datetime)
    if not pattern:
        return None
    # RE2, which Docker has, knows POSIX's classes within brackets; Python does not.
    python = re.sub(r"\[:(\w+):\]", lambda found: _CLASSES.get(found[1], found[0]), pattern)
    try:
        return re.compile(python.encode())
    except re.error as error:
        key = DATETIME if datetime else PATTERN
        raise ValueError(f"awslogs could not parse {key} {pattern!r}: {error}") from error


@dataclass(frozen=True, slots=True)
class Message:
    """since: milliseconds, of its first line. lines: how many it joins."""

    since: int
    data: bytes
    lines: int


@dataclass(slots=True)
class Joining:
    """The message that one stream is at."""

    pattern: re.Pattern[bytes]
    _since: int = 0
    _held: list[bytes] = field(default_factory=list)
    _size: int = 0

    def add(self, now: int, line: bytes) -> list[Message]:
        """The message that this line ends, if it does."""
        begins = self.pattern.search(line) is not None
        is_over = self._size + len(line) > MAX_EVENT_BYTES
        done = self.end() if begins or is_over else []
        if not self._held:
            self._since = now
        self._held.append(line + b"\n")
        self._size += len(line) + 1
        return done

    def overdue(self, now: int, age_ms: int) -> list[Message]:
        return self.end() if self._held and now - self._since > age_ms else []

    def end(self) -> list[Message]:
        if not self._held:
            return []
        message = Message(self._since, b"".join(self._held), len(self._held))
        self._held, self._size = [], 0
        return [message]
