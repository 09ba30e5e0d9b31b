"""The stream of results: one fixed-size record a request, appended as requests end.

A file is a line `HIKKOSHI-LOAD 1`, a line of JSON (`trial`, `t_start` in epoch seconds, `worker`,
`attack`, `targets`: [[method, url, endpoint]], …), then records of `RECORD.size` bytes. A run that
is killed loses what was not yet written, at most half a second; a torn last record is ignored.
Records are in the order in which requests ended.
"""

from __future__ import annotations

import csv
import json
import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from hikkoshi.base.errors import BadInput
from hikkoshi.load.failures import CODE_OF, FAILURES, Failure, is_success
from hikkoshi.load.totals import EndpointTotals, Totals
from hikkoshi.model.evidence import TABLES

MAGIC = b"HIKKOSHI-LOAD 1\n"
# tag, failure, status, target, seq, intended, given to a connection (NaN: never), ended — seconds
# after the start —, bytes in, bytes out, late (µs), marked text, retries, unused
RECORD = struct.Struct("<BBHIQdddQIIHBx")
_RESULT, _TEXT = 0, 1
_TEXT_ROOM = RECORD.size - 4
# How much is read at once: a whole number of records.
_READ_RECORDS = 16384
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


class ResultWriter:
    """Appends records to a file. `record` only fills a buffer; `flush` writes it."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self._file = path.open("wb", buffering=0)
        self._file.write(MAGIC + json.dumps(header).encode() + b"\n")
        self._buffer = bytearray()
        self._texts: dict[str, int] = {"": 0}

    def record(
        self, target: int, seq: int, intended: float, sent: float, ended: float, status: int,
        failure: Failure | None, bytes_in: int, bytes_out: int, late_s: float, marked: str,
        retries: int,
    ) -> None:  # fmt: skip
        text = self._texts.get(marked)
        if text is None:
            text = self._declare(marked)
        code = CODE_OF[failure] if failure is not None else 0
        late = min(int(late_s * 1e6), 0xFFFFFFFF) if late_s > 0 else 0
        self._buffer += RECORD.pack(
            _RESULT, code, status, target, seq, intended, sent, ended, bytes_in, bytes_out, late,
            text, retries,
        )  # fmt: skip

    def _declare(self, marked: str) -> int:
        # An unbounded number of texts would be no mark but a trace id: the rest share one name.
        number = len(self._texts)
        if number >= 1000:
            return self._texts.get("…") or self._declare_as("…", number)
        return self._declare_as(marked, number)

    def _declare_as(self, text: str, number: int) -> int:
        raw = text.encode("utf-8")[:_TEXT_ROOM]
        room = raw + bytes(_TEXT_ROOM - len(raw))
        self._buffer += struct.pack("<BBH", _TEXT, len(raw), number) + room
        self._texts[text] = number
        return number

    def flush(self) -> None:
        if self._buffer:
            self._file.write(self._buffer)
            self._buffer.clear()

    def close(self) -> None:
        self.flush()
        self._file.close()


def read_header(path: Path) -> dict[str, Any]:
    """BadInput when the file is not one of ours."""
    with _opened(path) as file:
        return _header(file, path)


def read_results(path: Path) -> Iterator[Result]:
    """All results of one file, in the order in which they ended."""
    with _opened(path) as file:
        _header(file, path)
        texts = {0: ""}
        rest = b""
        while block := file.read(_READ_RECORDS * RECORD.size):
            block = rest + block
            whole = len(block) - len(block) % RECORD.size
            rest = block[whole:]
            for number, (
                tag, code, status, target, seq, intended, sent, ended, bytes_in, bytes_out, late,
                text, retries,
            ) in enumerate(RECORD.iter_unpack(memoryview(block)[:whole])):  # fmt: skip
                if tag == _TEXT:
                    at = number * RECORD.size + 4
                    texts[status] = block[at : at + code].decode("utf-8", "replace")
                    continue
                failure = FAILURES[code - 1] if code else None
                yield Result(
                    target, seq, intended, sent, ended, status, failure, bytes_in, bytes_out,
                    late / 1e6, texts[text], retries,
                )  # fmt: skip


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


def totals_of(path: Path) -> Totals:
    """The totals of one file, worked out again from its records.

    What only the running sender knew (connections opened, the queue's length) stays nought.
    """
    header = read_header(path)
    names = [target[2] for target in header["targets"]]
    totals = Totals()
    endpoints = [totals.endpoints.setdefault(name, EndpointTotals()) for name in names]
    for result in read_results(path):
        endpoint = endpoints[result.target]
        endpoint.requests += 1
        endpoint.latency.record(result.ended - result.intended)
        if result.sent == result.sent:  # not NaN
            endpoint.service.record(result.ended - result.sent)
            totals.sent += 1
        if result.failure:
            endpoint.errors[result.failure.value] += 1
            totals.is_stopped = totals.is_stopped or result.failure is Failure.STOPPED
        if result.status:
            endpoint.statuses[result.status] += 1
        endpoint.succeeded += is_success(result.status, result.failure)
        endpoint.bytes_in += result.bytes_in
        endpoint.bytes_out += result.bytes_out
        totals.done += 1
        totals.retries += result.retries
        totals.lateness.record(result.late_s)
        totals.last_issue_s = max(totals.last_issue_s, result.intended + result.late_s)
        totals.last_done_s = max(totals.last_done_s, result.ended)
    totals.planned = totals.issued = totals.done
    return totals


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
