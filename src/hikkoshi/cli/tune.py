"""`hikkoshi tune`: from a run's evidence to sizes, counts and timings, their reasons and price."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.cli.engine_choice import engine_option
from hikkoshi.cli.report import find_run
from hikkoshi.cli.tune_view import show, show_proven
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.fargate.prices import priced_regions
from hikkoshi.model.findings import Certainty
from hikkoshi.model.project import Project
from hikkoshi.project.load import SETTINGS_FILE, load_project
from hikkoshi.report.json import from_json
from hikkoshi.tuning.choice import Choice
from hikkoshi.tuning.measured import measure
from hikkoshi.tuning.patch import edit_json, unified_diff
from hikkoshi.tuning.present import objective_of, present_of
from hikkoshi.tuning.tune import Tuning
from hikkoshi.tuning.tune import tune as decide

SCHEMA = 1


@click.command()
@click.argument("run", required=False)
@click.option("--region", help="Whose prices; else the one of hikkoshi.yaml.")
@click.option("--patch", "is_patch", is_flag=True, help="Print a unified diff, nothing else.")
@click.option("--write", "is_write", is_flag=True, help="Show the diff, and apply it.")
@click.option("--hints", "with_hints", is_flag=True, help="Put hints into the diff, too.")
@click.option(
    "--pool-variable",
    metavar="NAME[/PROCESSES]",
    help="The application's variable with the most connections each process of a task may open; "
    "PROCESSES a task, 1 without. The pool's size is put there.",
)
@click.option(
    "--rehearse",
    "is_rehearsed",
    is_flag=True,
    help="Rehearse the project as the diff would make it, and say whether the limits held.",
)
@click.option("--full", "is_full", is_flag=True, help="With --rehearse: trials of full length.")
@engine_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON alone.")
def tune(
    run: str | None,
    region: str | None,
    is_patch: bool,
    is_write: bool,
    with_hints: bool,
    pool_variable: str | None,
    is_rehearsed: bool,
    is_full: bool,
    engine: str,
    as_json: bool,
) -> int:
    """Say which settings meet the limits of hikkoshi.yaml at the planned rate, why, and the price.

    RUN is a run's directory, its id, or a project's directory (then its latest run). Without RUN:
    the latest run of the project in this directory. What the run has no evidence for is said to
    be not judged. The task's size, the number of tasks, autoscaling, ulimit nofile, the pool, the
    health check and grace period, deregistration delay and stopTimeout.

    --rehearse tries what the diff says, in about a minute and without touching the files: the
    trials synthetic, steady, soak, kill-task and rolling-deploy. That run does not become the
    project's latest. With --write, the files are changed only if the limits held.

    \b
    Examples:
      hikkoshi tune
      hikkoshi tune examples/genba/after --region us-east-1
      hikkoshi tune --patch | git apply
      hikkoshi tune --rehearse --pool-variable DB_MAX_OPEN/2
      hikkoshi tune --rehearse --write

    Exit codes: 0 a size meets the limits (with --rehearse: they held when it was tried), 1 none is
    known by more than a hint (they did not hold), 2 wrong use or bad input, 3 could not run.
    """
    if sum((is_patch, is_write, as_json)) > 1:
        raise BadInput("--patch, --write and --json are one or the other", fix="give one of them")
    if is_rehearsed and is_patch:
        raise BadInput("--patch prints a diff alone", fix="--rehearse shows it too: leave one out")
    if is_full and not is_rehearsed:
        raise BadInput("--full is the length of --rehearse's trials", fix="add --rehearse")
    directory = find_run(run, Path.cwd())
    verdict = from_json(_read(directory / "verdict.json").encode(), where=str(directory))
    project = load_project(_project_of(directory, Path(verdict.directory)))
    with EvidenceStore.open(directory / "evidence.duckdb") as store:
        measured, meta = measure(store), store.meta()
    present, objective = present_of(project, pool_variable), objective_of(project)
    tuning = decide(measured, present, objective, region or project.settings.region)
    files = _edited(project, tuning, with_hints)
    diff = "".join(unified_diff(name, old, new) for name, old, new in files)
    if is_patch:
        click.echo(diff, nl=False)
        return 0 if tuning.is_sized else 1
    if not as_json:
        show(verdict.run_id, project.service, objective, tuning, priced_regions())
        _tell_changes(meta, project, present.cpu, present.memory)
    proven = None
    if is_rehearsed:
        from hikkoshi.cli.tune_rehearse import rehearse_proposal

        applied = [edit for one in _chosen(tuning, with_hints) for edit in one.edits]
        proven = rehearse_proposal(
            project, tuning, applied, files, verdict,
            is_full=is_full, engine=engine, as_json=as_json,
        )  # fmt: skip
    if as_json:
        document = _document(verdict.run_id, project, objective, tuning, diff)
        if is_rehearsed:
            document["rehearsed"] = proven and {
                "is_met": proven.is_met, **dataclasses.asdict(proven)
            }  # fmt: skip
        click.echo(json.dumps(document, indent=2))
    else:
        if proven is not None:
            show_proven(proven)
        _finish(project, files, diff, is_write and (proven is None or proven.is_met))
    is_good = tuning.is_sized if proven is None else proven.is_met
    return 0 if is_good else 1


def _project_of(run: Path, recorded: Path) -> Path:
    """Where the run lies, it lies in its project; one that was copied away names it."""
    home = run.parents[2] if len(run.parents) > 2 else run
    return home if (home / SETTINGS_FILE).is_file() else recorded


def _edited(project: Project, tuning: Tuning, with_hints: bool) -> list[tuple[str, str, str]]:
    """(file, old text, new text) of both documents."""
    chosen = [edit for one in _chosen(tuning, with_hints) for edit in one.edits]
    settings = project.settings
    names = {"task": settings.task_definition, "service": settings.service_definition}
    files = []
    for document, name in names.items():
        old = _read(project.directory / name)
        new = edit_json(old, [(e.path, e.value) for e in chosen if e.document == document])
        files.append((name, old, new))
    return files


def _chosen(tuning: Tuning, with_hints: bool) -> list[Choice]:
    """What goes into the diff."""
    return [
        answer
        for answer in tuning.answers
        if isinstance(answer, Choice) and (with_hints or answer.certainty is not Certainty.HINT)
    ]


def _finish(
    project: Project, files: Sequence[tuple[str, str, str]], diff: str, is_write: bool
) -> None:
    if not is_write:
        if diff:
            click.echo("\n`hikkoshi tune --patch` prints the changes of AWS's documents as a diff; "
                       "--write applies them.")  # fmt: skip
        return
    click.echo(f"\n{diff}" if diff else "\nNothing to change in AWS's documents.", nl=not diff)
    for name, old, new in files:
        if new != old:
            _replace(project.directory / name, new)
            click.echo(f"wrote {project.directory / name}")


def _tell_changes(meta: dict[str, str], project: Project, cpu: int, memory: int) -> None:
    rehearsed = (meta.get("task_cpu"), meta.get("task_memory"))
    written = (
        str(project.task_definition.get("cpu")),
        str(project.task_definition.get("memory")),
    )
    if rehearsed[0] and rehearsed != written:
        click.echo(
            f"\nThe task definition has changed since this run, which rehearsed cpu {rehearsed[0]} "
            f"and memory {rehearsed[1]}; the file says {cpu} and {memory}. Rehearse again.",
            err=True,
        )


def _document(
    run_id: str, project: Project, objective: Any, tuning: Tuning, diff: str
) -> dict[str, Any]:
    answers = []
    for answer in tuning.answers:
        fields = dataclasses.asdict(answer)
        if isinstance(answer, Choice):
            fields["is_change"] = answer.is_change
        answers.append({"is_judged": isinstance(answer, Choice), **fields})
    return {
        "schema": SCHEMA,
        "run_id": run_id,
        "service": project.service,
        "objective": dataclasses.asdict(objective),
        "answers": answers,
        "cost": dataclasses.asdict(tuning.cost),
        "patch": diff,
    }


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRun(
            f"this file cannot be read: {error}", where=str(path), fix="run as its owner"
        ) from error


def _replace(path: Path, text: str) -> None:
    """In one step, with the file's own mode."""
    try:
        path = path.resolve()
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="", dir=path.parent, delete=False
        ) as fresh:
            fresh.write(text)
        Path(fresh.name).chmod(path.stat().st_mode & 0o7777)
        Path(fresh.name).replace(path)
    except OSError as error:
        raise CannotRun(
            f"cannot write: {error.strerror}", where=str(path), fix="apply `--patch` yourself"
        ) from error
