"""Memory that grows through the load and does not come back."""

from __future__ import annotations

from itertools import groupby

from hikkoshi.evidence import queries
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import Growth, Leak, growth_in, measured, quiet_after
from hikkoshi.findings.rule import PLANNED, Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "grows-in-memory"
TITLE = "Memory grows and is not given back"
APPLIES = Applies((Need.LOAD,), PLANNED)

MIB = 1024 * 1024
# Own cuts: a start's caches and a collector's slack are smaller, or end in the first quarter.
LEAK = Leak(step=1.0 * MIB, growth=16.0 * MIB, share=0.15)


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    samples = [one for one in queries.memory_samples(evidence) if not windows.is_foreign(one.t)]
    if not windows.planned or not samples:
        return NotJudged(NAME, "memory was not sampled during steady or soak")
    grown: dict[str, list[Growth]] = {}
    for (_, container), group in groupby(samples, lambda one: (one.task, one.container)):
        series = [(one.t, float(one.bytes)) for one in group]
        for trial in windows.planned:
            found = growth_in(series, trial, quiet_after(trial, windows.trials), LEAK)
            if found:
                grown.setdefault(container, []).append(found)
    return tuple(_finding(evidence, name, found) for name, found in grown.items()) or None


def _finding(evidence: EvidenceStore, container: str, found: list[Growth]) -> Finding:
    worst = max(found, key=lambda growth: growth.growth)
    per_s = worst.growth / (worst.window.length_s * 0.75)
    limit = queries.memory_limit(evidence)
    room = (limit or 0) - worst.medians[-1]
    left = f" The task's limit is reached in {room / per_s / 60:.0f} minutes at this rate."
    # Held after the load, or grown in one trial after another: no cache fills up that way.
    trials = {growth.window.name for growth in found}
    is_sure = any(growth.is_held for growth in found) or len(trials) > 1
    return Finding(
        NAME,
        Certainty.FACT if is_sure else Certainty.LIKELY,
        container,
        f"{container} grew by {worst.growth / MIB:.0f} MiB in {worst.window.name}, "
        f"{per_s / MIB:.2f} MiB a second, and gave nothing back." + (left if room > 0 else ""),
        tuple(
            measured(
                f"memory of {container} in the four quarters of {growth.window.name}",
                " → ".join(f"{value / MIB:.0f}" for value in growth.medians)
                + " MiB"
                + (f"; {growth.least_after / MIB:.0f} MiB after it" if growth.least_after else ""),
                f"≥ {LEAK.step / MIB:.0f} MiB in each quarter and ≥ {LEAK.growth / MIB:.0f} MiB "
                f"(and {LEAK.share:.0%}) in all; a fact when it stays or goes on in a second trial",
                growth.window,
            )
            for growth in found
        ),
        (
            "Look for what is kept by a name that lives as long as the process: module-level lists "
            "and dictionaries, caches without a maximum, listeners that are added on each request.",
            "Give each cache a maximum (functools.lru_cache(maxsize=…), an LRU in Node, ristretto "
            "in Go), and measure: tracemalloc, node --inspect heap snapshots, pprof heap.",
            "Until it is cured, gunicorn --max-requests 1000 --max-requests-jitter 100 replaces "
            "workers before they are killed.",
        ),
    )
