"""Reads a file of synthetic tests; the format is told in this package's docstring.

Everything that can be known to be wrong is said here, with line and key, before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.synthetic.datadog.read import looks_like_tests, parse_document, parse_test
from hikkoshi.synthetic.definition import SyntheticTest
from hikkoshi.synthetic.expectations import Expectation
from hikkoshi.synthetic.expecting import read_expectation
from hikkoshi.synthetic.jsonpath import JsonPath
from hikkoshi.synthetic.marked import Marked, read_duration, read_marked, read_path
from hikkoshi.synthetic.native_step import NativeStep, split_place
from hikkoshi.synthetic.templates import names_in

_KINDS = ("request", "tcp", "tls", "dns")
_STEP_KEYS = (*_KINDS, "headers", "body", "follow", "insecure", "expect", "capture")
_SETTINGS = ("timeout", "retry", "every", "alert after", "tags", "skip")
_TEST_KEYS = ("name", *_SETTINGS, "steps", "datadog", *_STEP_KEYS)
_REQUEST = re.compile(r"^([A-Z][A-Z-]*)\s+((?:/|https?://|\{\{)\S*(?:\s*\}\}\S*)*)$")
_NAME = re.compile(r"^[A-Za-z_]\w*$")


def files_of(path: Path) -> list[Path]:
    """The files of tests that a path stands for, in the order of their names. BadInput: none."""
    if not path.is_dir():
        return [path]
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix in (".yaml", ".yml", ".json")
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and _has_tests(file)
    ]
    if not files:
        raise BadInput(
            "no file of tests in it", where=str(path), fix="name a file that begins with tests:"
        )
    return files


def load_tests(path: Path) -> tuple[SyntheticTest, ...]:
    """The tests of a file, ours (YAML) or Datadog's (JSON), or of all such files of a directory.

    BadInput when something cannot be read, anything in it is wrong, or there is no test at all.
    """
    return tuple(test for file in files_of(path) for test in _load_file(file))


def load_kept(path: Path) -> Mapping[str, Any] | None:
    """What a file keeps of the document of Datadog's that it came from; None: from none."""
    if path.suffix == ".json":
        return None
    members = read_marked(_read(path), str(path)).pairs(("tests", "datadog"))
    kept = members["datadog"].value() if "datadog" in members else None
    return kept if isinstance(kept, dict) else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"the tests cannot be read: {error}",
            where=str(path),
            fix="name a file in UTF-8: YAML of ours, or JSON of Datadog's",
        ) from error


def _load_file(path: Path) -> tuple[SyntheticTest, ...]:
    text = _read(path)
    if path.suffix == ".json":
        return parse_document(text, str(path))
    return parse_tests(text, str(path))


def _has_tests(path: Path) -> bool:
    """In a directory, other files may lie beside those of tests."""
    text = _read(path)
    if path.suffix == ".json":
        return path.name.endswith(".synthetics.json") or looks_like_tests(text)
    return re.search(r"^tests\s*:", text, re.MULTILINE) is not None


def parse_tests(text: str, file: str = "tests") -> tuple[SyntheticTest, ...]:
    """As `load_tests`, from text; `file` is what errors call it."""
    document = read_marked(text, file)
    members = document.pairs(("tests", "datadog"))
    if "tests" not in members:
        raise document.wrong("no tests in it", "begin with tests:")
    tests = []
    seen: dict[str, str] = {}
    for entry in members["tests"].items():
        test = _test(entry)
        if test.name in seen and test.foreign is None:
            raise entry.wrong(f"a second test {test.name!r} (the first: {seen[test.name]})",
                              "give each a name of its own")  # fmt: skip
        seen[test.name] = test.where
        tests.append(test)
    if not tests:
        raise members["tests"].wrong("the list of tests is empty", "write at least one")
    return tuple(tests)


def _test(entry: Marked) -> SyntheticTest:
    members = entry.pairs(_TEST_KEYS)
    if "datadog" in members:
        return _foreign(entry, members)
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
            known |= {captured for captured, _ in steps[-1].capture_from}
    else:
        only = {key: value for key, value in members.items() if key in _STEP_KEYS}
        steps = [_step(entry, only, set())]
    retries, interval_s = _retry(members.get("retry"))
    return SyntheticTest(
        name=name,
        steps=tuple(steps),
        where=entry.where,
        timeout_s=read_duration(members["timeout"]) if "timeout" in members else 10.0,
        retries=retries,
        retry_interval_s=interval_s,
        every_s=read_duration(members["every"]) if "every" in members else None,
        alert_after_s=read_duration(members["alert after"]) if "alert after" in members else 0.0,
        tags=_tags(members["tags"]) if "tags" in members else (),
        skipped=members["skip"].text("write why it is left out") if "skip" in members else None,
    )


def _foreign(entry: Marked, members: Mapping[str, Marked]) -> SyntheticTest:
    """A test of Datadog's, kept whole."""
    others = [key for key in members if key not in ("datadog", "name")]
    if others:
        raise members[others[0]].wrong(
            f"both datadog and {others[0]}", f"set it within datadog, as Datadog calls {others[0]}"
        )
    return parse_test(members["datadog"].value(), members["datadog"].where)


def _tags(member: Marked) -> tuple[str, ...]:
    return tuple(each.text("write a list of texts") for each in member.items())


def _step(entry: Marked, members: Mapping[str, Marked], known: set[str]) -> NativeStep:
    kinds = [kind for kind in _KINDS if kind in members]
    if not kinds:
        raise entry.wrong("no request", "write request: GET /path (or tcp:, tls:, dns:)")
    if len(kinds) > 1:
        raise members[kinds[1]].wrong(f"both {kinds[0]} and {kinds[1]}", "make two steps of it")
    for key in (*_KINDS, "headers", "body", "expect"):
        if key in members:
            _check_names(members[key], known)
    kind = kinds[0]
    method, path = _request(members["request"]) if kind == "request" else _place(members[kind])
    for key in ("headers", "body", "follow", "capture"):
        if key in members and kind != "request":
            raise members[key].wrong(f"{key} belongs to a request, not to {kind}", "leave it out")
    return NativeStep(
        method=method,
        path=path,
        where=entry.where,
        headers=tuple(_headers(members["headers"])) if "headers" in members else (),
        body=members["body"].value() if "body" in members else None,
        expect=read_expectation(members["expect"], kind) if "expect" in members else Expectation(),
        capture_from=tuple(_captures(members["capture"])) if "capture" in members else (),
        is_following=_switch(members.get("follow")),
        is_insecure=_switch(members.get("insecure")),
    )


def _request(member: Marked) -> tuple[str, str]:
    text = member.text("write METHOD /path").strip()
    match = _REQUEST.match(text)
    if match is None:
        raise member.wrong(
            f"{text!r} is not a request", "write METHOD and a path, as in GET /reports?limit=20"
        )
    return match[1], match[2]


def _place(member: Marked) -> tuple[str, str]:
    kind = member.key.rpartition(".")[2]
    text = member.text("write a name, or host:port").strip()
    if kind != "dns" and not names_in(text):
        try:
            _, port = split_place(text, 0)
        except ValueError as error:
            raise member.wrong(str(error), f"write {kind}: host:port") from error
        if kind == "tcp" and not port:
            raise member.wrong(f"{text!r} has no port", "write tcp: host:port")
    return kind.upper(), text


def _switch(member: Marked | None) -> bool:
    if member is None:
        return False
    plain = member.value()
    if not isinstance(plain, bool):
        raise member.wrong(f"{member.key} is {plain!r}", "write true or false")
    return plain


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
            captures.append((name, read_path(value, source)))
    return captures


def _retry(member: Marked | None) -> tuple[int, float]:
    if member is None:
        return 0, 0.3
    plain = member.value()
    if isinstance(plain, dict):
        members = member.pairs(("count", "interval"))
        interval_s = read_duration(members["interval"]) if "interval" in members else 0.3
        plain = members["count"].value() if "count" in members else 1
    else:
        interval_s = 0.3
    if not isinstance(plain, int) or isinstance(plain, bool) or not 0 <= plain <= 100:
        raise member.wrong(f"retry is {plain!r}", "write a number, or {count: 2, interval: 500ms}")
    return plain, interval_s
