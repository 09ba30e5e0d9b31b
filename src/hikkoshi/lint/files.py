"""Files to complaints: each file by itself, and those that belong together, together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.lint.complaint import Complaint, Severity
from hikkoshi.lint.fluent_bit import FIRELENS_TAG, lint_fluent_bit, split_place
from hikkoshi.lint.kinds import Kind, is_container, kind_of_data, kind_of_text
from hikkoshi.lint.rules import RULES
from hikkoshi.lint.service_definition import lint_service_definition
from hikkoshi.lint.task_definition import Found, lint_task_definition
from hikkoshi.project.documents import Document, read_text, read_yaml
from hikkoshi.project.json_positions import JsonMistake, read_json_leniently
from hikkoshi.project.load import SETTINGS_FILE, load_project, unwrapped

# How JSON begins, also without the braces around it.
_JSON = ("{", "[", '"')
_SUFFIXES = (".json", ".yaml", ".yml", ".conf")


@dataclass(frozen=True)
class Linted:
    """files: those that were read, with their kind."""

    files: tuple[tuple[str, str], ...]
    complaints: tuple[Complaint, ...]

    def has(self, severity: Severity) -> bool:
        return any(c.severity is severity for c in self.complaints)


def lint_paths(paths: Sequence[Path], ignored: Iterable[str] = ()) -> Linted:
    """Directories give the files in them that are of a known kind. BadInput: an unknown rule in
    `ignored`, or no file at all."""
    skipped = set(ignored)
    for rule in sorted(skipped - set(RULES)):
        raise BadInput(
            f"there is no rule {rule!r}", where="--ignore", fix=f"one of {', '.join(RULES)}"
        )
    files: list[tuple[str, str]] = []
    complaints: list[Complaint] = []
    readings = [_read(path, is_named) for path, is_named in _files(paths)]
    known = [r for r in readings if r.kind is not None or r.complaints]
    if not known:
        raise BadInput(
            f"no file of a known kind in {', '.join(map(str, paths))}",
            fix="name task definitions, service definitions, Fluent Bit files or hikkoshi.yaml",
        )
    service = _the_one(known, Kind.SERVICE_DEFINITION)
    task = _the_one(known, Kind.TASK_DEFINITION)
    for reading in known:
        files.append((str(reading.path), reading.kind.value if reading.kind else "unknown"))
        complaints += reading.complaints
        complaints += _judge(reading, task, service)
    complaints += _twice(known, task)
    shown = {c: None for c in complaints if c.rule not in skipped}
    return Linted(tuple(files), tuple(sorted(shown, key=lambda c: (c.file, c.line, c.column))))


@dataclass(frozen=True)
class _Reading:
    path: Path
    kind: Kind | None
    document: Document | None = None
    complaints: tuple[Complaint, ...] = ()
    is_part: bool = False


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """(file, whether it was named itself)."""
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix in _SUFFIXES and p.is_file())
            for file in found:
                hidden = [p for p in file.relative_to(path).parts if p.startswith(".")]
                if not hidden and "node_modules" not in file.parts:
                    yield file, False
        else:
            yield path, True


def _read(path: Path, is_named: bool) -> _Reading:
    try:
        text = read_text(path)
        kind = kind_of_text(path, text)
        if kind is Kind.FLUENT_BIT or kind is Kind.PROJECT:
            return _Reading(path, kind)
        if path.suffix not in (".json", ".yaml", ".yml") and not text.lstrip().startswith(_JSON):
            return _Reading(path, None, complaints=(_unknown(path),) if is_named else ())
        if path.suffix in (".yaml", ".yml"):
            document = read_yaml(path, text)
            mistakes: tuple[JsonMistake, ...] = ()
        else:
            read = read_json_leniently(text)
            document, mistakes = Document(path, read.value, read.places), read.mistakes
    except JsonMistake as error:
        told = (*error.earlier, error) if is_named else ()
        return _Reading(path, None, complaints=tuple(_json(path, each) for each in told))
    except BadInput as error:
        rule = "is-not-yaml" if path.suffix in (".yaml", ".yml") else "cannot-be-read"
        complaint = _complaint(rule, path, error)
        return _Reading(path, None, complaints=(complaint,) if is_named else ())
    kind = kind_of_data(document.data)
    complaints = tuple(_json(path, m) for m in mistakes)
    if kind is None:
        if not is_named:
            return _Reading(path, None)
        return _Reading(path, None, document, (*complaints, _unknown(path)))
    if kind is Kind.TASK_DEFINITION:
        document, is_part = _whole_task_definition(document)
        return _Reading(path, kind, document, complaints, is_part)
    if kind is Kind.SERVICE_DEFINITION:
        document = unwrapped(document, "service")
    return _Reading(path, kind, document, complaints)


def _whole_task_definition(document: Document) -> tuple[Document, bool]:
    """A list of containers, or one, becomes a definition with nothing else in it."""
    document = unwrapped(document, "taskDefinition")
    data: Any = document.data
    prefix: tuple[str | int, ...] | None = None
    if isinstance(data, list):
        prefix, data = ("containerDefinitions",), {"containerDefinitions": data}
    elif is_container(data) and "containerDefinitions" not in data:
        prefix, data = ("containerDefinitions", 0), {"containerDefinitions": [data]}
    if prefix is not None:
        places = {(*prefix, *key): at for key, at in document.places.items()}
        return Document(document.path, data, places), True
    is_part = set(data) <= {"containerDefinitions"}
    return document, is_part


def _judge(
    reading: _Reading, task: _Reading | None, service: _Reading | None
) -> Iterator[Complaint]:
    document = reading.document
    if reading.kind is Kind.PROJECT:
        yield from _project(reading.path)
    elif reading.kind is Kind.FLUENT_BIT:
        yield from lint_fluent_bit(reading.path, tags=_tags(task)).complaints
    elif document is None or not isinstance(document.data, Mapping):
        return
    elif reading.kind is Kind.TASK_DEFINITION:
        beside = service.document.data if service and service.document else None
        found = lint_task_definition(document.data, service=beside, is_part=reading.is_part)
        yield from _placed(document, found)
    elif reading.kind is Kind.SERVICE_DEFINITION:
        yield from _placed(document, lint_service_definition(document.data))


def _project(path: Path) -> Iterator[Complaint]:
    """What only the files together can show; what a file shows alone is told by its own lint."""
    try:
        load_project(path.parent)
    except BadInput as error:
        file, line, column = split_place(error.where, path)
        if Path(file).name == SETTINGS_FILE or error.where is None:
            yield Complaint(file, line, column, "is-refused-by-hikkoshi", error.what, error.fix)


def _placed(document: Document, found: Iterable[Found]) -> Iterator[Complaint]:
    for rule, problem in found:
        line, column = document.place(problem.path)
        severity = RULES[rule][0]
        yield Complaint(
            str(document.path), line, column, rule, problem.message, problem.fix, severity
        )


def _the_one(readings: Sequence[_Reading], kind: Kind) -> _Reading | None:
    """The only file of its kind: then it is known what belongs to it."""
    found = [r for r in readings if r.kind is kind and r.document is not None]
    return found[0] if len(found) == 1 else None


def _tags(task: _Reading | None) -> tuple[str, ...] | None:
    if task is None or task.document is None:
        return None
    senders = [c["name"] for c in _senders(task.document.data) if c.get("name")]
    return tuple(FIRELENS_TAG.format(container=name) for name in senders) or None


def _senders(definition: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        c
        for c in definition.get("containerDefinitions") or []
        if isinstance(c, dict)
        and (c.get("logConfiguration") or {}).get("logDriver") == "awsfirelens"
    ]


def _twice(readings: Sequence[_Reading], task: _Reading | None) -> Iterator[Complaint]:
    """Options in the task definition make an output; so does the router's own file."""
    if task is None or task.document is None:
        return
    senders = [
        c
        for c in _senders(task.document.data)
        if {"Name", "name", "@type"} & set((c.get("logConfiguration") or {}).get("options") or {})
    ]
    for reading in readings:
        if reading.kind is not Kind.FLUENT_BIT:
            continue
        configuration = lint_fluent_bit(reading.path).configuration
        for section in configuration.outputs if configuration else ():
            yield from _delivered_twice(section, senders)


def _delivered_twice(section: Any, senders: Sequence[dict[str, Any]]) -> Iterator[Complaint]:
    from hikkoshi.router.match import tag_matcher
    from hikkoshi.router.section import Settings

    name = next((e.value for e in section.properties if e.key.lower() == "name"), "")
    if name.lower() == "null":
        return
    matches = tag_matcher(Settings(section, name))
    for container in senders:
        if matches(FIRELENS_TAG.format(container=container.get("name", ""))):
            yield Complaint(
                section.file,
                section.line,
                1,
                "delivers-each-line-twice",
                f"this output takes the lines of {container.get('name')!r}, and its log options in "
                "the task definition make a second output",
                "keep one: take the options out of the task definition, or this output out",
                Severity.WARNING,
            )


def _unknown(path: Path) -> Complaint:
    return Complaint(
        str(path),
        1,
        1,
        "is-of-no-known-kind",
        "this is no task definition, service definition, hikkoshi.yaml or Fluent Bit file",
    )


def _json(path: Path, mistake: JsonMistake) -> Complaint:
    return Complaint(
        str(path), mistake.line, mistake.column, "is-not-json", mistake.what, mistake.fix
    )


def _complaint(rule: str, path: Path, error: BadInput) -> Complaint:
    file, line, column = split_place(error.where, path)
    return Complaint(file, line, column, rule, error.what, error.fix)
