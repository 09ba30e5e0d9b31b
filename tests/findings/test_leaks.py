"""What grows through the load and is not given back: open files and memory."""

from __future__ import annotations

import random

import pytest

from hikkoshi.findings.rules import grows_in_memory, is_killed_for_memory
from hikkoshi.findings.rules import leaks_file_descriptors as rule
from hikkoshi.model.findings import Certainty, NotJudged

MIB = 1 << 20


def files(run, t_start, t_end, count, **columns):
    for k in range(round((t_end - t_start) * 2) + 1):
        t = t_start + k / 2
        made = {"open_files": int(count(t)), "open_files_limit": 65535}
        run.row("usage", t=t, task="t1", container="app", **(columns or made))


def memory(run, t_start, t_end, mib, task="t1"):
    for k in range(round((t_end - t_start) * 2) + 1):
        t = t_start + k / 2
        run.row("usage", t=t, task=task, container="app", memory_bytes=int(mib(t) * MIB))


def test_a_leak_that_stays_is_a_fact_far_below_the_limit(made_run):
    made_run.trial("soak", 0, 20)
    files(made_run, 0, 30, lambda t: 30 + min(t, 20) * 5)
    (finding,) = made_run.judge_by(rule)
    assert finding.certainty is Certainty.FACT
    assert "does not close" in finding.summary
    assert "130 still open when the load was over" in finding.evidence[-1].value


def test_what_closes_after_the_load_is_no_leak(made_run):
    made_run.trial("soak", 0, 20)
    files(made_run, 0, 30, lambda t: 30 + t * 5 if t <= 20 else 32)
    assert made_run.judge_by(rule) is None


@pytest.mark.parametrize("seed", range(8))
def test_a_noisy_pool_that_fills_up_is_no_leak(new_run, seed):
    rng = random.Random(seed)
    run = new_run()
    run.trial("steady", 0, 20)
    run.trial("soak", 20.5, 50)
    files(run, 0, 60, lambda t: 30 + min(t, 4) * 15 + rng.randrange(25))
    assert run.judge_by(rule) is None


def requests_at_work(run, t_start, t_end, count):
    run.row("task_events", t=0, task="t1", last_status="RUNNING", address="10.0.1.3")
    for k in range(round((t_end - t_start) * 2) + 1):
        t = t_start + k / 2 + 0.2
        run.row("balancer", t=t, target_group="g", target="10.0.1.3:8080", at_work=int(count(t)))


@pytest.mark.parametrize("files_each", [1, 2])
def test_requests_that_hang_are_no_leak(made_run, files_each):
    """They pile up through the trial, and hang on when the load is over."""
    made_run.trial("soak", 0, 20)
    made_run.trial("failover", 40, 60)
    at_work = lambda t: min(t, 20) * 5  # noqa: E731
    requests_at_work(made_run, 0, 30, at_work)
    files(made_run, 0, 30, lambda t: 30 + files_each * at_work(t))
    assert made_run.judge_by(rule) is None


@pytest.mark.parametrize("at_work", [lambda t: 4, lambda t: 60 - 2 * t, lambda t: min(t, 20) * 2])
def test_a_leak_beside_requests_at_work_is_a_fact(made_run, at_work):
    made_run.trial("soak", 0, 20)
    requests_at_work(made_run, 0, 20, at_work)
    files(made_run, 0, 30, lambda t: 30 + min(t, 20) * 10)
    (finding,) = made_run.judge_by(rule)
    assert finding.certainty is Certainty.FACT


def test_a_burst_that_passes_is_no_leak(made_run):
    made_run.trial("soak", 0, 20)
    requests_at_work(made_run, 0, 20, lambda t: 100 - 5 * t)
    files(made_run, 0, 30, lambda t: 130 - 5 * min(t, 20))
    assert made_run.judge_by(rule) is None


def test_overload_may_open_many(made_run):
    made_run.trial("steady", 0, 20)
    made_run.trial("overload", 20, 40)
    files(made_run, 0, 50, lambda t: 30 + max(0, t - 20) * 20)
    assert made_run.judge_by(rule) is None


def test_a_leak_that_no_quiet_time_follows_is_likely(made_run):
    made_run.trial("soak", 0, 20)
    made_run.trial("kill-task", 20, 40)
    files(made_run, 0, 20, lambda t: 30 + t * 5)
    (finding,) = made_run.judge_by(rule)
    assert finding.certainty is Certainty.LIKELY


@pytest.mark.parametrize("which", [rule, grows_in_memory])
def test_without_samples_growth_is_not_judged(made_run, which):
    made_run.trial("steady", 0, 20)
    assert isinstance(made_run.judge_by(which), NotJudged)


def test_memory_that_goes_on_growing_is_a_fact(made_run):
    made_run.trial("steady", 0, 20)
    made_run.trial("soak", 20, 50)
    made_run.row("task_usage", t=1, task="t1", memory_limit_bytes=512 * MIB)
    memory(made_run, 0, 50, lambda t: 60 + 2 * t)
    (finding,) = made_run.judge_by(grows_in_memory)
    assert finding.certainty is Certainty.FACT
    assert "2.00 MiB a second" in finding.summary and "minutes" in finding.summary


@pytest.mark.parametrize(
    "mib",
    [
        lambda t: 60 + min(t, 5) * 10,  # a cache that fills up
        lambda t: 60 + 8 * (t % 4),  # a collector at work
        lambda t: 60 + t * 0.2,  # too little to tell
        lambda t: 60 + t * 2 if t < 20 else 62,  # given back
    ],
)
def test_memory_that_settles_is_no_growth(made_run, mib):
    made_run.trial("steady", 0, 20)
    memory(made_run, 0, 30, mib)
    assert made_run.judge_by(grows_in_memory) is None


def test_a_kill_for_memory_is_a_fact(made_run):
    made_run.trial("steady", 0, 20)
    made_run.row("task_usage", t=1, task="t1", memory_limit_bytes=512 * MIB)
    memory(made_run, 0, 5, lambda t: 500)
    for t in (5, 9):
        made_run.row(
            "container_ends", t=t, task="t1", container="app", exit_code=137,
            is_out_of_memory=True, is_essential=True,
        )  # fmt: skip
    (finding,) = made_run.judge_by(is_killed_for_memory)
    assert finding.certainty is Certainty.FACT
    assert "2 times" in finding.summary
    assert "500 MiB" in finding.evidence[1].value


@pytest.mark.parametrize(("used", "is_found"), [(600, True), (500, False)])
def test_where_nothing_enforces_the_limit_the_sum_tells(made_run, used, is_found):
    made_run.trial("steady", 0, 20)
    made_run.row(
        "task_usage", t=1, task="t1", family="app", memory_bytes=used * MIB,
        memory_limit_bytes=512 * MIB, memory_is_enforced=False,
    )  # fmt: skip
    assert bool(made_run.judge_by(is_killed_for_memory)) is is_found


def test_a_crash_is_no_kill_for_memory(made_run):
    made_run.trial("steady", 0, 20)
    made_run.row("task_usage", t=1, task="t1", memory_limit_bytes=512 * MIB)
    made_run.row("container_ends", t=5, task="t1", container="app", exit_code=137,
                 is_out_of_memory=False)  # fmt: skip
    assert made_run.judge_by(is_killed_for_memory) is None
