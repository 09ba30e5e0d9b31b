"""Targets that became unhealthy because the database was away."""

from __future__ import annotations

from hikkoshi.evidence import occasions
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured, service_of
from hikkoshi.findings.rule import Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "fails-health-when-the-database-does"
TITLE = "The health check fails when the database does"
APPLIES = Applies((Need.DATABASE, Need.READER, Need.LOAD), ("failover",), since=2)

# Own cut: one target of several that misses a check is noise.
LIKELY_SHARE = 0.5


def certainty_of(before: int, least: int, replaced: int) -> Certainty | None:
    """before, least: healthy targets before the fault and at the worst moment after it."""
    if before < 1:
        return None
    if least == 0 or replaced:
        return Certainty.FACT
    return Certainty.LIKELY if (before - least) / before >= LIKELY_SHARE else None


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    fault = occasions.fault_of(evidence, "failover")
    trial = next(iter(windows.named("failover")), None)
    if fault is None or trial is None:
        return NotJudged(NAME, "no failover was seen to happen")
    before = [
        healthy
        for _, healthy, _ in occasions.targets(evidence, fault.t_injected - 5.0, fault.t_injected)
    ]
    after = occasions.targets(evidence, fault.t_injected, trial.t_end)
    if not before or not after:
        return NotJudged(NAME, "the targets' health was not recorded around the failover")
    # A process that ended is no target any more, whatever its check asks.
    ended = {
        one.task for one in occasions.application_crashes(evidence, fault.t_injected, trial.t_end)
    }
    least = min(before[-1], min(healthy for _, healthy, _ in after) + len(ended))
    replaced = occasions.failed_health(evidence, fault.t_injected, trial.t_end)
    level = certainty_of(before[-1], least, len(replaced))
    if level is None:
        return None
    return Finding(
        NAME,
        level,
        service_of(evidence),
        f"While the database failed over, {before[-1] - least} of {before[-1]} targets became "
        f"unhealthy and {len(replaced)} tasks were given up: a short failover becomes an outage "
        "of every page, and of those that need no database.",
        (
            measured(
                "healthy targets, before and at the worst moment",
                f"{before[-1]} → {least}"
                + (f", not counting {len(ended)} whose process ended" if ended else ""),
                f"none left is a fact, {LIKELY_SHARE:.0%} gone is likely",
                trial,
            ),
            measured("tasks given up for their health", len(replaced), 1, trial),
        ),
        (
            "Let the target group's health check ask whether this process answers (GET /health → "
            "200 without a query), so that no failover throws away every task at once.",
            "Ask the database in a second path (/ready) that monitoring reads and ECS does not.",
            "If it must be in the health check: answer 200 until the database has been away longer "
            "than a failover takes (30–60 s).",
        ),
    )
