"""Fluent Bit's configuration: what it would refuse, and outputs that no record ever reaches.

Each section is read by itself, so that one mistake does not hide the next. Inputs are not made:
that would open sockets and files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from hikkoshi.base.errors import BadInput
from hikkoshi.lint.complaint import Complaint, Severity
from hikkoshi.router.assembly import make_filters, make_routes
from hikkoshi.router.configuration import Configuration, plugin_name, read_configuration
from hikkoshi.router.inputs import INPUTS
from hikkoshi.router.match import tag_matcher
from hikkoshi.router.outputs import OutputContext
from hikkoshi.router.section import Section, Settings

_NOT_INTERPRETED = "not interpreted"
_VARIABLE = re.compile(r"\$\{([^}]+)\}")
# What ECS puts before the user's file: every application's tag is `<container>-firelens-<task>`.
FIRELENS_TAG = "{container}-firelens-0123456789abcdef"


@dataclasses.dataclass(frozen=True)
class Reading:
    complaints: tuple[Complaint, ...]
    configuration: Configuration | None


def lint_fluent_bit(path: Path, *, tags: tuple[str, ...] | None = None) -> Reading:
    """tags: of the records that come in from elsewhere (FireLens); None: they are not known, and
    only a file that has inputs of its own is held to them."""
    try:
        configuration = read_configuration(path, _variables(path))
    except BadInput as error:
        return Reading((_of(error, path),), None)
    complaints = [
        *_inputs(configuration, path),
        *_sections(configuration, path),
        *_unmatched(configuration, tags),
    ]
    return Reading(tuple(complaints), configuration)


def _variables(path: Path) -> dict[str, str]:
    """Every ${NAME} of the file and its neighbours, set to a number: text, and a port as well.
    What they are in the router's container is not known here."""
    names: set[str] = set()
    for file in (path, *path.parent.glob("*.conf")):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            names.update(_VARIABLE.findall(file.read_text("utf-8")))
    return dict.fromkeys(names, "1")


def _inputs(configuration: Configuration, path: Path) -> Iterator[Complaint]:
    for section in configuration.inputs:
        try:
            name = plugin_name(section)
        except BadInput as error:
            yield _of(error, path)
            continue
        if name.lower() not in INPUTS:
            yield Complaint(
                section.file,
                section.line,
                1,
                "is-not-interpreted-here",
                f"the input {name!r} is not interpreted by the built-in router; its keys are not "
                "checked",
                None,
                Severity.NOTE,
            )


def _sections(configuration: Configuration, path: Path) -> Iterator[Complaint]:
    def quiet(level: str, where: str, text: str) -> None:
        return None

    context = OutputContext(quiet, lambda data: None, {})
    for section in configuration.filters:
        try:
            make_filters(configuration._replace(filters=(section,)), quiet, _nowhere)
        except BadInput as error:
            yield _of(error, path)
    for section in configuration.outputs:
        try:
            make_routes(configuration._replace(outputs=(section,)), context)
        except BadInput as error:
            yield _of(error, path)


def _nowhere(start: int, on: int) -> Callable[..., None]:
    return lambda *_: None


def _unmatched(configuration: Configuration, tags: tuple[str, ...] | None) -> Iterator[Complaint]:
    known = [*(tags or ()), *_own_tags(configuration)]
    if not known or any(_rewrites(section) for section in configuration.filters):
        return
    for section in (*configuration.filters, *configuration.outputs):
        try:
            name = plugin_name(section)
            matches = tag_matcher(Settings(section, name))
        except BadInput:
            continue  # Told already.
        if not any(matches(tag) for tag in known):
            wanted = [e for e in section.properties if e.key.lower() in ("match", "match_regex")]
            line = wanted[0].line if wanted else section.line
            said = f"Match {wanted[0].value}" if wanted else "no Match"
            yield Complaint(
                section.file,
                line,
                1,
                "is-matched-by-nothing",
                f"the {section.kind.lower()} {name!r} has {said}, which fits none of the tags "
                f"{', '.join(known)}",
                "FireLens gives each record the tag `<container>-firelens-<task id>`: write "
                "`Match <container>-firelens*`, or `Match *`",
                Severity.WARNING,
            )


def _own_tags(configuration: Configuration) -> list[str]:
    tags: list[str] = []
    counts: dict[str, int] = {}
    for section in configuration.inputs:
        entries = {entry.key.lower(): entry.value for entry in section.properties}
        name = entries.get("name", "").lower()
        number = counts.get(name, 0)
        counts[name] = number + 1
        if name == "forward":
            return ["anything"] if "tag" not in entries else [entries["tag"]]
        tags.append(entries.get("tag", f"{name}.{number}").replace("*", "file"))
    return tags


def _rewrites(section: Section) -> bool:
    return any(e.key.lower() == "name" and e.value == "rewrite_tag" for e in section.properties)


def _of(error: BadInput, path: Path) -> Complaint:
    file, line, column = split_place(error.where, path)
    is_unknown = _NOT_INTERPRETED in error.what
    return Complaint(
        file,
        line,
        column,
        "is-not-interpreted-here" if is_unknown else "is-refused-by-fluent-bit",
        error.what,
        error.fix,
        Severity.NOTE if is_unknown else Severity.ERROR,
    )


def split_place(where: str | None, path: Path) -> tuple[str, int, int]:
    """`file:line[:column] (more)` → its parts; what is missing is the file's start."""
    text = (where or str(path)).split(" (")[0]
    numbers: list[int] = []
    while True:
        head, _, tail = text.rpartition(":")
        if not head or not tail.isdigit() or len(numbers) == 2:
            break
        numbers.insert(0, int(tail))
        text = head
    line, column = (numbers + [1, 1])[:2] if len(numbers) == 1 else (numbers or [1, 1])
    return text, line, column
