"""`hikkoshi lint`: every complaint about files, at once, with its place, its rule and its cure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import click

import hikkoshi
from hikkoshi.base.text import one_line, printable
from hikkoshi.lint.complaint import Complaint, Severity
from hikkoshi.lint.files import Linted, lint_paths
from hikkoshi.lint.github import to_annotation
from hikkoshi.lint.rules import RULES
from hikkoshi.lint.sarif import to_sarif

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "sarif", "github"]), default="text",
    show_default=True, help="sarif: for code hosts; github: annotations of a workflow.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--ignore", default="", metavar="RULE,…", help="Leave these rules out.")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@click.option("--rules", "is_list", is_flag=True, help="List the rules, and end.")
def lint(
    files: tuple[Path, ...], form: str, as_json: bool, ignore: str, strict: bool, is_list: bool
) -> int:
    """Complain about task definitions, service definitions, Fluent Bit files and hikkoshi.yaml.

    FILES may be directories (default: this one). Files that are named together are held against
    each other: a log router's file and the task definition whose lines it takes. A part of a task
    definition, as examples show them, will do. Nothing is started, nothing is sent.

    \b
    Examples:
      hikkoshi lint ecs-task-def.json
      hikkoshi lint . --strict
      hikkoshi lint examples/genba/after --format sarif > lint.sarif

    Exit codes: 0 no error, 1 an error (with --strict: or a warning), 2 wrong use.
    """
    if is_list:
        for name, (severity, words) in RULES.items():
            click.echo(f"{name} ({severity.value})\n    {words}")
        return 0
    ignored = [name.strip() for name in ignore.split(",") if name.strip()]
    linted = lint_paths(files or (Path(),), ignored)
    _WRITERS["json" if as_json else form](linted)
    has_failed = linted.has(Severity.ERROR) or (strict and linted.has(Severity.WARNING))
    return 1 if has_failed else 0


def _text(linted: Linted) -> None:
    for complaint in linted.complaints:
        click.echo(_line(complaint))
        if complaint.fix:
            click.echo(f"  fix: {printable(complaint.fix)}")
    counts = {s: sum(c.severity is s for c in linted.complaints) for s in Severity}
    said = ", ".join(f"{n} {s.value}{'s' * (n != 1)}" for s, n in counts.items() if n)
    number = len(linted.files)
    click.echo(
        f"{number} file{'s' * (number != 1)}: {said or 'nothing to complain about'}", err=True
    )


def _line(complaint: Complaint) -> str:
    severity = click.style(complaint.severity.value, fg=_COLOURS[complaint.severity], bold=True)
    place = one_line(str(complaint.place))
    return f"{place}: {severity}: {printable(complaint.message)} [{complaint.rule}]"


def _json(linted: Linted) -> None:
    document = {
        "files": [{"file": name, "kind": kind} for name, kind in linted.files],
        "complaints": [dataclasses.asdict(c) for c in linted.complaints],
    }
    click.echo(json.dumps(document, indent=2))


def _sarif(linted: Linted) -> None:
    click.echo(json.dumps(to_sarif(linted.complaints, hikkoshi.__version__), indent=2))


def _github(linted: Linted) -> None:
    for complaint in linted.complaints:
        click.echo(to_annotation(complaint))


_WRITERS: dict[str, Callable[[Linted], None]] = {
    "text": _text,
    "json": _json,
    "sarif": _sarif,
    "github": _github,
}
