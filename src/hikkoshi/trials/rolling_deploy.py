"""A good deploy under load: the new revision takes over, and nobody notices."""

from __future__ import annotations

import time

from hikkoshi.base.units import format_duration
from hikkoshi.model.trials import Measure, Outcome, TrialResult
from hikkoshi.trials import measures
from hikkoshi.trials.adapt import lay_over
from hikkoshi.trials.context import Context, result
from hikkoshi.trials.deploying import deadline_s, record_deploy, register, update, wait_under_load
from hikkoshi.trials.home import NewHome
from hikkoshi.trials.sending import send
from hikkoshi.trials.watch import is_whole, running_tasks

NAME = "rolling-deploy"
TITLE = "a rolling deploy under load"
MARKER = "HIKKOSHI_REHEARSAL_REVISION"


def try_rolling_deploy(context: Context) -> TrialResult:
    """Held: the new revision runs alone, and no request failed."""
    t_start = time.time()
    home = context.home
    changed = lay_over(home.task_definition, home.container, environment={MARKER: str(t_start)})
    with send(context, NAME, deadline_s(context) + 20) as sending:
        sending.pass_time(context.pace.warm_s)
        t_deploy = time.time()
        arn = register(home, changed)
        update(home, arn)
        failure = wait_under_load(
            context, sending, "the rolling deploy complete", lambda: _runs(home, arn)
        )
        t_done = time.time()
        sending.pass_time(context.pace.cool_s)
    summary = measures.summarise(r for r in sending.requests() if r.t_ended >= t_deploy)
    record_deploy(context, NAME, TITLE, t_deploy, None if failure else t_done, arn)
    kept = [
        measures.failures_kept(summary, 0),
        Measure("deploy took", None if failure else t_done - t_deploy, "s"),
        Measure("requests sent", float(summary.sent), ""),
        Measure("p99 latency", summary.p99_s, "s"),
    ]
    bad = ([failure] if failure else []) + measures.broken(kept)
    return result(
        NAME,
        TITLE,
        t_start,
        Outcome.BROKE if bad else Outcome.HELD,
        "; ".join(bad)
        or f"0 of {summary.sent} requests failed; done in {format_duration(t_done - t_deploy)}",
        kept,
        [f"failures: {measures.say_causes(summary)}"] if summary.failed else [],
    )


def _runs(home: NewHome, arn: str) -> bool:
    tasks = running_tasks(home)
    return bool(tasks) and all(t["taskDefinitionArn"] == arn for t in tasks) and is_whole(home)
