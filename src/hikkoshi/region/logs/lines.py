"""From a container's output in pieces to lines, as the log driver's copier cuts them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

MAX_LINE = 16 * 1024
"""The copier hands on at most 16 KiB at once; a longer line comes in parts."""

MAX_EVENT = 262_144 - 26
"""awslogs asks it for as much as an event of CloudWatch Logs held when the driver was written
(aws/shim-loggers-for-containerd, logger/awslogs: WithBufferSizeInBytes(maximumBytesPerEvent))."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a piece of a longer line stands; ordinals count from 1."""

    id: str
    ordinal: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Line:
    """data: without its newline. part None: a whole line."""

    data: bytes
    part: Part | None = None


class LineSplitter:
    """One stream of one container. Holds less than `most` bytes at any time, and cuts there."""

    def __init__(self, most: int = MAX_LINE) -> None:
        self._most = most
        self._rest = b""
        self._part: Part | None = None

    def feed(self, data: bytes) -> list[Line]:
        """The lines that `data` completes, and the full parts of one that goes on."""
        *whole, rest = (self._rest + data).split(b"\n")
        lines: list[Line] = []
        for piece in whole:
            rest_of_piece = self._cut(piece, lines)
            lines.append(self._end(rest_of_piece))
        self._rest = self._cut(rest, lines)
        return lines

    def finish(self) -> list[Line]:
        """What the container wrote after its last newline, at its end."""
        rest, self._rest = self._rest, b""
        return [self._end(rest)] if rest or self._part is not None else []

    def _cut(self, piece: bytes, lines: list[Line]) -> bytes:
        start = 0
        while len(piece) - start >= self._most:
            before = self._part
            self._part = Part(
                before.id if before else secrets.token_hex(32),
                before.ordinal + 1 if before else 1,
                False,
            )
            lines.append(Line(piece[start : start + self._most], self._part))
            start += self._most
        return piece[start:]

    def _end(self, data: bytes) -> Line:
        before, self._part = self._part, None
        if before is None:
            return Line(data)
        return Line(data, Part(before.id, before.ordinal + 1, True))


def shown(data: bytes, limit: int) -> str:
    """A line as text that is safe to store and show: no NUL, no broken UTF-8, at most `limit`."""
    text = data[: limit * 4].decode("utf-8", "replace").replace("\0", "␀")
    return text if len(text) <= limit else text[: limit - 1] + "…"
