"""What a busy machine does to findings: times that it stretched are no facts about the service."""

from __future__ import annotations

import dataclasses

from hikkoshi.evidence import occasions
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured
from hikkoshi.model.findings import Certainty, Finding, NotJudged

# Own cuts: with less than this idle, whoever wants a processor waits for it.
BUSY_SHARE = 0.97
MOST_BUSY_SAMPLES = 0.5


def how_busy(evidence: EvidenceStore, windows: Windows) -> float | None:
    """Share of the samples of the busiest trial at the planned rate in which the machine had
    nothing left, if that is too much to believe in times; None when it is not."""
    shares = [
        share
        for window in windows.planned
        if (share := occasions.busy_samples(evidence, window, BUSY_SHARE)) is not None
    ]
    most = max(shares, default=0.0)
    return most if most >= MOST_BUSY_SAMPLES else None


def lowered(finding: Finding, busy: float) -> Finding:
    """Pure: the same finding, at most likely, with the machine among its numbers."""
    if finding.certainty is not Certainty.FACT:
        return finding
    number = measured(
        "samples in which the whole machine had no processor left",
        f"{busy:.0%}",
        f"{MOST_BUSY_SAMPLES:.0%}: what is measured in time is likely, and no fact",
    )
    return dataclasses.replace(
        finding, certainty=Certainty.LIKELY, evidence=(*finding.evidence, number)
    )


def not_clean(rule: str, busy: float) -> NotJudged:
    return NotJudged(
        rule,
        f"the machine had no processor left in {busy:.0%} of the samples, so the tasks did not get "
        "what they asked for: rehearse on a quieter machine",
    )
