"""What is drawn under a finding: which charts over which time, a trace, a deadlock, a tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hikkoshi.evidence.blockers import Blocker, Waiting, deadlock_circle, worst_moment
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.timeline import Timeline
from hikkoshi.model.findings import Finding
from hikkoshi.report.trace_data import trace_of

_CONNECTIONS = ("connections", "rate")
_CPU = ("cpu", "latency")
_FILES = ("files",)
_MEMORY = ("memory",)
_LOAD = ("rate", "latency")
_LIFE = ("rate", "tasks")

CHARTS: dict[str, tuple[str, ...]] = {
    "opens-a-connection-for-each-request": _CONNECTIONS,
    "approaches-the-connection-limit": _CONNECTIONS,
    "holds-connections-idle-in-transaction": _CONNECTIONS,
    "waits-for-the-pool": ("connections", "latency"),
    "saturates-task-cpu": _CPU,
    "is-throttled": _CPU,
    "grows-in-memory": _MEMORY,
    "is-killed-for-memory": ("memory", "tasks"),
    "runs-out-of-file-descriptors": _FILES,
    "leaks-file-descriptors": _FILES,
    "drops-requests-on-stop": _LIFE,
    "ignores-sigterm": _LIFE,
    "does-not-reconnect-after-failover": ("rate", "connections"),
    "caches-dns-past-failover": ("rate", "connections"),
    "retries-without-limit": ("rate", "connections"),
    "fails-health-when-the-database-does": _LIFE,
    "collapses-past-the-knee": _LOAD,
    "queues-without-bound": _LOAD,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """charts: names of charts of the timeline; view: what part of it, in seconds since its start;
    shade: where the evidence lies."""

    charts: tuple[str, ...] = ()
    view: tuple[float, float] = (0.0, 0.0)
    shade: tuple[float, float] | None = None
    trace_id: str | None = None
    circle: tuple[Waiting, ...] = ()
    tree: tuple[Blocker, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.charts or self.trace_id or self.circle or self.tree)


def figure_of(
    finding: Finding, store: EvidenceStore, line: Timeline, drawn: set[str], traces: dict[str, Any]
) -> Figure:
    """drawn: the charts that have something to show."""
    if finding.rule == "repeats-a-query-for-each-row":
        return Figure(trace_id=trace_of(traces, _statements(finding)))
    if finding.rule == "deadlocks-under-load":
        found = deadlock_circle(store)
        return Figure(circle=found[1] if found else ())
    if finding.rule == "holds-locks-long":
        moment = worst_moment(store)
        return Figure(tree=moment[1] if moment else ())
    charts = tuple(name for name in CHARTS.get(finding.rule, ()) if name in drawn)
    view, shade = _window(finding, line)
    return Figure(charts=charts, view=view, shade=shade)


def _statements(finding: Finding) -> list[str]:
    """As pg_stat_statements tells them ($1) and as drivers do (%s)."""
    found = re.findall(r"^repeated: (.+)$", "\n".join(finding.details), re.MULTILINE)
    return found + [re.sub(r"\$\d+", "%s", text) for text in found]


def _window(
    finding: Finding, line: Timeline
) -> tuple[tuple[float, float], tuple[float, float] | None]:
    length = line.t_end - line.t_start
    starts = [e.t_start - line.t_start for e in finding.evidence if e.t_start]
    ends = [(e.t_end or e.t_start) - line.t_start for e in finding.evidence if e.t_start]
    if not starts or not all(0 <= t <= length for t in starts):
        return (0.0, round(length, 3)), None
    start, end = min(starts), min(length, max(*ends, *starts))
    rim = max(3.0, (end - start) * 0.5)
    return (
        (round(max(0.0, start - rim), 3), round(min(length, end + rim), 3)),
        (round(start, 3), round(max(end, start + 0.25), 3)),
    )
