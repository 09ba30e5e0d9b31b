from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hikkoshi.trials import watch


@pytest.mark.parametrize(
    ("ages", "expected_s"),
    [
        ((10.0, 0.5), 2.5),  # the youngest counts
        ((10.0, 4.0), 0.0),
        ((-30.0,), 3.0),  # a clock that is ahead does not hold the trial for longer
        ((), 0.0),
    ],
)
def test_a_trial_waits_for_tasks_that_start_up(monkeypatch, ages, expected_s):
    slept = []
    monkeypatch.setattr(watch.time, "time", lambda: 1000.0)
    monkeypatch.setattr(watch.time, "sleep", slept.append)
    tasks = [{"startedAt": datetime.fromtimestamp(1000.0 - age, UTC)} for age in ages]
    monkeypatch.setattr(watch, "running_tasks", lambda home: [*tasks, {"lastStatus": "RUNNING"}])
    watch.wait_settled(None)
    assert sum(slept) == pytest.approx(expected_s)
