from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.evidence.queries import DatabaseSample
from hikkoshi.findings.rules import deadlocks_under_load as rule
from hikkoshi.model.findings import Certainty, NotJudged

# As PostgreSQL 18 writes it.
DETAIL = """Process 4711 waits for ShareLock on transaction 782; blocked by process 4712.
Process 4712 waits for ShareLock on transaction 781; blocked by process 4711.
Process 4711: UPDATE items
   SET done = true
 WHERE id = 7
Process 4712: DELETE FROM approvals WHERE item = 3"""


def samples(run, counters, t_start=0.0, instance="a"):
    for k, deadlocks in enumerate(counters):
        run.row(
            "database",
            t=t_start + k,
            instance=instance,
            sessions=1,
            deadlocks=deadlocks,
            connections=3,
            max_connections=100,
        )


def test_one_is_a_fact_and_both_statements_are_shown(made_run):
    made_run.trial("steady", 0, 10)
    samples(made_run, [4, 4, 5, 5])
    made_run.row(
        "database_log",
        t=2,
        severity="ERROR",
        sqlstate="40P01",
        message="deadlock detected",
        detail=DETAIL,
        statement="UPDATE items …",
    )
    finding = made_run.judge_by(rule)
    assert (finding.certainty, finding.subject) == (Certainty.FACT, "items, approvals")
    assert "once" in finding.summary
    assert finding.details == (
        "process 4711: UPDATE items\n   SET done = true\n WHERE id = 7\n"
        "process 4712: DELETE FROM approvals WHERE item = 3",
    )


def test_the_counter_alone_is_enough_and_so_is_the_log(new_run):
    run = new_run()
    run.trial("overload", 0, 10)
    samples(run, [0, 2])
    assert "2 times" in run.judge_by(rule).summary
    run = new_run()
    run.trial("soak", 0, 10)
    run.row("database_log", t=2, sqlstate="40P01", message="deadlock detected")
    assert run.judge_by(rule).certainty is Certainty.FACT


def test_deadlocks_from_before_the_run_are_not_ours(made_run):
    made_run.trial("steady", 0, 10)
    samples(made_run, [9, 9, 9])
    assert made_run.judge_by(rule) is None


def test_other_errors_that_mention_deadlocks_are_not_one(made_run):
    made_run.trial("steady", 0, 10)
    samples(made_run, [0, 0])
    made_run.row("database_log", t=1, sqlstate="42601", message="syntax error: deadlock detected")
    assert made_run.judge_by(rule) is None


def test_the_same_deadlock_again_is_shown_once(made_run):
    made_run.trial("steady", 0, 100)
    for k in range(20):
        made_run.row(
            "database_log",
            t=k,
            sqlstate="40P01",
            message="deadlock detected",
            detail=DETAIL.replace("= 7", f"= {k}"),
        )
    finding = made_run.judge_by(rule)
    assert "20 times" in finding.summary and len(finding.details) == 1


def test_without_samples_and_log_it_does_not_judge(made_run):
    made_run.trial("steady", 0, 10)
    assert isinstance(made_run.judge_by(rule), NotJudged)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40))
def test_a_falling_counter_was_reset(counters):
    rows = [DatabaseSample(float(t), "a", 0, n, 0, None) for t, n in enumerate(counters)]
    counted = rule.count(rows)
    assert counted >= max(0, counters[-1] - counters[0])
    if counters == sorted(counters):
        assert counted == counters[-1] - counters[0]


@given(st.text())
def test_any_detail_can_be_read(text):
    assert isinstance(rule.statements_of(text), tuple)


def test_what_the_old_home_does_beside_is_not_blamed_on_the_new(made_run):
    made_run.trial("steady", 0, 10)
    made_run.trial("scp-swap", 10, 20)
    made_run.trial("soak", 20, 30)
    samples(made_run, [0] * 10 + list(range(10)) + [9] * 10)
    made_run.row("database_log", t=15, sqlstate="40P01", message="deadlock detected", detail=DETAIL)
    assert made_run.judge_by(rule) is None
