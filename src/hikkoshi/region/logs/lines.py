"""From a container's output in pieces to lines, as Docker's copier cuts them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

MAX_LINE = 16 * 1024
"""Docker's copier hands on at most 16 KiB at once; a longer line comes in parts."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a piece of a longer line stands; ordinals count from 1."""

    id: str
    ordinal: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Line:
    """data: without its newline, at most 16 KiB. part None: a whole line."""

    data: bytes
    part: Part | None = None


class LineSplitter:
    """One stream of one container. Holds less than 16 KiB at any time."""

    def __init__(self) -> None:
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
        while len(piece) - start >= MAX_LINE:
            before = self._part
            self._part = Part(
                before.id if before else secrets.token_hex(32),
                before.ordinal + 1 if before else 1,
                False,
            )
            lines.append(Line(piece[start : start + MAX_LINE], self._part))
            start += MAX_LINE
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
