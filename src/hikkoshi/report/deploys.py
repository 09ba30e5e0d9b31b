"""The swap by scp beside the rolling deploy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.model.trials import Outcome, TrialResult
from hikkoshi.report.text import measured

OLD = "scp-swap"
NEW = "rolling-deploy"


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Comparison:
    old: str
    new: str
    rows: tuple[Row, ...]


def compare_deploys(trials: Sequence[TrialResult]) -> Comparison | None:
    """The measures that both trials have by the same name (downtime, requests failed, …), or None
    unless both were tried. The trials are named `scp-swap` and `rolling-deploy`."""
    by_name = {trial.name: trial for trial in trials if trial.outcome is not Outcome.NOT_TRIED}
    old, new = by_name.get(OLD), by_name.get(NEW)
    if old is None or new is None:
        return None
    others = {measure.name: measure for measure in new.measures}
    rows = tuple(
        Row(measure.name, measured(measure), measured(others[measure.name]))
        for measure in old.measures
        if measure.name in others
    )
    return Comparison(old.title or OLD, new.title or NEW, rows) if rows else None
