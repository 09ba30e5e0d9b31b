"""Rules about lines on their way: lost, doubled, in pieces, blocking."""

from __future__ import annotations

import json

import pytest

from hikkoshi.findings.rules import (
    blocks_on_logging,
    delivers_log_lines_twice,
    loses_log_lines,
    splits_long_lines,
)
from hikkoshi.model.findings import Certainty, NotJudged

FACT, LIKELY, HINT = Certainty.FACT, Certainty.LIKELY, Certainty.HINT


def certainty(answer):
    found = answer[0] if isinstance(answer, tuple) else answer
    return found and found.certainty


def written(run, number, t=1.0, task="x", text="GET /reports 200 request {:05d}"):
    lines = [text.format(k) for k in range(number)]
    for line in lines:
        run.row("logs", t=t, task=task, container="app", stream="stdout", line=line)
    return lines


def delivered(run, lines, times=1, **more):
    for line in lines:
        for _ in range(times):
            record = json.dumps({"message": line, **more})
            run.row("delivered_logs", t=2, destination="datadog", record=record)


def trials(run):
    run.trial("steady", 0, 10)
    run.trial("soak", 10, 30)


@pytest.mark.parametrize(("lost", "expected"), [(0, None), (4, None), (5, FACT), (50, FACT)])
def test_lines_that_never_came(made_run, lost, expected):
    trials(made_run)
    delivered(made_run, written(made_run, 200)[lost:])
    assert certainty(made_run.judge_by(loses_log_lines)) is expected


def test_what_a_filter_leaves_out_by_its_shape_is_not_lost(made_run):
    trials(made_run)
    delivered(made_run, written(made_run, 100))
    written(made_run, 100, text="GET /health 200 {:05d} ok")
    assert made_run.judge_by(loses_log_lines) is None


def test_lines_after_the_router_was_killed_are_the_faults_doing(made_run):
    trials(made_run)
    delivered(made_run, written(made_run, 100, task="y"))
    written(made_run, 100, t=9, task="x", text="GET /reports 200 request {:05d}9")
    made_run.row("container_ends", t=8, task="x", container="log-router", exit_code=137)
    made_run.row("log_counters", t=9, task="x", container="app", accepted=100, dropped=100)
    assert made_run.judge_by(loses_log_lines) is None


def test_the_drivers_own_word_is_a_fact(made_run):
    trials(made_run)
    delivered(made_run, written(made_run, 100))
    made_run.row("log_counters", t=9, task="x", container="app", accepted=200, dropped=30)
    (finding,) = made_run.judge_by(loses_log_lines)
    assert finding.certainty is FACT and "30 lines of app" in finding.summary


def test_a_router_that_ended_by_itself_at_the_start_loses_every_line(made_run):
    """Its file was not there, so no record reached anything: no fault's doing."""
    made_run.trial("steady", 5, 15)
    written(made_run, 100, t=9)
    made_run.row("container_ends", t=2, task="x", container="log-router", exit_code=1)
    made_run.row("log_counters", t=9, task="x", container="app", accepted=100, dropped=100)
    (finding,) = made_run.judge_by(loses_log_lines)
    assert finding.certainty is FACT and "100 lines of app" in finding.summary


@pytest.mark.parametrize(("t", "expected"), [(9, HINT), (45, None)])
def test_back_pressure_is_told(made_run, t, expected):
    trials(made_run)
    made_run.trial("router-crash", 40, 50)
    delivered(made_run, written(made_run, 100))
    line = "[2026/11/24 08:00:00] [ warn] [input] forward.0 paused (mem buf overlimit)"
    for _ in range(3):
        made_run.row("logs", t=t, task="x", container="log-router", stream="stderr", line=line)
    answer = made_run.judge_by(loses_log_lines)
    assert certainty(answer) is expected
    assert expected is None or "3 times" in answer[0].summary


@pytest.mark.parametrize(
    ("doubled", "expected"), [(0, None), (3, None), (5, LIKELY), (45, FACT), (200, FACT)]
)
def test_lines_that_came_twice(made_run, doubled, expected):
    trials(made_run)
    lines = written(made_run, 200)
    delivered(made_run, lines)
    delivered(made_run, lines[:doubled])
    assert certainty(made_run.judge_by(delivers_log_lines_twice)) is expected


def test_two_lines_of_one_text_are_not_one_line_twice(made_run):
    trials(made_run)
    for _ in range(3):
        delivered(made_run, written(made_run, 50))
    assert made_run.judge_by(delivers_log_lines_twice) is None


@pytest.mark.parametrize(
    ("line", "more", "expected"),
    [
        ("short", {}, None),
        ("x" * 16384, {}, FACT),
        ("x" * 20000, {}, None),  # a router that joined it
        ("x", {"partial_message": "true"}, FACT),
    ],
)
def test_pieces_of_a_line(made_run, line, more, expected):
    trials(made_run)
    delivered(made_run, [line], **more)
    assert certainty(made_run.judge_by(splits_long_lines)) is expected


@pytest.mark.parametrize(("length", "expected"), [(16384, None), (262118, FACT)])
def test_awslogs_cuts_much_later(made_run, length, expected):
    trials(made_run)
    for stream in ("web/web/t1", "web/web/t2"):
        made_run.row(
            "delivered_logs", t=5, destination=f"logs:/ecs/a:{stream}", record="x" * length
        )
    found = made_run.judge_by(splits_long_lines)
    assert certainty(found) is expected
    if found:
        (finding,) = found
        assert finding.subject == "logs:/ecs/a", "one finding for a group, not one for each stream"
        assert "partial_message" not in " ".join(finding.advice), "there is no router to join them"


@pytest.mark.parametrize("rule", [loses_log_lines, delivers_log_lines_twice, splits_long_lines])
def test_where_nothing_can_be_seen_to_arrive(new_run, rule):
    run = new_run()
    trials(run)
    written(run, 100)
    answer = run.judge_by(rule, log_destination="datadog")
    assert isinstance(answer, NotJudged) and answer.is_applicable
    run = new_run()
    trials(run)
    written(run, 100)
    answer = run.judge_by(rule)
    assert isinstance(answer, NotJudged) and not answer.is_applicable


@pytest.mark.parametrize(
    ("mode", "lines", "expected"),
    [("non-blocking", 500, None), ("blocking", 500, LIKELY), ("blocking", 3, HINT)],
)
def test_a_driver_that_blocks(made_run, mode, lines, expected):
    made_run.trial("steady", 0, 10)
    written(made_run, lines)
    assert certainty(made_run.judge_by(blocks_on_logging, container="app", log_mode=mode)) is (
        expected
    )


def test_a_run_that_does_not_tell_the_mode_is_not_judged(made_run):
    made_run.trial("steady", 0, 10)
    assert isinstance(made_run.judge_by(blocks_on_logging), NotJudged)


def test_awslogs_delivers_lines_that_are_no_json(made_run):
    trials(made_run)
    lines = written(made_run, 200)
    for line in lines[50:]:
        made_run.row("delivered_logs", t=2, destination="logs:/ecs/app:ecs/app/x", record=line)
    found = made_run.judge_by(loses_log_lines)
    assert certainty(found) is FACT
    assert made_run.judge_by(delivers_log_lines_twice) is None
    assert made_run.judge_by(splits_long_lines) is None


def test_a_message_of_several_lines_is_all_of_them(made_run):
    trials(made_run)
    lines = written(made_run, 200)
    for first in range(0, 200, 4):
        record = "\n".join(lines[first : first + 4]) + "\n"
        made_run.row("delivered_logs", t=2, destination="logs:/ecs/app:ecs/app/x", record=record)
    assert made_run.judge_by(loses_log_lines) is None
    assert made_run.judge_by(delivers_log_lines_twice) is None
