"""Reads what a step of our own format expects."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from hikkoshi.synthetic.expectations import OPERATORS, Condition, Expectation
from hikkoshi.synthetic.marked import Marked, read_duration, read_path
from hikkoshi.synthetic.schema import check_schema
from hikkoshi.synthetic.templates import names_in

_KEYS = {
    "request": ("status", "time", "slow", "header", "json", "xpath", "schema", "body",
                "days left", "tls version"),
    "tcp": ("time", "slow", "connection"),
    "tls": ("time", "slow", "days left", "tls version"),
    "dns": ("time", "slow", "records"),
}  # fmt: skip
_STATUS = re.compile(r"^[1-5](\d\d|xx)$")
_NUMERIC = ("less than", "at most", "more than", "at least")


def read_expectation(member: Marked, kind: str) -> Expectation:
    """kind: request, tcp, tls or dns."""
    members = member.pairs(_KEYS[kind])
    headers: dict[str, Marked] = members["header"].pairs() if "header" in members else {}
    paths: dict[str, Marked] = members["json"].pairs() if "json" in members else {}
    xpaths: dict[str, Marked] = members["xpath"].pairs() if "xpath" in members else {}
    return Expectation(
        statuses=_statuses(members["status"]) if "status" in members else (),
        time_s=read_duration(members["time"]) if "time" in members else None,
        slow_s=read_duration(members["slow"]) if "slow" in members else None,
        headers=tuple(
            (name, condition)
            for name, value in headers.items()
            for condition in _conditions(value, "equals")
        ),
        json=tuple(
            (read_path(value, path), condition)
            for path, value in paths.items()
            for condition in _conditions(value, "equals")
        ),
        xpath=tuple(
            (path, condition)
            for path, value in xpaths.items()
            for condition in _conditions(value, "equals")
        ),
        schema=_schema(members["schema"]) if "schema" in members else None,
        body=tuple(_conditions(members["body"], "contains")) if "body" in members else (),
        days_left=_number(members["days left"]) if "days left" in members else None,
        tls_version=_number(members["tls version"]) if "tls version" in members else None,
        connection=_connection(members["connection"]) if "connection" in members else None,
        records=_records(members["records"]) if "records" in members else (),
    )


def _schema(member: Marked) -> Any:
    """A schema in place, or the name of a file (JSON or YAML) beside the tests."""
    schema = member.value()
    if isinstance(schema, str):
        path = Path(member.file).parent / schema
        try:
            text = path.read_text("utf-8")
            schema = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            raise member.wrong(
                f"the schema {path} cannot be read: {error}", "name a file of JSON or YAML"
            ) from error
    try:
        check_schema(schema)
    except ValueError as error:
        raise member.wrong(str(error), "correct the schema") from error
    return schema


def _number(member: Marked) -> float:
    plain = member.value()
    if isinstance(plain, bool) or not isinstance(plain, (int, float)):
        raise member.wrong(f"{member.key} is {plain!r}, not a number", "write a number")
    return float(plain)


def _connection(member: Marked) -> str:
    plain = member.value()
    if plain not in ("established", "refused", "timeout"):
        raise member.wrong(f"connection is {plain!r}", "write established, refused or timeout")
    return str(plain)


def _records(member: Marked) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Type → a value or a list of them, of which all must be there; `exists` takes any."""
    records = []
    for kind, value in member.pairs().items():
        plain = value.value()
        if not re.fullmatch(r"[A-Z][A-Z0-9]*", kind):
            raise value.wrong(f"{kind!r} is not a type of record", "write A, AAAA, CNAME, MX, …")
        values = plain if isinstance(plain, list) else [] if plain == "exists" else [plain]
        records.append((kind, tuple(str(each) for each in values)))
    return tuple(records)


def _statuses(member: Marked) -> tuple[str, ...]:
    plain = member.value()
    statuses = [str(each) for each in (plain if isinstance(plain, list) else [plain])]
    for status in statuses:
        if not _STATUS.match(status):
            raise member.wrong(f"{status!r} is not a status", "write 200, [200, 201] or 2xx")
    return tuple(statuses)


def _conditions(member: Marked, plain_means: str) -> list[Condition]:
    """A plain value is compared; a mapping has operators; `exists` alone is one."""
    plain = member.value()
    if plain == "exists":
        return [Condition("exists", True)]
    if plain == "does not exist":
        return [Condition("exists", False)]
    if not isinstance(plain, dict):
        return [Condition(plain_means, plain)]
    if not plain:
        raise member.wrong("no operator in it", f"use one of {', '.join(OPERATORS)}")
    members = member.pairs(OPERATORS)
    return [_condition(name, value) for name, value in members.items()]


def _condition(operator: str, member: Marked) -> Condition:
    operand: Any = member.value()
    is_template = isinstance(operand, str) and bool(names_in(operand))
    if operator == "matches":
        try:
            re.compile(str(operand))
        except re.error as error:
            raise member.wrong(f"not a regular expression: {error}", "correct it") from error
    elif operator in _NUMERIC and not is_template:
        if isinstance(operand, bool) or not isinstance(operand, (int, float)):
            raise member.wrong(f"{operator} {operand!r} is not a number", "write a number")
    elif operator == "one of" and not isinstance(operand, list):
        raise member.wrong("one of needs a list", "write one of: [a, b]")
    elif operator == "exists" and not isinstance(operand, bool):
        raise member.wrong(f"exists is {operand!r}", "write true or false")
    return Condition(operator, operand)
