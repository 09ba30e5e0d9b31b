"""fluentd's configuration with what it includes, and the sample of lines."""

from __future__ import annotations

import json
from pathlib import Path

from hikkoshi.base.errors import BadInput
from hikkoshi.router.fluentd import Directive, parse

_MOST_DEPTH = 10
DELIVERED, WRITTEN = "delivered_logs.jsonl", "logs.jsonl"


def read_fluentd(path: Path, depth: int = 0) -> list[Directive]:
    """`@include` is followed where it names files (with `*`), relative to the file. Raises BadInput
    with file:line."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise BadInput(f"it cannot be read: {error.strerror}", where=str(path)) from error
    directives, complaints = parse(text, str(path))
    if complaints:
        where, _, what = complaints[0].partition(": ")
        raise BadInput(what, where=where, fix="fluentd itself would refuse this file")
    found: list[Directive] = []
    for directive in directives:
        if directive.kind != "@include":
            found.append(directive)
            continue
        if depth >= _MOST_DEPTH:
            raise BadInput("files include each other in a circle", where=directive.where)
        found += _included(path, directive, depth)
    return found


def _included(path: Path, directive: Directive, depth: int) -> list[Directive]:
    pattern = directive.argument.strip("\"'")
    if "://" in pattern:
        raise BadInput("only files are included here", where=directive.where)
    top = Path("/") if pattern.startswith("/") else path.parent
    files = sorted(top.glob(pattern.lstrip("/")))
    if not files and not any(c in pattern for c in "*?["):
        raise BadInput(f"there is no file {pattern}", where=directive.where)
    return [one for file in files for one in read_fluentd(file, depth + 1)]


def is_fluentd(path: Path) -> bool:
    """By its first line that is no comment: JSON lines begin with a brace."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.strip() and not line.lstrip().startswith("#"):
                    return line.lstrip()[0] in "<@"
    except OSError as error:
        raise BadInput(f"it cannot be read: {error.strerror}", where=str(path)) from error
    return False


def find_in_run(run: Path, name: str) -> Path | None:
    """A table of a run's records, in the directory itself or where a rehearsal writes it."""
    for place in (run / "records" / "region" / name, run / "region" / name, run / name):
        if place.is_file():
            return place
    return None


def lines_of_run(path: Path, container: str | None) -> tuple[list[str], list[float]]:
    """What the application's containers wrote, with its time: the router's own lines are left
    out. container: only this one's."""
    lines, times = [], []
    for text in path.read_text("utf-8", "replace").splitlines():
        row = json.loads(text) if text.strip() else {}
        name = row.get("container", "")
        if "line" in row and (name == container if container else "router" not in name):
            lines.append(str(row["line"]))
            times.append(float(row.get("t", 0)))
    return lines, times
