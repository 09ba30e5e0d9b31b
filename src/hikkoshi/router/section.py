"""A section of a Fluent Bit configuration, and the typed reading of its keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from hikkoshi.base.errors import BadInput

T = TypeVar("T")

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?\s*$", re.IGNORECASE)
_FACTOR = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*$", re.IGNORECASE)

# Keys that any plugin takes and that change how Fluent Bit works inside, not what is delivered.
CORE_KEYS = frozenset(
    {
        "alias", "log_level", "log_suppress_interval", "storage.type", "threaded", "workers",
        "storage.pause_on_chunks_overlimit", "storage.total_limit_size", "buffer_chunk_size",
        "buffer_size", "host_alias", "ipv6", "thread.ring_buffer.capacity",
        "thread.ring_buffer.window",
    }
)  # fmt: skip


class Property(NamedTuple):
    key: str
    value: str
    file: str
    line: int


class Section(NamedTuple):
    """kind is in capitals (`INPUT`, `MULTILINE_PARSER`); properties keep their order."""

    kind: str
    properties: tuple[Property, ...]
    file: str
    line: int

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


class Settings:
    """Reads one section key by key; `finish` refuses whatever nobody asked for.

    Keys are compared without regard to case, as Fluent Bit does.
    """

    def __init__(self, section: Section, plugin: str) -> None:
        self.section = section
        self.plugin = plugin
        self._asked: set[str] = set()

    def many(self, key: str) -> list[Property]:
        """In the order of the file. A value that a variable left empty counts as not given."""
        return self._any((key,))

    def _any(self, keys: tuple[str, ...]) -> list[Property]:
        names = {key.lower() for key in keys}
        self._asked |= names
        return [e for e in self.section.properties if e.key.lower() in names and e.value]

    def find(self, *keys: str) -> Property | None:
        """The last entry under any of the names; later ones win, as in Fluent Bit."""
        found = self._any(keys)
        return found[-1] if found else None

    def text(self, *keys: str) -> str | None:
        entry = self.find(*keys)
        return entry.value if entry else None

    def required(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise BadInput(
                f"{self.plugin}: no {key} is defined",
                where=self.section.where,
                fix=f"add a line `{key} …` to this [{self.section.kind}]",
            )
        return value

    def read(self, key: str, default: T, parse: Callable[[str], T], shape: str) -> T:
        entry = self.find(key)
        if entry is None:
            return default
        try:
            return parse(entry.value)
        except ValueError as error:
            raise BadInput(
                f"{self.plugin}: invalid value {entry.value!r} for {key}",
                where=f"{entry.file}:{entry.line}",
                fix=f"write {shape}",
            ) from error

    def number(self, key: str, default: int) -> int:
        return self.read(key, default, int, "a whole number")

    def boolean(self, key: str, default: bool = False) -> bool:
        return self.read(key, default, parse_boolean, "On or Off")

    def size(self, key: str, default: int) -> int:
        return self.read(key, default, parse_size, "bytes, or 512KB, 5MB, 1GB")

    def seconds(self, key: str, default: float) -> float:
        return self.read(key, default, parse_seconds, "seconds, or 500ms, 1m")

    def ignore(self, keys: Iterable[str]) -> None:
        self._asked.update(key.lower() for key in keys)

    def finish(self) -> list[str]:
        """The core keys that are accepted and have no effect here. BadInput for any other key."""
        ignored = []
        for entry in self.section.properties:
            key = entry.key.lower()
            if key in self._asked:
                continue
            if key in CORE_KEYS or key.startswith(("net.", "storage.")):
                ignored.append(entry.key)
                continue
            known = ", ".join(sorted(self._asked - {"name"}))
            raise BadInput(
                f"{self.plugin}: unknown configuration property '{entry.key}', or one that is "
                "not interpreted by the stand-in",
                where=f"{entry.file}:{entry.line}",
                fix=f"one of: {known}; or run the real Fluent Bit (--engine docker)",
            )
        return ignored


def parse_boolean(text: str) -> bool:
    """Fluent Bit's on/true/yes and off/false/no, in any case. ValueError otherwise."""
    lowered = text.strip().lower()
    if lowered in ("on", "true", "yes", "1"):
        return True
    if lowered in ("off", "false", "no", "0"):
        return False
    raise ValueError(text)


def parse_size(text: str) -> int:
    """'25MB' → 25_000_000 (Fluent Bit counts in thousands); False → 0 (no limit)."""
    if text.strip().lower() == "false":
        return 0
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(text)
    return int(float(match.group(1)) * _FACTOR[match.group(2).lower()])


def parse_seconds(text: str) -> float:
    stripped = text.strip().lower()
    if stripped.endswith("ms"):
        return float(stripped[:-2]) / 1000
    match = _TIME.match(stripped)
    if match is None:
        raise ValueError(text)
    return float(match.group(1)) * _SECONDS[match.group(2).lower()]
