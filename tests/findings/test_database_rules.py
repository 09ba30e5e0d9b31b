"""Rules that read the database's sessions, locks, plans and limit: a yes and a no for each."""

from __future__ import annotations

import re

import pytest

from hikkoshi.evidence.database import Activity, Scan
from hikkoshi.evidence.windows import Window
from hikkoshi.findings.rules import (
    approaches_the_connection_limit,
    deadlocks_under_load,
    holds_connections_idle_in_transaction,
    holds_locks_long,
    scans_a_table_for_a_few_rows,
    waits_for_the_pool,
)
from hikkoshi.model.findings import Certainty, NotJudged

FACT, LIKELY, HINT = Certainty.FACT, Certainty.LIKELY, Certainty.HINT


def certainty(answer):
    found = answer[0] if isinstance(answer, tuple) else answer
    return found and found.certainty


def sampled(run, *, connections=10, active=1, idle_in_transaction=0, cpu=0.2, t_end=20):
    """steady with samples of the database and of two tasks, and no findings in them."""
    run.trial("steady", 0, t_end)
    for k in range(t_end * 2 + 1):
        run.row(
            "database", t=k / 2, instance="a", role="writer", sessions=5, deadlocks=0,
            connections=connections, active=active, idle_in_transaction=idle_in_transaction,
            max_connections=100,
        )  # fmt: skip
        for task in ("x", "y"):
            run.row("task_usage", t=k / 2, task=task, cpu_s=k / 2 * cpu, cpu_limit_vcpu=1.0)


def session(run, t, pid, **columns):
    columns = {"state": "active", "xact_age_s": 0.1, "state_age_s": 0.1, "query": "q"} | columns
    run.row("database_sessions", t=t, instance="a", pid=pid, **columns)


@pytest.mark.parametrize(
    ("connections", "maximum", "expected"),
    [(20, "4", None), (40, "4", HINT), (50, "4", LIKELY), (97, "4", FACT), (40, "10", LIKELY)],
)
def test_the_sum_of_connections(made_run, connections, maximum, expected):
    sampled(made_run, connections=connections)
    finding = made_run.judge_by(approaches_the_connection_limit, maximum_tasks=maximum)
    assert certainty(finding) is expected
    if connections == 50:
        assert finding.evidence[0].value == (
            "50 connections / 2 tasks = 25 a task; 25 × 4 tasks = 100 of 97"
        )
        assert "at most 19 a task" in finding.advice[0]


def test_a_refused_connection_is_a_fact(made_run):
    sampled(made_run)
    made_run.row("database_log", t=5, sqlstate="53300", message="sorry, too many clients already")
    assert certainty(made_run.judge_by(approaches_the_connection_limit)) is FACT


def idle(run, beats, age=0.8):
    for k in beats:
        session(run, k / 2, 7, state="idle in transaction", state_age_s=age, query="SELECT 1")


@pytest.mark.parametrize(
    ("beats", "age", "cpu", "expected"),
    [
        (range(0, 40, 3), 0.8, 0.2, FACT),
        (range(0, 40, 3), 0.8, 0.95, HINT),  # no CPU: it pauses anywhere
        (range(0, 40, 3), 0.3, 0.2, None),
        (range(0, 40, 20), 0.8, 0.2, None),
        (range(10, 11), 6.0, 0.2, LIKELY),
        (range(0), 0, 0.2, None),
    ],
)
def test_idle_in_transaction(made_run, beats, age, cpu, expected):
    sampled(made_run, cpu=cpu)
    idle(made_run, beats, age)
    finding = made_run.judge_by(holds_connections_idle_in_transaction)
    assert certainty(finding) is expected
    if finding:
        assert "SELECT 1" in finding.details[0]


def waits(busy, connections, in_flight, cpu):
    samples = [Activity(float(k), connections, busy, 0) for k in range(12)]
    return waits_for_the_pool.crowd_in(Window("steady", 0, 20), samples, in_flight, cpu).certainty


@pytest.mark.parametrize(
    ("crowd", "expected"),
    [
        ((4, 4, 12.0, 0.3), FACT),
        ((4, 4, 8.0, 0.3), LIKELY),
        ((4, 4, 7.0, 0.3), None),
        ((3, 4, 40.0, 0.3), None),
        ((4, 4, 40.0, 0.8), None),  # the processor is what they wait for
    ],
)
def test_all_connections_at_work(crowd, expected):
    assert waits(*crowd) is expected


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("psycopg_pool.PoolTimeout: couldn't get a connection after 5.00 sec", True),
        ("sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached", True),
        ("Error: timeout exceeded when trying to connect", True),
        ("mysql.connector.errors.PoolError: Failed getting connection; pool exhausted", True),
        ("SequelizeConnectionAcquireTimeoutError: Operation timeout", True),
        ("connected to the pool", False),
    ],
)
def test_the_pools_own_words(made_run, line, is_found):
    sampled(made_run)
    made_run.requests("steady", 0, 20, 20)
    made_run.row("logs", t=5, task="x", container="app", stream="stderr", line=line)
    assert (certainty(made_run.judge_by(waits_for_the_pool)) is FACT) is is_found


def scan(
    query="SELECT * FROM t WHERE a = $1", live=8000, calls=6, rows=60, scans=6, read=48000,
    condition="(t.a = $1)", kept=None,
):  # fmt: skip
    return Scan(query, "public.t", condition, live, calls, rows, scans, read, kept)


COUNT = "SELECT count(*) FROM t WHERE a = $1"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (scan(), FACT),
        (scan(scans=0, read=0), LIKELY),
        (scan(live=999), None),
        (scan(rows=6 * 401), None),
        (scan(query=COUNT), None),
        (scan(query=COUNT, kept=20), LIKELY),
        (scan(query=COUNT, kept=401), None),
        (scan(query="SELECT * FROM t ORDER BY a LIMIT $1", condition="ORDER BY t.a"), LIKELY),
        (scan(kept=4000), FACT),  # the planner guesses, the database counts
        (scan(query="SELECT kind, 1 FROM t WHERE a = $1 GROUP BY kind"), None),
        (scan(calls=0, rows=0), None),
    ],
)
def test_a_whole_table_for_a_few_rows(found, expected):
    assert scans_a_table_for_a_few_rows.certainty_of(found) is expected


def test_the_scan_names_the_index(made_run):
    query = "SELECT id FROM events WHERE account = $1"
    for t, mark, calls in ((0, "m-before", 0), (2, "m-after", 6)):
        made_run.row("queries", t=t, mark=mark, queryid="9", query=query, calls=calls, rows=calls)
        made_run.row(
            "table_scans", t=t, mark=mark, instance="a", table_name="public.events",
            seq_scans=calls, seq_rows=calls * 8000, index_scans=0, live_rows=8000,
        )  # fmt: skip
    made_run.row(
        "scan_plans", t=0, queryid="9", query=query, table_name="public.events",
        filter="(events.account = $1)", live_rows=8000,
    )  # fmt: skip
    (finding,) = made_run.judge_by(scans_a_table_for_a_few_rows)
    assert finding.certainty is FACT and finding.subject == "public.events"
    assert "CREATE INDEX CONCURRENTLY ON public.events (account);" in finding.advice[0]


def test_the_surest_scan_of_a_table_comes_first(made_run):
    asked = {
        "1": ("SELECT id FROM events ORDER BY at DESC LIMIT $1", "ORDER BY events.at DESC"),
        "2": ("SELECT id FROM events WHERE account = $1", "(events.account = $1)"),
    }
    for t, mark, calls in ((0, "m-before", 0), (2, "m-after", 6)):
        made_run.row(
            "table_scans", t=t, mark=mark, table_name="public.events", instance="a",
            seq_scans=calls * 2, seq_rows=calls * 16000, live_rows=8000,
        )  # fmt: skip
        for queryid, (query, _) in asked.items():
            made_run.row(
                "queries", t=t, mark=mark, queryid=queryid, query=query, calls=calls, rows=calls
            )
    for queryid, (query, condition) in asked.items():
        made_run.row(
            "scan_plans", t=0, queryid=queryid, query=query, table_name="public.events",
            filter=condition, live_rows=8000, kept_rows=20,
        )  # fmt: skip
    (finding,) = made_run.judge_by(scans_a_table_for_a_few_rows)
    assert finding.certainty is FACT
    assert "events.account = $1" in finding.summary
    assert finding.advice[0].startswith(
        "CREATE INDEX CONCURRENTLY ON public.events (account); "
        "CREATE INDEX CONCURRENTLY ON public.events (at); "
    )


def test_a_sort_for_its_first_rows_is_drawn_as_one(made_run):
    query = "SELECT id FROM events ORDER BY at DESC LIMIT $1"
    for t, mark, calls in ((0, "m-before", 0), (2, "m-after", 6)):
        made_run.row("queries", t=t, mark=mark, queryid="9", query=query, calls=calls, rows=calls)
        made_run.row("table_scans", t=t, mark=mark, table_name="public.events", live_rows=8000)
    made_run.row(
        "scan_plans", t=0, queryid="9", query=query, table_name="public.events",
        filter="ORDER BY events.at DESC", live_rows=8000, kept_rows=8000,
    )  # fmt: skip
    (finding,) = made_run.judge_by(scans_a_table_for_a_few_rows)
    assert finding.certainty is LIKELY
    assert finding.details == (f"{query}\nORDER BY events.at DESC",)
    assert "CREATE INDEX CONCURRENTLY ON public.events (at);" in finding.advice[0]


@pytest.mark.parametrize(
    ("condition", "columns"),
    [
        ("(events.account = $1)", ("account",)),
        ("((t.a = $1) AND (t.b > $2))", ("a", "b")),
        ("((t.name)::text = ($1)::text)", ("name",)),
        ("(t.deleted_at IS NULL)", ("deleted_at",)),
        ("ORDER BY audit.at DESC", ("at",)),
        ("ORDER BY t.a, t.b DESC NULLS LAST", ("a", "b")),
        ("ORDER BY people.joined desc", ("joined",)),
        ("ORDER BY (lower(t.a))", ()),
    ],
)
def test_columns_of_a_filter(condition, columns):
    assert scans_a_table_for_a_few_rows.columns_of(condition) == columns


POSTGRESQL_WORDS = re.compile(r"psycopg|asyncpg|pg_|node-postgres|= ANY|40P01|25006|idle_in_tr")


@pytest.mark.parametrize("engine", ["aurora-mysql", "aurora-postgresql"])
def test_a_cure_is_told_in_the_words_of_the_database(made_run, engine):
    sampled(made_run, connections=97)
    idle(made_run, range(0, 40, 3))
    blocked(made_run, 4, 100, 9)
    detail = (
        "Process 1: UPDATE t SET a = 1 WHERE id = 1\nProcess 2: UPDATE t SET a = 1 WHERE id = 2"
    )
    state, words = ("40001", "Deadlock found") if "my" in engine else ("40P01", "deadlock detected")
    made_run.row("database_log", t=15, sqlstate=state, message=words, detail=detail)
    said = []
    for rule in (
        approaches_the_connection_limit, deadlocks_under_load, holds_locks_long,
        holds_connections_idle_in_transaction,
    ):  # fmt: skip
        finding = made_run.judge_by(rule, database=engine, maximum_tasks="2")
        assert finding, rule.NAME
        said += finding.advice
    assert bool(POSTGRESQL_WORDS.search(" ".join(said))) is ("my" not in engine)
    assert ("innodb_lock_wait_timeout" in " ".join(said)) is ("my" in engine)


def blocked(run, t, waiter, holder):
    lock = {"wait_event_type": "Lock", "wait_event": "transactionid"}
    session(run, t, waiter, state_age_s=2.0, blocked_by=str(holder), query="UPDATE a", **lock)
    session(run, t, holder, state="idle in transaction", xact_age_s=3.5, query="UPDATE b")


@pytest.mark.parametrize(("waiters", "expected"), [(0, None), (2, LIKELY), (3, FACT)])
def test_long_waits_for_locks_and_who_holds_them(made_run, waiters, expected):
    sampled(made_run)
    for pid in range(waiters):
        blocked(made_run, 4 + pid, 100 + pid, 9)
    finding = made_run.judge_by(holds_locks_long)
    assert certainty(finding) is expected
    if finding:
        assert (
            "for 9, idle in transaction, in a transaction of 3.5 s: UPDATE b"
            in (finding.details[0])
        )


def test_a_wait_that_ends_in_a_deadlock_is_the_deadlocks(made_run):
    sampled(made_run)
    for pid in range(5):
        blocked(made_run, 4, 100 + pid, 9)
    made_run.row("database_log", t=5, instance="a", sqlstate="40P01", message="deadlock detected")
    assert made_run.judge_by(holds_locks_long) is None


@pytest.mark.parametrize(
    "rule",
    [
        approaches_the_connection_limit,
        holds_connections_idle_in_transaction,
        holds_locks_long,
        waits_for_the_pool,
        scans_a_table_for_a_few_rows,
    ],
)
def test_without_samples_none_of_them_judges(made_run, rule):
    made_run.trial("steady", 0, 20)
    assert isinstance(made_run.judge_by(rule), NotJudged)


@pytest.mark.parametrize(
    ("statements", "order"),
    [
        (
            ["UPDATE reports SET a = 1 WHERE id = 1", "UPDATE sites SET b = 1 WHERE id = 2"],
            "one took sites and then wanted reports; one took reports and then wanted sites. "
            "Take them in one order in every transaction: reports → sites.",
        ),
        (["UPDATE t SET a = 1", "SELECT 1 FROM t WHERE id = 2 FOR UPDATE"], "ORDER BY id"),
        (["UPDATE t SET a = 1"], None),
        (["UPDATE t SET a = 1", "CALL work()"], None),
    ],
)
def test_the_order_to_take(statements, order):
    found = deadlocks_under_load.order_to_take(statements)
    assert found is None if order is None else order in found


@pytest.mark.parametrize(
    ("at_work", "expected"),
    [((30, 0), FACT), ((5, 5), LIKELY), ((2, 2), None), ((0, 30), None)],
)
def test_a_pool_is_a_tasks_own(made_run, at_work, expected):
    """One task's two connections are always at work, the other's never."""
    sampled(made_run)
    made_run.requests("steady", 0, 20, 20)
    for k in range(40):
        for client, busy, requests in zip(("10.0.1.4", "10.0.1.5"), (2, 0), at_work, strict=True):
            made_run.row(
                "database_clients", t=k / 2, instance="w", client=client, connections=2,
                active=busy, idle_in_transaction=0,
            )  # fmt: skip
            made_run.row(
                "balancer", t=k / 2, target_group="g", target=f"{client}:8080", at_work=requests
            )
    assert certainty(made_run.judge_by(waits_for_the_pool)) is expected
