"""A results file read by columns, and by several processes, gives what its records say."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hikkoshi.load import columns, counting
from hikkoshi.load.connection import NEVER
from hikkoshi.load.counting import count_records, totals_of
from hikkoshi.load.failures import CODE_OF, Failure
from hikkoshi.load.histogram import _MANY, _TABLED_US, Histogram, cell_of
from hikkoshi.load.results import RESULT, Record, ResultWriter, count_of, read_batches
from hikkoshi.load.totals import EndpointTotals, Totals

TARGETS = [["GET", "/", "home"], ["GET", "/b", "b"], ["POST", "/", "home"]]


def write(path: Path, count: int, *, marks: int = 0) -> list[Record]:
    dice = random.Random(count)
    header = {"trial": "load", "t_start": 0.0, "duration_s": count / 100, "targets": TARGETS}
    writer = ResultWriter(path, header)
    records: list[Record] = []
    for seq in range(count):
        text = writer.number_of(f"group {seq % marks}") if marks and seq % 7 == 0 else 0
        due, is_ok = seq / 100, dice.random() < 0.8
        failure = dice.choice([Failure.TIMEOUT, Failure.OVERFLOW, Failure.STOPPED])
        sent = NEVER if not is_ok and failure is Failure.OVERFLOW else due + dice.random() / 1e3
        records.append(
            (RESULT, 0 if is_ok else CODE_OF[failure], 200 if is_ok else 0, dice.randrange(3), seq,
             due, sent, due + dice.lognormvariate(-4, 2), dice.randrange(1 << 40), seq, 0.25, text,
             seq % 2, is_ok)
        )  # fmt: skip
        writer.extend(records[-1:])
    writer.close()
    return records


def known(records: list[Record]) -> Totals:
    totals = Totals()
    of_target = [totals.endpoints.setdefault(each[2], EndpointTotals()) for each in TARGETS]
    for record in records:
        count_records([record], of_target)
        totals.lateness.extend([record[10]])
    return totals


@pytest.mark.parametrize(
    ("marks", "is_torn", "processes"), [(0, False, 1), (5, False, 1), (0, True, 1), (5, True, 2)]
)
def test_every_way_of_counting_counts_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marks: int, is_torn: bool, processes: int
) -> None:
    path = tmp_path / "r.load"
    records = write(path, 500, marks=marks)
    if is_torn:
        path.write_bytes(path.read_bytes()[:-9])
        records.pop()
    monkeypatch.setattr(columns, "_RECORDS", 64)
    if processes > 1:
        monkeypatch.setattr(counting, "_FOR_ONE_PROCESS", count_of(path) // processes)
        monkeypatch.setattr(counting.os, "sched_getaffinity", lambda pid: range(processes))
    found, true = totals_of(path), known(records)
    assert found.done == found.planned == len(records)
    assert found.endpoints.keys() == true.endpoints.keys() == {"home", "b"}
    for name, endpoint in found.endpoints.items():
        assert endpoint.as_json() == true.endpoints[name].as_json()
    assert found.lateness.as_json() == true.lateness.as_json()
    assert found.retries == sum(record[12] for record in records)
    assert found.last_issue_s == max(record[5] + record[10] for record in records)
    assert found.last_done_s == max(record[7] for record in records)
    assert found.is_stopped
    assert sum(len(batch) for batch in read_batches(path)) == len(records)


def test_a_file_of_nothing_yet_is_read_as_such(tmp_path: Path) -> None:
    write(tmp_path / "r", 0)
    assert (totals_of(tmp_path / "r").done, count_of(tmp_path / "r")) == (0, 0)


@pytest.mark.parametrize("highest_s", [0.9, 5.0])
def test_many_durations_fall_into_the_cells_of_each(highest_s: float) -> None:
    dice = random.Random(3)
    edges = [value / 1e6 for value in (0, 2047, 2048, 2049, 4096, _TABLED_US - 1)]
    durations = [dice.random() * highest_s for _ in range(_MANY)] + edges * (highest_s > 1)
    many, each = Histogram(), Histogram()
    many.extend(durations)
    for duration in durations:
        each.extend([duration])
    assert many.as_json() == each.as_json()
    assert many.cells[cell_of(int(int(durations[0] * 1e9) / 1000))] >= 1
