"""Schedules and alerts: the decisions by table, the command against a real server and webhook."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.synthetic.alerts import teller
from hikkoshi.synthetic.definition import SyntheticTest
from hikkoshi.synthetic.run import State, SyntheticResult
from hikkoshi.synthetic.watch import after_run, begin, next_due

OK, DEGRADED, FAILED, UNTRIED = State.OK, State.DEGRADED, State.FAILED, State.NOT_TRIED


def turns(states: list[State], alert_after_s: float = 0.0) -> list[str | None]:
    test = SyntheticTest("t", (), "t.yaml:1", every_s=60.0, alert_after_s=alert_after_s)
    schedule = begin((test,), 30.0, 1000.0)
    told = []
    for state in states:
        _, due = next_due(schedule)
        result = SyntheticResult("t", state, "why", (), 1, due, due + 1, "t.yaml:1")
        schedule, alert = after_run(schedule, 0, test, result)
        told.append(alert.turn.value if alert else None)
    return told


@pytest.mark.parametrize(
    ("states", "after_s", "told"),
    [
        ([OK, FAILED, FAILED, OK, OK], 0, [None, "failing", None, "recovered", None]),
        ([FAILED, FAILED, FAILED, OK], 100, [None, None, "failing", "recovered"]),
        ([FAILED, OK, FAILED, OK], 100, [None, None, None, None]),
        ([DEGRADED, DEGRADED, FAILED, OK], 0, ["degraded", None, "failing", "recovered"]),
        ([FAILED, DEGRADED, OK], 0, ["failing", "recovered", None]),
        ([FAILED, UNTRIED, FAILED], 0, ["failing", None, None]),
        ([UNTRIED, OK], 0, [None, None]),
    ],
)
def test_an_alert_is_told_once(states: list[State], after_s: float, told: list[str | None]) -> None:
    assert turns(states, after_s) == told


def test_runs_that_were_missed_are_not_made_up_for() -> None:
    test = SyntheticTest("t", (), "t.yaml:1", every_s=10.0)
    schedule = begin((test,), 30.0, 1000.0)
    late = SyntheticResult("t", OK, "", (), 1, 1000.0, 1034.0, "t.yaml:1")
    schedule, _ = after_run(schedule, 0, test, late)
    assert next_due(schedule) == (0, 1040.0)


def test_alerts_go_to_a_webhook_of_the_environment(service: Any) -> None:
    with pytest.raises(BadInput, match="HOOK is not in the environment"):
        teller("env:HOOK", {})
    try:
        import apprise  # noqa: F401
    except ImportError:
        with pytest.raises(CannotRun, match="need apprise"):
            teller("slack://a/b/c", {})
    else:
        with pytest.raises(BadInput, match="apprise"):
            teller("nothing://", {})


def test_the_command_watches_alerts_and_ends(service: Any, tmp_path: Path) -> None:
    tests = tmp_path / "tests.yaml"
    tests.write_text("tests:\n  - name: flaky\n    request: GET /flaky\n    every: 100ms\n")
    service.failures_left = 2
    command = [sys.executable, "-m", "hikkoshi.cli.main", "synthetic", "watch", str(tests)]
    command += ["--base-url", service.url, "--json", "--for", "20s", "--alert", "env:HOOK"]
    env = {**os.environ, "HOOK": f"{service.url}/reports"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told: list[Any] = []
        deadline = time.monotonic() + 15
        while [each["turn"] for each in told] != ["failing", "recovered"]:
            assert time.monotonic() < deadline, told
            line = json.loads(process.stdout.readline())
            told += [line] if line["kind"] == "alert" else []
        while len(service.reports) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(10) == 130
    assert [each["turn"] for each in service.reports.values()] == ["failing", "recovered"]
    assert "came 503" in service.reports[1]["text"]
