"""A rehearsal carried out in a region that runs: home, programme, evidence, verdict, report."""

from __future__ import annotations

import contextlib
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hikkoshi
from hikkoshi.aws.access import Access
from hikkoshi.base.clock import SystemClock
from hikkoshi.base.errors import HikkoshiError
from hikkoshi.cli.programme_plan import Plan
from hikkoshi.evidence.build import build_store
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.findings.facts import facts_of
from hikkoshi.findings.judge import judge
from hikkoshi.findings.registry import OF_A_START
from hikkoshi.load.results import write_csv
from hikkoshi.model.trials import Progress, TrialResult, Verdict
from hikkoshi.report.html import render_html
from hikkoshi.report.json import to_json
from hikkoshi.trials.bring_up import bring_up
from hikkoshi.trials.context import Context
from hikkoshi.trials.names import NAMES
from hikkoshi.trials.programme import run_programme, trials_named
from hikkoshi.trials.verdict import decide


@dataclass(frozen=True)
class Tried:
    """What came of the programme. facts: the region's own `status`."""

    results: tuple[TrialResult, ...]
    facts: dict[str, Any]
    adapted: tuple[str, ...]
    load_files: tuple[Path, ...]


def try_all(plan: Plan, run: Path, endpoint: str, progress: Progress) -> Tried:
    """Bring the home up in the region at `endpoint`, and run the programme."""
    access = Access(endpoint, plan.project.settings.region)
    with contextlib.closing(JsonlRecorder(run / "records" / "trials", SystemClock())) as recorder:
        logs = run / "records" / "region" / "logs"
        try:
            home = bring_up(
                access, plan.project, logs, lambda what: progress.say(f"bringing up: {what}")
            )
        except HikkoshiError as error:
            with contextlib.suppress(HikkoshiError):
                access.ask("flush", {})
            name_the_cause(plan, run, error)
            raise
        context = Context(home, plan.project, plan.pace, recorder, progress, run)
        results = run_programme(context, trials_named(plan.trials))
        facts = access.ask("status")
        access.ask("flush", {})
        return Tried(results, facts, home.adapted, tuple(context.load_files))


def conclude(
    plan: Plan,
    run: Path,
    run_id: str,
    t_start: float,
    tried: Tried,
) -> Verdict:
    """Build the store, judge it, and write verdict.json and report.html."""
    (run / "load").mkdir(exist_ok=True)
    write_csv(tried.load_files, run / "load" / "requests.csv")
    store = build_store(
        [run / "records" / "trials", run / "records" / "region"],
        [run / "load" / "requests.csv"],
        run / "evidence.duckdb",
        service=plan.project.service,
        meta=facts_of(plan.project, left_out(plan)),
    )
    with contextlib.closing(store):
        judgement = judge(store)
        readiness, reasons = decide(tried.results, judgement, left_out(plan))
        verdict = Verdict(
            run_id=run_id,
            directory=str(plan.project.directory),
            service=plan.project.service,
            readiness=readiness,
            reasons=reasons,
            trials=tried.results,
            judgement=judgement,
            engine=str(tried.facts["engine"]),
            stand_ins=tuple(tried.facts["stand_ins"]),
            not_enforced=tuple(tried.facts["not_enforced"]),
            shortened_timers=tuple(plan.timers.shortened()),
            adapted=tried.adapted,
            t_start=t_start,
            t_end=time.time(),
            versions={
                "hikkoshi": hikkoshi.__version__,
                "python": platform.python_version(),
                "kernel": platform.release(),
                **tried.facts.get("versions", {}),
            },
        )
        (run / "verdict.json").write_text(to_json(verdict), "utf-8")
        (run / "report.html").write_text(render_html(verdict, store), "utf-8")
    return verdict


def left_out(plan: Plan) -> list[str]:
    """The trials that the user did not ask for."""
    return [name for name in NAMES if name not in plan.trials]


def name_the_cause(plan: Plan, run: Path, error: HikkoshiError) -> None:
    """A service that never came up was tried in nothing, but some rules can tell why: what they
    find is added to the error's words."""
    with contextlib.suppress(HikkoshiError):
        store = build_store(
            [run / "records" / "trials", run / "records" / "region"], [],
            run / "evidence.duckdb", service=plan.project.service,
            meta=facts_of(plan.project, left_out(plan)),
        )  # fmt: skip
        with contextlib.closing(store):
            for finding in judge(store, rules=OF_A_START).findings:
                error.what += f"\n  {finding.rule} ({finding.certainty}): {finding.summary}"
                error.what += "".join(f"\n    {advice}" for advice in finding.advice[:1])
