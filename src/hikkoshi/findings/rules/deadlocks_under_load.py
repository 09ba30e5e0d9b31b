"""Deadlocks that the database itself detected and broke."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from hikkoshi.evidence import queries
from hikkoshi.evidence.engines import engine_of
from hikkoshi.evidence.queries import DatabaseLogRow, DatabaseSample
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows
from hikkoshi.findings.rule import UNDER_LOAD, Applies, Need
from hikkoshi.model.findings import Certainty, Evidence, Finding, NotJudged

NAME = "deadlocks-under-load"
TITLE = "Transactions deadlock under load"
APPLIES = Applies((Need.DATABASE,), UNDER_LOAD)

# facts/observability.md: the database counts only what it had to break, so one is a fact.
FACT_DEADLOCKS = 1
SHOWN = 3

_OF_MANY = {"postgresql": "= ANY($1)", "mysql": "IN (…)"}
_TABLE = re.compile(
    r'\b(?:UPDATE(?:\s+ONLY)?|FROM|INTO|LOCK(?:\s+TABLE)?)\s+([\w."]+)', re.IGNORECASE
)
_PROCESS = re.compile(r"^Process (\d+): (.*)$")


def count(samples: Sequence[DatabaseSample]) -> int:
    """Growth of `deadlocks` over all instances; a counter that falls was reset, and what it
    counts since the reset is new."""
    total = 0
    by_instance: dict[str, list[DatabaseSample]] = {}
    for sample in samples:
        by_instance.setdefault(sample.instance, []).append(sample)
    for rows in by_instance.values():
        for earlier, later in pairwise(rows):
            step = later.deadlocks - earlier.deadlocks
            total += step if step >= 0 else later.deadlocks
    return total


def statements_of(detail: str) -> tuple[tuple[str, str], ...]:
    """(process, statement) pairs from the server log's DETAIL, in its order; a statement may run
    over several lines. Empty when the detail has none."""
    found: list[tuple[str, list[str]]] = []
    for line in detail.splitlines():
        match = _PROCESS.match(line.strip())
        if match:
            found.append((match[1], [match[2]]))
        elif found:
            found[-1][1].append(line.rstrip())
    return tuple((process, "\n".join(lines).strip()) for process, lines in found)


def judge(evidence: EvidenceStore, windows: Windows) -> Finding | NotJudged | None:
    if not windows.own:
        return NotJudged(NAME, "no trial was recorded")
    sampled = [queries.database_samples(evidence, stretch) for stretch in windows.own]
    logged = [
        row
        for stretch in windows.own
        for row in queries.database_log(evidence, "deadlock", stretch)
    ]
    if all(len(samples) < 2 for samples in sampled) and not logged:
        return NotJudged(NAME, "the database was not sampled during the trials")
    counted = sum(count(samples) for samples in sampled)
    # The log may tell of more than the samples caught, and the other way round.
    number = max(counted, len(logged))
    if number < FACT_DEADLOCKS:
        return None
    engine = engine_of(evidence)
    t_start, t_end = windows.own[0].t_start, windows.own[-1].t_end
    numbers = [
        Evidence(
            f"deadlocks ({engine.deadlocks})",
            str(counted),
            str(FACT_DEADLOCKS),
            t_start,
            t_end,
        ),
        Evidence(
            f"deadlocks in the server's log (SQLSTATE {engine.states['deadlock'][0]})",
            str(len(logged)),
            str(FACT_DEADLOCKS),
            t_start,
            t_end,
        ),
    ]
    times = "once" if number == 1 else f"{number} times"
    return Finding(
        NAME,
        Certainty.FACT,
        _subject(logged) or evidence.meta().get("service") or "the database",
        f"Transactions waited for each other in a circle {times}; the database broke each circle "
        "by failing one of them.",
        tuple(numbers),
        (*_orders(logged, engine.name), *_ADVICE[engine.name]),
        _details(logged),
    )


def table_of(statement: str) -> str | None:
    """The first table that a statement names."""
    found = _TABLE.search(statement)
    return found[1] if found else None


def order_to_take(statements: Sequence[str], engine: str = "postgresql") -> str | None:
    """What each transaction took and then wanted, and one order for all; None where the statements
    do not tell. Each waits with its statement for what the next one holds: so the one that waits
    in A holds something in the table in which the other waits."""
    tables = [table_of(statement) for statement in statements]
    if len(tables) < 2 or None in tables:
        return None
    names = sorted({table for table in tables if table})
    if len(names) == 1:
        return (
            f"Both take rows of {names[0]}, in different orders. Lock them first, in the order of "
            f"the primary key, in every transaction: SELECT 1 FROM {names[0]} WHERE id "
            f"{_OF_MANY[engine]} ORDER BY id FOR UPDATE."
        )
    taken = "; ".join(
        f"one took {tables[(place + 1) % len(tables)]} and then wanted {table}"
        for place, table in enumerate(tables)
    )
    return f"{taken}. Take them in one order in every transaction: {' → '.join(names)}."


def _orders(logged: Sequence[DatabaseLogRow], engine: str) -> tuple[str, ...]:
    found: list[str] = []
    for row in logged:
        order = order_to_take([text for _, text in statements_of(row.detail)], engine)
        if order and order not in found:
            found.append(order)
    return tuple(found[:SHOWN])


def _subject(logged: Sequence[DatabaseLogRow]) -> str | None:
    """The tables that the statements of the first deadlock touch."""
    for row in logged:
        tables: list[str] = []
        for _, statement in statements_of(row.detail):
            table = table_of(statement)
            if table and table not in tables:
                tables.append(table)
        if tables:
            return ", ".join(tables)
    return None


def _details(logged: Sequence[DatabaseLogRow]) -> tuple[str, ...]:
    """Different deadlocks once each, the first ones, with both statements."""
    texts: list[str] = []
    shapes: set[tuple[str, ...]] = set()
    for row in logged:
        pairs = statements_of(row.detail)
        shape = tuple(sorted(re.sub(r"\d+", "?", text) for _, text in pairs)) or (row.statement,)
        if shape in shapes:
            continue
        shapes.add(shape)
        lines = [f"process {process}: {text}" for process, text in pairs]
        if not lines and row.statement:
            lines = [f"the statement that was failed: {row.statement}"]
        if lines:
            texts.append("\n".join(lines))
        if len(texts) == SHOWN:
            break
    return tuple(texts)


_SHORT = "Keep transactions short: no calls to other services between the first lock and COMMIT."
_ADVICE = {
    "postgresql": (
        "Take locks in one order everywhere: sort the rows by primary key before updating them, or "
        "lock them first with SELECT … WHERE id = ANY(…) ORDER BY id FOR UPDATE.",
        _SHORT,
        "Retry the whole transaction, with a small random delay, when it fails with SQLSTATE 40P01 "
        "(psycopg.errors.DeadlockDetected); retrying the one statement is not enough.",
    ),
    "mysql": (
        "Take locks in one order everywhere: sort the rows by primary key before updating them, or "
        "lock them first with SELECT … WHERE id IN (…) ORDER BY id FOR UPDATE.",
        f"{_SHORT} An UPDATE or DELETE without an index locks every row that it reads, and the "
        "gaps between them under REPEATABLE READ: index its WHERE, or use READ COMMITTED.",
        "Retry the whole transaction, with a small random delay, when it fails with error 1213 "
        "(SQLSTATE 40001): InnoDB has rolled all of it back.",
        "SHOW ENGINE INNODB STATUS shows the latest deadlock; innodb_print_all_deadlocks = 1 in "
        "the parameter group writes each one to the error log.",
    ),
}
