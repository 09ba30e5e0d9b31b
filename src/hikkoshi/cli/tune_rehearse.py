"""`hikkoshi tune --rehearse`: the proposal tried, before any file is changed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.cli.engine_choice import refuse_engine
from hikkoshi.cli.places import make_run
from hikkoshi.cli.programme_plan import make_plan
from hikkoshi.cli.progress import BarProgress, PlainProgress
from hikkoshi.cli.rehearse import carry_out, new_run_id
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.model.project import Project
from hikkoshi.model.trials import Verdict
from hikkoshi.tuning.choice import Edit
from hikkoshi.tuning.measured import measure
from hikkoshi.tuning.patch import unified_diff
from hikkoshi.tuning.present import present_of
from hikkoshi.tuning.proven import TRIALS, Proven, against, busiest, connections, doubts, untried
from hikkoshi.tuning.tune import Tuning

DIFF_FILE = "proposal.diff"


def rehearse_proposal(
    project: Project,
    tuning: Tuning,
    applied: Sequence[Edit],
    files: Sequence[tuple[str, str, str]],
    before: Verdict,
    *,
    is_full: bool,
    engine: str,
    as_json: bool,
) -> Proven | None:
    """The project with the texts of `files` in place of its own, in a region of its own; the
    directory is only read, but for the run. None: nothing would change, so nothing is tried.

    BadInput where no load is planned: then nothing can show that the limits hold."""
    console = Console(stderr=as_json)
    if all(old == new for _, old, new in files):
        console.print("\nnothing to rehearse: AWS's documents are already as proposed")
        return None
    if project.settings.load is None:
        raise BadInput(
            "hikkoshi.yaml plans no load, so a rehearsal cannot show whether the limits hold",
            where=str(project.directory),
            fix="add `load:` with targets and a rate",
        )
    texts = {name: new for name, _, new in files}
    plan = make_plan(
        project.directory, quick=not is_full, only=TRIALS, skip=(), keep=False, texts=texts
    )
    refuse_engine(engine)
    run_id = new_run_id()
    run = make_run(project.directory, run_id, is_latest=False)
    try:
        diff = "".join(unified_diff(*each) for each in files)
        (run / DIFF_FILE).write_text(diff, encoding="utf-8")
    except OSError as error:
        raise CannotRun(
            f"cannot write: {error.strerror}", where=str(run / DIFF_FILE), fix="free some space"
        ) from error
    console.print("\nrehearsing the proposal")
    shown = BarProgress if console.is_terminal else PlainProgress
    with shown(console, plan.trials) as progress:
        verdict = carry_out(plan, run, run_id, progress, engine)
    with EvidenceStore.open(run / "evidence.duckdb") as store:
        measured = measure(store)
    reasons, new = against(verdict.trials, before.judgement, verdict.judgement)
    present, price = present_of(plan.project), tuning.cost.price
    return Proven(
        run_id=run_id,
        against=reasons,
        trials=tuple((one.name, one.outcome.value, one.reason) for one in verdict.trials),
        new_findings=new,
        doubts=doubts(verdict.judgement),
        untried=untried(tuning.answers, applied),
        cpu_share=busiest(measured),
        connections=connections(measured),
        month_before=tuning.cost.now,
        month_after=price.month(present.cpu, present.memory, present.tasks) if price else None,
    )
