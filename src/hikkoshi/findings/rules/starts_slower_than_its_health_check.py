"""How long a task takes to listen, against the time that AWS's health checks leave it."""

from __future__ import annotations

from statistics import median

from hikkoshi.evidence import occasions
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured, service_of, whole_number
from hikkoshi.findings.rule import Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "starts-slower-than-its-health-check"
TITLE = "Starts more slowly than its health check allows"
APPLIES = Applies((Need.LOAD, Need.PORT), since=2)

# Own cut: a machine that is a little slower, or a cold image, must not be what decides.
LIKELY_SHARE = 0.8


def certainty_of(starts_s: list[float], allowed_s: float) -> Certainty | None:
    """The median over the limit is a fact; one start over it, or all near it, is likely."""
    if not starts_s:
        return None
    if median(starts_s) > allowed_s:
        return Certainty.FACT
    if max(starts_s) > allowed_s or min(starts_s) > LIKELY_SHARE * allowed_s:
        return Certainty.LIKELY
    return None


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    port, allowed = whole_number(evidence, "container_port"), whole_number(evidence, "start_s")
    if port is None or allowed is None:
        return NotJudged(NAME, "the run does not say which port is asked, and for how long")
    started = occasions.started_at(evidence)
    starts = [
        max(0.0, first - started[task])
        for task, first in occasions.first_listening(evidence, port).items()
        if task in started and not windows.is_foreign(first)
    ]
    if not starts:
        return NotJudged(NAME, f"no task was seen to listen on port {port}")
    level = certainty_of(starts, allowed)
    if level is None:
        return None
    return Finding(
        NAME,
        level,
        service_of(evidence),
        f"A task listens after {median(starts):.1f} s; the health check gives it {allowed} s and "
        "then has it replaced, again and again.",
        (
            measured(
                f"from RUNNING to listening on port {port}, {len(starts)} tasks",
                f"median {median(starts):.1f} s, longest {max(starts):.1f} s",
                f"{allowed} s: healthCheckGracePeriodSeconds, or interval × unhealthy threshold "
                f"if that is longer; {LIKELY_SHARE:.0%} of it by all is likely",
            ),
        ),
        (
            f'Service: "healthCheckGracePeriodSeconds": {int(max(starts) * 3) + 5} (three times '
            "what was measured; Fargate's processors may be slower, and a cold image adds to it).",
            'Container health check: "startPeriod" as long as that (up to 300 s).',
            "Listen first and do slow work (migrations, warming caches) after, or in a task that "
            "runs once before the deploy.",
        ),
    )
