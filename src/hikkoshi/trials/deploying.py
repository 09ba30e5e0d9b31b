"""What every deploy trial does: register, update, wait under load, and leave its mark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hikkoshi.aws.access import calling, wait_until
from hikkoshi.base.errors import DeadlinePassed
from hikkoshi.fargate.shifting import holds_s
from hikkoshi.model.timers import Timers
from hikkoshi.trials.context import Context
from hikkoshi.trials.home import NewHome
from hikkoshi.trials.sending import Sending
from hikkoshi.trials.watch import explain_tasks


def register(home: NewHome, definition: dict[str, Any]) -> str:
    """The new revision's ARN."""
    ecs = home.access.client("ecs")
    made = calling("ecs:RegisterTaskDefinition", ecs.register_task_definition, **definition)
    return str(made["taskDefinition"]["taskDefinitionArn"])


def update(home: NewHome, task_definition_arn: str) -> str:
    """The id of the deployment that the update began (`ecs-svc/N`)."""
    ecs = home.access.client("ecs")
    service = calling(
        "ecs:UpdateService",
        ecs.update_service,
        cluster=home.cluster,
        service=home.service,
        taskDefinition=task_definition_arn,
    )["service"]
    return next(str(d["id"]) for d in service["deployments"] if d["status"] == "PRIMARY")


def set_grace(home: NewHome, grace_s: int) -> None:
    """healthCheckGracePeriodSeconds of the service; that begins no deployment."""
    ecs = home.access.client("ecs")
    calling(
        "ecs:UpdateService",
        ecs.update_service,
        cluster=home.cluster,
        service=home.service,
        healthCheckGracePeriodSeconds=grace_s,
    )


def newest_service_deployment(home: NewHome) -> str:
    """The ARN of the service deployment that was created last."""
    ecs = home.access.client("ecs")
    found = calling(
        "ecs:ListServiceDeployments",
        ecs.list_service_deployments,
        cluster=home.cluster,
        service=home.service,
    )["serviceDeployments"]
    newest = max(found, key=lambda each: each["createdAt"])
    return str(newest["serviceDeploymentArn"])


def describe_service_deployment(home: NewHome, arn: str) -> dict[str, Any]:
    ecs = home.access.client("ecs")
    found = calling(
        "ecs:DescribeServiceDeployments",
        ecs.describe_service_deployments,
        serviceDeploymentArns=[arn],
    )["serviceDeployments"]
    return dict(found[0])


def task_definition_of_revision(home: NewHome, revision_arn: str) -> str:
    ecs = home.access.client("ecs")
    found = calling(
        "ecs:DescribeServiceRevisions",
        ecs.describe_service_revisions,
        serviceRevisionArns=[revision_arn],
    )["serviceRevisions"]
    return str(found[0]["taskDefinition"])


def deadline_s(context: Context) -> float:
    """For a deploy: what ECS waits by design between its steps, as a rehearsal shortens it, comes
    on top."""
    configuration = context.project.service_definition.get("deploymentConfiguration") or {}
    timers = Timers.for_rehearsal()
    waits_s = sum(timers.capped("bake_time_s", hold_s) for hold_s in holds_s(configuration))
    return context.pace.deploy_deadline_s + waits_s


def wait_under_load(
    context: Context, sending: Sending, what: str, is_so: Callable[[], bool]
) -> str | None:
    """None when it came; else the sentence that says it did not, with what ECS says of it."""

    def is_done() -> bool:
        sending.show()
        return is_so()

    try:
        wait_until(
            what,
            is_done,
            deadline_s(context),
            every_s=0.15,
            explain=lambda: explain_tasks(context.home.access.client("ecs"), context.home),
        )
    except DeadlinePassed as error:
        return error.what
    return None


def record_deploy(
    context: Context, name: str, title: str, t_start: float, t_end: float | None, proof: str | None
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


def short(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]
