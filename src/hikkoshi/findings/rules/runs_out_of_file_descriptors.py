"""Open files against nofile, errors that say so, and growth that does not return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median

from hikkoshi.evidence import queries
from hikkoshi.evidence.queries import FileSample
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows
from hikkoshi.model.findings import Certainty, Evidence, Finding, NotJudged

NAME = "runs-out-of-file-descriptors"
TITLE = "Runs out of file descriptors"

# facts/observability.md: warn from 80 %. Own cut: from 95 % the next burst fails.
HINT_SHARE = 0.80
LIKELY_SHARE = 0.95
# What runtimes write for EMFILE (errno 24): C and Python, Go, Java, nginx say the same words.
EXHAUSTED = r"(?i)too many open files|\bEMFILE\b|\berrno[ :=]*24\b"
# Own cuts for a leak. A pool or keep-alive fills up once and stays: its growth ends in the first
# quarter. A leak grows in each quarter of the load and does not come back after it.
QUARTERS = 4
LEAST_SAMPLES_A_QUARTER = 2
LEAST_STEP = 3
LEAST_GROWTH = 20
LEAST_GROWTH_SHARE = 0.10
# Own cut: what must still be open once the load is over, of what was open at its end.
STILL_OPEN_SHARE = 0.90
# Own cut: keep-alive connections of the load balancer need a moment to close.
QUIET_AFTER_S = 2.0
SHOWN_LINES = 3
MOST_LINES = 100_000


@dataclass(frozen=True, slots=True)
class Growth:
    """Medians of open files in the four quarters of one trial, and the least seen after it."""

    window: Window
    medians: tuple[float, ...]
    least_after: int | None

    @property
    def growth(self) -> float:
        return self.medians[-1] - self.medians[0]


def growth_in(samples: Sequence[FileSample], trial: Window, quiet: Window | None) -> Growth | None:
    """Pure: how one container's open files grew in a trial, if they grew as a leak does."""
    quarter_s = trial.length_s / QUARTERS
    quarters: list[list[int]] = [[] for _ in range(QUARTERS)]
    for sample in samples:
        if trial.t_start <= sample.t < trial.t_end:
            place = min(QUARTERS - 1, int((sample.t - trial.t_start) / quarter_s))
            quarters[place].append(sample.open_files)
    if any(len(quarter) < LEAST_SAMPLES_A_QUARTER for quarter in quarters):
        return None
    medians = tuple(float(median(quarter)) for quarter in quarters)
    if any(later - earlier < LEAST_STEP for earlier, later in pairwise(medians)):
        return None
    if medians[-1] - medians[0] < max(LEAST_GROWTH, LEAST_GROWTH_SHARE * medians[0]):
        return None
    after = [s.open_files for s in samples if quiet and quiet.t_start <= s.t <= quiet.t_end]
    least = min(after, default=None)
    if least is not None and least < STILL_OPEN_SHARE * medians[-1]:
        return None
    return Growth(trial, medians, least)


def quiet_after(trial: Window, trials: Sequence[Window]) -> Window | None:
    """From a little after a trial until the next one starts; None when they follow closely."""
    t_start = trial.t_end + QUIET_AFTER_S
    nexts = [other.t_start for other in trials if other.t_start >= trial.t_end - 0.001]
    t_end = min(nexts, default=float("inf"))
    return Window("quiet", t_start, t_end) if t_end > t_start else None


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    samples = [s for s in queries.file_samples(evidence) if not windows.is_foreign(s.t)]
    found = queries.log_lines_matching(evidence, EXHAUSTED, MOST_LINES)
    lines = [line for line in found if not windows.is_foreign(line.t)]
    if not samples and not evidence.has_rows("logs"):
        return NotJudged(NAME, "neither open files nor log lines were recorded")
    if not samples and not lines:
        return NotJudged(NAME, "open files were not counted")
    by_container: dict[str, list[list[FileSample]]] = {}
    for (_, container), rows in groupby(samples, lambda s: (s.task, s.container)):
        by_container.setdefault(container, []).append(list(rows))
    findings = []
    blamed = {line.source.rpartition("/")[2] for line in lines}
    for container in sorted(set(by_container) | blamed):
        finding = _judge_container(
            container,
            by_container.get(container, []),
            windows,
            lines,
        )
        if finding:
            findings.append(finding)
    return tuple(findings) or None


def _judge_container(
    container: str,
    tasks: Sequence[Sequence[FileSample]],
    windows: Windows,
    lines: Sequence[queries.LogLine],
) -> Finding | None:
    own = [line for line in lines if line.source.rpartition("/")[2] == container]
    numbers: list[Evidence] = []
    levels: list[Certainty] = []
    if own:
        levels.append(Certainty.FACT)
        numbers.append(
            Evidence(
                "log lines that say “too many open files” (EMFILE, errno 24)",
                str(len(own)),
                "1",
                own[0].t,
                own[-1].t,
            )
        )
    levels += _fullest(tasks, numbers)
    levels += _leaks(tasks, windows, numbers)
    if not levels:
        return None
    level = min(levels, key=list(Certainty).index)
    return Finding(
        NAME,
        level,
        container,
        _summary(container, own, numbers),
        tuple(numbers),
        _ADVICE,
        tuple(line.text for line in own[:SHOWN_LINES]),
    )


def _summary(container: str, own: Sequence[queries.LogLine], numbers: list[Evidence]) -> str:
    if own:
        return (
            f"{container} ran out of file descriptors: {len(own)} log "
            f"line{'s say' if len(own) > 1 else ' says'} so."
        )
    if any("growth" in number.what for number in numbers):
        return f"{container} keeps opening files that it does not close."
    return f"{container} comes close to its limit of open files ({numbers[0].value})."


def _fullest(tasks: Sequence[Sequence[FileSample]], numbers: list[Evidence]) -> list[Certainty]:
    limited = [s for rows in tasks for s in rows if s.limit and s.limit > 0]
    if not limited:
        return []
    top = max(limited, key=lambda s: s.open_files / (s.limit or 1))
    share = top.open_files / (top.limit or 1)
    numbers.append(
        Evidence(
            "open files at most",
            f"{top.open_files} of {top.limit} ({share:.0%})",
            f"{HINT_SHARE:.0%} is a hint, {LIKELY_SHARE:.0%} is likely",
            top.t,
            top.t,
        )
    )
    if share >= LIKELY_SHARE:
        return [Certainty.LIKELY]
    return [Certainty.HINT] if share >= HINT_SHARE else []


def _leaks(
    tasks: Sequence[Sequence[FileSample]], windows: Windows, numbers: list[Evidence]
) -> list[Certainty]:
    grown = [
        growth
        for rows in tasks
        for trial in windows.planned
        if (growth := growth_in(rows, trial, quiet_after(trial, windows.trials)))
    ]
    if not grown:
        return []
    worst = max(grown, key=lambda growth: growth.growth)
    after = (
        f"; {worst.least_after} still open when the load was over"
        if worst.least_after is not None
        else "; no quiet time followed to see whether they are closed"
    )
    numbers.append(
        Evidence(
            f"growth of open files during {worst.window.name}",
            " → ".join(f"{value:.0f}" for value in worst.medians) + after,
            f"growth in each quarter, ≥ {LEAST_GROWTH} in all, "
            f"≥ {STILL_OPEN_SHARE:.0%} still open after",
            worst.window.t_start,
            worst.window.t_end,
        )
    )
    return [Certainty.LIKELY]


_ADVICE = (
    "Close what is opened on every path: with open(…) and contextlib.closing in Python, defer "
    "f.Close() and defer resp.Body.Close() in Go, try/finally or stream.pipeline in Node.",
    "Reuse HTTP clients and database pools; a client for each request keeps its sockets open.",
    'Task definition, container: "ulimits": [{"name": "nofile", "softLimit": 65535, "hardLimit": '
    "65535}]. Say it explicitly: Fargate's default has changed over the years, and Python does not "
    "raise the soft limit by itself. A higher limit only delays a leak.",
)
