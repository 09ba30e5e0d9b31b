"""What every trial is given."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hikkoshi.model.evidence import Recorder
from hikkoshi.model.project import Limits, Project
from hikkoshi.model.trials import Measure, Outcome, Progress, TrialResult
from hikkoshi.trials.home import NewHome
from hikkoshi.trials.pace import Pace


@dataclass
class Context:
    """`load_files` grows: each load that a trial sends leaves its results there.
    `kept_rate`: the highest rate, in requests a second, at which the limits were seen to hold."""

    home: NewHome
    project: Project
    pace: Pace
    recorder: Recorder
    progress: Progress
    directory: Path
    load_files: list[Path] = field(default_factory=list)
    kept_rate: float | None = None

    @property
    def limits(self) -> Limits:
        return self.project.settings.limits


def result(
    name: str,
    title: str,
    t_start: float,
    outcome: Outcome,
    reason: str,
    measures: Sequence[Measure] = (),
    notes: Sequence[str] = (),
) -> TrialResult:
    return TrialResult(
        name, title, outcome, reason, t_start, time.time(), tuple(measures), tuple(notes)
    )
