"""A sample of lines through the new router's configuration, as FireLens hands them to it.

The filters are the router's own, the same code that a local region runs; what each output's Match
takes is what arrives there. Inputs, buffers and retries are not played.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.parity.delivered import HOST_NAME, Delivered, Outcome
from hikkoshi.router.assembly import make_filters
from hikkoshi.router.configuration import plugin_name, read_configuration
from hikkoshi.router.event import Event
from hikkoshi.router.match import tag_matcher
from hikkoshi.router.outputs.datadog import Datadog
from hikkoshi.router.port import Filter
from hikkoshi.router.section import Section, Settings

OF_THE_TASK = "(the task definition's output)"
_MOST_HOPS = 10
# What ECS and FireLens add to a record; a change that everyone wants, told and not counted.
OF_FIRELENS = frozenset({
    "container_id", "container_name", "source", "ecs_cluster", "ecs_task_arn",
    "ecs_task_definition", "ec2_instance_id",
})  # fmt: skip
_TASK = "0123456789abcdef0123456789abcdef"


def _names(directory: Path) -> dict[str, str]:
    """A value for every variable that the files ask for: the task's own are not known here."""
    names = {
        name
        for file in directory.iterdir()
        for name in re.findall(r"\$\{(\w+)\}", file.read_text("utf-8", "replace"))
    }
    return {name: HOST_NAME if name == "HOSTNAME" else f"({name})" for name in names}


class RouterPipeline:
    """Raises BadInput for a configuration that the router would refuse."""

    def __init__(self, path: Path, tag: str | None = None) -> None:
        self.outcome = Outcome()
        with tempfile.TemporaryDirectory() as scratch:
            place = _with_files_beside(path, Path(scratch))
            self._configuration = read_configuration(place, _names(Path(scratch)))
        self._told(self._configuration.warnings)
        self.tag = tag or self._firelens_tag()
        self._emitted: list[tuple[str, list[Event], int]] = []
        self._filters: list[tuple[Filter, Callable[[str], bool]]] = make_filters(
            self._configuration, lambda level, where, text: None, self._emitter
        )
        self._outputs = [self._output(section) for section in self._configuration.outputs]

    def run(self, lines: Sequence[str], arrived_ns: Sequence[int]) -> Outcome:
        for index, line in enumerate(lines):
            record = {
                "log": line, "source": "stdout", "container_id": _TASK, "container_name":
                self.tag.partition("-firelens")[0],
            }  # fmt: skip
            self._pass(self.tag, [(arrived_ns[index], record)], 0, -1, index, 0)
            if not any(d.line == index for d in self.outcome.records):
                self.outcome.dropped.setdefault(index, "a filter of the router lets go of it")
        for filter_, _ in self._filters:
            filter_.close()
        self._drain(len(lines) - 1, 0)
        return self.outcome

    def _emitter(self, index: int, start: int) -> Callable[[str, list[Event]], None]:
        def emit(tag: str, events: list[Event]) -> None:
            self._emitted.append((tag, events, start if start else -index - 1))

        return emit

    def _pass(
        self, tag: str, events: list[Event], start: int, skip: int, line: int, hops: int
    ) -> None:
        if hops > _MOST_HOPS:
            self.outcome.dropped[line] = f"the tag {tag!r} is rewritten in a circle"
            return
        for index in range(start, len(self._filters)):
            filter_, fits = self._filters[index]
            if index == skip or not fits(tag):
                continue
            events = filter_.apply(tag, events)
            self._drain(line, hops)
            if not events:
                return
        for time_ns, record in events:
            self._arrive(tag, time_ns, record, line)

    def _drain(self, line: int, hops: int) -> None:
        """Records that a filter sent on under another tag, or held."""
        waiting, self._emitted = self._emitted, []
        for tag, events, place in waiting:
            start, skip = (place, -1) if place >= 0 else (0, -place - 1)
            self._pass(tag, events, start, skip, line, hops + 1)

    def _arrive(self, tag: str, time_ns: int, record: dict[str, Any], line: int) -> None:
        if not self._outputs:
            self.outcome.records.append(Delivered(OF_THE_TASK, dict(record), tag, time_ns, line))
        taken = False
        for name, fits, shape in self._outputs:
            if fits(tag):
                taken = True
                if name != "null":
                    shaped = shape(tag, (time_ns, dict(record)))
                    self.outcome.records.append(Delivered(name, shaped, tag, time_ns, line))
        if self._outputs and not taken:
            self.outcome.dropped.setdefault(line, f"no output takes the tag {tag!r}")

    def _output(
        self, section: Section
    ) -> tuple[str, Callable[[str], bool], Callable[[str, Event], dict[str, Any]]]:
        name = plugin_name(section).lower()
        settings = Settings(section, name)
        fits = tag_matcher(settings)
        if name != "datadog":
            return name, fits, lambda tag, event: event[1]
        output = Datadog(Settings(section, name), lambda level, where, text: None)
        date_key = settings.text("json_date_key") or "timestamp"

        def shape(tag: str, event: Event) -> dict[str, Any]:
            document = output.document(tag, event)
            document.pop(date_key, None)
            # What `provider ecs` made of FireLens' own fields.
            return document

        return name, fits, shape

    def _firelens_tag(self) -> str:
        sections = (*self._configuration.filters, *self._configuration.outputs)
        for section in sections:
            for entry in section.properties:
                found = re.match(r"^([\w.-]*?)-firelens", entry.value)
                if entry.key.lower() == "match" and found:
                    return f"{found[1]}-firelens-{_TASK}"
        return f"app-firelens-{_TASK}"

    def _told(self, warnings: Sequence[str]) -> None:
        self.outcome.not_interpreted += warnings


def _with_files_beside(path: Path, scratch: Path) -> Path:
    """A copy in which files that have their place in the router's image are those beside it."""
    try:
        for file in path.parent.iterdir():
            if file.is_file() and file.suffix in (".conf", ".yaml", ".yml", ".txt", ".lua"):
                shutil.copyfile(file, scratch / file.name)
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"it cannot be read: {error}", where=str(path)) from error

    def nearer(match: re.Match[str]) -> str:
        name = Path(match[2]).name
        is_here = (path.parent / name).is_file() and not Path(match[2]).is_file()
        return f"{match[1]}{name}" if is_here else match[0]

    place = scratch / path.name
    pattern = r"(?im)^(\s*(?:Parsers_File|@INCLUDE|parsers_file:)\s+)(/\S+)"
    place.write_text(re.sub(pattern, nearer, text), "utf-8")
    return place
