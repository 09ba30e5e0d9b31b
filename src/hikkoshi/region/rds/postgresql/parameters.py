"""Cluster parameters of Aurora PostgreSQL: what PostgreSQL knows, and what RDS lets one set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.rds.engine import Run
from hikkoshi.region.rds.parameters import evaluate, is_formula
from hikkoshi.region.rds.postgresql.binaries import Binaries
from hikkoshi.region.rds.postgresql.configuration import is_fixed

# Kept and described, but the server keeps its own small size: the value is meant for AWS's machine.
NOT_APPLIED = frozenset({"shared_buffers", "huge_pages", "effective_cache_size"})

DEFAULT_MAX_CONNECTIONS = "LEAST({DBInstanceClassMemory/9531392},5000)"

# Parameters of libraries, which `postgres --describe-config` does not list.
_PREFIXES = ("pg_stat_statements.", "auto_explain.", "plpgsql.")
_LIBRARIES = ("pg_stat_statements", "auto_explain", "pg_prewarm", "auth_delay")

# A standby must have at least as much of these as its writer (PostgreSQL's "Hot Standby" page);
# beside each what it is when nothing is set.
AT_LEAST_AS_ON_WRITER = {
    "max_connections": 100,
    "max_worker_processes": 8,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}


@dataclass(frozen=True, slots=True)
class Known:
    """One parameter as `postgres --describe-config` tells it."""

    name: str
    context: str
    kind: str
    default: str
    low: str
    high: str
    description: str

    @property
    def is_static(self) -> bool:
        return self.context == "postmaster"

    @property
    def is_modifiable(self) -> bool:
        return self.context != "internal" and not is_fixed(self.name)

    @property
    def data_type(self) -> str:
        kinds = {"BOOLEAN": "boolean", "INTEGER": "integer", "REAL": "float"}
        return kinds.get(self.kind, "string")

    @property
    def allowed(self) -> str | None:
        if self.kind == "BOOLEAN":
            return "0,1"
        return f"{self.low}-{self.high}" if self.low and self.high else None


_OF_AWS = (
    "apg_", "aurora_", "babelfishpg_", "cron.", "orafce.", "pg_hint_plan.", "pgaudit.", "pgactive.",
    "pglogical.", "plrust.", "rdkit.",
)  # fmt: skip


def parse_descriptions(text: str) -> dict[str, Known]:
    """The output of `postgres --describe-config`: tab-separated, one parameter a line."""
    found = {}
    for line in text.splitlines():
        columns = line.split("\t")
        if len(columns) >= 8:
            name, context, _, kind, default, low, high, description = columns[:8]
            found[name] = Known(name, context, kind, default, low, high, description)
    return found


def of_library(name: str) -> Known | None:
    """A parameter that belongs to a library rather than to the server itself."""
    if name.startswith(_PREFIXES):
        context = "postmaster" if name == "pg_stat_statements.max" else "superuser"
        return Known(name, context, "STRING", "", "", "", "Belongs to a library.")
    return None


def effective(values: Mapping[str, str], memory_bytes: int) -> dict[str, str]:
    """A group's values as the server is to have them: formulas worked out, booleans as they are,
    what is not applied left out; max_connections by the class unless the group says it."""
    found = {}
    for name, value in ({"max_connections": DEFAULT_MAX_CONNECTIONS} | dict(values)).items():
        if name not in NOT_APPLIED and not name.startswith("rds."):
            found[name] = evaluate(value, memory_bytes) if is_formula(value) else value
    return found


class PostgresParameters:
    """As the installed PostgreSQL tells and judges them; made by `learn`."""

    def __init__(self, known: Mapping[str, Known], binaries: Binaries, run: Run, empty: Path):
        self.known = known
        self._binaries = binaries
        self._run = run
        self._empty = empty

    def find(self, name: str) -> Known | None:
        return self.known.get(name) or of_library(name)

    def is_of_aws(self, name: str) -> bool:
        """Aurora's own, and those of libraries that the wheel has not."""
        return name.startswith(_OF_AWS)

    async def complaint(self, values: Mapping[str, str]) -> str | None:
        """Let PostgreSQL itself judge: it reads its configuration, and starts nothing."""
        if "shared_preload_libraries" in values:
            said = self._about_libraries(values["shared_preload_libraries"])
            if said is not None:
                return said
        self._empty.mkdir(parents=True, exist_ok=True)
        (self._empty / "postgresql.conf").touch()
        arguments = ["-D", str(self._empty), "-C", "max_connections"]
        for name, value in values.items():
            arguments += ["-c", f"{name}={value}"]
        code, output = await self._run([self._binaries.path("postgres"), *arguments])
        return None if code == 0 else output.strip().rpartition("FATAL:  ")[2]

    def _about_libraries(self, value: str) -> str | None:
        directory = self._binaries.directory.parent / "lib" / "postgresql"
        there = sorted(name for name in _LIBRARIES if (directory / f"{name}.so").exists())
        for library in (part.strip() for part in value.split(",")):
            if library and library not in there:
                return (
                    f"{library} for: shared_preload_libraries "
                    f"allowed values here are: {', '.join(there)}"
                )
        return None


async def learn(binaries: Binaries, run: Run, empty: Path) -> PostgresParameters:
    """empty: a directory that the server may take for its own while it judges."""
    code, output = await run([binaries.path("postgres"), "--describe-config"])
    if code != 0:
        raise CannotRun(f"postgres --describe-config failed: {output[-500:]}")
    known = parse_descriptions(output)
    known["max_connections"] = replace(known["max_connections"], default=DEFAULT_MAX_CONNECTIONS)
    return PostgresParameters(known, binaries, run, empty)
