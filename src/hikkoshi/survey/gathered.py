"""What was brought from a host, raw: files, listings, and the output of fixed commands.

The facts are pure functions from this; tests build it from recorded output.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hikkoshi.model.survey import Unseen


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a listing. kind: f, d, l, or another of find's letters."""

    path: str
    kind: str
    size: int = 0
    modified: float = 0.0
    mode: int = 0
    owner: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Gathered:
    """files: absolute path on the host → content (perhaps only a part; then it is in `partial`)."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    partial: frozenset[str] = frozenset()
    entries: Mapping[str, Entry] = field(default_factory=dict)
    answers: Mapping[str, bytes] = field(default_factory=dict)
    unseen: tuple[Unseen, ...] = ()

    def text(self, path: str) -> str:
        return self.files.get(path, b"").decode("utf-8", "replace")

    def answer(self, name: str) -> str:
        return self.answers.get(name, b"").decode("utf-8", "replace")

    def matching(self, *patterns: str) -> list[str]:
        """Paths of files that were read, by shell pattern; `*` does not cross a slash."""
        return sorted(
            path for path in self.files if any(matches(path, pattern) for pattern in patterns)
        )

    def joined(self, other: Gathered) -> Gathered:
        return Gathered(
            {**self.files, **other.files},
            self.partial | other.partial,
            {**self.entries, **other.entries},
            {**self.answers, **other.answers},
            self.unseen + other.unseen,
        )


def matches(path: str, pattern: str) -> bool:
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


class Reach(Protocol):
    """A way to a host. Nothing is written there; every method is one round trip at most.

    Raises Broken when the way is gone; what came before it is in its `so_far`."""

    address: str
    trips: int

    def ask(self, names: Sequence[str], window_s: float) -> Gathered:
        """Run the fixed commands of these names; a tree has none."""
        ...

    def listing(self, paths: Iterable[str], depth: int, limit: int) -> Gathered:
        """What lies under these paths; symbolic links are not followed."""
        ...

    def read(self, patterns: Iterable[str], limit: int) -> Gathered:
        """Files by shell pattern, each up to `limit` bytes from its start; links are followed."""
        ...

    def tails(self, paths: Iterable[str], limit: int) -> Gathered:
        """The last `limit` bytes of files."""
        ...

    def owners(self, paths: Iterable[str]) -> Mapping[str, str]:
        """path → package of the system that owns it; a path that no package owns is left out."""
        ...
