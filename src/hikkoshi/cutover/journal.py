"""The journal of a cutover: written before and after each change, on the disk before the call.

One file a cutover, one JSON line an event, never rewritten: it is the audit log as well. A state is
a pure function of its lines. Whoever holds the lock is the one process that moves anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import CannotRun
from hikkoshi.cutover.state import State, state_of
from hikkoshi.cutover.values import Asked


class Journal:
    """directory: DIR/.hikkoshi/cutover."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = max(directory.glob("2*.jsonl"), default=None)

    def begin(self) -> None:
        """A new cutover's file; `append` then fills it."""
        moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory.parent / ".gitignore").write_text("*\n")
        number = sum(1 for _ in self.directory.glob("2*.jsonl"))
        self.file = self.directory / f"{moment}-{number:03d}-{secrets.token_hex(2)}.jsonl"

    @property
    def id(self) -> str:
        return self.file.stem if self.file else ""

    def append(self, event: str, **fields: Any) -> None:
        """On the disk when this returns. Raises CannotRun if it cannot be: nothing is then done."""
        assert self.file is not None
        line = {"t": time.time(), "event": event, "by": whoami(), **fields}
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        try:
            with self.file.open("ab") as sink:
                # A line that a kill cut short must not swallow this one.
                if sink.tell() and not self._ends_well():
                    sink.write(b"\n")
                sink.write(data)
                sink.flush()
                os.fsync(sink.fileno())
        except OSError as error:
            raise CannotRun(f"the journal {self.file} cannot be written: {error}") from error

    def _ends_well(self) -> bool:
        assert self.file is not None
        with self.file.open("rb") as source:
            source.seek(-1, os.SEEK_END)
            return source.read(1) == b"\n"

    def events(self) -> list[dict[str, Any]]:
        """All whole lines; one that was cut short by a kill had not happened yet."""
        found: list[dict[str, Any]] = []
        if self.file is None or not self.file.exists():
            return found
        for line in self.file.read_bytes().split(b"\n"):
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    found.append(event)
        return found

    def state(self) -> State:
        return state_of(self.events())

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether this process now is the one that moves; False: another one is, and lives."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            # Another process may have begun a cutover since this one looked.
            self.file = max(self.directory.glob("2*.jsonl"), default=None)
            # Nor is a wish ours that one who is gone was told, and did not live to hear.
            self.take_asked()
            yield True

    def is_held(self) -> bool:
        """Whether a process, perhaps this one, holds the lock now."""
        with (self.directory / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    # What one process asks of the one that holds the lock

    def ask(self, what: Asked) -> None:
        fresh = self.directory / f".asked-{os.getpid()}"
        fresh.write_text(what.value)
        fresh.replace(self.directory / "asked")

    def take_asked(self) -> Asked | None:
        """What was asked since; each wish is taken once."""
        place = self.directory / "asked"
        try:
            text = place.read_text()
            place.unlink()
            return Asked(text)
        except (OSError, ValueError):
            return None


def whoami() -> str:
    """`user@host`."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def history(directory: Path) -> Sequence[Path]:
    """The journals of all cutovers, oldest first."""
    return sorted(directory.glob("2*.jsonl"))
