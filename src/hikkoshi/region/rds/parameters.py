"""RDS's formulas and instance classes, and parameters that a reader must not have less of. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_GIB = 1 << 30
_SIZES = {
    "medium": 4, "large": 16, "xlarge": 32, "2xlarge": 64, "4xlarge": 128, "8xlarge": 256,
    "12xlarge": 384, "16xlarge": 512, "24xlarge": 768,
}  # fmt: skip
_CLASS = re.compile(r"db\.(t3|t4g|r[4-8][a-z]{0,2}|x2[a-z]{1,3}|serverless)(?:\.([0-9a-z]+))?")


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


def widest(
    one: Mapping[str, str], other: Mapping[str, str], sizes: Mapping[str, int]
) -> dict[str, str]:
    """`one`, with the larger of both where a reader must not have less than its writer: in
    `sizes`, with what each is when nothing is set."""
    found = dict(one)
    for name, default in sizes.items():
        needed = max(int(values.get(name, default)) for values in (one, other))
        if needed != int(found.get(name, default)):
            found[name] = str(needed)
    return found


def with_sizes_of(
    values: Mapping[str, str], running: Mapping[str, str], sizes: Mapping[str, int]
) -> dict[str, str]:
    """`values`, with the sizes that a running server has: they change by a reboot only."""
    found = {name: value for name, value in values.items() if name not in sizes}
    return found | {name: running[name] for name in sizes if name in running}


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
