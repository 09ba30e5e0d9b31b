"""The live view: what is appended shows up; nobody else can read it; Ctrl-C ends it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from hikkoshi.base.clock import SystemClock
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.live.following import Followed
from hikkoshi.live.snapshot import snapshot
from hikkoshi.live.window import Window
from hikkoshi.load.follow import FollowedResults
from hikkoshi.load.results import RECORD, ResultWriter, rows

HOSTILE = "</script><script>alert(1)</script>\x00"


@pytest.fixture
def records(tmp_path):
    """A project whose rehearsal goes on: a recorder of its latest run."""
    run = tmp_path / "shop" / ".hikkoshi" / "runs" / "20201123-040000-1a2b"
    run.mkdir(parents=True)
    (run.parent / "latest").symlink_to(run.name)
    with JsonlRecorder(run / "records" / "region", SystemClock()) as recorder:
        yield recorder


@pytest.fixture
def watched(tmp_path, records):
    """(process, port, token) of hikkoshi watch on that project."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hikkoshi.cli.main", "watch", str(tmp_path / "shop")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ},
    )  # fmt: skip
    try:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", process.stdout.readline())
        yield process, int(found[1]), found[2]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_each_event_is_one_line_of_json_and_told_once(tmp_path, records):
    process = subprocess.Popen(
        [sys.executable, "-m", "hikkoshi.cli.main", "watch", "--json", str(tmp_path / "shop")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ},
    )  # fmt: skip
    try:
        lines = (json.loads(line) for line in process.stdout)
        first = next(lines)
        assert (first["kind"], first["quiet_s"]) == ("numbers", None)
        now = time.time()
        records.record("task_events", t=now, task="a/0123456789", last_status="RUNNING")
        records.record("service_events", t=now - 60, service="s", message=HOSTILE)
        found = []
        while sum(each["kind"] == "event" for each in found) < 2:
            found.append(next(lines))
        records.record("faults", name="kill", t_injected=now + 1, proof="gone")
        while found[-1].get("what") != "fault":
            found.append(next(lines))
        for _ in range(2):
            found.append(next(lines))
        told = [(each["what"], each["words"]) for each in found if each["kind"] == "event"]
        assert sorted(told) == sorted(set(told)) and len(told) == 3
        assert ("task", "01234567 RUNNING") in told and ("fault", "kill: gone") in told
        assert found[-1]["kind"] == "numbers" and found[-1]["tasks"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def get(port, path, host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    return connection.getresponse()


def messages(response, kind):
    """The bodies of one kind of server-sent events, as they come."""
    while line := response.readline().decode():
        if line == f"event: {kind}\n":
            yield json.loads(response.readline().decode().removeprefix("data: "))


def test_what_is_recorded_appears_while_it_is_recorded(records, watched):
    _, port, token = watched
    page = get(port, f"/?token={token}")
    assert page.status == 200 and b"EventSource" in page.read()
    assert "connect-src 'self'" in page.headers["Content-Security-Policy"]
    stream = get(port, f"/events?token={token}")
    assert stream.headers["Content-Type"] == "text/event-stream"
    lines = messages(stream, "lines")
    assert next(lines)["quiet_s"] is None
    now = time.time()
    for k in range(100):
        records.record(
            "requests", t_intended=now - 3 + k / 100, latency_s=0.5, status=500 if k % 4 else 200,
            endpoint=HOSTILE,
        )  # fmt: skip
    records.record("task_events", t=now, task="a/0123456789", last_status="RUNNING")
    records.record("service_events", t=now, service="s", message=HOSTILE)
    records.record("spans", trace_id="1-5fbb0000-" + "0" * 24, span_id="1" * 16, name=HOSTILE,
                   t_start=now - 1, t_end=now, fault=True)  # fmt: skip
    data = next(each for each in lines if each["quiet_s"] is not None and each["charts"])
    assert [chart["id"] for chart in data["charts"]][:2] == ["rate", "latency"]
    assert data["numbers"]["tasks"] == 1 and 0 < data["numbers"]["failed"] <= 20
    assert any(kind == "task" and words == "01234567 RUNNING" for _, kind, words in data["events"])
    assert any(words.startswith("</script>") and "␀" in words for _, _, words in data["events"])
    traces = next(each for each in messages(stream, "traces") if each["traces"])
    assert traces["failed"] == 1 and traces["traces"][0]["flags"] & 1


def test_only_who_has_the_link_reads_it(watched):
    _, port, token = watched
    asked = [
        ("/", None, 403),
        ("/?token=wrong", None, 403),
        ("/events", None, 403),
        (f"/?token={token}", "evil.example", 421),
        (f"/?token={token}", f"evil.example:{port}", 421),
        (f"/events?token={token}", "169.254.169.254", 421),
        (f"/elsewhere?token={token}", None, 404),
        (f"/?token={token}", f"localhost:{port}", 200),
    ]
    for path, host, status in asked:
        answer = get(port, path, host)
        assert (path, host, answer.status) == (path, host, status)
        assert status == 200 or token.encode() not in answer.read()


def test_ctrl_c_ends_it_with_a_reader_attached(watched):
    process, port, token = watched
    stream = get(port, f"/events?token={token}")
    next(messages(stream, "lines"))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 130
    assert b"event: end" in stream.read()


def test_only_whole_new_lines_are_taken(tmp_path):
    file = tmp_path / "database.jsonl"
    followed = Followed([tmp_path])
    assert followed.fresh() == []
    file.write_text('{"t": 1}\n{"t": 2')
    assert followed.fresh() == [("database", b'{"t": 1}\n')]
    assert followed.fresh() == []
    with file.open("a") as more:
        more.write("}\n")
    assert followed.fresh() == [("database", b'{"t": 2}\n')]
    file.write_text('{"t": 3}\n')  # begun anew
    assert followed.fresh() == [("database", b'{"t": 3}\n')]


def test_load_results_are_followed_as_they_are_written(tmp_path):
    path = tmp_path / "steady.load"
    followed = FollowedResults(path)
    assert followed.fresh() == []
    header = {"trial": "steady", "t_start": 1000.0, "targets": [["GET", "/", "home"]]}
    writer = ResultWriter(path, header)
    marked = writer.number_of("group-b")

    def result(seq, status, text=0):
        return (0, 0, status, 0, seq, seq / 10, seq / 10, seq / 10 + 0.5, 7, 1, 0.0, text, 0, True)

    writer.extend([result(0, 200), result(1, 500, marked)])
    writer.flush()
    with path.open("ab") as torn:
        torn.write(b"\x00" * (RECORD.size // 2))
    first = followed.fresh()
    assert first == list(rows(path)) and [row["status"] for row in first] == [200, 500]
    assert first[1]["target_group"] == "group-b"
    assert followed.fresh() == []
    writer.close()


def test_the_window_forgets_and_skips_what_is_broken():
    window = Window()
    window.take(
        "database", b'{"t": 100, "connections": 1}\nnot json\n{"t": 2000, "connections": 2}\n'
    )
    assert window.skipped == 1
    window.prune(2001.0)
    assert window.store.rows("SELECT connections FROM database") == [(2,)]
    assert snapshot(window.store, 2001.0)["numbers"]["connections"] == 2
    window.close()
