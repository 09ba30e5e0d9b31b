"""Tasks that went on talking to the old writer because they did not ask for its name again."""

from __future__ import annotations

from hikkoshi.evidence import occasions, queries
from hikkoshi.evidence.engines import engine_of
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows
from hikkoshi.findings.numbers import measured, service_of
from hikkoshi.findings.rule import Applies, Need
from hikkoshi.model.findings import Certainty, Finding, NotJudged

NAME = "caches-dns-past-failover"
TITLE = "Keeps the old writer's address after a failover"
APPLIES = Applies((Need.DATABASE, Need.READER, Need.LOAD), ("failover",), since=2)

# The cluster endpoint's TTL at Aurora is 5 s; a second more for a question on its way.
TTL_S = 5.0
SLACK_S = 1.0
# Writes that reached what is a reader now.
FACT_WRITES = 3
LIKELY_SESSIONS = 3


def certainty_of(writes: int, opened: int, asked: int) -> Certainty | None:
    """writes: failed at the old writer after the TTL. opened: sessions opened there since. asked:
    questions for the name by the tasks since the failover."""
    if writes >= FACT_WRITES:
        # A failover breaks every session at the old writer, so these are new; a task that asked
        # for the name may have got there by another way.
        return Certainty.FACT if opened or not asked else Certainty.LIKELY
    if opened >= LIKELY_SESSIONS and not asked:
        return Certainty.LIKELY
    return None


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    fault = occasions.fault_of(evidence, "failover")
    trial = next(iter(windows.named("failover")), None)
    if fault is None or trial is None:
        return NotJudged(NAME, "no failover was seen to happen")
    moved = occasions.writer_moves(evidence, fault.t_injected)
    if moved is None:
        return NotJudged(NAME, "the new writer was not sampled after the failover")
    t_moved, old, new = moved
    past = Window("failover", t_moved + TTL_S + SLACK_S, trial.t_end)
    if past.length_s <= 0:
        # The trial ends when no request fails any more: then nothing was kept past the TTL.
        if fault.t_recovered is not None:
            return None
        return NotJudged(
            NAME, "the load ended within the name's TTL of the new writer's first sample"
        )
    writes = [
        row for row in queries.database_log(evidence, "read_only", past) if row.instance == old
    ]
    opened = _opened(evidence, old, past)
    tasks = occasions.addresses(evidence)
    asked = [
        client
        for client, name in occasions.name_queries(evidence, fault.t_injected, trial.t_end)
        if client in tasks and ".cluster-ro-" not in name
    ]
    level = certainty_of(len(writes), opened, len(asked))
    if level is None:
        return None
    engine = engine_of(evidence)
    refused = _REFUSED[engine.name]
    return Finding(
        NAME,
        level,
        service_of(evidence),
        f"{len(writes)} writes failed at {old}, which is a reader now, more than {TTL_S:g} s after "
        f"the name had moved to {new}: the old address was kept.",
        (
            measured(
                f"writes refused by the old writer ({refused}) past the name's TTL",
                len(writes),
                f"{FACT_WRITES} is a fact, with a session opened there or no question for the name",
                past,
            ),
            measured(
                f"sessions opened at {old} in that time",
                opened,
                f"{LIKELY_SESSIONS} with no question for the name is likely",
                past,
            ),
            measured(
                "questions for the cluster's name since the failover, by the tasks",
                len(asked),
                "0 shows that the address was kept",
                Window("failover", fault.t_injected, trial.t_end),
            ),
        ),
        (
            "Connect by the cluster endpoint's name each time, and let the resolver decide: no "
            "socket.gethostbyname at start, no IP address in the configuration.",
            "Turn caches of names down: Java networkaddress.cache.ttl=5; Node has none unless "
            "cacheable-lookup is added; in Python and Go only what you wrote yourself.",
            _REFUSE_A_READER[engine.name],
        ),
        tuple(row.statement for row in writes[:2] if row.statement),
    )


_REFUSED = {"postgresql": "SQLSTATE 25006", "mysql": "error 1290, --read-only"}
_REFUSE_A_READER = {
    "postgresql": (
        "target_session_attrs=read-write (libpq, psycopg, pgx) refuses a reader, asks again; "
        "or put RDS Proxy between, whose address stays."
    ),
    "mysql": (
        "rejectReadOnly=true in go-sql-driver's DSN leaves a reader and asks again, and so do "
        "AWS's advanced drivers; elsewhere throw the connection away on error 1290; or put RDS "
        "Proxy between, whose address stays."
    ),
}


def _opened(evidence: EvidenceStore, instance: str, window: Window) -> int:
    """Sessions that were opened there, less the region's own look at each sample."""
    rows = [one for one in queries.database_samples(evidence, window) if one.instance == instance]
    if len(rows) < 2:
        return 0
    return max(0, rows[-1].sessions - rows[0].sessions)
