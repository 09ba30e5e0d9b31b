"""`hikkoshi report`: what a run found, again."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click
from rich.console import Console

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.cli.places import runs
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.report.github import to_github
from hikkoshi.report.html import render_html
from hikkoshi.report.json import from_json, to_json
from hikkoshi.report.junit import to_junit
from hikkoshi.report.terminal import show


@click.command()
@click.argument("run", required=False)
@click.option("--open", "is_opened", is_flag=True, help="Open report.html in the browser.")
@click.option("--json", "is_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["terminal", "json", "junit", "github"]),
    default="terminal",
    show_default=True,
    help="json: the verdict document; junit: XML for CI; github: annotations of GitHub Actions.",
)
@click.option(
    "--junit",
    "junit_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the outcome as JUnit XML to this file.",
)
def report(
    run: str | None, is_opened: bool, is_json: bool, shape: str, junit_file: Path | None
) -> None:
    """Show the outcome of RUN: trials, findings, verdict, and where report.html is.

    RUN is a run's directory, its id, or a project's directory (then its latest run). Without RUN:
    the latest run of the project in this directory.

    \b
    Examples:
      hikkoshi report
      hikkoshi report examples/genba/after --open
      hikkoshi report 20201123T040000Z-1a2b --json
      hikkoshi report --format github
      hikkoshi report --format junit > verdict.xml

    Exit codes: 0 shown, whatever the verdict is; 2 wrong use or no such run, 3 could not run.
    """
    shape = "json" if is_json else shape
    directory = find_run(run, Path.cwd())
    document = directory / "verdict.json"
    verdict = from_json(_read(document), where=str(document))
    if junit_file is not None:
        _write(junit_file, to_junit(verdict))
    if shape != "terminal":
        click.echo(_DOCUMENTS[shape](verdict), nl=False)
        if not is_opened:
            return
    page = directory / "report.html"
    evidence = directory / "evidence.duckdb"
    if not page.exists() and evidence.exists():
        with EvidenceStore.open(evidence) as store:
            _write(page, render_html(verdict, store))
    if shape == "terminal":
        show(Console(), verdict, str(page) if page.exists() else None)
    if is_opened:
        if not page.exists():
            raise BadInput(
                "this run has neither a report nor evidence to make one from",
                where=str(directory),
                fix="rehearse again",
            )
        if not webbrowser.open(page.absolute().as_uri()):
            raise CannotRun("no browser could be started", fix=f"open {page} yourself")


_DOCUMENTS = {"json": to_json, "junit": to_junit, "github": to_github}


def evidence_of(run: str | None, here: Path) -> Path:
    """The evidence of a run, by whatever names one, or by the path of the file itself."""
    if run is not None and run.endswith(".duckdb"):
        return here / run
    return find_run(run, here) / "evidence.duckdb"


def find_run(run: str | None, here: Path) -> Path:
    """The directory of a run, by path, by id, or as the latest of a project. BadInput if none."""
    candidates = []
    if run is None:
        candidates.append(runs(here) / "latest")
    else:
        given = here / run
        candidates += [given, given.parent if given.is_file() else runs(here) / run]
        candidates.append(runs(given) / "latest")
    for candidate in candidates:
        if (candidate / "verdict.json").is_file():
            return candidate.resolve()
    if run is not None and not any(candidate.exists() for candidate in candidates):
        raise BadInput(
            f"there is no run {run!r}",
            where=str(here),
            fix="give a run's directory, its id, or a project that was rehearsed",
        )
    raise BadInput(
        "no finished run is here",
        where=str(candidates[-1]),
        fix="hikkoshi rehearse DIR makes one; a run that was interrupted has no verdict",
    )


def _read(document: Path) -> bytes:
    try:
        return document.read_bytes()
    except OSError as error:
        raise CannotRun(
            f"the verdict cannot be read: {error.strerror}",
            where=str(document),
            fix="run as the user who rehearsed",
        ) from error


def _write(place: Path, text: str) -> None:
    try:
        place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotRun(
            f"cannot write: {error.strerror}",
            where=str(place),
            fix="free some space, or name a directory that you may write to",
        ) from error
