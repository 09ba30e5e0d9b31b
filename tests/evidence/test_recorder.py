from __future__ import annotations

import errno
import json
import os
import threading
import time

import pytest

from hikkoshi.base.clock import FakeClock
from hikkoshi.evidence import recorder as recording
from hikkoshi.evidence.recorder import JsonlRecorder, encode_row


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def recorder(tmp_path):
    with JsonlRecorder(tmp_path / "rows", FakeClock(1000.0)) as recorder:
        yield recorder


def test_one_file_a_table(recorder, tmp_path):
    recorder.record("logs", t=1.5, task="a", line="x\ny")
    recorder.record("targets", t=1, healthy=2)
    recorder.record("logs", t=2.5, line=None)
    recorder.close()
    assert lines(tmp_path / "rows" / "logs.jsonl") == [
        {"t": 1.5, "task": "a", "line": "x\ny"},
        {"t": 2.5, "line": None},
    ]
    assert lines(tmp_path / "rows" / "targets.jsonl") == [{"t": 1, "healthy": 2}]


def test_rows_reach_the_disk_without_close(recorder, tmp_path):
    recorder.record("logs", t=1.0, line="x")
    path, deadline = tmp_path / "rows" / "logs.jsonl", time.monotonic() + 20
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline, "the row never reached the disk"
        threading.Event().wait(0.01)
    assert lines(path) == [{"t": 1.0, "line": "x"}]


@pytest.mark.parametrize(
    ("table", "columns", "error"),
    [
        ("nothing", {"t": 1}, KeyError),
        ("logs", {"t": 1, "text": "x"}, KeyError),
        ("logs", {"t": "1"}, TypeError),
        ("logs", {"line": b"x"}, TypeError),
        ("task_usage", {"cpu_is_enforced": 1}, TypeError),
        ("task_events", {"container_exits": {"app": 1}}, TypeError),
    ],
)
def test_mistakes_of_the_caller_are_raised(recorder, table, columns, error):
    with pytest.raises(error):
        recorder.record(table, **columns)


@pytest.mark.parametrize(
    ("value", "read"),
    [("\ud800a", "\ufffd"), ("\x00", "\x00"), ('</script>"', '</script>"'), ("あ", "あ")],
)
def test_any_text_can_be_kept(value, read):
    assert read in json.loads(encode_row("logs", {"line": value}))["line"]


def test_numbers_that_json_lacks_become_null():
    row = json.loads(encode_row("usage", {"cpu_s": float("nan"), "t": 1.0}))
    assert row == {"cpu_s": None, "t": 1.0}


def test_many_threads(tmp_path):
    recorder = JsonlRecorder(tmp_path, FakeClock())

    def write(number):
        for k in range(500):
            recorder.record("logs", t=k, task=str(number), line="x" * 50)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()
    rows = lines(tmp_path / "logs.jsonl")
    assert len(rows) == 4000
    for number in range(8):
        own = [row["t"] for row in rows if row["task"] == str(number)]
        assert own == list(range(500))


def test_a_full_disk_raises_nothing_and_is_told(recorder, tmp_path, monkeypatch):
    """os.write stands for the full disk: a real one cannot be had without a mount."""
    real, is_full = os.write, [True]

    def write(descriptor, data):
        if is_full[0]:
            if len(data) > 10:
                return real(descriptor, data[:10])  # a torn line, as a full disk leaves it
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(recording.os, "write", write)
    writes = iter([None])

    def write_then_fail(descriptor, data):
        if is_full[0] and next(writes, "full") == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(recording.os, "write", write_then_fail)
    recorder.record("logs", t=1, line="first")
    recorder.record("logs", t=2, line="second")
    recorder.flush()
    assert recorder.lost == 2
    is_full[0] = False
    recorder.record("logs", t=3, line="third")
    recorder.close()
    torn, whole = (tmp_path / "rows" / "logs.jsonl").read_text().splitlines()
    assert torn == '{"t":1,"li' and json.loads(whole)["line"] == "third"
    told = lines(tmp_path / "rows" / "dropped.jsonl")
    assert told == [
        {"t": 1000.0, "intake": "recorder", "reason": "logs: No space left on device", "count": 2}
    ]


def test_a_stalled_disk_does_not_eat_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "PENDING_LIMIT_BYTES", 200)
    recorder = JsonlRecorder(tmp_path, FakeClock())
    recorder._writing.acquire()  # as if the writer hung in a write
    for k in range(100):
        recorder.record("logs", t=k, line="0123456789")
    assert recorder.lost > 80
    recorder._writing.release()
    recorder.close()
    assert len(lines(tmp_path / "logs.jsonl")) == 100 - recorder.lost


def test_after_close_rows_are_counted_as_lost(recorder):
    recorder.close()
    recorder.record("logs", t=1, line="late")
    assert recorder.lost == 1


def test_it_goes_on_after_a_line_that_a_crash_tore(tmp_path):
    (tmp_path / "logs.jsonl").write_text('{"t":1}\n{"t":2,"li')
    with JsonlRecorder(tmp_path, FakeClock()) as recorder:
        recorder.record("logs", t=3)
    assert (tmp_path / "logs.jsonl").read_text().splitlines()[-1] == '{"t":3}'
