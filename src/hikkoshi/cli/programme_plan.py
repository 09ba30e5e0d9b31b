"""What a rehearsal is asked for, checked before anything is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hikkoshi.cli.database_choice import refuse_database
from hikkoshi.load.targets import load_targets
from hikkoshi.model.project import Project
from hikkoshi.model.timers import Timers
from hikkoshi.project.load import load_project
from hikkoshi.synthetic.reading import load_tests
from hikkoshi.trials.names import choose
from hikkoshi.trials.pace import Pace


@dataclass(frozen=True)
class Plan:
    """What was asked for, checked; nothing has been started."""

    project: Project
    trials: tuple[str, ...]
    pace: Pace
    timers: Timers
    keep: bool


def make_plan(
    directory: Path,
    *,
    quick: bool,
    only: Sequence[str],
    skip: Sequence[str],
    keep: bool,
    texts: Mapping[str, str] | None = None,
) -> Plan:
    """Everything that can be refused is refused here. texts: as for `load_project`."""
    trials = choose(only, skip)
    project = load_project(directory, texts or {})
    settings = project.settings
    if settings.load is not None:
        load_targets(directory / settings.load.targets)
    if settings.synthetic is not None:
        load_tests(directory / settings.synthetic)
    refuse_database(project)
    pace = Pace.quick() if quick else Pace.full()
    return Plan(project, trials, pace, Timers.for_rehearsal(), keep)
