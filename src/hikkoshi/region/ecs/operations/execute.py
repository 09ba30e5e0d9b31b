"""ExecuteCommand: a session at a terminal inside a container (ECS Exec)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from hikkoshi.region.ecs import errors, lookups
from hikkoshi.region.ecs.plane import ControlPlane
from hikkoshi.region.ecs.records import TaskRecord
from hikkoshi.region.ecs.sessions import ExecSessions
from hikkoshi.region.ecs.task_shapes import container_arn
from hikkoshi.region.engine.port import Terminal
from hikkoshi.region.front.port import AwsError, Caller, NotImplementedByRegion, Operation

_NO_EXEC = (
    "The execute command failed because execute command was not enabled when the task was run or "
    "the execute command agent isn’t running. Wait and try again or run a new task with execute "
    "command enabled and try again."
)


class ExecuteOperations:
    def __init__(self, plane: ControlPlane, sessions: ExecSessions) -> None:
        self._plane = plane
        self._store = plane.store
        self._sessions = sessions

    def table(self) -> Mapping[str, Operation]:
        return {"ExecuteCommand": self.execute}

    async def execute(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = lookups.active_cluster(self._store, parameters.get("cluster"))
        task = lookups.find_task(self._store, self._plane.names, cluster, parameters["task"])
        if task is None:
            raise errors.task_not_found()
        if not task.enable_execute_command or task.last_status != "RUNNING":
            raise errors.invalid_parameter(_NO_EXEC)
        if not parameters["interactive"]:
            raise errors.invalid_parameter("Interactive is the only mode supported currently.")
        container = self._container(task, parameters.get("container"))
        argv = _words(parameters["command"])
        if not self._sessions.is_there:
            raise NotImplementedByRegion("ECS Exec without a host to open a port on")

        async def start() -> Terminal:
            return await self._plane.runtime.open_terminal(task.arn, container, argv)

        runtime_id = next(
            (s.runtime_id for s in (task.state.containers if task.state else ())
             if s.name == container), "",
        )  # fmt: skip
        target = f"ecs:{task.cluster_name}_{task.id}_{runtime_id}"
        return {
            "clusterArn": task.cluster_arn,
            "containerArn": container_arn(task, container),
            "containerName": container,
            "interactive": True,
            "session": await self._sessions.open(target, start),
            "taskArn": task.arn,
        }

    def _container(self, task: TaskRecord, asked: str | None) -> str:
        """The one asked for, or the only one; it must run."""
        states = {state.name: state for state in (task.state.containers if task.state else ())}
        if asked is None and len(states) > 1:
            raise errors.invalid_parameter(
                "A container name must be specified for a task with multiple containers."
            )
        name = asked if asked is not None else next(iter(states), "")
        if name not in states:
            raise errors.invalid_parameter(f"The container {name} could not be found.")
        if states[name].last_status != "RUNNING":
            raise AwsError(
                "TargetNotConnectedException",
                "The execute command failed due to an internal error. Try again later.",
            )
        return name


def _words(command: str) -> list[str]:
    """As AWS's agent splits it: quotes count, but no shell expands anything."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise errors.invalid_parameter(
            f"The command cannot be split into words: {error}."
        ) from error
    if not words or any("\0" in word for word in words):
        raise errors.invalid_parameter("Command cannot be empty.")
    return words
