"""New whole lines of files that others append to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hikkoshi.model.evidence import TABLES

MOST_BYTES = 32 * 1024 * 1024
"""Read of one file at once; what is left is read the next time."""


class Followed:
    """Record directories with `<table>.jsonl` each; a file may appear later."""

    def __init__(self, directories: Iterable[Path]) -> None:
        self._files = [(t, Path(d) / f"{t}.jsonl") for d in directories for t in TABLES]
        self._offsets: dict[Path, int] = {}

    def fresh(self) -> list[tuple[str, bytes]]:
        """(table, whole lines) of what came since the last call."""
        found = []
        for table, file in self._files:
            lines = self._lines_of(file)
            if lines:
                found.append((table, lines))
        return found

    def _lines_of(self, file: Path) -> bytes:
        offset = self._offsets.get(file, 0)
        try:
            size = file.stat().st_size
            if size < offset:  # begun anew
                offset = 0
            if size == offset:
                return b""
            with file.open("rb") as stream:
                stream.seek(offset)
                block = stream.read(MOST_BYTES)
        except OSError:
            return b""
        whole = block.rfind(b"\n") + 1
        if not whole and len(block) == MOST_BYTES:  # no line of ours is so long
            whole = len(block)
        self._offsets[file] = offset + whole
        return block[:whole]
