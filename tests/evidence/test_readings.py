"""Timelines, traces, failed tasks and deploys, from small stores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.base.clock import FakeClock
from hikkoshi.evidence.build import build_store
from hikkoshi.evidence.deploys import deploy_figures, downtime
from hikkoshi.evidence.failures import failed_tasks
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.evidence.timeline import MOST_POINTS, timeline
from hikkoshi.evidence.traces import Why, choose_traces, complete, count_traces
from hikkoshi.evidence.waterfall import Span, critical_path, lay_out


@pytest.fixture
def made(tmp_path):
    """A function that stores (table, columns) rows and opens them."""

    def make(rows):
        with JsonlRecorder(tmp_path / "rows", FakeClock()) as recorder:
            for table, columns in rows:
                recorder.record(table, **columns)
        return build_store([tmp_path / "rows"], [], tmp_path / "e.duckdb")

    return make


def request(t, **columns):
    return ("requests", {"trial": "a", "t_intended": t, "status": 200, "latency_s": 0.1, **columns})


def test_rate_and_latency_in_buckets(made):
    rows = [request(1000 + k / 10) for k in range(100)]
    rows += [request(1005.01, status=500), request(1005.02, status=None, error="Timeout")]
    rows += [request(1030 + k / 10, latency_s=0.3) for k in range(10)]
    with made(rows) as store:
        line = timeline(store, 1000, 1060)
    assert line.bucket_s == 0.25
    good, bad = (dict(series.points) for series in line.rate)
    assert sum(good.values()) * 0.25 == pytest.approx(110)
    assert sum(bad.values()) * 0.25 == pytest.approx(2)
    assert good[min(t for t in good if t > 10.2)] == 0.0  # the pause is drawn as one
    p50 = dict(line.latency[0].points)
    assert None in p50.values() and p50[max(p50)] == pytest.approx(0.3)


def test_a_long_run_has_few_points(made):
    with made([request(1000 + k * 5) for k in range(2000)]) as store:
        line = timeline(store, 1000, 11_000)
    assert len(line.rate[0].points) <= MOST_POINTS


def test_cpu_is_a_share_of_the_limit(made):
    rows = [
        ("task_usage", {"t": 1000 + k / 2, "task": "a", "cpu_s": k * 0.1, "cpu_limit_vcpu": 0.25})
        for k in range(20)
    ]
    with made(rows) as store:
        (series,) = timeline(store, 1000, 1010).cpu
    assert {round(value, 6) for _, value in series.points} == {0.8}


def test_running_tasks_follow_their_events(made):
    def event(t, task, status):
        return ("task_events", {"t": float(t), "task": task, "last_status": status})

    rows = [
        event(990, "a", "RUNNING"),
        event(1003, "b", "PENDING"),
        event(1004, "b", "RUNNING"),
        event(1006, "a", "DEACTIVATING"),
        event(1007, "a", "STOPPED"),
    ]
    with made(rows) as store:
        (series,) = timeline(store, 1000, 1010).tasks
    assert series.points == ((0, 0), (0, 1), (4, 1), (4, 2), (6, 2), (6, 1), (10, 1))


def span(name, parent, start=0.0, length=1.0, sql=None, span_id=None):
    return Span(span_id or name, parent, name, start, start + length, False, sql, None, None, None)


def test_a_waterfall_gathers_repeated_siblings():
    spans = [span("root", None, 0, 2)]
    spans += [span("db", "root", 0.1 * k, 0.05, f"SELECT {k}", f"q{k}") for k in range(6)]
    spans += [span("below", "q3", 0.3, 0.01), span("other", "root", 1, 0.5)]
    rows = lay_out(spans)
    assert [(row.name, row.depth, row.count) for row in rows] == [
        ("root", 0, 1),
        ("db", 1, 6),
        ("other", 1, 1),
    ]
    assert rows[1].duration_s == pytest.approx(0.3)
    assert rows[1].start == 0 and rows[1].length == pytest.approx(0.55 / 2)


ids = st.sampled_from("abcdefgh")


@given(st.lists(st.tuples(ids, st.none() | ids, st.floats(0, 9), st.floats(0, 9)), min_size=1))
def test_any_tangle_of_parents_is_laid_out_and_ends(tangle):
    spans = [span("n" + i, p, t, n, None, i) for i, p, t, n in tangle]
    rows = lay_out(spans)
    assert sum(row.count for row in rows) <= len(spans)
    assert all(-1e-9 <= row.start <= 1 + 1e-9 and row.length <= 1 + 1e-9 for row in rows)


def test_the_slowest_trace_comes_first(made):
    rows = []
    for k, length in enumerate([0.1, 0.9, 0.5]):
        rows.append(
            (
                "spans",
                {
                    "trace_id": f"t{k}",
                    "span_id": f"s{k}",
                    "name": "n",
                    "t_start": 5.0,
                    "t_end": 5.0 + length,
                    "method": "GET",
                    "url": f"/{k}",
                },
            )
        )
    rows.append(("spans", {"trace_id": "open", "span_id": "o", "t_start": 1.0}))
    with made(rows) as store:
        traces = choose_traces(store)
        assert count_traces(store).traces == 3
    assert [trace.title for trace in traces] == ["GET /1", "GET /2", "GET /0"]
    assert {trace.endpoint for trace in traces} == {"GET /{id}"}
    assert traces[0].duration_s == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([span("root", None, 0, 2)], {"root": 2}),
        # One after the other: the root waits for each, and works between them.
        (
            [span("root", None, 0, 10), span("a", "root", 1, 3), span("b", "root", 5, 4)],
            {"root": 3, "a": 3, "b": 4},
        ),
        # Side by side: only the one that ended last was waited for.
        (
            [span("root", None, 0, 10), span("a", "root", 1, 3), span("b", "root", 1, 8)],
            {"root": 2, "b": 8},
        ),
        # What lies below is waited for, not what holds it.
        (
            [span("root", None, 0, 10), span("a", "root", 0, 10), span("q", "a", 2, 5)],
            {"root": 0, "a": 5, "q": 5},
        ),
        # A child that outlives its parent (its clock is off) counts to the parent's end.
        ([span("root", None, 0, 4), span("a", "root", 3, 9)], {"root": 3, "a": 1}),
        # A loop of parents is entered at its first span, and ends.
        ([span("x", "y", 0, 1), span("y", "x", 0, 2)], {"x": 0, "y": 1}),
    ],
)
def test_the_critical_path_is_what_was_waited_for(spans, expected):
    assert critical_path(spans) == pytest.approx(expected)


@given(st.lists(st.tuples(ids, st.none() | ids, st.floats(0, 9), st.floats(0, 9)), min_size=1))
def test_the_critical_path_of_any_tangle_adds_up(tangle):
    spans = [span("n" + i, p, t, n, None, i) for i, p, t, n in {x[0]: x for x in tangle}.values()]
    spent = critical_path(spans)
    roots = [s for s in spans if s.parent_id not in {each.span_id for each in spans}] or spans[:1]
    assert sum(spent.values()) == pytest.approx(max(s.t_end - s.t_start for s in roots), abs=1e-6)
    assert all(value >= 0 for value in spent.values())


def served(trace_id, url, length, *, fault=False, at=5.0):
    return (
        "spans",
        {
            "trace_id": trace_id, "span_id": "s" + trace_id, "name": "shop", "t_start": at,
            "t_end": at + length, "method": "GET", "url": url, "fault": fault,
            "status": 500 if fault else 200,
        },
    )  # fmt: skip


def test_what_failed_and_the_slowest_of_each_endpoint_are_chosen_before_the_rest(made):
    rows = [served(f"a{k}", f"http://shop/items/{k}?x=1", 0.1 + k / 1000) for k in range(40)]
    rows += [served(f"b{k}", "/cart", 0.01) for k in range(40)]
    rows += [served(f"f{k}", "/cart", 0.001, fault=True) for k in range(7)]
    with made(rows) as store:
        chosen = choose_traces(store)
        counted = count_traces(store)
    assert (counted.traces, counted.failed) == (87, 7)
    assert {t.endpoint for t in chosen} == {"GET /items/{id}", "GET /cart"}
    slow = [t.trace_id for t in chosen if t.why is Why.SLOW]
    assert sorted(t for t in slow if t[0] == "a") == sorted(f"a{k}" for k in range(30, 40))
    assert {t.trace_id for t in chosen if t.is_fault} == {f"f{k}" for k in range(7)}
    kinds = [t.why for t in chosen]
    assert kinds == sorted(kinds, key=[Why.SLOW, Why.FAILED, Why.SAMPLE].index)


def test_log_lines_join_their_trace_by_either_form_of_its_id(made):
    trace_id = "1-5fbb0000-00000000000000000000abcd"
    w3c = "5fbb000000000000000000000000ABCD"

    def said(t, line):
        return ("logs", {"t": t, "task": "t", "container": "app", "line": line})

    rows = [
        served(trace_id, "/x", 1.0),
        said(6.0, f'{{"traceparent": "00-{w3c}-00f067aa0ba902b7-01"}}'),
        said(5.0, f"Root={trace_id};Sampled=1 first\x00"),
        said(5.5, "1-5fbb0000-00000000000000000000ffff of another"),
        said(5.6, "of none"),
    ]
    with made(rows) as store:
        (trace,) = complete(store, choose_traces(store))
    assert [line.t for line in trace.lines] == [5.0, 6.0]


def test_failed_tasks_and_their_last_lines(made):
    def stopped(task, code, reason):
        return (
            "task_events",
            {
                "t": 9.0,
                "task": task,
                "last_status": "STOPPED",
                "stop_code": code,
                "stopped_reason": reason,
            },
        )

    rows = [
        stopped("crashed", "EssentialContainerExited", "Essential container in task exited"),
        stopped("sick", "ServiceSchedulerInitiated", "Task failed container health checks"),
        stopped("replaced", "ServiceSchedulerInitiated", "Scaling activity initiated"),
        stopped("stopped", "UserInitiated", "Task stopped by user"),
    ]
    rows += [
        ("logs", {"t": float(k), "task": "crashed", "container": "app", "line": f"line {k}"})
        for k in range(40)
    ]
    with made(rows) as store:
        failed = {task.task: task for task in failed_tasks(store)}
    assert set(failed) == {"crashed", "sick"}
    assert [line for _, _, line in failed["crashed"].lines] == [f"line {k}" for k in range(15, 40)]


def test_deploys_are_counted_from_their_requests(made):
    rows = [request(100 + k / 10, status=503 if 10 <= k < 20 else 200) for k in range(50)]
    rows += [request(107.0, status=500), request(108.0, status=None)]
    with made(rows) as store:
        figures = deploy_figures(store, "a")
        assert deploy_figures(store, "b") is None
    assert (figures.sent, figures.unanswered) == (52, 11)
    assert figures.downtime_s == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [([], 0), ([1], 0), ([1, 1.4, 1.8], 0.8), ([1, 1.2, 5, 5.3], 0.5), ([1, 2, 3], 0)],
)
def test_downtime(failures, seconds):
    assert downtime([float(t) for t in failures]) == pytest.approx(seconds)
