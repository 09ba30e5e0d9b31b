"""What the two database engines call the same things, for rules and their words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hikkoshi.evidence.store import EvidenceStore

Kind = Literal["deadlock", "too_many_connections", "read_only"]


@dataclass(frozen=True, slots=True)
class Engine:
    """states: SQLSTATE and words of the server's message, by what happened; the words decide too
    where `is_shared`, since the state tells of other things as well. reserved: connections of
    max_connections that no application gets."""

    name: Literal["postgresql", "mysql"]
    deadlocks: str
    scanned: str
    reserved: int
    states: dict[Kind, tuple[str, str]]
    is_shared: bool
    index: str
    index_note: str


POSTGRESQL = Engine(
    name="postgresql",
    deadlocks="pg_stat_database.deadlocks",
    scanned="rows read by sequential scans (pg_stat_user_tables)",
    # PostgreSQL's default superuser_reserved_connections.
    reserved=3,
    states={
        "deadlock": ("40P01", "deadlock detected"),
        "too_many_connections": ("53300", "too many clients"),
        "read_only": ("25006", "read-only transaction"),
    },
    is_shared=False,
    index="CREATE INDEX CONCURRENTLY ON {table} ({columns});",
    index_note="CONCURRENTLY does not block writers; run it outside a transaction.",
)

MYSQL = Engine(
    name="mysql",
    deadlocks="Innodb_deadlocks",
    scanned="rows read without an index (table_io_waits_summary_by_index_usage)",
    # MySQL and MariaDB have one beside max_connections for the superuser.
    reserved=0,
    states={
        "deadlock": ("40001", "Deadlock found"),
        "too_many_connections": ("08004", "Too many connections"),
        "read_only": ("HY000", "read-only option"),
    },
    is_shared=True,
    index="CREATE INDEX by_{name} ON {table} ({columns}) ALGORITHM=INPLACE LOCK=NONE;",
    index_note="LOCK=NONE does not block writers, or refuses.",
)

_ALL = (POSTGRESQL, MYSQL)


def engine_of(store: EvidenceStore) -> Engine:
    """PostgreSQL where `meta` does not say."""
    return MYSQL if "mysql" in store.meta().get("database", "") else POSTGRESQL


def condition(kind: Kind) -> str:
    """SQL over `database_log`: the rows that tell of it, of whichever engine; without a SQLSTATE
    the words alone decide."""
    parts = []
    for engine in _ALL:
        state, words = engine.states[kind]
        said = f"contains(message, '{words}')"
        told = f"sqlstate = '{state}'"
        parts.append(f"({told} AND {said})" if engine.is_shared else told)
        parts.append(f"(sqlstate IS NULL AND {said})")
    return f"({' OR '.join(parts)})"
