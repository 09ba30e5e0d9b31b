"""Edits of JSON text that leave everything else as its author wrote it, and their diff. Pure."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from hikkoshi.tuning.choice import Path

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
# `describe` output has the document under one key.
_WRAPPERS = ("taskDefinition", "service")


@dataclass(frozen=True, slots=True)
class _Value:
    """Where a value stands in the text. members: of an object (key's start, key, value's start,
    value's end), of an array (start, index, start, end)."""

    start: int
    end: int
    members: tuple[tuple[int, str | int, int, int], ...]


def edit_json(text: str, edits: Iterable[tuple[Path, Any]]) -> str:
    """The text with each value set, or added to its object. KeyError for a path whose parent is
    not there; ValueError for a text that is not JSON."""
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark)
    for path, value in edits:
        text = _set(text, _unwrap(text, path), value)
    return mark + text


def unified_diff(name: str, old: str, new: str) -> str:
    """As `patch -p1` and `git apply` take it; "" for no difference."""
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _unwrap(text: str, path: Path) -> Path:
    whole = json.loads(text)
    if isinstance(whole, dict) and len(whole) == 1 and next(iter(whole)) in _WRAPPERS:
        return (next(iter(whole)), *path)
    return path


def _set(text: str, path: Path, value: Any) -> str:
    at = _skip(text, 0)
    for step in path[:-1]:
        at = _find(text, at, step)
    parent = _read(text, at)
    written = json.dumps(value, ensure_ascii=False)
    for _, key, start, end in parent.members:
        if key == path[-1]:
            return text[:start] + written + text[end:]
    if text[parent.start] != "{":
        raise KeyError(path)
    member = f"{json.dumps(path[-1])}: {written}"
    if not parent.members:
        return f"{text[: parent.start]}{{ {member} }}{text[parent.end :]}"
    first, last = parent.members[0], parent.members[-1]
    between = text[parent.start + 1 : first[0]]
    glue = between if "\n" in between else " "
    return f"{text[: last[3]]},{glue}{member}{text[last[3] :]}"


def _find(text: str, at: int, step: str | int) -> int:
    for _, key, start, _ in _read(text, at).members:
        if key == step:
            return start
    raise KeyError(step)


def _read(text: str, at: int) -> _Value:
    """The object or array that begins at `at`, with the places of what it holds."""
    _, end = _DECODER.raw_decode(text, at)
    if text[at] not in "{[":
        raise KeyError("neither an object nor an array")
    is_object = text[at] == "{"
    members: list[tuple[int, str | int, int, int]] = []
    here = _skip(text, at + 1)
    while text[here] not in "}]":
        start = here
        key: str | int = len(members)
        if is_object:
            key, here = scanstring(text, here + 1, True)
            here = _skip(text, _skip(text, here) + 1)
        _, stop = _DECODER.raw_decode(text, here)
        members.append((start, key, here, stop))
        here = _skip(text, stop)
        if text[here] == ",":
            here = _skip(text, here + 1)
    return _Value(at, end, tuple(members))


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
