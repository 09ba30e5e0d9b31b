"""The part of JSONPath that conditions under load use: `$.a.b`, `['a b']`, `[0]`, `[-1]`, `[*]`,
`.length()`."""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_][\w-]*)(?P<call>\(\))?   # .name, .length()
      | \[(?P<index>-?\d+)\]                         # [0], [-1]
      | \[(?P<quoted>"[^"]*"|'[^']*')\]              # ['a b']
      | (?P<all>\[\*\]|\.\*)                         # [*], .*
    """,
    re.VERBOSE,
)


class Length:
    """The step `.length()`."""


Step = str | int | Length | None


def parse_json_path(path: str) -> tuple[Step, ...]:
    """None stands for all children. ValueError when it is not one, or uses what is not here."""
    if not path.startswith("$"):
        raise ValueError(f"{path!r} is not a JSONPath; it starts with $")
    steps: list[Step] = []
    at = 1
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None or (match["call"] and match["name"] != "length"):
            raise ValueError(
                f"{path!r} cannot be read from {path[at:]!r} on; write $.name, [0], ['name'], [*] "
                "or .length()"
            )
        if match["call"]:
            steps.append(Length())
        elif match["name"] is not None:
            steps.append(match["name"])
        elif match["index"] is not None:
            steps.append(int(match["index"]))
        elif match["quoted"] is not None:
            steps.append(match["quoted"][1:-1])
        else:
            steps.append(None)
        at = match.end()
    return tuple(steps)


def find(document: Any, steps: tuple[Step, ...]) -> list[Any]:
    """All values at the path; none when it leads nowhere."""
    found = [document]
    for step in steps:
        found = [value for each in found for value in _children(each, step)]
    return found


def _children(value: Any, step: Step) -> list[Any]:
    if isinstance(step, Length):
        return [len(value)] if isinstance(value, (list, dict, str)) else []
    if step is None:
        if isinstance(value, dict):
            return list(value.values())
        return list(value) if isinstance(value, list) else []
    if isinstance(step, int):
        is_there = isinstance(value, list) and -len(value) <= step < len(value)
        return [value[step]] if is_there else []
    return [value[step]] if isinstance(value, dict) and step in value else []
