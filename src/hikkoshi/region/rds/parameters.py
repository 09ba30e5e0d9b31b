"""Cluster parameters: what PostgreSQL knows, what RDS lets one set, and RDS's formulas. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hikkoshi.region.rds.configuration import is_fixed

# Kept and described, but the server keeps its own small size: the value is meant for AWS's machine.
NOT_APPLIED = frozenset({"shared_buffers", "huge_pages", "effective_cache_size"})

DEFAULT_MAX_CONNECTIONS = "LEAST({DBInstanceClassMemory/9531392},5000)"

# Parameters of libraries, which `postgres --describe-config` does not list.
_PREFIXES = ("pg_stat_statements.", "auto_explain.", "plpgsql.")

# A standby must have at least as much of these as its writer (PostgreSQL's "Hot Standby" page);
# beside each what it is when nothing is set.
AT_LEAST_AS_ON_WRITER = {
    "max_connections": 100,
    "max_worker_processes": 8,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}

_GIB = 1 << 30
_SIZES = {
    "medium": 4, "large": 16, "xlarge": 32, "2xlarge": 64, "4xlarge": 128, "8xlarge": 256,
    "12xlarge": 384, "16xlarge": 512, "24xlarge": 768,
}  # fmt: skip
_CLASS = re.compile(r"db\.(t3|t4g|r[4-8][a-z]{0,2}|x2[a-z]{1,3}|serverless)(?:\.([0-9a-z]+))?")


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


def memory_of_class(instance_class: str, max_capacity: float | None = None) -> int | None:
    """Bytes of memory of an Aurora instance class; None for one that is not known here.
    Source: Aurora's page "Hardware specifications for DB instance classes"."""
    match = _CLASS.fullmatch(instance_class)
    if match is None:
        return None
    family, size = match.groups()
    if family == "serverless":
        return int((max_capacity or 2.0) * 2 * _GIB) if size is None else None
    if family.startswith("t"):
        return {"medium": 4 * _GIB, "large": 8 * _GIB}.get(size or "")
    gib = _SIZES.get(size or "")
    if gib is None or size == "medium":
        return None
    return gib * (2 if family.startswith("x") else 1) * _GIB


def effective(values: Mapping[str, str], memory_bytes: int) -> dict[str, str]:
    """A group's values as the server is to have them: formulas worked out, booleans as they are,
    what is not applied left out; max_connections by the class unless the group says it."""
    found = {}
    for name, value in ({"max_connections": DEFAULT_MAX_CONNECTIONS} | dict(values)).items():
        if name not in NOT_APPLIED and not name.startswith("rds."):
            found[name] = evaluate(value, memory_bytes) if is_formula(value) else value
    return found


def widest(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """`one`, with the larger of both where a standby must not have less than its writer."""
    found = dict(one)
    for name, default in AT_LEAST_AS_ON_WRITER.items():
        needed = max(int(values.get(name, default)) for values in (one, other))
        if needed != int(found.get(name, default)):
            found[name] = str(needed)
    return found


def with_sizes_of(values: Mapping[str, str], running: Mapping[str, str]) -> dict[str, str]:
    """`values`, with the sizes that a running server has: they change by a reboot only."""
    found = {name: value for name, value in values.items() if name not in AT_LEAST_AS_ON_WRITER}
    return found | {name: running[name] for name in AT_LEAST_AS_ON_WRITER if name in running}


def is_formula(value: str) -> bool:
    return "{" in value or value.upper().startswith(("LEAST(", "GREATEST(", "SUM("))


def evaluate(formula: str, memory_bytes: int) -> str:
    """`LEAST({DBInstanceClassMemory/9531392},5000)` → "450". Raises ValueError."""
    text = re.sub(r"\s+", "", formula)
    value, rest = _evaluate(text, memory_bytes)
    if rest:
        raise ValueError(f"{formula!r}: {rest!r} is left over")
    return str(int(value))


def _evaluate(text: str, memory: int) -> tuple[float, str]:
    call = re.match(r"(LEAST|GREATEST|SUM)\(", text, re.IGNORECASE)
    if call:
        values, rest = [], text[call.end() :]
        while True:
            value, rest = _evaluate(rest, memory)
            values.append(value)
            if rest.startswith(")"):
                name = call.group(1).upper()
                chosen = sum(values) if name == "SUM" else _extreme(name, values)
                return chosen, rest[1:]
            if not rest.startswith(","):
                raise ValueError(f"a comma or a parenthesis is missing at {rest!r}")
            rest = rest[1:]
    braces = re.match(r"\{DBInstanceClassMemory((?:[*/]\d+(?:\.\d+)?)*)\}", text)
    if braces:
        result = float(memory)
        for sign, number in re.findall(r"([*/])(\d+(?:\.\d+)?)", braces.group(1)):
            if sign == "/" and float(number) == 0:
                raise ValueError("division by zero")
            result = result * float(number) if sign == "*" else result // float(number)
        return result, text[braces.end() :]
    number = re.match(r"\d+", text)
    if number:
        return float(number.group()), text[number.end() :]
    raise ValueError(f"not a formula of RDS: {text!r}")


def _extreme(name: str, values: list[float]) -> float:
    return min(values) if name == "LEAST" else max(values)
