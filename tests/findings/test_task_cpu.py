from __future__ import annotations

import random

import pytest

from hikkoshi.evidence.queries import TaskSample
from hikkoshi.evidence.windows import Window
from hikkoshi.findings.rules import saturates_task_cpu as rule
from hikkoshi.model.findings import Certainty, NotJudged


def usage(run, t_start, t_end, share, *, task="t1", enforced=True, throttled=0.5, limit=0.5):
    """share: of the limit, a number or a function of time."""
    cpu = 3.0
    steps = round((t_end - t_start) * 2)
    for k in range(steps + 1):
        t = t_start + k / 2
        run.row(
            "task_usage",
            t=t,
            task=task,
            family="genba",
            cpu_s=cpu,
            cpu_limit_vcpu=limit,
            cpu_is_enforced=enforced,
            periods=k * 5,
            throttled_periods=int(k * 5 * throttled),
        )
        run.row("usage", t=t, task=task, family="genba", container="app", cpu_s=cpu * 0.8)
        run.row("usage", t=t, task=task, family="genba", container="router", cpu_s=cpu * 0.2)
        cpu += 0.5 * limit * (share(t) if callable(share) else share)


def first(answer):
    return answer[0].certainty if isinstance(answer, tuple) else answer


@pytest.mark.parametrize(
    ("share", "enforced", "throttled", "expected"),
    [
        (0.99, True, 0.5, Certainty.FACT),
        (0.955, True, 0.27, Certainty.FACT),
        (0.94, True, 0.5, None),
        (0.99, True, 0.2, None),  # busy, but not held back
        (1.3, False, 0.0, Certainty.FACT),
        (1.01, False, 0.0, Certainty.FACT),
        (0.98, False, 0.0, None),
    ],
)
def test_thresholds(made_run, share, enforced, throttled, expected):
    made_run.trial("steady", 10, 30)
    usage(made_run, 0, 35, share, enforced=enforced, throttled=throttled)
    assert first(made_run.judge_by(rule)) is expected


def test_the_finding_says_where_the_cpu_went_and_what_to_set(made_run):
    made_run.trial("steady", 10, 30)
    for task in ("t1", "t2"):
        usage(made_run, 0, 35, 1.4, task=task, enforced=False)
    (finding,) = made_run.judge_by(rule)
    assert finding.subject == "genba" and "140%" in finding.summary and "2 tasks" in finding.summary
    values = [row.value for row in finding.evidence]
    assert "4 s in steady" in values[0]
    assert values[1] == "112% of the task (0.56 cores)"
    # 0.7 cores at 70 % is 1 vCPU, or 4 tasks of 0.5.
    assert '"cpu": "1024"' in finding.advice[0] and "2048 to 8192" in finding.advice[0]
    assert "desiredCount 4 instead of 2" in finding.advice[1]


def test_overload_does_not_count(made_run):
    made_run.trial("steady", 10, 30)
    made_run.trial("overload", 30, 50)
    usage(made_run, 0, 55, lambda t: 1.5 if t >= 30 else 0.4, enforced=False)
    assert made_run.judge_by(rule) is None


def test_a_burst_of_two_windows_does_not_count(made_run):
    made_run.trial("soak", 10, 60)  # windows of 10 s
    usage(made_run, 0, 60, lambda t: 1.5 if 20 <= t < 40 else 0.3, enforced=False)
    assert made_run.judge_by(rule) is None


def test_the_start_of_a_task_does_not_count(made_run):
    made_run.trial("steady", 0, 10)
    made_run.row("task_events", t=0, task="t1", last_status="RUNNING")
    usage(made_run, 0, 10, lambda t: 1.9 if t < 4.5 else 0.5, enforced=False)
    assert not isinstance(made_run.judge_by(rule), tuple)


@pytest.mark.parametrize("seed", range(8))
def test_a_noisy_healthy_task_stays_clean(new_run, seed):
    rng = random.Random(seed)
    run = new_run()
    run.trial("steady", 10, 40)
    run.trial("soak", 40, 100)
    usage(run, 0, 100, lambda t: max(0.05, rng.gauss(0.7, 0.25)), enforced=False)
    assert run.judge_by(rule) is None


def test_without_samples_or_load_it_does_not_judge(new_run):
    run = new_run()
    run.trial("steady", 0, 20)
    assert isinstance(run.judge_by(rule), NotJudged)
    run = new_run()
    run.trial("overload", 0, 20)
    usage(run, 0, 20, 1.5)
    assert isinstance(run.judge_by(rule), NotJudged)


@pytest.mark.parametrize(
    ("length", "window"), [(3, 1.0), (5, 1.0), (20, 4.0), (100, 20.0), (900, 20.0)]
)
def test_windows_fit_the_trial(length, window):
    assert rule.window_length(length) == window


def test_samples_that_come_unevenly_still_make_windows():
    times = [0, 0.9, 2.1, 2.9, 4.2, 5.0, 6.05, 7.0]
    rows = [TaskSample(t, "a", "f", t * 0.5, 0.5, False, 0, 0) for t in times]
    slices = rule.cut(rows, 1.0)
    assert len(slices) >= 5
    assert all(piece.share == pytest.approx(1.0) for piece in slices)


@pytest.mark.parametrize(
    ("vcpu", "size"), [(0.2, 0.25), (0.5, 0.5), (0.51, 1.0), (9, 16.0), (17, None)]
)
def test_next_size(vcpu, size):
    assert rule.next_size(vcpu) == size


def test_a_trial_that_answers_long_after_its_load_is_cut_by_the_load():
    """A saturated service drains its backlog for as long again; windows of a fifth of that would
    be too few to convince."""
    samples = [
        TaskSample(t / 2, "a", "f", min(t / 2, 8.0) * 0.25, 0.25, True, t * 5, t * 5)
        for t in range(30)
    ]
    trial = Window("steady", 0.0, 14.0)
    found, _ = rule.saturations(samples, {"a": -1.0}, [trial], {trial: 6.0})
    assert [saturation.window_s for saturation in found] == [1.2]
    assert rule.saturations(samples, {"a": -1.0}, [trial], {})[0] == []


@pytest.mark.parametrize("every_s", [0.5, 0.7, 1.0, 1.3])
def test_a_quick_steady_is_judged_though_samples_come_late(made_run, every_s):
    """A busy machine samples less often than each 0.5 s; 6 s of the planned rate still suffice."""
    made_run.trial("steady", 10, 16)
    for k in range(int(10 / every_s)):
        made_run.row(
            "task_usage", t=8 + k * every_s, task="t1", family="genba", cpu_s=k * every_s * 0.1,
            cpu_limit_vcpu=0.5, cpu_is_enforced=True, periods=k, throttled_periods=0,
        )  # fmt: skip
    assert made_run.judge_by(rule) is None
