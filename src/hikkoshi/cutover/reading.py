"""`--steps`, `--abort-on` and their like, from what a person writes."""

from __future__ import annotations

import itertools
import re

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import format_duration, format_share, parse_duration, parse_share
from hikkoshi.cutover.values import Limits

_CLAUSE = re.compile(r"(errors|p99)\s*>\s*(\S.*)")
_EXAMPLE = "write for example 'errors>0.5%, p99>2x, synthetic failed'"


def read_steps(text: str) -> tuple[int, ...]:
    """'1,5,25,50,100' → (1, 5, 25, 50, 100)."""
    words = [word.strip().removesuffix("%").strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and len(word) < 5 for word in words):
        raise BadInput(
            f"{text!r} is not a list of whole percentages",
            where="--steps",
            fix="write for example 1,5,25,50,100",
        )
    steps = tuple(int(word) for word in words)
    if any(a >= b for a, b in itertools.pairwise(steps)) or steps[0] < 1:
        raise BadInput(
            f"{text!r}: the steps must rise, from 1 at the least",
            where="--steps",
            fix="write for example 1,5,25,50,100",
        )
    if steps[-1] != 100:
        raise BadInput(
            f"the last step is {steps[-1]}, so it would never be cut over",
            where="--steps",
            fix="end with 100; `hikkoshi cutover hold` stops before it",
        )
    return steps


def read_limits(text: str) -> Limits:
    """'errors>0.5%, p99>2x, p99>800ms, synthetic failed' in any order; at least one of them."""
    found: dict[str, float | bool] = {}
    for clause in (each.strip() for each in text.split(",")):
        key, value = _read_clause(clause)
        if key in found:
            raise BadInput(f"{clause!r} is there twice", where="--abort-on")
        found[key] = value
    return Limits(**found)  # type: ignore[arg-type]


def _read_clause(clause: str) -> tuple[str, float | bool]:
    if re.fullmatch(r"synthetic\s+failed", clause):
        return "has_synthetic", True
    match = _CLAUSE.fullmatch(clause)
    try:
        if match is None:
            raise ValueError("it is not known")
        value = match[2].strip()
        if match[1] == "errors":
            if not value.endswith("%") and value != "0":
                raise ValueError(f"is that {value}%? Write the sign")
            share = parse_share(value)
            if not 0 <= share < 1:
                raise ValueError("a share is from 0% to below 100%")
            return "errors", share
        if re.fullmatch(r"\d+(\.\d+)?x", value):
            times = float(value[:-1])
            if times < 1:
                raise ValueError("the new side may always be as slow as the old one")
            return "p99_times", times
        if re.fullmatch(r"[\d.]+", value):
            raise ValueError(f"is that {value}x, {value}ms or {value}s? Write the unit")
        return "p99_s", parse_duration(value)
    except ValueError as error:
        raise BadInput(f"{clause!r}: {error}", where="--abort-on", fix=_EXAMPLE) from error


def say_limits(limits: Limits) -> str:
    """As it can be read again."""
    said = []
    if limits.errors is not None:
        said.append(f"errors>{format_share(limits.errors).replace(' ', '')}")
    if limits.p99_times is not None:
        said.append(f"p99>{limits.p99_times:g}x")
    if limits.p99_s is not None:
        said.append(f"p99>{format_duration(limits.p99_s).replace(' ', '')}")
    if limits.has_synthetic:
        said.append("synthetic failed")
    return ", ".join(said)
