"""The swap by scp beside the rolling deploy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.evidence.deploys import GAP_S, DeployFigures, deploy_figures
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.model.trials import Outcome, TrialResult
from hikkoshi.report.text import quantity

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
    gap_s: float = GAP_S


def compare_deploys(trials: Sequence[TrialResult], store: EvidenceStore) -> Comparison | None:
    """Both counted alike, from the requests of the trials `scp-swap` and `rolling-deploy`; None
    unless both were tried."""
    by_name = {trial.name: trial for trial in trials if trial.outcome is not Outcome.NOT_TRIED}
    if OLD not in by_name or NEW not in by_name:
        return None
    old, new = deploy_figures(store, OLD), deploy_figures(store, NEW)
    if old is None or new is None:
        return None
    rows = tuple(
        Row(label, quantity(value(old), unit), quantity(value(new), unit))
        for label, value, unit in _FIGURES
    )
    return Comparison(by_name[OLD].title or OLD, by_name[NEW].title or NEW, rows)


def _sent(figures: DeployFigures) -> float | None:
    return figures.sent


def _unanswered(figures: DeployFigures) -> float | None:
    return figures.unanswered


def _downtime(figures: DeployFigures) -> float | None:
    return figures.downtime_s


def _p99(figures: DeployFigures) -> float | None:
    return figures.p99_s


_FIGURES = (
    ("downtime", _downtime, "s"),
    ("requests without an answer", _unanswered, ""),
    ("requests sent", _sent, ""),
    ("p99 latency", _p99, "s"),
)
