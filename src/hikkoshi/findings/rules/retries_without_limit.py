"""Attempts to connect for each request, while the database is away."""

from __future__ import annotations

from hikkoshi.evidence import occasions
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.numbers import measured, service_of
from hikkoshi.findings.rule import Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "retries-without-limit"
TITLE = "Retries without limit or pause"
APPLIES = Applies((Need.DATABASE, Need.READER, Need.LOAD), ("failover",), since=2)

# Own cuts. A pool of ten that connects again with pauses makes a few attempts a second.
FACT_A_REQUEST = 10.0
LIKELY_A_REQUEST = 4.0
LEAST_A_SECOND = 50.0
# The fault's own second or so is when it shows.
OUTAGE_S = 2.0


def certainty_of(attempts_a_second: float, requests_a_second: float) -> Certainty | None:
    """Of the whole service, during the outage."""
    if attempts_a_second < LEAST_A_SECOND or requests_a_second <= 0:
        return None
    each = attempts_a_second / requests_a_second
    if each >= FACT_A_REQUEST:
        return Certainty.FACT
    return Certainty.LIKELY if each >= LIKELY_A_REQUEST else None


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    fault = occasions.fault_of(evidence, "failover")
    trial = next(iter(windows.named("failover")), None)
    if fault is None or trial is None:
        return NotJudged(NAME, "no failover was seen to happen")
    moved = occasions.writer_moves(evidence, fault.t_injected)
    t_end = max(moved[0] if moved else 0.0, fault.t_injected + OUTAGE_S)
    length_s = t_end - fault.t_injected
    # A sample on either side, so that the counters' half second does not hide the outage.
    counted = occasions.attempts(evidence, fault.t_injected - 0.6, t_end + 0.6)
    if not counted:
        return NotJudged(NAME, "connections that the tasks opened were not counted in the failover")
    tried = sum(counted.values())
    sent = [
        one
        for one in occasions.answers(evidence, "failover")
        if fault.t_injected <= one.t_intended <= t_end
    ]
    if not sent:
        return NotJudged(NAME, "no request was sent while the database failed over")
    level = certainty_of(tried / length_s, len(sent) / length_s)
    if level is None:
        return None
    return Finding(
        NAME,
        level,
        service_of(evidence),
        f"While the database was away, the tasks tried to connect {tried} times for {len(sent)} "
        f"requests ({tried / length_s:.0f} a second): the database that comes back is met by a "
        "storm.",
        (
            measured(
                "connections tried for each request during the failover (/proc/net/snmp)",
                f"{tried / len(sent):.1f} ({tried} in {length_s:.1f} s, {len(sent)} requests)",
                f"{FACT_A_REQUEST:g} is a fact, {LIKELY_A_REQUEST:g} is likely, from "
                f"{LEAST_A_SECOND:g} a second",
                trial,
            ),
        ),
        (
            "Retry two or three times, wait longer each time, and by chance: "
            "random(0, 0.1 s × 2^n), 2 s at most, within the time that the caller waits.",
            "Python: tenacity stop_after_attempt(3), wait_random_exponential(max=2); Go: "
            "cenkalti/backoff; Node: p-retry with retries 3, randomize true.",
            "Retry in one layer only (driver, ORM and handler: 3 × 3 × 3 = 27), and open a circuit "
            "breaker when most attempts fail.",
        ),
    )
