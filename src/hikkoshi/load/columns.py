"""Records by column, some ten thousands at a time: the quick way through a large results file.

A block of records is looked at as numbers of one size, of which every eighth (or so) is taken: no
record is ever taken apart.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

from hikkoshi.load.results import RECORD, RESULT, Record, open_records

# 4 MB: enough that what a block costs does not matter, little beside a process.
_RECORDS = 1 << 16
_SIZE = RECORD.size
_OF_ENDPOINTS = (
    "codes", "statuses", "due", "given", "ends", "bytes_in", "bytes_out", "are_ok",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Columns:
    """Fields of `results.Record`, each for all records. What has one byte is bytes from a file."""

    codes: Sequence[int]
    statuses: Sequence[int]
    targets: Sequence[int]
    due: Sequence[float]
    given: Sequence[float]
    ends: Sequence[float]
    bytes_in: Sequence[int]
    bytes_out: Sequence[int]
    late: Sequence[float]
    retries: Sequence[int]
    are_ok: Sequence[int]

    def __len__(self) -> int:
        return len(self.due)

    @classmethod
    def of(cls, records: Sequence[Record]) -> Columns:
        """At least one record."""
        (
            _, codes, statuses, targets, _, due, given, ends, bytes_in, bytes_out, late, _, retries,
            are_ok,
        ) = zip(*records, strict=True)  # fmt: skip
        return cls(
            codes, statuses, targets, due, given, ends, bytes_in, bytes_out, late, retries, are_ok
        )

    def by_target(self) -> Iterator[tuple[int, Columns]]:
        """Those of each target that occurs, with the columns that endpoints are counted by."""
        numbers = set(self.targets)
        if len(numbers) == 1:
            yield numbers.pop(), self
            return
        for number in sorted(numbers):
            mask = [each == number for each in self.targets]
            chosen = {name: list(compress(getattr(self, name), mask)) for name in _OF_ENDPOINTS}
            yield number, Columns(**chosen, targets=(), late=(), retries=())


def read_columns(path: Path, first: int = 0, last: int | None = None) -> Iterator[Columns]:
    """Results among the records first … last - 1 of the file, in the order in which they ended.
    BadInput when it is not one of ours."""
    with open_records(path) as file:
        file.seek(first * _SIZE, 1)
        left = sys.maxsize if last is None else last - first
        while left > 0 and (block := file.read(min(left, _RECORDS) * _SIZE)):
            # Only the last block of a file can have a torn end.
            count = len(block) // _SIZE
            left -= count
            if columns := _columns(block[: count * _SIZE]):
                yield columns


def _columns(block: bytes) -> Columns | None:
    if not block:
        return None
    if any(block[0::_SIZE]) or sys.byteorder != "little":
        # Some are no results but texts: rare, and only they have to be looked at one by one.
        results = [each for each in RECORD.iter_unpack(block) if each[0] == RESULT]
        return Columns.of(results) if results else None
    view = memoryview(block)
    doubles, longs = view.cast("d"), view.cast("Q")
    return Columns(
        codes=block[1::_SIZE],
        statuses=view.cast("H")[1 :: _SIZE // 2].tolist(),
        targets=view.cast("I")[1 :: _SIZE // 4].tolist(),
        due=doubles[2 :: _SIZE // 8].tolist(),
        given=doubles[3 :: _SIZE // 8].tolist(),
        ends=doubles[4 :: _SIZE // 8].tolist(),
        bytes_in=longs[5 :: _SIZE // 8].tolist(),
        bytes_out=longs[6 :: _SIZE // 8].tolist(),
        late=view.cast("f")[14 :: _SIZE // 4].tolist(),
        retries=block[62::_SIZE],
        are_ok=block[63::_SIZE],
    )
