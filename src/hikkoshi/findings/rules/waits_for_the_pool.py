"""Requests that wait for a connection: the pool's own words, or all connections always at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.evidence import database, occasions, queries
from hikkoshi.evidence.database import Activity
from hikkoshi.evidence.queries import LogLine
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Window, Windows
from hikkoshi.findings.numbers import measured, service_of
from hikkoshi.findings.rule import PLANNED, Applies, Need
from hikkoshi.model.findings import Certainty, Evidence, Finding, NotJudged

NAME = "waits-for-the-pool"
TITLE = "Requests wait for a connection of the pool"
APPLIES = Applies((Need.DATABASE, Need.LOAD), PLANNED)

# What pools say when no connection came in time: SQLAlchemy, psycopg_pool, psycopg2, node-postgres,
# HikariCP, Prisma, Sequelize/tarn, GORM and pgx with a deadline, mysql-connector, mysql2.
WORDS = (
    r"(?i)QueuePool limit|couldn't get a connection after|PoolTimeout|connection pool exhausted|"
    r"timeout exceeded when trying to connect|Connection is not available, request timed out|"
    r"Timed out fetching a new connection from the connection pool|"
    r"ResourceRequest timed out|TimeoutError: Knex|acquiring a connection|"
    r"ConnectionAcquireTimeoutError|Failed getting connection; pool exhausted|"
    r"No connections available\.|Queue limit reached"
)
# Own cuts for what is seen from outside.
BUSY_SHARE = 0.95
LEAST_SAMPLES = 6
LIKELY_SAMPLES = 0.60
FACT_SAMPLES = 0.90
LIKELY_IN_FLIGHT = 2.0
FACT_IN_FLIGHT = 3.0
# With less CPU left than this the requests may wait for the processor instead.
MOST_CPU = 0.70
MOST_LINES = 10_000
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Crowd:
    """Requests at work against connections that are, in one window; cpu as a share of the limit.
    task: its address; None: all tasks together."""

    window: Window
    in_flight: float
    connections: float
    busy_samples: float
    cpu: float
    task: str | None = None

    @property
    def ratio(self) -> float:
        return self.in_flight / self.connections

    @property
    def certainty(self) -> Certainty | None:
        if self.cpu > MOST_CPU:
            return None
        if self.busy_samples >= FACT_SAMPLES and self.ratio >= FACT_IN_FLIGHT:
            return Certainty.FACT
        if self.busy_samples >= LIKELY_SAMPLES and self.ratio >= LIKELY_IN_FLIGHT:
            return Certainty.LIKELY
        return None


def crowd_in(
    window: Window,
    samples: Sequence[Activity],
    in_flight: float | None,
    cpu: float | None,
    task: str | None = None,
) -> Crowd | None:
    """Pure; the first sample of a window, in which a pool may still be filling, is left out."""
    counted = [one for one in samples[1:] if one.connections > 0]
    if in_flight is None or cpu is None or len(counted) < LEAST_SAMPLES:
        return None
    busy = sum(one.busy >= BUSY_SHARE * one.connections for one in counted) / len(counted)
    mean = sum(one.connections for one in counted) / len(counted)
    return Crowd(window, in_flight, mean, busy, cpu, task)


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    crowds = [crowd for window in windows.planned for crowd in crowds_in(evidence, window)]
    lines = [
        line
        for line in queries.log_lines_matching(evidence, WORDS, MOST_LINES)
        if any(window.t_start <= line.t <= window.t_end for window in windows.planned)
    ]
    if not crowds and not lines:
        return NotJudged(NAME, "sessions, requests and CPU were not sampled in steady or soak")
    seen = [(level, crowd) for crowd in crowds if (level := crowd.certainty)]
    if not seen and not lines:
        return None
    return _finding(evidence, lines, max(seen, key=lambda pair: pair[1].ratio, default=None))


def crowds_in(evidence: EvidenceStore, window: Window) -> list[Crowd]:
    """One for each task: a pool is a task's own, and one task may wait while another has nothing
    to do. Where tasks were not told apart, all of them together."""
    cpu = occasions.cpu_share(evidence, window)
    at_work = occasions.at_work_by_target(evidence, window)
    by_task = [
        crowd_in(window, samples, at_work[client], cpu, client)
        for client, samples in database.activity_by_client(evidence, window).items()
        if client in at_work
    ]
    together = crowd_in(
        window, database.activity(evidence, window), occasions.in_flight(evidence, window), cpu
    )
    return [crowd for crowd in (by_task or [together]) if crowd]


def _finding(
    evidence: EvidenceStore, lines: Sequence[LogLine], crowd: tuple[Certainty, Crowd] | None
) -> Finding:
    numbers: list[Evidence] = []
    if lines:
        span = Window("lines", lines[0].t, lines[-1].t)
        numbers.append(measured("log lines in which the pool says so", len(lines), 1, span))
    if crowd:
        seen = crowd[1]
        numbers.append(
            measured(
                f"requests at work for each connection{f' of {seen.task}' if seen.task else ''}",
                f"{seen.in_flight:.1f} / {seen.connections:.1f} = {seen.ratio:.1f}, with every "
                f"connection busy in {seen.busy_samples:.0%} of the samples and the task's CPU at "
                f"{seen.cpu:.0%}",
                f"{FACT_IN_FLIGHT:g} and {FACT_SAMPLES:.0%} is a fact, {LIKELY_IN_FLIGHT:g} and "
                f"{LIKELY_SAMPLES:.0%} is likely, with CPU under {MOST_CPU:.0%}",
                seen.window,
            )
        )
    return Finding(
        NAME,
        Certainty.FACT if lines or crowd is None else crowd[0],
        service_of(evidence),
        "Requests wait for a database connection: "
        + (f"{len(lines)} log lines say so." if lines else "all of them are always at work."),
        tuple(numbers),
        _ADVICE,
        tuple(line.text for line in lines[:SHOWN]),
    )


_ADVICE = (
    "First shorten what holds a connection: slow statements, work inside transactions, a second "
    "connection taken while the first is held (that deadlocks the pool by itself).",
    "Then give the pool room: its maximum ≥ rate a task × seconds that a request holds a "
    "connection, and at least Tn × (Cm − 1) + 1 where Tn threads take Cm connections each.",
    "Let the wait end: a pool timeout of 1–5 s answered with 503 is better than a queue.",
)
