"""A deploy that never becomes healthy: the circuit breaker must take it back by itself."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any

from hikkoshi.base.units import format_duration
from hikkoshi.model.trials import Measure, Outcome, TrialResult
from hikkoshi.trials import measures
from hikkoshi.trials.adapt import lay_over
from hikkoshi.trials.context import Context, result
from hikkoshi.trials.deploying import (
    deadline_s,
    describe_service_deployment,
    newest_service_deployment,
    record_deploy,
    register,
    set_grace,
    short,
    task_definition_of_revision,
    update,
    wait_under_load,
)
from hikkoshi.trials.home import NewHome
from hikkoshi.trials.sending import Sending, send
from hikkoshi.trials.watch import describe, is_whole, running_tasks

NAME = "bad-deploy"
TITLE = "a bad deploy is rolled back by the circuit breaker"
NO_BREAKER = (
    "nothing would roll a bad deploy back: set deploymentConfiguration.deploymentCircuitBreaker "
    "to enable and rollback in the service definition"
)


LEAST_GRACE_S = 2


@dataclass(frozen=True)
class Deployed:
    """The bad deployment, and how it ended. failure: why it is not known to be rolled back."""

    t_start: float
    t_end: float
    deployment: str
    task_definition: str
    failure: str | None
    service_deployment: dict[str, Any]


def try_bad_deploy(context: Context) -> TrialResult:
    """Held: ECS rolled back by itself, and no request failed."""
    t_start = time.time()
    home = context.home
    before = describe(home)
    breaker = before.get("deploymentConfiguration", {}).get("deploymentCircuitBreaker", {})
    if not (breaker.get("enable") and breaker.get("rollback")):
        return result(NAME, TITLE, t_start, Outcome.BROKE, NO_BREAKER)
    good = before["deployments"][0]
    with contextlib.ExitStack() as undo:
        grace_note = _shorten_grace(home, before, undo)
        sending = undo.enter_context(send(context, NAME, deadline_s(context) + 20))
        sending.pass_time(context.pace.warm_s)
        deployed = _deploy(context, sending)
        sending.pass_time(context.pace.cool_s)
    summary = measures.summarise(r for r in sending.requests() if r.t_ended >= deployed.t_start)
    notes = [
        f"before: {good['id']} ({short(good['taskDefinition'])})",
        f"bad: {deployed.deployment} ({short(deployed.task_definition)}): "
        f"{deployed.service_deployment.get('statusReason', 'no reason given')}",
    ]
    if deployed.failure is None:
        notes.append(_say_target(home, deployed))
    if grace_note:
        notes.append(grace_note)
    if summary.failed:
        notes.append(f"failures: {measures.say_causes(summary)}")
    took = None if deployed.failure else deployed.t_end - deployed.t_start
    record_deploy(
        context, NAME, TITLE, deployed.t_start, deployed.t_end if took is not None else None,
        notes[1] if deployed.failure is None else None,
    )  # fmt: skip
    kept = [
        measures.failures_kept(summary, 0),
        Measure("time until rolled back", took, "s"),
        Measure("requests sent", float(summary.sent), ""),
    ]
    bad = ([deployed.failure] if deployed.failure else []) + measures.broken(kept)
    reason = "; ".join(bad) or f"{notes[2]}; 0 of {summary.sent} requests failed"
    outcome = Outcome.BROKE if bad else Outcome.HELD
    return result(NAME, TITLE, t_start, outcome, reason, kept, notes)


def _shorten_grace(
    home: NewHome, service: dict[str, Any], undo: contextlib.ExitStack
) -> str | None:
    """For this trial, no longer than a good task needs: a bad one is to be found out in its time.

    A note of what was changed; the service's own value is put back by `undo`."""
    own = int(service.get("healthCheckGracePeriodSeconds") or 0)
    enough = max(LEAST_GRACE_S, round(home.start_s))
    if own <= enough:
        return None
    undo.callback(set_grace, home, own)
    set_grace(home, enough)
    return (
        f"healthCheckGracePeriodSeconds was {enough} instead of {own} for this trial; the service "
        f"had started in {format_duration(home.start_s)}"
    )


def _deploy(context: Context, sending: Sending) -> Deployed:
    home = context.home
    t_start = time.time()
    bad_arn = register(home, _make_bad(context))
    deployment = update(home, bad_arn)
    service_deployment = newest_service_deployment(home)
    failure = wait_under_load(
        context,
        sending,
        "the bad deploy rolled back",
        lambda: _is_rolled_back(home, service_deployment, bad_arn),
    )
    ended = describe_service_deployment(home, service_deployment)
    return Deployed(t_start, time.time(), deployment, bad_arn, failure, ended)


def _is_rolled_back(home: NewHome, service_deployment: str, bad_arn: str) -> bool:
    """ECS says so, all is whole again, and nothing of the bad revision runs."""
    if describe_service_deployment(home, service_deployment)["status"] != "ROLLBACK_SUCCESSFUL":
        return False
    return is_whole(home) and all(t["taskDefinitionArn"] != bad_arn for t in running_tasks(home))


def _say_target(home: NewHome, deployed: Deployed) -> str:
    now = describe(home)["deployments"][0]
    revision = deployed.service_deployment.get("rollback", {}).get("serviceRevisionArn")
    target = task_definition_of_revision(home, revision) if revision else now["taskDefinition"]
    return f"rolled back to: {now['id']} ({short(target)})"


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
