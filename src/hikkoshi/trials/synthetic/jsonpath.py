"""The small part of JSONPath that tests need, and clear words for the rest.

`$` the whole answer, `.key` and `['key']` a member, `[0]` and `[-1]` an element, `[*]` every
element or member, and `.length()` at the end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_STEP = re.compile(
    r"""\.(?P<length>length\(\)$)
      | \.(?P<name>[A-Za-z_\u0080-\uffff][\w\u0080-\uffff-]*+)(?!\()
      | \[(?P<index>-?\d+)\]
      | \[\s*'(?P<single>(?:[^'\\]|\\.)*)'\s*\]
      | \[\s*"(?P<double>(?:[^"\\]|\\.)*)"\s*\]
      | (?P<every>\[\*\]|\.\*)""",
    re.VERBOSE,
)
_EVERY = object()
_LENGTH = object()


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A parsed path. is_many: it has a `[*]`, so that it stands for any number of values."""

    text: str
    steps: tuple[Any, ...]
    is_many: bool

    def find(self, document: Any) -> list[Any]:
        """The values that the path leads to; empty when it leads nowhere."""
        values = [document]
        for step in self.steps:
            values = [found for value in values for found in _follow(value, step)]
        return values


def parse_path(text: str) -> JsonPath:
    """ValueError, with what is allowed instead, when it is not of the supported kind."""
    if not text.startswith("$"):
        raise ValueError(f"{text!r} is not a path: a path begins with $, as in $.reports[0].id")
    steps: list[Any] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(_complaint(text, at))
        steps.append(_step_of(match))
        at = match.end()
    return JsonPath(text, tuple(steps), any(step is _EVERY for step in steps))


def _step_of(match: re.Match[str]) -> Any:
    if match["length"]:
        return _LENGTH
    if match["every"]:
        return _EVERY
    if match["index"]:
        return int(match["index"])
    if match["name"]:
        return match["name"]
    quoted = match["single"] if match["single"] is not None else match["double"]
    return re.sub(r"\\(.)", r"\1", quoted)


def _complaint(text: str, at: int) -> str:
    rest = text[at:]
    if rest.startswith(".."):
        told = "'..' (search at any depth) is not supported; write the whole path"
    elif rest.startswith("[?"):
        told = "filters [?…] are not supported; name the element by its number, or use [*]"
    elif re.match(r"\[-?\d*:", rest):
        told = "slices [a:b] are not supported; name the element by its number, or use [*]"
    elif rest.startswith(".length()"):
        told = ".length() is only allowed at the end"
    elif re.match(r"\.\w+\(", rest):
        told = "the only function is .length(), at the end"
    else:
        told = "after $ only .key, ['key'], [0], [*] and a last .length() are supported"
    return f"{text!r}, at character {at + 1}: {told}"


def _follow(value: Any, step: Any) -> list[Any]:
    if step is _EVERY:
        if isinstance(value, dict):
            return list(value.values())
        return list(value) if isinstance(value, list) else []
    if step is _LENGTH:
        return [len(value)] if isinstance(value, (list, dict, str)) else []
    if isinstance(step, int):
        if isinstance(value, list) and -len(value) <= step < len(value):
            return [value[step]]
        return []
    return [value[step]] if isinstance(value, dict) and step in value else []
