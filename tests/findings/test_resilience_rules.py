"""Rules about a failover and about overload: a yes and a no for each."""

from __future__ import annotations

import pytest

from hikkoshi.evidence.occasions import Answer, Step
from hikkoshi.evidence.windows import windows_of
from hikkoshi.findings.rules import (
    caches_dns_past_failover,
    collapses_past_the_knee,
    does_not_reconnect_after_failover,
    health_check_does_not_touch_the_database,
    queues_without_bound,
    retries_without_limit,
)
from hikkoshi.model.findings import Certainty, NotJudged

FACT, LIKELY = Certainty.FACT, Certainty.LIKELY
NAME = "app.cluster-x.ap-northeast-1.rds.amazonaws.com"


def failed_over(
    run, *, is_bad=lambda t: False, t_end=25, opened=lambda t: 10 + t, sessions=lambda t: 10,
    sampled_at=lambda t: True, load_end=None, recovered=None, counted_at=lambda t: True,
):  # fmt: skip
    """A fault at 5 s; the writer was `a`, and is `b` from 7 s."""
    run.trial("failover", 0, t_end)
    run.row("faults", trial="failover", name="f", t_injected=5, t_recovered=recovered, proof="seen")
    run.row("task_events", t=0, task="x", last_status="RUNNING", address="10.0.1.3")
    for k in range(t_end * 2):
        t = k / 2
        role = {"a": "writer", "b": "reader"} if t < 7 else {"a": "reader", "b": "writer"}
        for name in ("a", "b") if sampled_at(t) else ():
            run.row("database", t=t, instance=name, role=role[name], deadlocks=0,
                    sessions=sessions(t) if name == "a" else 10)  # fmt: skip
        if counted_at(t):
            run.row("network", t=t, task="x", family="app", opened=int(opened(t)), failed=0)
    for k in range((load_end or t_end) * 20):
        t = k / 20
        status = 500 if is_bad(t) else 200
        run.row("requests", trial="failover", t_intended=t, latency_s=0.01, status=status)


def certainty(answer):
    return answer and answer.certainty


@pytest.mark.parametrize(
    ("is_bad", "t_end", "expected"),
    [
        (lambda t: False, 25, None),
        (lambda t: 5 < t < 9, 25, None),
        (lambda t: t > 5, 25, FACT),
        (lambda t: t > 5 and int(t * 20) % 10 == 0, 25, LIKELY),
        (lambda t: int(t * 20) % 2 == 0, 25, None),  # as it was before
        (lambda t: 5 < t < 7, 9, None),  # whole again, so the trial ended
    ],
)
def test_requests_long_after_a_failover(made_run, is_bad, t_end, expected):
    failed_over(made_run, is_bad=is_bad, t_end=t_end)
    assert certainty(made_run.judge_by(does_not_reconnect_after_failover)) is expected


@pytest.mark.parametrize(
    ("recovered", "is_judged"),
    [(7.5, True), (None, False)],  # None: nothing tells that the service came back
)
def test_a_late_sample_of_the_writer_does_not_undo_what_the_requests_saw(
    made_run, recovered, is_judged
):
    failed_over(
        made_run, is_bad=lambda t: 5 < t < 7.5, t_end=12, load_end=9, recovered=recovered,
        sampled_at=lambda t: t < 5 or t > 9,
    )  # fmt: skip
    answer = made_run.judge_by(does_not_reconnect_after_failover)
    assert isinstance(answer, NotJudged) is not is_judged


def test_a_load_that_ended_too_early_is_not_judged(made_run):
    failed_over(made_run, is_bad=lambda t: t > 5, t_end=9)
    assert isinstance(made_run.judge_by(does_not_reconnect_after_failover), NotJudged)


@pytest.mark.parametrize(
    ("refused_at", "opens", "asks", "expected"),
    [
        ([], False, True, None),
        ([14, 15, 16], True, False, FACT),
        ([8, 9, 10], True, False, LIKELY),  # within the TTL, but the sessions are opened after it
        ([8, 9, 10], False, True, None),
        ([14, 15, 16], False, True, LIKELY),  # the name was asked: there by another way?
        ([14, 15, 16], False, False, FACT),
        ([14, 15], False, False, None),
    ],
)
def test_the_old_writers_address(made_run, refused_at, opens, asks, expected):
    failed_over(made_run, sessions=lambda t: 10 + int(t) * opens)
    for t in refused_at:
        made_run.row(
            "database_log", t=t, instance="a", sqlstate="25006", statement="UPDATE t SET n = 1",
            message="cannot execute UPDATE in a read-only transaction",
        )  # fmt: skip
    if asks:
        made_run.row("name_queries", t=12, client="10.0.1.3", name=NAME)
    assert certainty(made_run.judge_by(caches_dns_past_failover)) is expected


@pytest.mark.parametrize(("recovered", "is_judged"), [(8, True), (None, False)])
def test_a_writer_that_is_seen_too_late_is_no_clean_bill(made_run, recovered, is_judged):
    failed_over(
        made_run, is_bad=lambda t: t > 5, t_end=14, recovered=recovered,
        sampled_at=lambda t: t < 5 or t > 9,
    )  # fmt: skip
    answer = made_run.judge_by(caches_dns_past_failover)
    assert answer is None if is_judged else isinstance(answer, NotJudged)


@pytest.mark.parametrize("late_s", [0, 2, 4])
def test_late_samples_of_the_writer_make_no_fact(made_run, late_s):
    """Writes that met the old writer within the TTL, questions for the name, no storm."""
    failed_over(
        made_run, is_bad=lambda t: 5 < t < 7.5, recovered=7.5,
        sampled_at=lambda t: t < 5 or t > 7 + late_s,
    )  # fmt: skip
    for t in (7, 8, 9, 10):
        made_run.row(
            "database_log", t=t, instance="a", sqlstate="25006", statement="UPDATE t SET n = 1",
            message="cannot execute UPDATE in a read-only transaction",
        )  # fmt: skip
    made_run.row("name_queries", t=12, client="10.0.1.3", name=NAME)
    rules = (
        caches_dns_past_failover, health_check_does_not_touch_the_database, retries_without_limit,
        does_not_reconnect_after_failover,
    )  # fmt: skip
    with made_run.store() as store:
        windows = windows_of(store)
        assert [rule.judge(store, windows) for rule in rules] == [None] * 4


def test_attempts_that_were_not_counted_in_the_failover_are_not_judged(made_run):
    failed_over(made_run, opened=lambda t: 10 + 300 * t, counted_at=lambda t: t < 3 or t > 12)
    assert isinstance(made_run.judge_by(retries_without_limit), NotJudged)


@pytest.mark.parametrize(
    ("is_bad", "unhealthy", "expected"),
    [
        (lambda t: t > 5, 0, Certainty.HINT),
        (lambda t: t > 5, 1, None),
        (lambda t: 5 < t < 8, 0, None),
    ],
)
def test_a_health_check_that_stays_green(made_run, is_bad, unhealthy, expected):
    failed_over(made_run, is_bad=is_bad)
    for t in range(25):
        made_run.row("targets", t=t, target_group="g", healthy=2 - unhealthy, unhealthy=unhealthy)
    assert certainty(made_run.judge_by(health_check_does_not_touch_the_database)) is expected


def test_a_health_check_is_not_judged_when_the_load_ended_first(made_run):
    failed_over(
        made_run, is_bad=lambda t: t > 5, t_end=14, load_end=12,
        sampled_at=lambda t: t < 5 or t > 9.7,
    )  # fmt: skip
    answer = made_run.judge_by(health_check_does_not_touch_the_database)
    assert isinstance(answer, NotJudged)


@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        (lambda t: 10 + t, None),
        (lambda t: 10 + 300 * min(2, max(0, t - 5)), FACT),
        (lambda t: 10 + 120 * min(2, max(0, t - 5)), LIKELY),
        (lambda t: 10 + 60 * min(2, max(0, t - 5)), None),
    ],
)
def test_attempts_for_each_request(made_run, opened, expected):
    failed_over(made_run, opened=opened)
    assert certainty(made_run.judge_by(retries_without_limit)) is expected


@pytest.mark.parametrize(
    "rule",
    [caches_dns_past_failover, does_not_reconnect_after_failover, retries_without_limit],
)
def test_without_a_proven_failover_none_of_them_judges(made_run, rule):
    made_run.trial("failover", 0, 20)
    assert isinstance(made_run.judge_by(rule), NotJudged)


def step(rate, good_share=1.0, latency=0.01, t=0.0, refused=False):
    made = Step("overload", t, t + 4, rate)
    answers = [
        Answer(t + k / rate, t + k / rate + latency, latency,
               200 if k % 100 < good_share * 100 else 503 if refused else 500, "")
        for k in range(int(rate * 4))
    ]  # fmt: skip
    return made, answers


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (step(100, 0.5), None),  # 50 a second, as before
        (step(100, 0.39), None),
        (step(100, 0.37), LIKELY),
        (step(100, 0.29), FACT),
        (step(60, 0.2), None),  # not much more was asked
        (step(9, 0.1), None),
    ],
)
def test_good_answers_when_more_is_asked(after, expected):
    before = collapses_past_the_knee.done_in(*step(50))
    done = collapses_past_the_knee.done_in(*after)
    assert collapses_past_the_knee.certainty_of(before, done) is expected


def growing(late, refused_share=0.0):
    made = Step("overload", 0.0, 4.0, 50.0)
    answers = []
    for k in range(200):
        wait = 0.05 + (late - 0.05) * k / 200
        status = 503 if k % 100 < refused_share * 100 else 200
        answers.append(Answer(k / 50, k / 50 + wait, wait, status, ""))
    return queues_without_bound.queue_in(made, answers)


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        (growing(7.0), FACT),
        (growing(4.0), LIKELY),
        (growing(2.0), None),
        (growing(7.0, refused_share=0.2), None),
    ],
)
def test_waits_that_grow(queue, expected):
    assert queue.certainty is expected


@pytest.mark.parametrize("rule", [collapses_past_the_knee, queues_without_bound])
def test_without_steps_of_load_neither_judges(made_run, rule):
    made_run.trial("overload", 0, 20)
    assert isinstance(made_run.judge_by(rule), NotJudged)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ({"exit_code": 1}, LIKELY),
        ({"exit_code": 0}, None),
        ({"exit_code": 137, "is_out_of_memory": True}, None),
        ({"exit_code": 143, "t_signalled": 5.5}, None),
        ({"exit_code": 1, "container": "log-router"}, None),
    ],
)
def test_a_process_that_a_failover_ends(made_run, end, expected):
    failed_over(made_run)
    made_run.row("container_ends", **{"t": 5.6, "task": "x", "container": "app"} | end)
    finding = made_run.judge_by(does_not_reconnect_after_failover, container="app")
    assert certainty(finding) is expected
    if finding:
        assert "the process of 1 task ended by itself (exit code 1)" in finding.summary
        assert "'error' event" in finding.advice[0]


def test_requests_that_fail_outweigh_a_process_that_ended(made_run):
    failed_over(made_run, is_bad=lambda t: t > 5)
    made_run.row("container_ends", t=5.6, task="x", container="app", exit_code=1)
    finding = made_run.judge_by(does_not_reconnect_after_failover, container="app")
    assert finding.certainty is FACT and "later than" in finding.summary


@pytest.mark.parametrize("rule", [collapses_past_the_knee, queues_without_bound])
@pytest.mark.parametrize("outcome", ["held", "not tried"])
def test_a_generator_that_gave_way_says_nothing_good_of_the_service(made_run, rule, outcome):
    made_run.trial("steady", 0, 10)
    made_run.row(
        "trials", name="overload", t_start=10, t_end=20, outcome=outcome,
        reason="at 80.0/s the generator was the bottleneck",
    )  # fmt: skip
    made_run.requests("steady", 0, 10, 40)
    made_run.requests("overload", 10, 20, 80)
    for trial, t_start, rate in (("steady", 0, 40), ("overload", 10, 80)):
        made_run.row("load_steps", trial=trial, t_start=t_start, t_end=t_start + 10, rate=rate)
    answer = made_run.judge_by(rule)
    if outcome == "held":
        assert answer is None
    else:
        assert isinstance(answer, NotJudged) and "the generator was" in answer.why
