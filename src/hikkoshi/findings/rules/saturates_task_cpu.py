"""CPU of a task against its limit, at the planned rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from hikkoshi.evidence import queries
from hikkoshi.evidence.queries import TaskSample
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows
from hikkoshi.fargate.sizes import VALID_CPUS, describe_sizes
from hikkoshi.findings.rule import PLANNED, Applies, Need
from hikkoshi.model.evidence import SETTLING_S
from hikkoshi.model.findings import Certainty, Evidence, Finding, NotJudged

NAME = "saturates-task-cpu"
TITLE = "The task's CPU is saturated at the planned rate"
APPLIES = Applies((Need.LOAD,), PLANNED)

# facts/observability.md, own cuts: ≥ 95 % over three windows of 20 s and ≥ 25 % throttled periods.
ENFORCED_SHARE = 0.95
THROTTLED_SHARE = 0.25
CONSECUTIVE = 3
LONG_WINDOW_S = 20.0
# Own cut: a trial shorter than 100 s is cut in five, but a window under 1 s is noise.
WINDOWS_A_TRIAL = 5
SHORTEST_WINDOW_S = 1.0
# Where nothing enforces the limit, the task shows its true need: over it is over it.
UNENFORCED_SHARE = 1.0
# Own cut: a task that runs at more than this share has no room for a deploy or a lost neighbour.
TARGET_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Slice:
    """One window of one task: share of its limit used, share of its periods throttled."""

    t_start: float
    t_end: float
    used_vcpu: float
    limit_vcpu: float
    throttled: float
    is_enforced: bool

    @property
    def share(self) -> float:
        return self.used_vcpu / self.limit_vcpu

    @property
    def is_over(self) -> bool:
        if self.is_enforced:
            return self.share >= ENFORCED_SHARE and self.throttled >= THROTTLED_SHARE
        return self.share >= UNENFORCED_SHARE


@dataclass(frozen=True, slots=True)
class Saturation:
    task: str
    family: str
    trial: str
    window_s: float
    slices: tuple[Slice, ...]

    @property
    def share(self) -> float:
        return sum(s.share for s in self.slices) / len(self.slices)

    @property
    def used_vcpu(self) -> float:
        return sum(s.used_vcpu for s in self.slices) / len(self.slices)


def window_length(sending_s: float) -> float:
    """By how long the trial sent: an overloaded one goes on answering long after."""
    return min(LONG_WINDOW_S, max(SHORTEST_WINDOW_S, sending_s / WINDOWS_A_TRIAL))


def cut(samples: Sequence[TaskSample], window_s: float) -> tuple[Slice, ...]:
    """Consecutive windows of one task's samples, each as near to window_s as the samples allow."""
    slices: list[Slice] = []
    first = samples[0] if samples else None
    for before, sample in pairwise(samples):
        assert first is not None
        # The next sample would be farther from window_s than this one: a busy machine's come late.
        if sample.t - first.t < window_s - (sample.t - before.t) / 2:
            continue
        periods = sample.periods - first.periods
        throttled = sample.throttled_periods - first.throttled_periods
        if sample.cpu_s >= first.cpu_s:
            slices.append(
                Slice(
                    first.t,
                    sample.t,
                    (sample.cpu_s - first.cpu_s) / (sample.t - first.t),
                    sample.limit_vcpu,
                    throttled / periods if periods > 0 else 0.0,
                    sample.is_enforced,
                )
            )
        first = sample
    return tuple(slices)


def longest_run(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    runs = [tuple(run) for is_over, run in groupby(slices, lambda s: s.is_over) if is_over]
    return max(runs, key=len, default=())


def saturations(
    samples: Sequence[TaskSample],
    starts: Mapping[str, float],
    trials: Sequence[Window],
    sending_s: Mapping[Window, float],
) -> tuple[list[Saturation], bool]:
    """Pure: (each task and trial that was saturated, whether anything could be judged at all).
    sending_s: how long each trial sent requests; one that is missing sent all the time."""
    found, has_judged = [], False
    for trial in trials:
        window_s = window_length(sending_s.get(trial, trial.length_s))
        for task, rows in groupby(sorted(samples, key=lambda s: s.task), lambda s: s.task):
            settled = starts.get(task, -math.inf) + SETTLING_S
            within = sorted(
                (r for r in rows if max(trial.t_start, settled) <= r.t <= trial.t_end),
                key=lambda r: r.t,
            )
            slices = cut(within, window_s)
            has_judged = has_judged or len(slices) >= CONSECUTIVE
            run = longest_run(slices)
            if len(run) >= CONSECUTIVE:
                found.append(Saturation(task, within[0].family, trial.name, window_s, run))
    return found, has_judged


def next_size(vcpu: float) -> float | None:
    """The smallest Fargate size that has at least so many vCPU."""
    return next((units / 1024 for units in VALID_CPUS if units >= vcpu * 1024 - 1e-6), None)


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    if not windows.planned:
        return NotJudged(NAME, "no load ran at the planned rate (trials steady and soak)")
    samples = queries.task_samples(evidence)
    sending = {w: queries.sending_length(evidence, w) or w.length_s for w in windows.planned}
    found, has_judged = saturations(
        samples, queries.task_starts(evidence), windows.planned, sending
    )
    if found:
        by_family: dict[str, list[Saturation]] = {}
        for saturation in found:
            by_family.setdefault(saturation.family, []).append(saturation)
        return tuple(_finding(evidence, family, rows) for family, rows in by_family.items())
    if not has_judged:
        return NotJudged(
            NAME,
            f"steady and soak had no task with {CONSECUTIVE} windows of CPU samples after its "
            f"first {SETTLING_S:.0f} s",
        )
    return None


def _finding(evidence: EvidenceStore, family: str, found: list[Saturation]) -> Finding:
    worst = max(found, key=lambda saturation: saturation.share)
    first, last = worst.slices[0], worst.slices[-1]
    limit = last.limit_vcpu
    span = Window(worst.trial, first.t_start, last.t_end)
    tasks = sorted({saturation.task for saturation in found})
    window = f"{len(worst.slices)} consecutive windows of {worst.window_s:.3g} s in {worst.trial}"
    threshold = (
        f"{ENFORCED_SHARE:.0%} over {CONSECUTIVE} windows, with {THROTTLED_SHARE:.0%} of periods "
        "throttled"
        if last.is_enforced
        else f"{UNENFORCED_SHARE:.0%} over {CONSECUTIVE} windows; the limit was measured, "
        "not enforced"
    )
    numbers = [
        Evidence(
            "CPU of the task",
            f"{worst.share:.0%} of {limit:g} vCPU ({worst.used_vcpu:.2f} cores), {window}",
            threshold,
            span.t_start,
            span.t_end,
        )
    ]
    if last.is_enforced:
        throttled = sum(s.throttled for s in worst.slices) / len(worst.slices)
        numbers.append(
            Evidence(
                "periods throttled",
                f"{throttled:.0%}",
                f"{THROTTLED_SHARE:.0%}",
                span.t_start,
                span.t_end,
            )
        )
    for container, used in queries.container_cpu(evidence, worst.task, span):
        cores = used / span.length_s
        numbers.append(
            Evidence(
                f"of it, container {container}",
                f"{cores / limit:.0%} of the task ({cores:.2f} cores)",
                None,
                span.t_start,
                span.t_end,
            )
        )
    alive = queries.most_tasks_alive(evidence)
    return Finding(
        NAME,
        Certainty.FACT,
        family or worst.task,
        f"{family or worst.task} used {worst.share:.0%} of its {limit:g} vCPU at the planned rate "
        f"({len(tasks)} task{'s' if len(tasks) > 1 else ''}).",
        tuple(numbers),
        _advice(worst, alive),
        (
            f"Not counted: the first {SETTLING_S:.0f} s after a task's start, and every trial but "
            "steady and soak.",
            "Cores are this machine's; Fargate's may be slower or faster. Measure again there.",
        ),
    )


def _advice(worst: Saturation, alive: int) -> tuple[str, ...]:
    limit, used = worst.slices[-1].limit_vcpu, worst.used_vcpu
    # A capped task hides how much it wants, so take one size more than it was allowed.
    wanted = limit * 2 if worst.slices[-1].is_enforced else used / TARGET_SHARE
    size = next_size(max(wanted, limit + 1 / 1024))
    lines = []
    if size:
        lines.append(
            f'Task definition: "cpu": "{round(size * 1024)}" ({size:g} vCPU) instead of '
            f'"{round(limit * 1024)}", with "memory" {describe_sizes(round(size * 1024))}.'
        )
    if alive:
        count = max(alive + 1, math.ceil(round(alive * used / limit / TARGET_SHARE, 2)))
        lines.append(
            f"Or more tasks of the same size: desiredCount {count} instead of {alive} keeps each "
            f"near {TARGET_SHARE:.0%}, with target tracking on ECSServiceAverageCPUUtilization."
        )
    lines += [
        "Start as many workers as the task has vCPU; the machine's core count is not the task's "
        "(GOMAXPROCS, gunicorn --workers, Node's cluster).",
        'If one endpoint burns it, profile that endpoint first; a container\'s own "cpu" is only '
        "its share and caps nothing on Fargate.",
    ]
    return tuple(lines)
