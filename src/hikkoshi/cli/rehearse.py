"""`hikkoshi rehearse`: the whole way from a project's files to a verdict."""

from __future__ import annotations

import contextlib
import platform
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

import hikkoshi
from hikkoshi.base.clock import SystemClock
from hikkoshi.base.errors import BadInput
from hikkoshi.cli.places import make_run
from hikkoshi.cli.progress import BarProgress, PlainProgress
from hikkoshi.cli.region import launch_settings, refuse_docker
from hikkoshi.evidence.build import build_store
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.findings.judge import judge
from hikkoshi.load.results import write_csv
from hikkoshi.load.targets import load_targets
from hikkoshi.model.project import Project
from hikkoshi.model.timers import Timers
from hikkoshi.model.trials import Progress, Readiness, TrialResult, Verdict
from hikkoshi.project.load import load_project
from hikkoshi.region.boot.launch import RegionHandle, launch
from hikkoshi.report.html import render_html
from hikkoshi.report.json import to_json
from hikkoshi.report.terminal import show
from hikkoshi.trials.access import Access
from hikkoshi.trials.bring_up import bring_up
from hikkoshi.trials.context import Context
from hikkoshi.trials.pace import Pace
from hikkoshi.trials.programme import NAMES, Trial, run_programme, select
from hikkoshi.trials.synthetic.reading import load_tests
from hikkoshi.trials.verdict import decide


@dataclass(frozen=True)
class Plan:
    """What was asked for, checked; nothing has been started."""

    project: Project
    trials: tuple[Trial, ...]
    pace: Pace
    timers: Timers
    keep: bool


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--engine",
    type=click.Choice(["auto", "embedded", "docker"]),
    default="auto",
    show_default=True,
    help="What runs the containers.",
)
@click.option("--quick", is_flag=True, help="Shorter trials: about 45 s instead of 150 s.")
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
    rolling-deploy, bad-deploy, scp-swap.

    \b
    Examples:
      hikkoshi rehearse examples/genba/after
      hikkoshi rehearse . --quick --skip overload,soak
      hikkoshi rehearse . --json | jq -r .readiness

    Exit codes: 0 ready, 1 not ready, 2 wrong use or bad input, 3 could not run.
    """
    refuse_docker(engine)
    plan = make_plan(directory, quick=quick, only=_names(only), skip=_names(skip), keep=keep)
    run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    run = make_run(directory, run_id)
    console = Console(stderr=as_json)
    names = [trial.name for trial in plan.trials]
    shown = BarProgress if console.is_terminal else PlainProgress
    with shown(console, names) as progress:
        verdict = carry_out(plan, run, run_id, progress)
    if as_json:
        sys.stdout.write((run / "verdict.json").read_text("utf-8").rstrip() + "\n")
    else:
        show(console, verdict, str(run / "report.html"))
    return 0 if verdict.readiness is Readiness.READY else 1


def make_plan(
    directory: Path, *, quick: bool, only: Sequence[str], skip: Sequence[str], keep: bool
) -> Plan:
    """Everything that can be refused is refused here."""
    trials = select(only, skip)
    project = load_project(directory)
    settings = project.settings
    if settings.load is not None:
        load_targets(directory / settings.load.targets)
    if settings.synthetic is not None:
        load_tests(directory / settings.synthetic)
    pace = Pace.quick() if quick else Pace.full()
    return Plan(project, trials, pace, Timers.for_rehearsal(), keep)


def carry_out(plan: Plan, run: Path, run_id: str, progress: Progress) -> Verdict:
    """Region, home, programme; then evidence, findings, verdict, report. Undo always runs."""
    t_start = time.time()
    with contextlib.ExitStack() as undo:
        recorder = JsonlRecorder(run / "records" / "trials", SystemClock())
        undo.callback(recorder.close)
        progress.say("starting the local region")
        handle = start_region(plan, run)
        if not plan.keep:
            undo.callback(handle.stop)
        access = Access(handle.api_url, plan.project.settings.region)
        home = bring_up(access, plan.project, lambda what: progress.say(f"bringing up: {what}"))
        context = Context(home, plan.project, plan.pace, recorder, progress, run)
        results = run_programme(context, plan.trials)
        facts = access.ask("status")
        access.ask("flush", {})
        adapted, load_files = home.adapted, context.load_files
    progress.say("judging the evidence")
    (run / "load").mkdir(exist_ok=True)
    write_csv(load_files, run / "load" / "requests.csv")
    verdict = conclude(plan, run, run_id, t_start, results, facts, adapted)
    if plan.keep:
        progress.say(f"the region goes on at {handle.api_url}; end it: hikkoshi down "
                     f"{plan.project.directory}")  # fmt: skip
    return verdict


def start_region(plan: Plan, run: Path) -> RegionHandle:
    project = plan.project
    handle = launch(
        launch_settings(
            project,
            project.directory,
            plan.timers,
            is_detached=plan.keep,
            records=run / "records" / "region",
        )
    )
    try:
        handle.wait_ready()
    except BaseException:
        handle.stop()
        raise
    return handle


def conclude(
    plan: Plan,
    run: Path,
    run_id: str,
    t_start: float,
    results: tuple[TrialResult, ...],
    facts: dict[str, Any],
    adapted: tuple[str, ...],
) -> Verdict:
    """Build the store, judge it, and write verdict.json and report.html."""
    store = build_store(
        [run / "records" / "trials", run / "records" / "region"],
        [run / "load" / "requests.csv"],
        run / "evidence.duckdb",
        service=plan.project.service,
        meta=_meta(plan.project),
    )
    with contextlib.closing(store):
        judgement = judge(store)
        tried = {each.name for each in results}
        left_out = [name for name in NAMES if name not in tried]
        readiness, reasons = decide(results, judgement, left_out)
        verdict = Verdict(
            run_id=run_id,
            directory=str(plan.project.directory),
            service=plan.project.service,
            readiness=readiness,
            reasons=reasons,
            trials=results,
            judgement=judgement,
            engine=str(facts["engine"]),
            stand_ins=tuple(facts["stand_ins"]),
            not_enforced=tuple(facts["not_enforced"]),
            shortened_timers=tuple(plan.timers.shortened()),
            adapted=adapted,
            t_start=t_start,
            t_end=time.time(),
            versions={
                "hikkoshi": hikkoshi.__version__,
                "python": platform.python_version(),
                "kernel": platform.release(),
                **facts.get("versions", {}),
            },
        )
        (run / "verdict.json").write_text(to_json(verdict) + "\n", "utf-8")
        (run / "report.html").write_text(render_html(verdict, store), "utf-8")
    return verdict


def _meta(project: Project) -> dict[str, str]:
    """What the rules need to know of the service beside what was measured."""
    service = project.service_definition
    desired = int(service.get("desiredCount", 1))
    percent = int(service.get("deploymentConfiguration", {}).get("maximumPercent", 200))
    return {
        "task_cpu": str(project.task_definition.get("cpu", "")),
        "task_memory": str(project.task_definition.get("memory", "")),
        "desired_count": str(desired),
        "maximum_tasks": str(desired * percent // 100),
    }


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if text.strip() and not names:
        raise BadInput(f"{text!r} names no trial")
    return names
