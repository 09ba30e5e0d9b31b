"""Targets that stayed healthy while their requests failed for want of the database."""

from __future__ import annotations

from hikkoshi.evidence import occasions
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured, service_of
from hikkoshi.findings.rule import Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "health-check-does-not-touch-the-database"
TITLE = "The health check stays green while requests fail"
APPLIES = Applies((Need.DATABASE, Need.READER, Need.LOAD), ("failover",), since=2)

# Own cuts: a check that stays green through a failover is right; one that stays green for this
# long after it, while most requests fail, hides a task that will not come back.
SETTLE_S = 2.0
LONG_S = 2.0
LEAST_REQUESTS = 10
FAILING_SHARE = 0.5


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    fault = occasions.fault_of(evidence, "failover")
    trial = next(iter(windows.named("failover")), None)
    if fault is None or trial is None:
        return NotJudged(NAME, "no failover was seen to happen")
    moved = occasions.writer_moves(evidence, fault.t_injected)
    if moved is None:
        return NotJudged(NAME, "the new writer was not sampled after the failover")
    since = moved[0] + SETTLE_S
    late = [one for one in occasions.answers(evidence, "failover") if one.t_intended >= since]
    if len(late) < LEAST_REQUESTS:
        # The service was whole before there was anything to see.
        if fault.t_recovered is not None or (late and all(one.is_good for one in late)):
            return None
        return NotJudged(NAME, "the load ended before the new writer was seen")
    failed = [one for one in late if not one.is_good]
    healthy = occasions.targets(evidence, since, trial.t_end)
    stays_green = bool(healthy) and all(bad == 0 and good > 0 for _, good, bad in healthy)
    length_s = late[-1].t_intended - late[0].t_intended
    if not stays_green or length_s < LONG_S or len(failed) < FAILING_SHARE * len(late):
        return None
    return Finding(
        NAME,
        Certainty.HINT,
        service_of(evidence),
        f"For {length_s:.0f} s after the database was back, {len(failed)} of {len(late)} requests "
        "failed while every target stayed healthy: nothing replaces such a task.",
        (
            measured(
                f"requests that failed, from {SETTLE_S:g} s after the new writer answered",
                f"{len(failed)} of {len(late)} over {length_s:.1f} s, no target unhealthy",
                f"{FAILING_SHARE:.0%} over {LONG_S:g} s is a hint",
                trial,
            ),
        ),
        (
            "First let the application connect again by itself "
            "(hikkoshi explain does-not-reconnect-after-failover).",
            "Then let the health check notice a process that lost its database for good: fail it "
            "when no query has worked for longer than a failover takes (60 s), never at once.",
        ),
    )
