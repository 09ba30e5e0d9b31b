"""Connections at the planned rate, multiplied by the most tasks, against the database's limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hikkoshi.evidence import database, queries
from hikkoshi.evidence.engines import engine_of
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows
from hikkoshi.findings.numbers import measured, service_of, whole_number
from hikkoshi.findings.rule import PLANNED, Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "approaches-the-connection-limit"
TITLE = "Comes near the database's limit of connections"
APPLIES = Applies((Need.DATABASE, Need.LOAD), PLANNED)

# facts/observability.md: 80 % of the usable connections warns, 100 % is critical.
HINT_SHARE = 0.80
FULL_SHARE = 1.0


@dataclass(frozen=True, slots=True)
class Sum:
    """The arithmetic of one window. refused: connections that the server turned away in it."""

    window: Window
    peak: int
    tasks: int
    most_tasks: int
    limit: int
    refused: int
    reserved: int = 3

    @property
    def usable(self) -> int:
        return self.limit - self.reserved

    @property
    def per_task(self) -> int:
        return math.ceil(self.peak / self.tasks)

    @property
    def projected(self) -> int:
        return self.per_task * max(self.most_tasks, self.tasks)

    @property
    def certainty(self) -> Certainty | None:
        if self.refused or self.peak >= FULL_SHARE * self.usable:
            return Certainty.FACT
        if self.projected >= FULL_SHARE * self.usable:
            return Certainty.LIKELY
        return Certainty.HINT if self.projected >= HINT_SHARE * self.usable else None


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    limit = database.connection_limit(evidence)
    sums = [found for window in windows.planned if (found := _sum(evidence, window, limit))]
    if not sums:
        return NotJudged(NAME, "connections and tasks were not sampled during steady or soak")
    worst = max(sums, key=lambda one: (one.refused, one.projected))
    level = worst.certainty
    if level is None:
        return None
    state, _ = engine_of(evidence).states["too_many_connections"]
    arithmetic = (
        f"{worst.peak} connections / {worst.tasks} tasks = {worst.per_task} a task; "
        f"{worst.per_task} × {max(worst.most_tasks, worst.tasks)} tasks = {worst.projected} "
        f"of {worst.usable}"
    )
    numbers = [
        measured(
            "peak per task × most tasks at once (desiredCount × maximumPercent)",
            arithmetic,
            f"{FULL_SHARE:.0%} of max_connections {worst.limit}"
            + (f" less {worst.reserved} reserved" if worst.reserved else "")
            + f" is likely, {HINT_SHARE:.0%} a hint; reached or refused is a fact",
            worst.window,
        ),
        measured(f"connections refused (SQLSTATE {state})", worst.refused, 0, worst.window),
    ]
    return Finding(
        NAME,
        level,
        service_of(evidence),
        f"With as many tasks as a deploy may start, the service needs {worst.projected} of the "
        f"{worst.usable} connections that the database has for it"
        + (f"; {worst.refused} were refused already." if worst.refused else "."),
        tuple(numbers),
        _advice(worst, engine_of(evidence).name),
    )


def _sum(evidence: EvidenceStore, window: Window, limit: int | None) -> Sum | None:
    peak = max((one.connections for one in database.activity(evidence, window)), default=0)
    tasks = database.tasks_at_once(evidence, window)
    if not limit or not tasks:
        return None
    most = whole_number(evidence, "maximum_tasks") or tasks
    refused = queries.database_log(evidence, "too_many_connections", window)
    reserved = engine_of(evidence).reserved
    return Sum(window, peak, tasks, most, limit, len(refused), reserved)


_RAISE = {
    "postgresql": (
        "Or raise max_connections in the cluster's parameter group (each connection costs memory: "
        "about 10 MB), or put RDS Proxy between."
    ),
    "mysql": (
        "Or raise max_connections in the parameter group (Aurora MySQL derives it from the "
        "instance's memory; each connection has buffers of its own: sort_buffer_size, "
        "join_buffer_size, tmp_table_size), or put RDS Proxy between."
    ),
}


def _advice(worst: Sum, engine: str) -> tuple[str, ...]:
    fits = max(1, int(HINT_SHARE * worst.usable) // max(worst.most_tasks, worst.tasks))
    return (
        f"Set the pool's maximum to at most {fits} a task in all its processes: {fits} × "
        f"{max(worst.most_tasks, worst.tasks)} tasks stays under {HINT_SHARE:.0%} of "
        f"{worst.usable}.",
        _RAISE[engine],
        "Or lower deploymentConfiguration.maximumPercent, so that fewer tasks run at once.",
    )
