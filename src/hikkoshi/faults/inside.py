"""A command inside a container of a task, by ECS Exec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hikkoshi.aws.access import calling
from hikkoshi.base.errors import AwsRefused
from hikkoshi.faults.model import NotTried, Place
from hikkoshi.faults.service import describe_task, running_tasks, short, task_definition
from hikkoshi.session.client import Outcome, SessionFailed, run


def run_inside(
    place: Place, task: str, container: str, argv: Sequence[str], *, timeout_s: float
) -> Outcome:
    """NotTried: the task was started without ECS Exec, or has no shell. DeadlinePassed."""
    ecs = place.access.client("ecs")

    def ask(line: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = calling(
            "ecs:ExecuteCommand", ecs.execute_command, cluster=place.cluster, task=task,
            container=container, interactive=True, command=line,
        )  # fmt: skip
        return answer

    try:
        return run(ask, argv, timeout_s=timeout_s)
    except AwsRefused as error:
        raise NotTried(error.what, fix='set "enableExecuteCommand": true') from error
    except SessionFailed as error:
        raise NotTried(error.what) from error


def choose(place: Place) -> tuple[str, str]:
    """(task, container) for a fault inside: the newest task, and the container behind the load
    balancer, else the first essential one."""
    tasks = running_tasks(place)
    if not tasks:
        raise NotTried("no task is running")
    task = tasks[-1]
    if not task.get("enableExecuteCommand"):
        raise NotTried(
            f"task {short(task['taskArn'])} was started without ECS Exec",
            fix='set "enableExecuteCommand": true in the service definition and deploy',
        )
    definition = task_definition(place.access, task["taskDefinitionArn"])
    containers = definition["containerDefinitions"]
    mapped = [c["name"] for c in containers if c.get("portMappings")]
    essential = [c["name"] for c in containers if c.get("essential", True)]
    name = place.container or next(iter([*mapped, *essential]), containers[0]["name"])
    return str(task["taskArn"]), str(name)


def is_alive(place: Place, task: str) -> bool:
    return describe_task(place, task).get("lastStatus") == "RUNNING"
