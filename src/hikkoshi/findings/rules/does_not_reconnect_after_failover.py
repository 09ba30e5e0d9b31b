"""Requests that still failed when the database had long been back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.evidence import occasions
from hikkoshi.evidence.engines import engine_of
from hikkoshi.evidence.occasions import Answer, ContainerEnd, Fault
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows
from hikkoshi.findings.numbers import measured, service_of
from hikkoshi.findings.rule import Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "does-not-reconnect-after-failover"
TITLE = "Does not come back after a failover"
APPLIES = Applies((Need.DATABASE, Need.READER, Need.LOAD), ("failover",), since=2)

# Own cuts. The name's TTL is 5 s; a pool that checks its connections needs a second more.
SETTLE_S = 8.0
LEAST_REQUESTS = 10
FACT_SHARE = 0.30
LIKELY_SHARE = 0.05
# Own cut: what failed before the failover is another rule's.
MOST_BEFORE = 0.5


@dataclass(frozen=True, slots=True)
class Aftermath:
    """Requests due later than SETTLE_S after the new writer answered, and those before the
    fault."""

    late: int
    late_failed: int
    share_before: float

    @property
    def share(self) -> float:
        return self.late_failed / self.late if self.late else 0.0

    @property
    def certainty(self) -> Certainty | None:
        if self.late < LEAST_REQUESTS or self.share_before > MOST_BEFORE * self.share:
            return None
        if self.share >= FACT_SHARE:
            return Certainty.FACT
        return Certainty.LIKELY if self.share >= LIKELY_SHARE else None


def aftermath(answers: Sequence[Answer], t_fault: float, t_back: float) -> Aftermath:
    """Pure."""
    before = [one for one in answers if one.t_ended < t_fault]
    late = [one for one in answers if one.t_intended >= t_back + SETTLE_S]
    share = sum(not one.is_good for one in before) / len(before) if before else 0.0
    return Aftermath(len(late), sum(not one.is_good for one in late), share)


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    fault = occasions.fault_of(evidence, "failover")
    trial = next(iter(windows.named("failover")), None)
    if fault is None or trial is None:
        return NotJudged(NAME, "no failover was seen to happen")
    answer = _of_requests(evidence, fault, trial)
    ends = occasions.application_crashes(evidence, fault.t_injected, trial.t_end)
    # One that is out of memory is another rule's.
    crashes = [end for end in ends if end.exit_code != 0 and not end.is_out_of_memory]
    return (
        answer if isinstance(answer, Finding) or not crashes else _crashed(evidence, crashes, trial)
    )


def _of_requests(
    evidence: EvidenceStore, fault: Fault, trial: Window
) -> Finding | NotJudged | None:
    moved = occasions.writer_moves(evidence, fault.t_injected)
    answers = occasions.answers(evidence, "failover")
    if moved is None or not answers:
        return NotJudged(NAME, "the new writer was not sampled after the failover")
    seen = aftermath(answers, fault.t_injected, moved[0])
    if seen.late < LEAST_REQUESTS:
        # The trial ends when no request fails any more: then nothing is late.
        # Requests that were answered again tell that the writer is back before a sample may: one is
        # taken every half second, and later than that when the machine is busy.
        back = min(moved[0], fault.t_recovered or moved[0])
        return _of_a_short_trial(answers, back, seen.share_before)
    level = seen.certainty
    if level is None:
        return None
    return Finding(
        NAME,
        level,
        service_of(evidence),
        f"{seen.late_failed} of {seen.late} requests still failed later than {SETTLE_S:g} s after "
        "the new writer answered: the service keeps what is broken.",
        (
            measured(
                f"requests that failed, from {SETTLE_S:g} s after the new writer answered",
                f"{seen.late_failed} of {seen.late} ({seen.share:.0%}); before the failover "
                f"{seen.share_before:.1%}",
                f"{FACT_SHARE:.0%} is a fact, {LIKELY_SHARE:.0%} is likely",
                trial,
            ),
        ),
        _ADVICE[engine_of(evidence).name],
    )


def _crashed(evidence: EvidenceStore, crashes: list[ContainerEnd], trial: Window) -> Finding:
    tasks = len({end.task for end in crashes})
    codes = ", ".join(sorted({str(end.exit_code) for end in crashes}))
    return Finding(
        NAME,
        Certainty.LIKELY,
        service_of(evidence),
        f"While the database failed over, the process of {tasks} task{'s' if tasks > 1 else ''} "
        f"ended by itself (exit code {codes}): what it had under way is lost, and ECS has to start "
        "another.",
        (
            measured(
                "containers of the application that ended unasked after the failover",
                len(crashes),
                "1 is likely",
                trial,
            ),
        ),
        (_CATCH, *_ADVICE[engine_of(evidence).name]),
    )


def _of_a_short_trial(
    answers: Sequence[Answer], t_back: float, share_before: float
) -> NotJudged | None:
    last = [one for one in answers if one.t_intended >= t_back][-LEAST_REQUESTS:]
    if not last:
        return NotJudged(NAME, "no request was sent after the new writer answered")
    # Back to what it was: what failed before the failover fails after it, too.
    if sum(not one.is_good for one in last) / len(last) <= share_before + LIKELY_SHARE:
        return None
    return NotJudged(NAME, f"the load ended within {SETTLE_S:g} s of the new writer's answer")


_CATCH = (
    "Let no broken connection end the process. Node throws an 'error' event that nobody hears: "
    "listen on the pool and on each client taken from it (pool.on('connect', c => c.on('error', "
    "…))); elsewhere no panic and no exit where a query fails."
)
_ADVICE = {
    "postgresql": (
        "Throw a connection away when it breaks, and take another: psycopg_pool "
        "check=ConnectionPool.check_connection; SQLAlchemy pool_pre_ping=True; Django "
        "CONN_HEALTH_CHECKS; database/sql does it on driver.ErrBadConn; node-postgres: "
        "pool.on('error'), and a Pool, not one Client.",
        "Give connections a maximum lifetime (max_lifetime, SetConnMaxLifetime, "
        "maxLifetimeSeconds: 5 minutes), and connect_timeout=2–5 s with TCP keepalives.",
        "Ask for the writer: target_session_attrs=read-write. Retry a transaction once when its "
        "connection broke (SQLSTATE 57P01, 08006, 25006).",
    ),
    "mysql": (
        "Throw a connection away when it breaks, and take another: SQLAlchemy pool_pre_ping=True; "
        "Django CONN_HEALTH_CHECKS; PyMySQL ping(reconnect=True) before use; database/sql does it "
        "on driver.ErrBadConn; mysql2: a pool, not one connection.",
        "Give connections a maximum lifetime (pool_recycle, SetConnMaxLifetime: 5 minutes), and a "
        "connect timeout of 2–5 s (connect_timeout, connectTimeout, timeout in Go's DSN) and a "
        "read timeout.",
        "Throw it away, too, when it is a reader now: error 1290 (--read-only) or 1836; in Go "
        "rejectReadOnly=true in the DSN does it; AWS's advanced drivers follow the writer. Retry a "
        "transaction once when its connection broke (2006, 2013, 1290).",
    ),
}
