"""Tasks that the scheduler stops for part of each 100 ms although they are idle on average."""

from __future__ import annotations

from itertools import groupby

from hikkoshi.evidence import queries
from hikkoshi.evidence.queries import TaskSample
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows
from hikkoshi.findings.numbers import measured
from hikkoshi.findings.rule import PLANNED, Applies, Need
from hikkoshi.model.evidence import SETTLING_S
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "is-throttled"
TITLE = "The task is throttled in bursts"
APPLIES = Applies((Need.LOAD,), PLANNED)

# facts/observability.md, own cut for saturation: 25 % of the periods. Bursts alone: a fact from 50.
LIKELY_SHARE = 0.25
FACT_SHARE = 0.50
LEAST_PERIODS = 20


def throttled_in(
    samples: list[TaskSample], t_started: float, window: Window
) -> tuple[float, int] | None:
    """Pure: (share of periods throttled, periods) of one task; None for too few."""
    within = [
        one
        for one in samples
        if max(window.t_start, t_started + SETTLING_S) <= one.t <= window.t_end
    ]
    if len(within) < 2:
        return None
    periods = within[-1].periods - within[0].periods
    if periods < LEAST_PERIODS:
        return None
    return (within[-1].throttled_periods - within[0].throttled_periods) / periods, periods


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    samples = queries.task_samples(evidence)
    if not samples:
        return NotJudged(NAME, "no task was sampled")
    if not any(one.is_enforced for one in samples):
        return NotJudged(
            NAME, "this machine measures CPU limits and does not enforce them", is_applicable=False
        )
    starts = queries.task_starts(evidence)
    worst: dict[str, tuple[float, int, Window, float]] = {}
    is_judged = False
    for task, group in groupby(samples, lambda one: one.task):
        rows = list(group)
        for window in windows.planned:
            seen = throttled_in(rows, starts.get(task, float("-inf")), window)
            if seen is None:
                continue
            is_judged = True
            family = rows[0].family or task
            if seen[0] >= LIKELY_SHARE and seen[0] > worst.get(family, (0.0,))[0]:
                worst[family] = (*seen, window, rows[0].limit_vcpu)
    if worst:
        return tuple(_finding(family, *seen) for family, seen in worst.items())
    if not is_judged:
        return NotJudged(NAME, f"steady and soak had no task past its first {SETTLING_S:.0f} s")
    return None


def _finding(family: str, share: float, periods: int, window: Window, vcpu: float) -> Finding:
    return Finding(
        NAME,
        Certainty.FACT if share >= FACT_SHARE else Certainty.LIKELY,
        family,
        f"{family} was stopped by its CPU limit in {share:.0%} of the scheduler's periods at the "
        "planned rate: each costs a request up to 100 ms.",
        (
            measured(
                "periods throttled",
                f"{share:.0%} of {periods}, at {vcpu:g} vCPU",
                f"{FACT_SHARE:.0%} is a fact, {LIKELY_SHARE:.0%} is likely",
                window,
            ),
        ),
        (
            "Start no more threads or processes that compute than the task has vCPU: GOMAXPROCS "
            "(Go 1.25 reads the limit by itself), gunicorn --workers, UV_THREADPOOL_SIZE, "
            "-XX:ActiveProcessorCount.",
            "Spread work that comes in bursts: timers with jitter, batches in a task of their own.",
            'Or take the next size: a larger "cpu" in the task definition.',
        ),
    )
