"""The recorder: rows appended to JSON lines, one file a table, without ever holding up a run."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import NoneType
from typing import Any

import msgspec

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import TABLES

FLUSH_AFTER_S = 0.5
PENDING_LIMIT_BYTES = 64 * 1024 * 1024
"""Beyond this, rows are dropped and counted: a disk that stalls must not eat the memory."""

_NUMBERS = frozenset({"DOUBLE", "INTEGER", "BIGINT"})
_encoder = msgspec.json.Encoder()

# For each column the very types that it takes as they are: one look in a set instead of a chain of
# isinstance. What is not found there is looked at again, slowly.
_PLAIN: dict[str, dict[str, frozenset[type]]] = {
    table: {
        name: frozenset(
            {int, float, bool, NoneType}
            if kind in _NUMBERS
            else {bool, NoneType}
            if kind == "BOOLEAN"
            else {str, int, float, bool, NoneType}
        )
        for name, kind in columns.items()
    }
    for table, columns in TABLES.items()
}


class JsonlRecorder:
    """Appends rows to `directory/<table>.jsonl`. Safe from any thread; a row is on disk at most
    0.5 s later, and all of them after `close`.

    An unknown table or column raises KeyError and a value of the wrong kind TypeError, since both
    are mistakes of the caller. A full or failing disk raises nothing: rows that could not be
    written are counted in `lost`, and told in the table `dropped` once writing works again.
    After `close`, rows are counted as lost. Files are appended to, so a second recorder in the
    same directory continues where a crashed one stopped.
    """

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._pending: dict[str, list[bytes]] = {}
        self._pending_bytes = 0
        self._lost: dict[str, int] = {}
        self._lost_total = 0
        self._files: dict[str, int] = {}
        self._torn: set[str] = set()
        self._is_closed = False
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wakeup = threading.Event()
        self._closing = threading.Event()
        self._writer: threading.Thread | None = None

    @property
    def lost(self) -> int:
        """Rows that could not be written so far."""
        return self._lost_total

    def record(self, table: str, **columns: Any) -> None:
        line = encode_row(table, columns)
        with self._lock:
            if self._is_closed:
                self._count_lost("recorded after the recorder was closed", 1)
                return
            if self._pending_bytes + len(line) > PENDING_LIMIT_BYTES:
                self._count_lost("the disk did not keep up", 1)
                return
            self._pending.setdefault(table, []).append(line)
            self._pending_bytes += len(line)
            if self._writer is None:
                self._writer = threading.Thread(
                    target=self._write_until_closed, name="recorder", daemon=True
                )
                self._writer.start()
        # Setting it takes a lock of its own. Who finds it set is in time: it is cleared before the
        # rows are taken.
        if not self._wakeup.is_set():
            self._wakeup.set()

    def flush(self) -> None:
        """Hand all that was recorded until now to the operating system."""
        with self._writing:
            with self._lock:
                pending, self._pending, self._pending_bytes = self._pending, {}, 0
            for table, lines in pending.items():
                self._append(table, lines)
            self._tell_lost()

    def close(self) -> None:
        """Flush and release the files. May be called twice."""
        with self._lock:
            self._is_closed = True
        self._closing.set()
        self._wakeup.set()
        if self._writer is not None and self._writer is not threading.current_thread():
            self._writer.join(timeout=10)
        self.flush()
        with self._writing:
            for descriptor in self._files.values():
                os.close(descriptor)
            self._files.clear()

    def __enter__(self) -> JsonlRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_until_closed(self) -> None:
        while not self._closing.is_set():
            self._wakeup.wait()
            # Gathers what comes within the half second into one write a table.
            self._closing.wait(FLUSH_AFTER_S)
            self._wakeup.clear()
            self.flush()

    def _append(self, table: str, lines: list[bytes]) -> None:
        data = b"".join(lines)
        written = 0
        try:
            descriptor = self._file_of(table)
            if table in self._torn:
                data = b"\n" + data
            while written < len(data):
                written += os.write(descriptor, data[written:])
            self._torn.discard(table)
        except OSError as error:
            whole = data[:written].count(b"\n") - (table in self._torn and written > 0)
            if written and not data[:written].endswith(b"\n"):
                self._torn.add(table)
            with self._lock:
                self._count_lost(f"{table}: {error.strerror or error}", len(lines) - whole)

    def _file_of(self, table: str) -> int:
        descriptor = self._files.get(table)
        if descriptor is None:
            path = self._directory / f"{table}.jsonl"
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o644)
            self._files[table] = descriptor
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                self._torn.add(table)
        return descriptor

    def _count_lost(self, reason: str, count: int) -> None:
        self._lost[reason] = self._lost.get(reason, 0) + count
        self._lost_total += count

    def _tell_lost(self) -> None:
        with self._lock:
            lost, self._lost = self._lost, {}
        for reason, count in lost.items():
            row = {"t": self._clock.now(), "intake": "recorder", "reason": reason, "count": count}
            total_before = self._lost_total
            self._append("dropped", [encode_row("dropped", row)])
            with self._lock:
                if self._lost_total != total_before:  # still failing: tell it the next time
                    self._lost_total = total_before
                    self._lost[reason] = self._lost.get(reason, 0) + count
                    self._lost.pop(f"dropped: {reason.partition(': ')[2]}", None)


def encode_row(table: str, columns: dict[str, Any]) -> bytes:
    """One JSON line. KeyError for an unknown table or column, TypeError for a value of a kind
    that the column cannot hold; lone surrogates become U+FFFD, NaN and infinity null."""
    plain = _PLAIN.get(table)
    if plain is None:
        raise KeyError(f"there is no table {table!r} in model/evidence.py")
    try:
        for name, value in columns.items():
            if type(value) not in plain[name]:
                _check(table, columns)
                break
    except KeyError:
        _check(table, columns)
    try:
        return _encoder.encode(columns) + b"\n"
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        return _encoder.encode({k: _encodable(v) for k, v in columns.items()}) + b"\n"


def _check(table: str, columns: dict[str, Any]) -> None:
    kinds = TABLES[table]
    for name, value in columns.items():
        kind = kinds.get(name)
        if kind is None:
            raise KeyError(f"table {table!r} has no column {name!r}")
        if value is None:
            continue
        if kind in _NUMBERS:
            is_right = isinstance(value, (int, float))
        elif kind == "BOOLEAN":
            is_right = isinstance(value, bool)
        else:
            is_right = isinstance(value, (str, int, float))
        if not is_right:
            raise TypeError(f"{table}.{name} is {kind}, not {type(value).__name__}")


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return None
    return value
