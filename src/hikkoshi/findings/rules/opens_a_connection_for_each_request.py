"""Sessions opened at the database, divided by requests, at the planned rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hikkoshi.evidence import queries
from hikkoshi.evidence.engines import engine_of
from hikkoshi.evidence.queries import DatabaseSample
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows
from hikkoshi.findings.numbers import whole_number
from hikkoshi.findings.rule import PLANNED, Applies, Need
from hikkoshi.model.findings import Certainty, Evidence, Finding, NotJudged

NAME = "opens-a-connection-for-each-request"
TITLE = "Opens a database connection for each request"
APPLIES = Applies((Need.DATABASE, Need.LOAD), PLANNED)

# facts/observability.md, own cuts: with a pool 300 requests opened 4 sessions, without one 300.
FACT_PER_REQUEST = 0.5
CHURN_PER_REQUEST = 0.05
# Own cut: so much churn is one endpoint of several without a pool, or a pool that keeps too few.
LIKELY_PER_REQUEST = 0.2
# Before this schema a sample may have opened a session that is counted; since, the region has a
# database and accounts of its own, which are not.
OWN_SESSIONS_APART = 6
# Own cuts: fewer requests, or fewer sessions, than these are the noise of a start.
LEAST_REQUESTS = 20
LEAST_CHURN = 20


@dataclass(frozen=True, slots=True)
class Sessions:
    """What one window saw. `lasting`: by how much the connections that stay open grew.
    `samples`: how often the region itself looked, at most one session each; 0 where those are not
    counted."""

    window: Window
    requests: int
    opened: int
    lasting: int
    samples: int
    refused: int
    peak: int
    max_connections: int | None

    @property
    def attempts(self) -> int:
        """Opened and refused ones, less what the region's own sampling may have opened."""
        return max(0, self.opened - self.samples) + self.refused

    @property
    def churned(self) -> int:
        """Of those, the ones that were not kept: a pool that fills up is not churn."""
        return max(0, self.attempts - max(0, self.lasting))


def count(
    samples: Sequence[DatabaseSample], window: Window, requests: int, refused: int
) -> Sessions | None:
    """None when an instance has not two samples in the window. A counter that falls (failover,
    statistics reset) adds nothing for that step."""
    by_instance: dict[str, list[DatabaseSample]] = {}
    for sample in samples:
        by_instance.setdefault(sample.instance, []).append(sample)
    kept = {name: rows for name, rows in by_instance.items() if len(rows) >= 2}
    if not kept:
        return None
    opened = sum(
        max(0, later.sessions - earlier.sessions)
        for rows in kept.values()
        for earlier, later in pairwise(rows)
    )
    fullest = max(samples, key=lambda sample: sample.connections)
    return Sessions(
        window,
        requests,
        opened,
        sum(rows[-1].connections - rows[0].connections for rows in kept.values()),
        sum(len(rows) - 1 for rows in kept.values()),
        refused,
        fullest.connections,
        fullest.max_connections,
    )


def without_own(seen: Sessions, schema: int) -> Sessions:
    """Pure: what is to be left out as the region's own, by the schema of the evidence."""
    return dataclasses.replace(seen, samples=0) if schema >= OWN_SESSIONS_APART else seen


def certainty_of(seen: Sessions) -> Certainty | None:
    if seen.requests < LEAST_REQUESTS:
        return None
    if seen.attempts / seen.requests >= FACT_PER_REQUEST:
        return Certainty.FACT
    if seen.churned >= LEAST_CHURN and seen.churned / seen.requests >= CHURN_PER_REQUEST:
        is_much = seen.churned / seen.requests >= LIKELY_PER_REQUEST
        return Certainty.LIKELY if is_much else Certainty.HINT
    return None


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    if not windows.planned:
        return NotJudged(NAME, "no load ran at the planned rate (trials steady and soak)")
    seen = [sessions for window in windows.planned if (sessions := _look(evidence, window))]
    if not seen:
        return NotJudged(NAME, "the database was not sampled during steady or soak")
    if all(sessions.requests < LEAST_REQUESTS for sessions in seen):
        return NotJudged(NAME, f"steady and soak had fewer than {LEAST_REQUESTS} answers")
    judged = [(level, sessions) for sessions in seen if (level := certainty_of(sessions))]
    if not judged:
        return None
    level, worst = max(judged, key=lambda pair: pair[1].attempts / pair[1].requests)
    return _finding(evidence, level, worst)


def _look(evidence: EvidenceStore, window: Window) -> Sessions | None:
    samples = queries.database_samples(evidence, window)
    if len(samples) < 2:
        return None
    refused = queries.database_log(evidence, "too_many_connections", window)
    # Requests are counted between the samples, so that the window's edges cancel out.
    requests = queries.answered_between(evidence, samples[0].t, samples[-1].t)
    seen = count(samples, window, requests, len(refused))
    return seen and without_own(seen, whole_number(evidence, "schema_version") or 0)


def _finding(evidence: EvidenceStore, level: Certainty, seen: Sessions) -> Finding:
    window = seen.window
    is_fact = level is Certainty.FACT
    counted = seen.attempts if is_fact else seen.churned
    ratio = counted / seen.requests
    verb = "opened" if is_fact else "opened and soon closed"
    numbers = [
        Evidence(
            "database sessions per request",
            f"{ratio:.2f} ({counted} sessions, {seen.requests} answered, in {window.name}"
            + (
                f"; up to {seen.samples} more left out as the region's own sampling)"
                if seen.samples
                else ")"
            ),
            f"{FACT_PER_REQUEST} is a fact, {LIKELY_PER_REQUEST} is likely, {CHURN_PER_REQUEST} "
            "a hint",
            window.t_start,
            window.t_end,
        )
    ]
    numbers += _limits(evidence, seen)
    subject = evidence.meta().get("service") or "the service"
    summary = (
        f"{subject} {verb} {counted} database sessions for {seen.requests} answered requests "
        f"({ratio:.2f} per request)."
    )
    advice = (_POOLS[engine_of(evidence).name], *_ADVICE)
    return Finding(NAME, level, subject, summary, tuple(numbers), advice)


def _limits(evidence: EvidenceStore, seen: Sessions) -> list[Evidence]:
    window, rows = seen.window, []
    limit = seen.max_connections
    engine = engine_of(evidence)
    usable = limit - engine.reserved if limit else None
    if usable:
        rows.append(
            Evidence(
                "peak of open connections",
                f"{seen.peak} of {usable}",
                f"max_connections {limit}"
                + (f" less {engine.reserved} reserved for superusers" if engine.reserved else ""),
                window.t_start,
                window.t_end,
            )
        )
    alive = queries.most_tasks_alive(evidence)
    text = evidence.meta().get("maximum_tasks", "")
    most = int(text) if text.isdecimal() else alive
    if alive and seen.peak:
        each = -(-seen.peak // alive)
        rows.append(
            Evidence(
                "peak per task × most tasks at once",
                f"{each} × {most} = {each * most}",
                f"{usable} usable connections" if usable else None,
                window.t_start,
                window.t_end,
            )
        )
    if seen.refused:
        state, words = engine.states["too_many_connections"]
        rows.append(
            Evidence(
                f"connections refused (SQLSTATE {state}: {words})",
                str(seen.refused),
                "0",
                window.t_start,
                window.t_end,
            )
        )
    return rows


_POOLS = {
    "postgresql": (
        "Open a pool once when the process starts and borrow from it: psycopg_pool.ConnectionPool("
        "min_size, max_size, max_idle, max_lifetime), asyncpg.create_pool, SQLAlchemy's QueuePool "
        "(not NullPool), Django's CONN_MAX_AGE or OPTIONS pool, Go's SetMaxOpenConns, "
        "SetMaxIdleConns and SetConnMaxLifetime on one sql.DB, node-postgres's "
        "Pool({max, idleTimeoutMillis, maxLifetimeSeconds})."
    ),
    "mysql": (
        "Open a pool once when the process starts and borrow from it: SQLAlchemy's QueuePool over "
        "PyMySQL or mysqlclient (pool_size, max_overflow, pool_recycle, not NullPool), Django's "
        "CONN_MAX_AGE, Go's SetMaxOpenConns, SetMaxIdleConns and SetConnMaxLifetime on one sql.DB, "
        "mysql2's createPool({connectionLimit, maxIdle, idleTimeout}). Let it recycle before the "
        "server's wait_timeout ends an idle connection."
    ),
}
_ADVICE = (
    "In Go, set SetMaxIdleConns as high as SetMaxOpenConns: its default of 2 closes the rest "
    "after each burst.",
    "Choose the pool's maximum so that maximum × tasks at once (deploymentConfiguration."
    "maximumPercent × desiredCount) stays under the database's max_connections.",
    "Set the pool's maximum lifetime to some minutes, so that connections move to the new writer "
    "after a failover. If the code cannot be changed, put RDS Proxy before the database.",
)
