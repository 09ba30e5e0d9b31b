"""Reads a file of synthetic tests; the format is told in this package's docstring.

Everything that can be known to be wrong is said here, with line and key, before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import parse_duration
from hikkoshi.trials.synthetic.definition import Step, SyntheticTest
from hikkoshi.trials.synthetic.expectations import OPERATORS, Condition, Expectation
from hikkoshi.trials.synthetic.jsonpath import JsonPath, parse_path
from hikkoshi.trials.synthetic.marked import Marked, read_marked
from hikkoshi.trials.synthetic.templates import names_in

_STEP_KEYS = ("request", "headers", "body", "expect", "capture")
_TEST_KEYS = ("name", "timeout", "retry", "steps", *_STEP_KEYS)
_EXPECT_KEYS = ("status", "time", "slow", "header", "json", "body")
_REQUEST = re.compile(r"^([A-Z][A-Z-]*)\s+((?:/|https?://|\{\{)\S*(?:\s*\}\}\S*)*)$")
_STATUS = re.compile(r"^[1-5](\d\d|xx)$")
_NAME = re.compile(r"^[A-Za-z_]\w*$")
_NUMERIC = ("less than", "at most", "more than", "at least")


def load_tests(path: Path) -> tuple[SyntheticTest, ...]:
    """BadInput when the file cannot be read or anything in it is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"the tests cannot be read: {error}", where=str(path), fix="name a YAML file in UTF-8"
        ) from error
    return parse_tests(text, str(path))


def parse_tests(text: str, file: str = "tests") -> tuple[SyntheticTest, ...]:
    """As `load_tests`, from text; `file` is what errors call it."""
    document = read_marked(text, file)
    members = document.pairs(("tests",))
    if "tests" not in members:
        raise document.wrong("no tests in it", "begin with tests:")
    tests = []
    seen: dict[str, str] = {}
    for entry in members["tests"].items():
        test = _test(entry)
        if test.name in seen:
            raise entry.wrong(f"a second test {test.name!r} (the first: {seen[test.name]})",
                              "give each a name of its own")  # fmt: skip
        seen[test.name] = test.where
        tests.append(test)
    if not tests:
        raise members["tests"].wrong("the list of tests is empty", "write at least one")
    return tuple(tests)


def _test(entry: Marked) -> SyntheticTest:
    members = entry.pairs(_TEST_KEYS)
    if "name" not in members:
        raise entry.wrong("a test without a name", "write name: what it shows")
    name = members["name"].text("write what it shows")
    if "steps" in members:
        both = [key for key in _STEP_KEYS if key in members]
        if both:
            raise members[both[0]].wrong(
                f"both steps and {both[0]}", f"move {both[0]} into the steps"
            )
        entries = members["steps"].items()
        if not entries:
            raise members["steps"].wrong("no step in it", "write at least one request")
        steps = []
        known: set[str] = set()
        for each in entries:
            steps.append(_step(each, each.pairs(_STEP_KEYS), known))
            known |= {captured for captured, _ in steps[-1].capture}
    else:
        only = {key: value for key, value in members.items() if key in _STEP_KEYS}
        steps = [_step(entry, only, set())]
    retries, interval_s = _retry(members.get("retry"))
    return SyntheticTest(
        name=name,
        steps=tuple(steps),
        where=entry.where,
        timeout_s=_duration(members["timeout"]) if "timeout" in members else 10.0,
        retries=retries,
        retry_interval_s=interval_s,
    )


def _step(entry: Marked, members: Mapping[str, Marked], known: set[str]) -> Step:
    if "request" not in members:
        raise entry.wrong("no request", "write request: GET /path")
    for key in ("request", "headers", "body", "expect"):
        if key in members:
            _check_names(members[key], known)
    text = members["request"].text("write METHOD /path").strip()
    match = _REQUEST.match(text)
    if match is None:
        raise members["request"].wrong(
            f"{text!r} is not a request", "write METHOD and a path, as in GET /reports?limit=20"
        )
    return Step(
        method=match[1],
        path=match[2],
        where=entry.where,
        headers=tuple(_headers(members["headers"])) if "headers" in members else (),
        body=members["body"].value() if "body" in members else None,
        expect=_expectation(members["expect"]) if "expect" in members else Expectation(),
        capture=tuple(_captures(members["capture"])) if "capture" in members else (),
    )


def _check_names(member: Marked, known: set[str]) -> None:
    for name in names_in(member.value()):
        if name not in known and not name.startswith("env."):
            have = ", ".join(sorted(known)) or "none"
            raise member.wrong(
                f"{{{{{name}}}}} is not known here",
                f"capture it in an earlier step (so far: {have}), or write {{{{env.NAME}}}}",
            )


def _headers(member: Marked) -> list[tuple[str, str]]:
    headers = []
    for name, value in member.pairs().items():
        plain = value.value()
        if isinstance(plain, (dict, list)) or plain is None:
            raise value.wrong(f"the header {name} is not a text", f"write {name}: value")
        headers.append((name, str(plain)))
    return headers


def _captures(member: Marked) -> list[tuple[str, JsonPath | str]]:
    captures: list[tuple[str, JsonPath | str]] = []
    for name, value in member.pairs().items():
        source = value.text("write $.path or header NAME").strip()
        if not _NAME.match(name):
            raise value.wrong(f"{name!r} is not a name", "use letters, digits and _")
        if source.lower().startswith("header "):
            captures.append((name, source[7:].strip().lower()))
        else:
            captures.append((name, _path(value, source)))
    return captures


def _path(member: Marked, text: str) -> JsonPath:
    try:
        return parse_path(text)
    except ValueError as error:
        raise member.wrong(str(error), "write a path like $.reports[0].id") from error


def _retry(member: Marked | None) -> tuple[int, float]:
    if member is None:
        return 0, 0.3
    plain = member.value()
    if isinstance(plain, dict):
        members = member.pairs(("count", "interval"))
        interval_s = _duration(members["interval"]) if "interval" in members else 0.3
        plain = members["count"].value() if "count" in members else 1
    else:
        interval_s = 0.3
    if not isinstance(plain, int) or isinstance(plain, bool) or not 0 <= plain <= 100:
        raise member.wrong(f"retry is {plain!r}", "write a number, or {count: 2, interval: 500ms}")
    return plain, interval_s


def _duration(member: Marked) -> float:
    plain = member.value()
    try:
        seconds = parse_duration(plain)
    except ValueError as error:
        raise member.wrong(str(error), "write 500ms or 2s") from error
    if seconds <= 0:
        raise member.wrong(f"{plain!r} is no time at all", "give more than nought")
    return seconds


def _expectation(member: Marked) -> Expectation:
    members = member.pairs(_EXPECT_KEYS)
    headers: dict[str, Marked] = members["header"].pairs() if "header" in members else {}
    paths: dict[str, Marked] = members["json"].pairs() if "json" in members else {}
    return Expectation(
        statuses=_statuses(members["status"]) if "status" in members else (),
        time_s=_duration(members["time"]) if "time" in members else None,
        slow_s=_duration(members["slow"]) if "slow" in members else None,
        headers=tuple(
            (name, condition)
            for name, value in headers.items()
            for condition in _conditions(value, "equals")
        ),
        json=tuple(
            (_path(value, path), condition)
            for path, value in paths.items()
            for condition in _conditions(value, "equals")
        ),
        body=tuple(_conditions(members["body"], "contains")) if "body" in members else (),
    )


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
