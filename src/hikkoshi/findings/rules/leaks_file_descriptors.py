"""Open files that grow through the load and are not closed after it."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import groupby

from hikkoshi.evidence import occasions, queries
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import (
    STILL_HELD_SHARE,
    Growth,
    Leak,
    growth_in,
    measured,
    quiet_after,
)
from hikkoshi.findings.rule import PLANNED, Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "leaks-file-descriptors"
TITLE = "Leaks file descriptors"
APPLIES = Applies((Need.LOAD,), PLANNED)

# Own cuts: a pool or keep-alive fills up once and stays.
LEAK = Leak(step=3.0, growth=20.0, share=0.10)
# A request at work holds its own connection, and may hold one to what it waits for.
FILES_A_REQUEST = 2
# Twice the time between two counts of the load balancer.
SKEW_S = 1.0


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    samples = [one for one in queries.file_samples(evidence) if not windows.is_foreign(one.t)]
    if not windows.planned or not samples:
        return NotJudged(NAME, "open files were not counted during steady or soak")
    grown: dict[str, list[Growth]] = {}
    at_work = occasions.at_work(evidence)
    for (task, container), group in groupby(samples, lambda one: (one.task, one.container)):
        series = [(one.t, float(one.open_files)) for one in group]
        idle = without_requests(series, at_work.get(task, ()))
        for trial in windows.planned:
            quiet = quiet_after(trial, windows.trials)
            found = growth_in(series, trial, quiet, LEAK)
            # Requests that hang pile up as a leak does, and hold their sockets after the load.
            if found and growth_in(idle, trial, quiet, LEAK):
                grown.setdefault(container, []).append(found)
    return tuple(_finding(name, found) for name, found in grown.items()) or None


def without_requests(
    series: Sequence[tuple[float, float]], at_work: Sequence[tuple[float, int]]
) -> list[tuple[float, float]]:
    """Pure: the open files that requests at work do not explain. Of the counts within SKEW_S the
    largest is taken."""
    times = [t for t, _ in at_work]
    left = []
    for t, files in series:
        near = at_work[bisect(times, t - SKEW_S) : bisect(times, t + SKEW_S)]
        requests = max((count for _, count in near), default=0)
        left.append((t, max(0.0, files - FILES_A_REQUEST * requests)))
    return left


def _finding(container: str, found: list[Growth]) -> Finding:
    worst = max(found, key=lambda growth: growth.growth)
    trials = {growth.window.name for growth in found}
    # Still open when the load was over, or grown in one trial after another: no pool does that.
    is_sure = any(growth.is_held for growth in found) or len(trials) > 1
    after = (
        f"; {worst.least_after:.0f} still open when the load was over"
        if worst.least_after is not None
        else "; no quiet time followed to see whether they are closed"
    )
    return Finding(
        NAME,
        Certainty.FACT if is_sure else Certainty.LIKELY,
        container,
        f"{container} keeps opening files that it does not close: "
        f"{worst.growth:.0f} more within {worst.window.name}.",
        (
            measured(
                f"growth of open files during {worst.window.name}",
                " → ".join(f"{value:.0f}" for value in worst.medians) + after,
                f"growth in each quarter, ≥ {LEAK.growth:.0f} in all, ≥ {STILL_HELD_SHARE:.0%} "
                "still open after; a fact when they stay or a second trial goes on",
                worst.window,
            ),
        ),
        (
            "Close what is opened on every path: with open(…) and contextlib.closing in Python, "
            "defer f.Close() and defer resp.Body.Close() in Go, try/finally or stream.pipeline in "
            "Node.",
            "Make HTTP clients and pools once, not for each request: each keeps its sockets open.",
            "See which they are: ls -l /proc/1/fd inside the container "
            "(aws ecs execute-command …).",
        ),
    )
