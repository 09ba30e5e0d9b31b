"""The stream of results: one fixed-size record a request, appended as requests end.

A file is a line `HIKKOSHI-LOAD 2`, a line of JSON (`trial`, `t_start` in epoch seconds, `worker`,
`attack`, `targets`: [[method, url, endpoint]], …), then records of `RECORD.size` bytes. A run that
is killed loses what was not yet written, at most half a second; a torn last record is ignored.
Records are in the order in which requests ended.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import struct
from collections.abc import Iterable, Iterator
from itertools import starmap
from pathlib import Path
from typing import IO, Any, NamedTuple

from hikkoshi.base.errors import BadInput
from hikkoshi.load.failures import FAILURES, Failure
from hikkoshi.model.evidence import TABLES

MAGIC = b"HIKKOSHI-LOAD 2\n"
# tag, failure, status, target, seq, intended, given to a connection (NaN: never), ended — seconds
# after the start —, bytes in, bytes out, late (s), marked text, retries, whether it succeeded
RECORD = struct.Struct("<BBHIQdddQQfHBB")
Record = tuple[
    int, int, int, int, int, float, float, float, int, int, float, int, int, bool
]  # fmt: skip
RESULT, _TEXT = 0, 1
_TEXT_ROOM = RECORD.size - 4
MOST_TEXTS = 1000
# How much is read at once: a whole number of records.
READ_RECORDS = 8192
COLUMNS: tuple[str, ...] = tuple(TABLES["requests"])


class Result(NamedTuple):
    """Times are seconds after the start; sent is NaN for a request never given to a connection."""

    target: int
    seq: int
    intended: float
    sent: float
    ended: float
    status: int
    failure: Failure | None
    bytes_in: int
    bytes_out: int
    late_s: float
    marked: str
    retries: int
    is_success: bool


class ResultWriter:
    """Appends records to a file. `extend` only fills a buffer; `flush` writes it."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self._file = path.open("wb", buffering=0)
        self._file.write(MAGIC + json.dumps(header).encode() + b"\n")
        self._buffer: list[bytes] = []
        self._texts: dict[str, int] = {"": 0}

    def extend(self, records: Iterable[Record]) -> None:
        self._buffer.append(b"".join(starmap(RECORD.pack, records)))

    def number_of(self, marked: str) -> int:
        """The number that stands for a text in records from now on."""
        number = self._texts.get(marked)
        if number is not None:
            return number
        # An unbounded number of texts would be no mark but a trace id: the rest share one name.
        if len(self._texts) >= MOST_TEXTS:
            return self._texts.get("…") or self._declare("…")
        return self._declare(marked)

    def _declare(self, text: str) -> int:
        number = len(self._texts)
        raw = text.encode("utf-8")[:_TEXT_ROOM]
        room = raw + bytes(_TEXT_ROOM - len(raw))
        self._buffer.append(struct.pack("<BBH", _TEXT, len(raw), number) + room)
        self._texts[text] = number
        return number

    def flush(self) -> None:
        if self._buffer:
            data = memoryview(b"".join(self._buffer))
            self._buffer.clear()
            while data:
                data = data[self._file.write(data) :]

    def close(self) -> None:
        self.flush()
        self._file.close()


def read_header(path: Path) -> dict[str, Any]:
    """BadInput when the file is not one of ours."""
    with _opened(path) as file:
        return _header(file, path)


def read_results(path: Path) -> Iterator[Result]:
    """All results of one file, in the order in which they ended."""
    texts = {0: ""}
    for batch in read_batches(path, texts):
        for (
            _, code, status, target, seq, intended, sent, ended, bytes_in, bytes_out, late, text,
            retries, is_ok,
        ) in batch:  # fmt: skip
            failure = FAILURES[code - 1] if code else None
            yield Result(
                target, seq, intended, sent, ended, status, failure, bytes_in, bytes_out,
                late, texts[text], retries, bool(is_ok),
            )  # fmt: skip


def read_batches(path: Path, texts: dict[int, str] | None = None) -> Iterator[list[Record]]:
    """Records as they stand in the file, some thousands at a time: the quick way through a large
    one. texts: is filled with the marked texts that records name by number."""
    size = RECORD.size
    with _opened(path) as file:
        _header(file, path)
        rest = b""
        while block := file.read(READ_RECORDS * size):
            block = rest + block
            whole = len(block) - len(block) % size
            rest = block[whole:]
            batch: list[Record] = list(RECORD.iter_unpack(memoryview(block)[:whole]))
            if any(block[0:whole:size]):
                for number, record in enumerate(batch):
                    if record[0] == _TEXT and texts is not None:
                        at = number * size + 4
                        raw = block[at : at + record[1]]
                        texts[record[2]] = raw.decode("utf-8", "replace")
                batch = [record for record in batch if record[0] == RESULT]
            yield batch


@contextlib.contextmanager
def open_records(path: Path) -> Iterator[IO[bytes]]:
    """The file, at its first record. BadInput when it is not one of ours."""
    with _opened(path) as file:
        _header(file, path)
        yield file


def count_of(path: Path) -> int:
    """How many records a file has, texts too; a torn last one is none."""
    with open_records(path) as file:
        return (path.stat().st_size - file.tell()) // RECORD.size


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The results as rows of the table `requests` (model/evidence.py).

    bytes_in and bytes_out are bytes of the bodies; a status of 0 becomes None, and so do t_sent
    and service_s of a request that was never given to a connection.
    """
    header = read_header(path)
    start, trial = float(header["t_start"]), header["trial"]
    targets = header["targets"]
    for result in read_results(path):
        method, url, endpoint = targets[result.target]
        is_sent = not math.isnan(result.sent)
        yield {
            "trial": trial,
            "t_intended": start + result.intended,
            "t_sent": start + result.sent if is_sent else None,
            "latency_s": result.ended - result.intended,
            "service_s": result.ended - result.sent if is_sent else None,
            "status": result.status or None,
            "error": result.failure.value if result.failure else None,
            "bytes_in": result.bytes_in,
            "bytes_out": result.bytes_out,
            "method": method,
            "url": url,
            "endpoint": endpoint,
            "target_group": result.marked or None,
        }


def write_csv(paths: Iterable[Path], out: Path) -> int:
    """The rows of several files as CSV with a header line, for DuckDB's `read_csv`.

    Empty means NULL. Returns the number of rows.
    """
    count = 0
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for path in paths:
            for row in rows(path):
                writer.writerow([row[name] for name in COLUMNS])
                count += 1
    return count


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise BadInput(
            f"the results cannot be read: {error.strerror}", where=str(path), fix="name a file"
        ) from error


def _header(file: IO[bytes], path: Path) -> dict[str, Any]:
    problem = BadInput(
        "not a results file of hikkoshi load",
        where=str(path),
        fix="name a file that `hikkoshi load -o FILE` wrote",
    )
    if file.readline(64) != MAGIC:
        raise problem
    try:
        header = json.loads(file.readline())
    except ValueError as error:
        raise problem from error
    if not isinstance(header, dict) or not {"t_start", "trial", "targets"} <= header.keys():
        raise problem
    return header
