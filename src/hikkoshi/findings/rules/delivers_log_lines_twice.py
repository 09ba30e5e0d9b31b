"""Lines that one destination got more often than they were written."""

from __future__ import annotations

from hikkoshi.evidence import deliveries
from hikkoshi.evidence.deliveries import Doubling
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured
from hikkoshi.findings.rule import UNDER_LOAD, Applies, Need
from hikkoshi.findings.rules.loses_log_lines import looked_at
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "delivers-log-lines-twice"
TITLE = "Log lines arrive twice"
APPLIES = Applies((Need.ROUTER, Need.DESTINATION), UNDER_LOAD, since=2)

LEAST_LINES = 20
# Own cuts: a router may repeat a batch that a slow destination took without saying so.
FACT_SHARE = 0.20
LIKELY_SHARE = 0.02


def certainty_of(lines: int, doubled: int) -> Certainty | None:
    if lines < LEAST_LINES:
        return None
    if doubled / lines >= FACT_SHARE:
        return Certainty.FACT
    return Certainty.LIKELY if doubled / lines >= LIKELY_SHARE else None


def judge(evidence: EvidenceStore, windows: Windows) -> tuple[Finding, ...] | NotJudged | None:
    if nowhere := deliveries.why_nowhere(evidence):
        return NotJudged(NAME, *nowhere)
    by_destination: dict[str, list[Doubling]] = {}
    for one in deliveries.doublings(evidence, looked_at(windows)):
        by_destination.setdefault(one.destination, []).append(one)
    if sum(one.lines for rows in by_destination.values() for one in rows) < LEAST_LINES:
        return NotJudged(
            NAME, f"fewer than {LEAST_LINES} lines could be recognised at a destination"
        )
    findings = []
    for destination, rows in by_destination.items():
        lines, doubled = sum(one.lines for one in rows), sum(one.doubled for one in rows)
        level = certainty_of(lines, doubled)
        if level:
            sample = next((one.sample for one in rows if one.sample), "")
            findings.append(_finding(destination, lines, doubled, level, sample))
    return tuple(findings) or None


def _finding(destination: str, lines: int, doubled: int, level: Certainty, sample: str) -> Finding:
    return Finding(
        NAME,
        level,
        destination,
        f"{destination} got {doubled} of {lines} lines more often than they were written: twice "
        "the price, and every count of them is wrong.",
        (
            measured(
                "lines delivered more often than written",
                f"{doubled} of {lines} ({doubled / lines:.0%})",
                f"{FACT_SHARE:.0%} is a fact, {LIKELY_SHARE:.0%} is likely",
            ),
        ),
        (
            "With FireLens, ECS writes an OUTPUT for each container from its log options. Leave "
            "the [OUTPUT] with Match * out of your own file, or leave the options "
            '("Name", "Host", …) out of logConfiguration; never both.',
            "If both are wanted, let Match name other tags: ECS's are <container>-firelens-<task>.",
        ),
        (sample,) if sample else (),
    )
