"""The control plane's journal: every change as a line, read back after the region was killed.

JSON lines of {"t", "kind", "key", "record"}; a later line replaces an earlier one of its key, and a
null record removes it. A last line that was cut short (the power, SIGKILL in the middle of a write)
is left out. A region that ends in order removes its journal: only what was killed comes back.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

Line = tuple[str, str, Any]
"""(kind, key, record): record is a dataclass, a plain value, or None for what is gone."""

COMPACT_AFTER = 20_000
"""Lines, or twice what held the last time; then the file is written anew with what still holds."""

_log = logging.getLogger(__name__)


class Journal:
    """One writer. Lines are with the kernel when `write` returns, so that SIGKILL loses none; but
    see `together`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._file = path.open("ab", buffering=0)
        self._lines = 0
        self._kept = 0
        self._held: dict[tuple[str, str], tuple[float, Any]] | None = None

    def read(self) -> list[Line]:
        """The newest of each (kind, key), in the order in which they first appeared."""
        newest: dict[tuple[str, str], Any] = {}
        for line in self._path.read_bytes().splitlines():
            try:
                document = msgspec.json.decode(line)
                place = (document["kind"], document["key"])
                record = document["record"]
            except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError):
                _log.warning("a line of %s is not whole and is left out", self._path)
                continue
            if record is None:
                newest.pop(place, None)
            else:
                newest[place] = record
        return [(kind, key, record) for (kind, key), record in newest.items()]

    @property
    def is_long(self) -> bool:
        return self._lines >= max(COMPACT_AFTER, 2 * self._kept)

    def write(self, now: float, kind: str, key: str, record: Any) -> None:
        if self._held is not None:
            self._held[kind, key] = (now, record)
            return
        self._file.write(_encode(now, kind, key, record))
        self._lines += 1

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Lines are with the kernel when the block is left, however that is, not before: one call
        for many, and of each (kind, key) the last only. Within another such block it changes
        nothing."""
        if self._held is not None:
            yield
            return
        self._held = {}
        try:
            yield
        finally:
            held, self._held = self._held, None
            if held:
                self._file.write(b"".join(_encode(t, *place, r) for place, (t, r) in held.items()))
                self._lines += len(held)

    def rewrite(self, now: float, lines: Iterable[Line]) -> None:
        """Replace the whole, at once or not at all."""
        beside = self._path.with_suffix(".new")
        beside.touch(mode=0o600)
        texts = [_encode(now, *line) for line in lines]
        with beside.open("wb") as file:
            file.writelines(texts)
        beside.replace(self._path)
        self._file.close()
        self._file = self._path.open("ab", buffering=0)
        self._lines, self._kept = 0, len(texts)
        if self._held is not None:
            self._held.clear()

    def close(self) -> None:
        """Remove it: what ends in order does not come back."""
        self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


class Ledger:
    """A journal that is told the whole again and again, and writes what has changed since. What an
    earlier region left in it is read before the first `keep`, which begins it anew."""

    def __init__(self, journal: Journal, now: Callable[[], float]) -> None:
        self._journal = journal
        self._now = now
        self._written: dict[tuple[str, str], bytes] | None = None

    def read(self) -> list[Line]:
        return self._journal.read()

    def keep(self, lines: Iterable[Line]) -> None:
        """lines: everything that is held now."""
        held = {(kind, key): record for kind, key, record in lines}
        texts = {place: msgspec.json.encode(record, enc_hook=str) for place, record in held.items()}
        now, before = self._now(), self._written
        if before is None or self._journal.is_long:
            self._journal.rewrite(now, ((*place, record) for place, record in held.items()))
        else:
            for place in texts.keys() | before.keys():
                if texts.get(place) != before.get(place):
                    self._journal.write(now, *place, held.get(place))
        self._written = texts

    def close(self) -> None:
        """As the journal's own."""
        self._journal.close()


def _encode(now: float, kind: str, key: str, record: Any) -> bytes:
    line = {"t": now, "kind": kind, "key": key, "record": record}
    return msgspec.json.encode(line, enc_hook=str) + b"\n"


def restored(lines: Iterable[Line], kinds: dict[str, type]) -> Iterator[Line]:
    """With each record as its dataclass. One that does not fit (another version wrote it) is left
    out with a warning, and the rest comes back."""
    for kind, key, value in lines:
        if kind not in kinds:
            continue
        try:
            yield kind, key, msgspec.convert(value, kinds[kind])
        except msgspec.ValidationError as error:
            _log.warning("%s %s does not come back: %s", kind, key, error)
