from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hikkoshi.base.clock import FakeClock
from hikkoshi.evidence.build import build_store
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.evidence.windows import windows_of

T0 = 1_606_104_000.0


class MadeRun:
    """Rows of a made-up run; `judge_by` builds the real store from them and asks one rule.

    Times are seconds since T0.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.recorder = JsonlRecorder(directory / "rows", FakeClock(T0))

    def row(self, table: str, **columns: Any) -> None:
        for name in columns:
            if name == "t" or (name.startswith("t_") and columns[name] is not None):
                columns[name] = T0 + columns[name]
        self.recorder.record(table, **columns)

    def trial(self, name: str, t_start: float, t_end: float) -> None:
        self.row("trials", name=name, t_start=t_start, t_end=t_end, outcome="held")

    def requests(self, trial: str, t_start: float, t_end: float, rate: float) -> None:
        for k in range(round((t_end - t_start) * rate)):
            t = t_start + k / rate
            self.row("requests", trial=trial, t_intended=t, t_sent=t, latency_s=0.01, status=200)

    def store(self, **meta: str):
        self.recorder.close()
        return build_store(
            [self.directory / "rows"], [], self.directory / "e.duckdb", service="genba", meta=meta
        )

    def judge_by(self, rule: Any, **meta: str):
        with self.store(**meta) as store:
            return rule.judge(store, windows_of(store))


@pytest.fixture
def made_run(tmp_path: Path):
    run = MadeRun(tmp_path)
    yield run
    run.recorder.close()


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[[], MadeRun]:
    numbers = iter(range(1000))
    return lambda: MadeRun(tmp_path / str(next(numbers)))
