from __future__ import annotations

import re

import pytest

from hikkoshi.findings.rules import runs_out_of_file_descriptors as rule
from hikkoshi.model.findings import Certainty, NotJudged


def files(run, t_start, t_end, count, *, limit=65535, container="app", task="t1"):
    for k in range(round((t_end - t_start) * 2) + 1):
        t = t_start + k / 2
        run.row(
            "usage",
            t=t,
            task=task,
            container=container,
            open_files=int(count(t)),
            open_files_limit=limit,
        )


def certainty(answer):
    return answer[0].certainty if isinstance(answer, tuple) else answer


@pytest.mark.parametrize(
    ("line", "is_exhausted"),
    [
        ("OSError: [Errno 24] Too many open files: '/srv/photo'", True),
        ("accept tcp [::]:8080: accept4: too many open files", True),
        ("Error: EMFILE: too many open files, open 'x'", True),
        ("2020/11/23 [alert] accept4() failed (24: Too many open files)", True),
        ("connect errno=24", True),
        ("request took 24 ms, errno 240", False),
        ("opened many files", False),
        ("femfiles", False),
    ],
)
def test_what_runtimes_write(line, is_exhausted):
    assert bool(re.search(rule.EXHAUSTED, line)) is is_exhausted


def test_a_log_line_is_a_fact_and_blames_its_container(made_run):
    made_run.trial("steady", 0, 20)
    files(made_run, 0, 20, lambda t: 30)
    files(made_run, 0, 20, lambda t: 12, container="log_router")
    for t in (4, 5):
        made_run.row(
            "logs",
            t=t,
            task="t1",
            container="app",
            stream="stderr",
            line="OSError: [Errno 24] Too many open files",
        )
    (finding,) = made_run.judge_by(rule)
    assert (finding.subject, finding.certainty) == ("app", Certainty.FACT)
    assert "2 log lines" in finding.summary and "Errno 24" in finding.details[0]
    assert any('"nofile"' in advice for advice in finding.advice)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1023, Certainty.LIKELY),
        (973, Certainty.LIKELY),
        (972, Certainty.HINT),
        (820, Certainty.HINT),
        (819, None),
        (200, None),
    ],
)
def test_share_of_the_limit(made_run, most, expected):
    made_run.trial("steady", 0, 20)
    files(made_run, 0, 20, lambda t: most if t > 1 else 20, limit=1024)
    assert certainty(made_run.judge_by(rule)) is expected


def test_without_counts_it_does_not_judge(new_run):
    run = new_run()
    run.trial("steady", 0, 20)
    assert isinstance(run.judge_by(rule), NotJudged)
    run = new_run()
    run.row("logs", t=1, task="t1", container="app", line="all is well")
    assert isinstance(run.judge_by(rule), NotJudged)


def test_what_the_old_home_does_beside_is_not_blamed_on_the_new(made_run):
    made_run.trial("steady", 0, 10)
    made_run.trial("scp-swap", 10, 20)
    files(made_run, 0, 20, lambda t: 64 if t >= 10 else 20, limit=64)
    made_run.row("logs", t=15, task="old", container="app", line="Too many open files")
    assert made_run.judge_by(rule) is None
