"""Deploys under load: one that is good, and one that never becomes healthy."""

from __future__ import annotations

import time
from typing import Any

from hikkoshi.base.errors import DeadlinePassed
from hikkoshi.base.units import format_duration
from hikkoshi.model.trials import Measure, Outcome, TrialResult
from hikkoshi.trials import measures
from hikkoshi.trials.access import calling, wait_until
from hikkoshi.trials.adapt import lay_over
from hikkoshi.trials.context import Context, result
from hikkoshi.trials.home import NewHome
from hikkoshi.trials.sending import Sending, send
from hikkoshi.trials.watch import describe, explain_tasks, is_whole, running_tasks

ROLLING = "rolling-deploy"
ROLLING_TITLE = "a rolling deploy under load"
BAD = "bad-deploy"
BAD_TITLE = "a bad deploy is rolled back by the circuit breaker"
MARKER = "HIKKOSHI_REHEARSAL_REVISION"


def try_rolling_deploy(context: Context) -> TrialResult:
    """Held: the new revision runs alone, and no request failed."""
    t_start = time.time()
    home = context.home
    changed = lay_over(home.task_definition, home.container, environment={MARKER: str(t_start)})
    with send(context, ROLLING, context.pace.deploy_deadline_s + 20) as sending:
        sending.pass_time(context.pace.warm_s)
        t_deploy = time.time()
        arn = _register(home, changed)
        _update(home, arn)
        failure = _wait(context, sending, "the rolling deploy complete", lambda: _runs(home, arn))
        t_done = time.time()
        sending.pass_time(context.pace.cool_s)
    summary = measures.summarise(r for r in sending.requests() if r.t_ended >= t_deploy)
    _record(context, ROLLING, ROLLING_TITLE, t_deploy, None if failure else t_done, arn)
    kept = [
        measures.failures_kept(summary, 0),
        Measure("deploy took", None if failure else t_done - t_deploy, "s"),
        Measure("requests sent", float(summary.sent), ""),
        Measure("p99 latency", summary.p99_s, "s"),
    ]
    bad = ([failure] if failure else []) + measures.broken(kept)
    return result(
        ROLLING,
        ROLLING_TITLE,
        t_start,
        Outcome.BROKE if bad else Outcome.HELD,
        "; ".join(bad)
        or f"0 of {summary.sent} requests failed; done in {format_duration(t_done - t_deploy)}",
        kept,
        [f"failures: {measures.say_causes(summary)}"] if summary.failed else [],
    )


def try_bad_deploy(context: Context) -> TrialResult:
    """Held: ECS rolled back by itself, and no request failed."""
    t_start = time.time()
    home = context.home
    service = describe(home)
    breaker = service.get("deploymentConfiguration", {}).get("deploymentCircuitBreaker", {})
    if not (breaker.get("enable") and breaker.get("rollback")):
        return result(
            BAD,
            BAD_TITLE,
            t_start,
            Outcome.BROKE,
            "nothing would roll a bad deploy back: set deploymentConfiguration."
            "deploymentCircuitBreaker to enable and rollback in the service definition",
        )
    good = service["deployments"][0]
    with send(context, BAD, context.pace.deploy_deadline_s + 20) as sending:
        sending.pass_time(context.pace.warm_s)
        t_deploy = time.time()
        bad_arn = _register(home, _make_bad(context))
        bad_id = _update(home, bad_arn)
        rolled: dict[str, Any] = {}
        failure = _wait(
            context,
            sending,
            "the bad deploy rolled back",
            lambda: _is_rolled_back(home, bad_id, bad_arn, rolled),
        )
        t_done = time.time()
        sending.pass_time(context.pace.cool_s)
    summary = measures.summarise(r for r in sending.requests() if r.t_ended >= t_deploy)
    _record(
        context,
        BAD,
        BAD_TITLE,
        t_deploy,
        None if failure else t_done,
        rolled.get("reason") if not failure else None,
    )
    kept = [
        measures.failures_kept(summary, 0),
        Measure("time until rolled back", None if failure else t_done - t_deploy, "s"),
        Measure("requests sent", float(summary.sent), ""),
    ]
    bad = ([failure] if failure else []) + measures.broken(kept)
    notes = [
        f"before: {good['id']} ({_short(good['taskDefinition'])})",
        f"bad: {bad_id} ({_short(bad_arn)}): {rolled.get('reason', 'not failed')}",
    ]
    if not failure:
        now = describe(home)["deployments"][0]
        notes.append(f"rolled back to: {now['id']} ({_short(now['taskDefinition'])})")
    if summary.failed:
        notes.append(f"failures: {measures.say_causes(summary)}")
    reason = "; ".join(bad) or f"{notes[-1]}; 0 of {summary.sent} requests failed"
    return result(
        BAD, BAD_TITLE, t_start, Outcome.BROKE if bad else Outcome.HELD, reason, kept, notes
    )


def _make_bad(context: Context) -> dict[str, Any]:
    """As hikkoshi.yaml's `bad_deploy` says; else an image that does not exist."""
    home, settings = context.home, context.project.settings.bad_deploy
    if settings is not None:
        return lay_over(
            home.task_definition,
            home.container,
            environment=settings.environment,
            command=settings.command,
        )
    changed = lay_over(home.task_definition, home.container, environment={})
    for container in changed["containerDefinitions"]:
        if container["name"] == home.container:
            container["image"] = "hikkoshi-rehearsal/no-such-image:bad-deploy"
    return changed


def _register(home: NewHome, definition: dict[str, Any]) -> str:
    ecs = home.access.client("ecs")
    made = calling("ecs:RegisterTaskDefinition", ecs.register_task_definition, **definition)
    return str(made["taskDefinition"]["taskDefinitionArn"])


def _update(home: NewHome, task_definition_arn: str) -> str:
    """The id of the deployment that the update began."""
    ecs = home.access.client("ecs")
    service = calling(
        "ecs:UpdateService",
        ecs.update_service,
        cluster=home.cluster,
        service=home.service,
        taskDefinition=task_definition_arn,
    )["service"]
    return next(str(d["id"]) for d in service["deployments"] if d["status"] == "PRIMARY")


def _runs(home: NewHome, arn: str) -> bool:
    tasks = running_tasks(home)
    return bool(tasks) and all(t["taskDefinitionArn"] == arn for t in tasks) and is_whole(home)


def _is_rolled_back(home: NewHome, bad_id: str, bad_arn: str, rolled: dict[str, Any]) -> bool:
    """Notes the failed deployment's reason while it can be seen; true when all is whole again."""
    for deployment in describe(home)["deployments"]:
        if deployment["id"] == bad_id and deployment.get("rolloutState") == "FAILED":
            rolled["reason"] = deployment.get("rolloutStateReason", "FAILED")
    if "reason" not in rolled:
        return False
    return is_whole(home) and all(t["taskDefinitionArn"] != bad_arn for t in running_tasks(home))


def _wait(context: Context, sending: Sending, what: str, is_so: Any) -> str | None:
    """None when it came; else the sentence that says it did not."""

    def is_done() -> bool:
        sending.show()
        return bool(is_so())

    try:
        wait_until(
            what,
            is_done,
            context.pace.deploy_deadline_s,
            every_s=0.15,
            explain=lambda: explain_tasks(context.home.access.client("ecs"), context.home),
        )
    except DeadlinePassed as error:
        return error.what
    return None


def _record(
    context: Context,
    name: str,
    title: str,
    t_start: float,
    t_end: float | None,
    proof: str | None,
) -> None:
    context.recorder.record(
        "faults",
        trial=name,
        name=title,
        t_injected=t_start,
        t_undone=t_end,
        t_detected=None,
        t_recovered=t_end,
        proof=proof,
    )


def _short(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]
