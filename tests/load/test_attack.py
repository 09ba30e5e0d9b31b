"""Whole runs against a real server, in processes of their own."""

from __future__ import annotations

import csv
import math
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from server import Server

from hikkoshi.base.errors import BadInput, CannotRun, DeadlinePassed
from hikkoshi.load.attack import Attack
from hikkoshi.load.pacer import constant, steps
from hikkoshi.load.report import LoadSummary, by_stage, summarize_files
from hikkoshi.load.results import COLUMNS, read_header, read_results, rows, write_csv
from hikkoshi.load.run import LoadRun
from hikkoshi.load.targets import parse_targets

WITHIN_S = 30.0


def attack(url: str, targets: str, rate: float = 200, seconds: float = 0.5, **more: Any) -> Attack:
    return Attack.paced(
        parse_targets(targets), constant(rate, seconds), base_url=url,
        **{"timeout_s": 20.0, **more},
    )  # fmt: skip


def carry_out(plan: Attack, directory: Path) -> LoadSummary:
    with LoadRun(plan, directory / "requests.load") as run:
        summary = run.wait(WITHIN_S)
    assert_accounted(summary)
    return summary


def assert_accounted(summary: LoadSummary) -> None:
    """Every request that was due is in the results once, and the totals say what the rows say."""
    totals = summary.totals
    seen = [result.seq for path in summary.files for result in read_results(path)]
    assert sorted(seen) == list(range(totals.issued))
    assert totals.issued == totals.done == summary.whole.requests
    whole = summary.whole
    assert sum(whole.statuses.values()) + sum(whole.errors.values()) == totals.done
    again = summarize_files(summary.files)
    assert again.whole.latency == whole.latency
    assert (again.whole.statuses, again.whole.errors) == (whole.statuses, whole.errors)


def until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"in {WITHIN_S} s it did not happen: {what}"
        time.sleep(0.005)


def test_a_steady_load_is_answered_and_recorded(server: Server, tmp_path: Path) -> None:
    targets = "# weight: 3\n# name: home\nGET /\n\nGET /missing\n"
    summary = carry_out(attack(server.url, targets), tmp_path)
    assert summary.whole.statuses == {200: 75, 404: 25}
    assert [(each.name, each.requests) for each in summary.endpoints] == [
        ("GET /missing", 25), ("home", 75),
    ]  # fmt: skip
    assert summary.whole.bytes_in == 150
    # Kept alive: no more connections than were ever at work at once.
    assert server.connections == summary.totals.opened == summary.totals.peak_connections


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/garbage", "BadResponse"),
        ("/half", "IncompleteResponse"),
        ("/reset", "ConnectionReset"),
        ("/close", "ConnectionClosed"),
        ("/huge-head", "TooLarge"),
    ],
)
def test_what_is_wrong_is_counted_by_kind(
    server: Server, tmp_path: Path, path: str, error: str
) -> None:
    summary = carry_out(attack(server.url, f"GET {path}\n\nGET /\n"), tmp_path)
    assert summary.whole.errors == {error: 50}
    assert summary.whole.statuses == {200: 50}


@pytest.mark.parametrize(
    ("path", "size"),
    [("/chunked", 11), ("/until-close", 5), ("/pieces", 2), ("/continue", 2), ("/", 2)],
)
def test_answers_of_every_form_are_read(
    server: Server, tmp_path: Path, path: str, size: int
) -> None:
    summary = carry_out(attack(server.url, f"GET {path}"), tmp_path)
    assert summary.whole.statuses == {200: 100}
    assert summary.whole.bytes_in == 100 * size


def test_bodies_and_head_and_a_large_request(server: Server, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"x" * 3_000_000)
    targets = parse_targets("POST /\n@body\n\nHEAD /head\n", directory=tmp_path)
    plan = Attack.paced(targets, constant(10, 0.4), base_url=server.url)
    summary = carry_out(plan, tmp_path)
    assert summary.whole.statuses == {200: 4}
    assert summary.whole.bytes_out == 6_000_000
    assert sorted(len(r) > 3_000_000 for r in server.requests) == [False, False, True, True]


def test_a_stale_connection_is_replaced_once_and_said(server: Server, tmp_path: Path) -> None:
    summary = carry_out(attack(server.url, "GET /once", connections=1), tmp_path)
    assert summary.whole.statuses == {200: 100}
    # One connection: each answer but the last is followed by a request that finds it closed.
    assert summary.totals.retries == 99
    assert any("sent again on a new connection" in note for note in summary.notes)


def test_what_may_not_be_repeated_is_not(server: Server, tmp_path: Path) -> None:
    summary = carry_out(attack(server.url, "POST /once", connections=1), tmp_path)
    assert summary.totals.retries == 0
    assert summary.whole.statuses == {200: 50}
    assert sum(summary.whole.errors.values()) == 50
    assert set(summary.whole.errors) <= {"ConnectionClosed", "ConnectionReset"}


def test_idle_connections_that_the_server_closed_cost_nothing(
    server: Server, tmp_path: Path
) -> None:
    summary = carry_out(attack(server.url, "POST /polite", rate=40), tmp_path)
    assert summary.whole.statuses == {200: 20}
    assert (summary.totals.opened, summary.totals.retries) == (20, 0)


def test_nothing_listening(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    summary = carry_out(attack(f"http://127.0.0.1:{port}", "GET /"), tmp_path)
    assert summary.whole.errors == {"ConnectionRefused": 100}
    assert summary.whole.success == 0


def test_a_timeout_counts_from_when_the_request_was_due(server: Server, tmp_path: Path) -> None:
    plan = attack(server.url, "GET /never", rate=1000, seconds=0.02, timeout_s=0.3, connections=1)
    summary = carry_out(plan, tmp_path)
    assert summary.whole.errors == {"Timeout": 20}
    # One holds the connection; most others wait for it and time out there, never sent.
    found = [row for path in summary.files for row in rows(path)]
    assert 10 <= sum(row["t_sent"] is None for row in found) <= 19
    assert all(row["latency_s"] >= 0.3 for row in found)


def test_a_full_queue_overflows_and_is_counted(server: Server, tmp_path: Path) -> None:
    plan = attack(
        server.url, "GET /never", rate=100, seconds=0.3, timeout_s=1.0, connections=4, queue=6
    )
    summary = carry_out(plan, tmp_path)
    assert summary.whole.errors == {"Overflow": 20, "Timeout": 10}
    assert summary.totals.peak_queue == 6
    assert summary.is_valid


@pytest.mark.parametrize("connections", [2000, 50])
def test_a_stall_is_seen_as_its_clients_saw_it(
    server: Server, tmp_path: Path, connections: int
) -> None:
    """250 requests/s for 3 s, of which the server stands still for 1 s: those that were due in
    that second waited for its end, whether or not a connection was free for them. The server
    itself notes when it let each answer go, so that the truth is no guess, and a machine that is
    busy with else makes both larger alike."""
    gate = threading.Event()
    gate.set()
    answer = server.ways["/"]
    went: dict[int, float] = {}

    def stalling(sock: socket.socket, request: bytes) -> bool:
        gate.wait()
        went[int(request.partition(b"?")[2].partition(b" ")[0])] = time.time()
        return answer(sock, request)

    server.ways["/"] = stalling
    plan = attack(server.url, "GET /?${seq}", rate=250, seconds=3.0, connections=connections)
    with LoadRun(plan, tmp_path / "r") as run:
        until(lambda: server.seen["/"] >= 250, "250 requests")
        gate.clear()
        stopped = time.time() - run.t_start
        threading.Event().wait(1.0)
        freed = time.time() - run.t_start
        gate.set()
        summary = run.wait(WITHIN_S)
    assert_accounted(summary)
    assert summary.whole.statuses == {200: 750}
    due = [k / 250 for k in range(750)]
    results = sorted(read_results(summary.files[0]), key=lambda result: result.seq)
    assert [result.intended for result in results] == due
    told = sorted(result.ended - result.intended for result in results)
    least = sorted(went[k] - run.t_start - t for k, t in enumerate(due))
    stalled = sorted(max(0.0, freed - t) if t >= stopped else 0.0 for t in due)
    for share, found in ((0.9, summary.whole.latency.p90), (0.95, summary.whole.latency.p95)):
        at = math.ceil(share * 750) - 1  # nearest rank
        assert found == pytest.approx(told[at], rel=0.002), f"p{share:.0%}"
        # Nothing of the stall is hidden, and nothing added to it.
        assert found == pytest.approx(max(least[at], stalled[at]), rel=0.05), f"p{share:.0%}"


def test_the_closed_model_keeps_its_connections_at_work(server: Server, tmp_path: Path) -> None:
    plan = Attack(parse_targets("GET /"), None, 0.3, base_url=server.url, connections=3)
    summary = carry_out(plan, tmp_path)
    assert summary.asked_rate is None
    assert summary.totals.opened == 3
    assert summary.whole.requests > 30
    assert summary.failed == 0


def test_stopping_ends_with_all_that_was_sent(server: Server, tmp_path: Path) -> None:
    plan = attack(server.url, "GET /\n\nGET /never\n", rate=100, seconds=600)
    with LoadRun(plan, tmp_path / "r") as run:
        until(lambda: server.seen["/never"] >= 10, "ten requests that hang")
        run.stop(grace_s=0.1)
        summary = run.wait(WITHIN_S)
    assert_accounted(summary)
    assert summary.totals.is_stopped
    assert set(summary.whole.errors) == {"Stopped"}
    assert summary.whole.errors["Stopped"] >= 10
    assert summary.asked_rate == pytest.approx(100, rel=0.2)


def test_live_figures_come_while_it_runs(server: Server, tmp_path: Path) -> None:
    plan = attack(server.url, "GET /\n\nGET /missing", rate=100, seconds=600, report_every_s=0.05)
    with LoadRun(plan, tmp_path / "r") as run:
        until(lambda: run.live().done >= 20, "20 answers")
        live = run.live()
        run.stop()
        run.wait(WITHIN_S)
    assert live.failed_so_far in range(live.done // 2 - 1, live.done // 2 + 2)
    assert live.p99_s is not None and live.lateness_p99_s is not None
    assert live.t == pytest.approx(run.t_start + live.elapsed_s)


def test_two_processes_share_the_plan_exactly(server: Server, tmp_path: Path) -> None:
    plan = attack(server.url, "GET /", rate=300, processes=2, connections=7)
    summary = carry_out(plan, tmp_path)
    assert len(summary.files) == 2
    assert summary.whole.statuses == {200: 150}
    assert summary.totals.planned == 150


def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    server = Server(path)
    try:
        summary = carry_out(attack(server.url, "GET /", connect_to=f"unix:{path}"), tmp_path)
    finally:
        server.close()
    assert summary.whole.statuses == {200: 100}
    assert b"Host: somewhere" in server.requests[0]


def test_rows_are_those_of_the_table_and_duckdb_reads_them(server: Server, tmp_path: Path) -> None:
    plan = attack(server.url, "GET /grouped?a=1,2", target_group_header="X-Group", trial="steady")
    summary = carry_out(plan, tmp_path)
    row = next(rows(summary.files[0]))
    assert tuple(row) == COLUMNS
    assert (row["trial"], row["target_group"], row["status"]) == ("steady", "blue", 200)
    assert row["url"] == server.url + "/grouped?a=1,2"
    assert abs(row["t_intended"] - summary.t_start) < 1
    count = write_csv(summary.files, tmp_path / "requests.csv")
    found = duckdb.sql(
        f"select count(*), sum(status), count(error), max(latency_s) "
        f"from read_csv('{tmp_path}/requests.csv', header = true)"
    ).fetchall()
    assert found[0][:3] == (count, 200 * 100, 0)
    assert found[0][3] == pytest.approx(summary.whole.latency.maximum, abs=1e-6)
    with (tmp_path / "requests.csv").open() as file:
        assert next(csv.reader(file)) == list(COLUMNS)


def test_stages_have_figures_of_their_own(server: Server, tmp_path: Path) -> None:
    plan = steps((100, 300), 0.5)
    summary = carry_out(Attack.paced(parse_targets("GET /"), plan, base_url=server.url), tmp_path)
    first, second = by_stage(summary.files, plan)
    assert (first.asked_rate, second.asked_rate) == (100, 300)
    assert (first.start_s, second.end_s) == (0, 1.0)
    assert 150 <= second.achieved_rate <= 302
    assert first.failed_share == second.failed_share == 0


def test_a_worker_that_dies_leaves_its_results(server: Server, tmp_path: Path) -> None:
    plan = attack(server.url, "GET /", rate=200, seconds=600, report_every_s=0.05)
    with LoadRun(plan, tmp_path / "r") as run:
        until(lambda: run.live().done >= 50, "50 answers")
        os.kill(run.pids[0], signal.SIGKILL)
        with pytest.raises(CannotRun, match="ended with code -9"):
            run.wait(WITHIN_S)
    kept = list(read_results(tmp_path / "r"))
    assert len(kept) >= 50
    with (tmp_path / "r").open("r+b") as file:
        file.truncate(os.path.getsize(tmp_path / "r") - 7)
    assert len(list(read_results(tmp_path / "r"))) == len(kept) - 1


def test_waiting_has_a_deadline(server: Server, tmp_path: Path) -> None:
    with LoadRun(attack(server.url, "GET /", seconds=600), tmp_path / "r") as run:
        with pytest.raises(DeadlinePassed):
            run.wait(0.05)
        pid = run.pids[0]
    assert not os.path.exists(f"/proc/{pid}")


def test_what_cannot_run_is_said_before_anything_is_sent(server: Server, tmp_path: Path) -> None:
    with (
        pytest.raises(CannotRun, match="does not resolve"),
        LoadRun(attack("http://no.such.invalid", "GET /"), tmp_path / "r"),
    ):
        pass
    with (
        pytest.raises(CannotRun, match="descriptors"),
        LoadRun(attack(server.url, "GET /", connections=10**9), tmp_path / "r"),
    ):
        pass
    with pytest.raises(BadInput, match="names no host"):
        LoadRun(Attack(parse_targets("GET /"), None, 1.0), tmp_path / "r").start()
    with (
        LoadRun(attack(server.url, "GET /"), tmp_path / "no" / "r") as run,
        pytest.raises(CannotRun, match="cannot be written"),
    ):
        run.wait(WITHIN_S)
    assert server.requests == []


@pytest.mark.parametrize("change", [{"connections": 0}, {"timeout_s": 0}, {"processes": 2000}])
def test_a_senseless_plan_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        attack("http://h", "GET /", **change)


def test_a_worker_ends_when_its_parent_is_gone(server: Server, tmp_path: Path) -> None:
    plan = attack(server.url, "GET /", seconds=600)
    with LoadRun(plan, tmp_path / "r") as run:
        until(lambda: server.seen["/"] >= 5, "five requests")
        # What the kernel does when the parent dies, however it died.
        worker_input = run._workers[0].process.stdin
        assert worker_input is not None
        worker_input.close()
        until(run.is_over, "the worker's own end")
    assert read_header(tmp_path / "r")["trial"] == "load"
