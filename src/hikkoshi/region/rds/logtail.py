"""A server's log, read as it grows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

MAX_READ = 4 << 20


class LogTail:
    """Reads what was added to a log since the last time; a line that is not whole waits."""

    def __init__(self, path: Callable[[], Path]) -> None:
        self._path = path
        self._position = 0
        self._rest = b""

    def read(self) -> list[str]:
        """The new whole lines; [] while there is no file. At most 4 MiB at a time."""
        try:
            with self._path().open("rb") as file:
                file.seek(self._position)
                data = file.read(MAX_READ)
        except OSError:
            return []
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines if line]
