"""What several tasks say while they send, as one load: the live view and the abort."""

from __future__ import annotations

import json

from hikkoshi.load.conditions import parse_conditions
from hikkoshi.load.counting import count_records
from hikkoshi.load.results import RESULT
from hikkoshi.load.tasks.plan import live, task_of
from hikkoshi.load.tasks.reports import Board, Report, named_endpoints
from hikkoshi.load.tasks.watch import Abort
from hikkoshi.load.totals import EndpointTotals


def some(requests: int, failed: int, took_s: float = 0.01) -> EndpointTotals:
    totals = EndpointTotals()
    records = [
        (RESULT, 0, 500 if seq < failed else 200, 0, seq, 0.0, 0.0, took_s, 9, 0, 0.0, 0, 0,
         seq >= failed)
        for seq in range(requests)
    ]  # fmt: skip
    count_records(records, [totals])
    return totals


def report(elapsed_s: float, failed: int, named: int = 0, took_s: float = 0.01) -> Report:
    """Of two processes with a hundred requests in the last second, and 400 since the start."""
    last = some(100, failed, took_s)
    window = {
        "elapsed_s": elapsed_s, "window_s": 1.0, "planned": 210, "issued": 205, "done": 200,
        "retries": 0, "failed_so_far": 2 * failed, "failures_so_far": {"HTTP 500": 2 * failed},
        "ok": last.succeeded, "ended": 100, "latency": last.latency.as_json(),
        "lateness": last.latency.as_json(), "statuses": {str(s): n for s, n in
        last.statuses.items()}, "errors": {}, "endpoints": {}, "connections": 5, "busy": 2,
        "queued": 1,
    }  # fmt: skip
    so_far = {"": some(400 - named, 4 * failed, took_s)}
    if named:
        so_far["list"] = some(named, named)
    return Report(elapsed_s, (window, window), so_far)


def test_a_report_comes_back_from_its_document() -> None:
    told = report(2.0, failed=3, named=7)
    assert Report.from_json(json.loads(json.dumps(told.as_json()))).as_json() == told.as_json()
    assert task_of(live(12)) == 12
    assert named_endpoints("p99[list]<1s, errors<1%, p50[a b]<2s") == {"list", "a b"}


def test_the_live_view_is_of_all_tasks() -> None:
    board = Board(2)
    board.note(0, report(2.0, failed=0))
    board.note(1, report(1.0, failed=0))
    board.note(1, report(2.5, failed=10, took_s=0.5))
    live_now = board.live(1000.0)
    assert (live_now.t, live_now.elapsed_s) == (1002.5, 2.5)
    assert (live_now.rate, live_now.ok_rate, live_now.done) == (400.0, 380.0, 800)
    assert (live_now.connections, live_now.busy, live_now.queued) == (20, 8, 4)
    assert (live_now.failed_so_far, live_now.failures_so_far) == (40, {"HTTP 500": 40})
    assert live_now.p50_s is not None and live_now.p50_s < 0.02
    assert live_now.p99_s is not None and live_now.p99_s > 0.4


def test_the_whole_load_is_judged_and_not_one_task() -> None:
    abort = Abort(parse_conditions("errors<20%"), after_s=2.0)
    board = Board(2)
    board.note(0, report(5.0, failed=30))
    assert abort.reason(board) is None, "the other task has not said anything yet"
    board.note(1, report(5.0, failed=0))
    assert abort.reason(board) is None, "30 % of one task are 15 % of both"
    board.note(1, report(6.0, failed=20))
    assert abort.reason(board) == "errors<20%: errors was 25 %"
    late = Abort(parse_conditions("errors<20%"), after_s=5.5)
    assert late.reason(board) is None, "one of them is not that far"


def test_an_endpoint_that_is_named_is_judged_alone() -> None:
    board = Board(1)
    board.note(0, report(5.0, failed=0, named=150))
    assert (
        Abort(parse_conditions("errors[list]<1%"), 1.0).reason(board)
        == "errors[list]<1%: errors was 100 %"
    )
    # All that is told is the whole, the named and the rest.
    assert (
        Abort(parse_conditions("errors<30%"), 1.0).reason(board) == "errors<30%: errors was 37.5 %"
    )


def test_a_throughput_is_not_called_too_low_because_a_report_is_older() -> None:
    board = Board(2)
    board.note(0, report(4.0, failed=0))
    board.note(1, report(5.0, failed=0))
    assert Abort(parse_conditions("throughput>=200/s"), 1.0).reason(board) is None
    assert Abort(parse_conditions("throughput>=201/s"), 1.0).reason(board) is not None
