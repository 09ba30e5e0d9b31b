from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.evidence.queries import DatabaseSample
from hikkoshi.evidence.windows import Window
from hikkoshi.findings.rules import opens_a_connection_for_each_request as rule
from hikkoshi.model.findings import Certainty, Finding, NotJudged


def database(run, t_start, t_end, per_second, *, connections=10, start=100, instance="a", grow=0):
    t, sessions, held = t_start, float(start), float(connections)
    while t <= t_end:
        run.row(
            "database",
            t=t,
            instance=instance,
            sessions=int(sessions),
            deadlocks=0,
            connections=int(held),
            max_connections=100,
        )
        t += 0.5
        sessions += per_second * 0.5
        held += grow * 0.5
    return sessions


def test_a_session_for_each_request_is_a_fact_with_its_numbers(made_run):
    made_run.trial("steady", 0, 20)
    made_run.requests("steady", 0, 20, 50)
    database(made_run, 0, 20, 50, connections=30)
    for task in ("x", "y"):
        made_run.row("task_usage", t=5, task=task, family="genba", cpu_s=1.0, cpu_limit_vcpu=1.0)
    finding = made_run.judge_by(rule, maximum_tasks="8")
    assert isinstance(finding, Finding)
    assert finding.certainty is Certainty.FACT
    values = {row.what: row for row in finding.evidence}
    assert values["database sessions per request"].value.startswith("1.00 (1000 sessions, 1000")
    assert values["peak of open connections"].value == "30 of 97"
    assert values["peak per task × most tasks at once"].value == "15 × 8 = 120"
    assert any("max_idle" in advice for advice in finding.advice)


def test_refused_connections_count_although_no_statistic_has_them(made_run):
    made_run.trial("soak", 0, 20)
    made_run.requests("soak", 0, 20, 10)
    database(made_run, 0, 20, 0)
    for k in range(150):
        made_run.row(
            "database_log",
            t=1 + k / 10,
            sqlstate="53300",
            message="sorry, too many clients already",
        )
    finding = made_run.judge_by(rule)
    assert finding.certainty is Certainty.FACT
    assert any("53300" in row.what and row.value == "150" for row in finding.evidence)


def test_churn_is_a_hint(made_run):
    made_run.trial("steady", 0, 20)
    made_run.requests("steady", 0, 20, 100)
    database(made_run, 0, 20, 15)  # 0.15 a request, and connections stay level
    finding = made_run.judge_by(rule)
    assert finding.certainty is Certainty.HINT
    assert "soon closed" in finding.summary


def test_a_pool_that_fills_up_is_no_churn(made_run):
    """Quick runs are so short that filling two pools of 10 is 0.1 sessions a request."""
    made_run.trial("steady", 0, 5)
    made_run.requests("steady", 0, 5, 40)
    database(made_run, 0, 5, 4, connections=2, grow=4)
    assert made_run.judge_by(rule) is None


@pytest.mark.parametrize(("schema", "expected"), [(5, None), (6, Certainty.HINT)])
def test_the_regions_own_sampling_is_left_out(schema, expected):
    """A region that opens one session each sample must not accuse the service; since schema 6 it
    opens none that is counted."""
    seen = rule.without_own(sessions(requests=400, opened=40, samples=40), schema)
    assert rule.certainty_of(seen) is expected


def test_one_endpoint_of_several_without_a_pool(made_run):
    """Recorded: Go's sql.Open in the handler of one endpoint of three, 15 requests a second."""
    made_run.trial("steady", 0, 6)
    made_run.requests("steady", 0, 6, 15)
    database(made_run, 0, 6, 7, connections=2, grow=1)
    finding = made_run.judge_by(rule)
    assert finding.certainty is Certainty.LIKELY and "soon closed" in finding.summary


def test_overload_and_faults_are_not_looked_at(made_run):
    made_run.trial("steady", 0, 20)
    made_run.trial("failover", 20, 40)
    made_run.requests("steady", 0, 20, 50)
    made_run.requests("failover", 20, 40, 50)
    sessions = database(made_run, 0, 20, 0)
    database(made_run, 20.5, 40, 50, start=sessions)
    assert made_run.judge_by(rule) is None


def test_a_reset_of_the_statistics_is_not_a_negative_number(made_run):
    made_run.trial("steady", 0, 20)
    made_run.requests("steady", 0, 20, 50)
    database(made_run, 0, 10, 50, start=100_000)
    database(made_run, 10.5, 20, 50, start=0)
    assert made_run.judge_by(rule).certainty is Certainty.FACT


def test_readers_are_added_up(made_run):
    made_run.trial("steady", 0, 20)
    made_run.requests("steady", 0, 20, 50)
    database(made_run, 0, 20, 20, instance="writer")
    database(made_run, 0, 20, 20, instance="reader")
    assert made_run.judge_by(rule).certainty is Certainty.FACT


@pytest.mark.parametrize("missing", ["trial", "samples", "requests"])
def test_without_its_evidence_it_does_not_judge(made_run, missing):
    made_run.trial("overload" if missing == "trial" else "steady", 0, 20)
    if missing != "requests":
        made_run.requests("steady", 0, 20, 10)
    if missing != "samples":
        database(made_run, 0, 20, 10)
    answer = made_run.judge_by(rule)
    assert isinstance(answer, NotJudged) and answer.why


def sessions(requests=1000, opened=0, lasting=0, samples=0, refused=0):
    return rule.Sessions(
        Window("steady", 0, 20), requests, opened, lasting, samples, refused, 9, 100
    )


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (sessions(opened=500), Certainty.FACT),
        (sessions(opened=499), Certainty.LIKELY),
        (sessions(opened=200), Certainty.LIKELY),
        (sessions(opened=199), Certainty.HINT),
        (sessions(opened=50), Certainty.HINT),
        (sessions(opened=49), None),
        (sessions(opened=90, samples=40), Certainty.HINT),
        (sessions(opened=89, samples=40), None),
        (sessions(opened=60, lasting=20), None),
        (sessions(opened=600, lasting=600), Certainty.FACT),  # a leak opens one each, too
        (sessions(requests=19, opened=19), None),
        (sessions(requests=100, opened=19), None),  # too few to call it churn
    ],
)
def test_thresholds(seen, expected):
    assert rule.certainty_of(seen) is expected


@given(
    st.lists(st.integers(0, 10_000), min_size=2, max_size=30),
    st.integers(0, 5000),
    st.integers(0, 100),
)
def test_counting_never_goes_below_zero(counters, requests, refused):
    rows = [DatabaseSample(float(t), "a", n, 0, 5, None) for t, n in enumerate(counters)]
    seen = rule.count(rows, Window("steady", 0, 30), requests, refused)
    assert seen is not None
    assert seen.attempts >= seen.refused == refused
    assert 0 <= seen.churned <= seen.attempts
