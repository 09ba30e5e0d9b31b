"""What a deploy did to the requests that were sent through it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hikkoshi.evidence.store import EvidenceStore

GAP_S = 0.5
"""Failures no further apart than this are one stretch of downtime."""


@dataclass(frozen=True, slots=True)
class DeployFigures:
    sent: int
    unanswered: int
    """No answer at all, or the load balancer's own 502, 503 or 504."""
    downtime_s: float
    p99_s: float | None


def deploy_figures(store: EvidenceStore, trial: str) -> DeployFigures | None:
    """Counted over all requests of the trial; None when it sent none."""
    rows = store.rows(
        """
        SELECT count(*), quantile_cont(latency_s, 0.99),
               list_sort(list(t_intended + coalesce(latency_s, 0)) FILTER (
                   status IS NULL OR status IN (0, 502, 503, 504)))
        FROM requests WHERE trial = ?
        """,
        [trial],
    )
    sent, p99, failures = rows[0]
    if not sent:
        return None
    failed = [float(t) for t in failures or []]
    return DeployFigures(int(sent), len(failed), downtime(failed), p99)


def downtime(failures: list[float], gap_s: float = GAP_S) -> float:
    """Seconds from the first to the last failure of each stretch, added up. `failures`: sorted."""
    total = 0.0
    for earlier, later in pairwise(failures):
        if later - earlier <= gap_s:
            total += later - earlier
    return total
