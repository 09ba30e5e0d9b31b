"""Rules about a task's start, stop, health and CPU: a yes and a no for each."""

from __future__ import annotations

import pytest

from hikkoshi.evidence import occasions
from hikkoshi.evidence.occasions import Answer, ContainerEnd
from hikkoshi.evidence.windows import Window, windows_of
from hikkoshi.findings.rules import (
    binds_localhost,
    drops_requests_on_stop,
    fails_health_when_the_database_does,
    health_check_does_not_touch_the_database,
    ignores_sigterm,
    is_throttled,
    starts_slower_than_its_health_check,
)
from hikkoshi.model.findings import Certainty, NotJudged

FACT, LIKELY, HINT = Certainty.FACT, Certainty.LIKELY, Certainty.HINT


def certainty(answer):
    found = answer[0] if isinstance(answer, tuple) else answer
    return found and found.certainty


def end(**columns):
    made = {
        "t": 15.0, "task": "t1", "family": "app", "container": "app", "is_essential": True,
        "exit_code": 0, "is_out_of_memory": False, "t_signalled": 10.0, "signal": "SIGTERM",
        "has_handler": True, "was_killed": False, "asked_grace_s": 30.0, "grace_s": 5.0,
    }  # fmt: skip
    return {**made, **columns}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, None),
        ({"was_killed": True, "has_handler": False}, FACT),
        ({"was_killed": True}, HINT),  # it had 5 s of its 30
        ({"was_killed": True, "asked_grace_s": 5.0}, FACT),
        ({"was_killed": True, "has_handler": None}, HINT),
        ({"was_killed": False, "has_handler": False}, None),
    ],
)
def test_the_signal_to_stop(made_run, columns, expected):
    made_run.trial("kill-task", 8, 20)
    made_run.row("container_ends", **end(**columns))
    made_run.row("container_ends", **end(container="log-router", was_killed=True))
    assert certainty(made_run.judge_by(ignores_sigterm, container="app")) is expected


@pytest.mark.parametrize(("heard", "expected"), [(9.0, FACT), (11.0, None), (None, None)])
def test_a_process_that_was_still_starting_ignored_nothing(made_run, heard, expected):
    made_run.trial("kill-task", 8, 20)
    made_run.row("container_ends", **end(task="t0"))
    made_run.row("container_ends", **end(was_killed=True, has_handler=False))
    for task, t in (("t0", 1.0), ("t1", heard)):
        if t is not None:
            made_run.row("listening", t=t, task=task, address="0.0.0.0", port=8080)
    found = made_run.judge_by(ignores_sigterm, container="app", container_port="8080")
    assert certainty(found) is expected


def test_a_container_that_nobody_asked_is_not_judged(made_run):
    made_run.trial("kill-task", 8, 20)
    made_run.row("container_ends", **end(t_signalled=None, exit_code=137))
    assert isinstance(made_run.judge_by(ignores_sigterm, container="app"), NotJudged)


def test_a_stop_that_the_end_of_the_region_cut_short_is_none(made_run):
    made_run.trial("bad-deploy", 8, 20)
    made_run.row("container_ends", **end(exit_code=137))
    made_run.row("container_ends", **end(task="t2"))
    with made_run.store() as store:
        stops = occasions.application_stops(store, windows_of(store).own)
    assert [stop.task for stop in stops] == ["t2"]


def answers(bad_times, status=502, error=""):
    good = [Answer(k / 10, k / 10 + 0.01, 0.01, 200, "") for k in range(200)]
    return good + [Answer(t, t + 0.01, 0.01, status, error) for t in bad_times]


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (answers([]), None),
        (answers([11.0, 15.5]), FACT),
        (answers([11.0]), LIKELY),
        (answers([2.0, 3.0]), None),
        (answers([11.0, 12.0], 500), None),  # the service spoke
        (answers([11.0, 12.0], 0, "ConnectionReset"), FACT),
        (answers([11.0, 12.0], 0, "Timeout"), None),
        (answers([k / 10 for k in range(200)]), None),  # it fails all the time
    ],
)
def test_requests_during_a_stop(bad, expected):
    ends = [ContainerEnd(**end())]
    drops = drops_requests_on_stop.drops_in(Window("kill-task", 0, 20), bad, ends)
    assert drops.certainty is expected


def started(run, seconds, address="0.0.0.0"):
    run.trial("steady", 100, 110)
    for task in ("x", "y"):
        run.row("task_events", t=1, task=task, last_status="RUNNING")
        run.row("listening", t=1 + seconds, task=task, address=address, port=8080)
        run.row("listening", t=1, task=task, address="127.0.0.1", port=2000)


@pytest.mark.parametrize(("seconds", "expected"), [(1, None), (15, None), (17, LIKELY), (21, FACT)])
def test_a_start_against_what_aws_allows(made_run, seconds, expected):
    started(made_run, seconds)
    finding = made_run.judge_by(
        starts_slower_than_its_health_check, container_port="8080", start_s="20"
    )
    assert certainty(finding) is expected
    if seconds == 21:
        assert '"healthCheckGracePeriodSeconds": 68' in finding.advice[0]


@pytest.mark.parametrize(
    ("address", "expected"),
    [("0.0.0.0", None), ("::", None), ("10.0.1.3", None), ("127.0.0.1", FACT), ("::1", FACT),
     ("::ffff:127.0.0.1", FACT)],
)  # fmt: skip
def test_the_address_that_is_listened_to(made_run, address, expected):
    started(made_run, 1, address)
    assert certainty(made_run.judge_by(binds_localhost, container_port="8080")) is expected


@pytest.mark.parametrize("rule", [binds_localhost, starts_slower_than_its_health_check])
def test_a_port_that_nobody_listens_to_is_not_judged(made_run, rule):
    started(made_run, 1)
    answer = made_run.judge_by(rule, container_port="9000", start_s="20")
    assert isinstance(answer, NotJudged) and "9000" in answer.why


def failed_over(run, *, least, bad_requests=0):
    run.trial("failover", 0, 20)
    run.row("faults", trial="failover", name="f", t_injected=5, proof="seen")
    for k in range(40):
        t = k / 2
        writer = "a" if t < 7 else "b"
        run.row("database", t=t, instance=writer, role="writer", sessions=1, deadlocks=0)
        healthy = least if 6 < t < 9 else 2
        run.row("targets", t=t, target_group="g", healthy=healthy, unhealthy=2 - healthy)
    for k in range(200):
        status = 500 if k / 10 > 5 and bad_requests > k - 50 else 200
        run.row("requests", trial="failover", t_intended=k / 10, latency_s=0.01, status=status)


@pytest.mark.parametrize(("least", "expected"), [(2, None), (1, LIKELY), (0, FACT)])
def test_health_through_a_failover(made_run, least, expected):
    failed_over(made_run, least=least)
    assert certainty(made_run.judge_by(fails_health_when_the_database_does)) is expected


@pytest.mark.parametrize(
    ("least", "crashed", "expected"),
    [(1, ("x",), None), (0, ("x", "y"), None), (0, ("x", "x"), LIKELY), (0, (), FACT)],
)
def test_a_process_that_ended_is_no_health_checks_doing(made_run, least, crashed, expected):
    """As node-postgres ends a process whose client was at work when its connection broke."""
    failed_over(made_run, least=least)
    for task in crashed:
        made_run.row("container_ends", t=5.2, task=task, container="app", exit_code=1)
    # At the end of the run everything is killed.
    made_run.row("container_ends", t=20.5, task="z", container="app", exit_code=137)
    found = made_run.judge_by(fails_health_when_the_database_does, container="app")
    assert certainty(found) is expected


@pytest.mark.parametrize(("bad", "expected"), [(0, None), (30, None), (150, HINT)])
def test_health_that_stays_green_long_after(made_run, bad, expected):
    failed_over(made_run, least=2, bad_requests=bad)
    assert certainty(made_run.judge_by(health_check_does_not_touch_the_database)) is expected


@pytest.mark.parametrize(
    "rule", [fails_health_when_the_database_does, health_check_does_not_touch_the_database]
)
def test_without_a_proven_failover_health_is_not_judged(made_run, rule):
    made_run.trial("failover", 0, 20)
    assert isinstance(made_run.judge_by(rule), NotJudged)


@pytest.mark.parametrize(
    ("throttled", "is_enforced", "expected"),
    [(0.2, True, None), (0.3, True, LIKELY), (0.6, True, FACT), (0.6, False, "apart")],
)
def test_periods_throttled(made_run, throttled, is_enforced, expected):
    made_run.trial("steady", 0, 20)
    for k in range(41):
        made_run.row(
            "task_usage", t=k / 2, task="x", family="app", cpu_s=k / 10, cpu_limit_vcpu=0.25,
            cpu_is_enforced=is_enforced, periods=k * 5, throttled_periods=int(k * 5 * throttled),
        )  # fmt: skip
    answer = made_run.judge_by(is_throttled)
    if expected == "apart":
        assert isinstance(answer, NotJudged) and not answer.is_applicable
    else:
        assert certainty(answer) is expected
