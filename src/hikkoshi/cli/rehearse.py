"""`hikkoshi rehearse`: the whole way from a project's files to a verdict."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from hikkoshi.base.errors import BadInput
from hikkoshi.base.signals import signals_wait
from hikkoshi.cli.engine_choice import choose_engine, engine_option, refuse_engine
from hikkoshi.cli.places import make_run
from hikkoshi.cli.programme_plan import Plan, make_plan
from hikkoshi.cli.progress import BarProgress, PlainProgress
from hikkoshi.cli.region import launch_settings
from hikkoshi.model.trials import Progress, Readiness, Verdict
from hikkoshi.region.boot.launch import launch


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@engine_option
@click.option("--quick", is_flag=True, help="Shorter trials: about 50 s instead of 130 s.")
@click.option("--only", default="", metavar="NAME,…", help="Only these trials.")
@click.option("--skip", default="", metavar="NAME,…", help="All but these trials.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict document alone on stdout.")
@click.option("--keep", is_flag=True, help="Leave the region running afterwards.")
def rehearse(
    directory: Path, engine: str, quick: bool, only: str, skip: str, as_json: bool, keep: bool
) -> int:
    """Bring the service in DIRECTORY up on this machine, try it, and give a verdict.

    Everything of the run lies in DIRECTORY/.hikkoshi/runs/ID: verdict.json, report.html,
    evidence.duckdb and the logs; `latest` points to it.

    \b
    Trials: synthetic, one-by-one, steady, overload, soak, kill-task, failover, router-crash,
    rolling-deploy, bad-deploy, scp-swap, cutover.

    \b
    Examples:
      hikkoshi rehearse examples/genba/after
      hikkoshi rehearse . --quick --skip overload,soak
      hikkoshi rehearse . --json | jq -r .readiness

    Exit codes: 0 ready, 1 not ready, 2 wrong use or bad input, 3 could not run.
    """
    plan = make_plan(directory, quick=quick, only=_names(only), skip=_names(skip), keep=keep)
    refuse_engine(engine)
    run_id = new_run_id()
    run = make_run(directory, run_id)
    console = Console(stderr=as_json)
    shown = BarProgress if console.is_terminal else PlainProgress
    with shown(console, plan.trials) as progress:
        verdict = carry_out(plan, run, run_id, progress, engine)
    if as_json:
        sys.stdout.write((run / "verdict.json").read_text("utf-8"))
    else:
        from hikkoshi.report.terminal import show

        show(console, verdict, str(run / "report.html"))
    return 0 if verdict.readiness is Readiness.READY else 1


def new_run_id() -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def carry_out(
    plan: Plan, run: Path, run_id: str, progress: Progress, engine: str = "auto"
) -> Verdict:
    """Start the region, try everything in it, end it, judge. Undo always runs."""
    t_start = time.time()
    project = plan.project
    choice = choose_engine(engine, project, progress.say)
    with contextlib.ExitStack() as undo:
        progress.say("starting the local region")
        settings = launch_settings(
            project,
            project.directory,
            plan.timers,
            is_detached=plan.keep,
            records=run / "records" / "region",
            choice=choice,
        )
        with signals_wait():  # There is a region from within launch on, and its undo after it.
            handle = launch(settings)
            undo.callback(handle.stop)
        # The rest of hikkoshi is imported while the region starts.
        from hikkoshi.cli.rehearsal import conclude, try_all

        handle.wait_ready()
        tried = try_all(plan, run, handle.api_url, progress)
        if plan.keep:
            undo.pop_all()
    progress.say("judging the evidence")
    verdict = conclude(plan, run, run_id, t_start, tried)
    if plan.keep:
        end = f"hikkoshi down {project.directory}"
        progress.say(f"the region goes on at {handle.api_url}; end it: {end}")
    return verdict


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if text.strip() and not names:
        raise BadInput(f"{text!r} names no trial")
    return names
