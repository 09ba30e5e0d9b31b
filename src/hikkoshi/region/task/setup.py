"""What a task's hooks work with and hand on to one another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import Recorder
from hikkoshi.model.timers import Timers
from hikkoshi.region.engine.port import ContainerSpec, Engine, Image, Mount, Sandbox
from hikkoshi.region.ports import (
    LogDriver,
    LogDrivers,
    MetadataEndpoint,
    SecretStore,
    TaskFacts,
    TaskOrder,
)
from hikkoshi.region.task.chronicle import Chronicle
from hikkoshi.region.task.definition import ContainerDefinition, TaskDefinition
from hikkoshi.region.task.specification import (
    aws_environment,
    environment,
    runtime_id,
    specification,
)

_T = TypeVar("_T")


class StartFailedError(Exception):
    """The task cannot start; the text is its stoppedReason, the stop code TaskFailedToStart."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The runtime's collaborators and settings."""

    engine: Engine
    logs: LogDrivers
    secrets: SecretStore
    metadata: MetadataEndpoint
    recorder: Recorder
    timers: Timers
    clock: Clock
    run_directory: Path
    """Short, for the router's socket lies under it and such a path has at most 108 bytes."""
    extra_environment: Mapping[str, str]
    extra_mounts: tuple[Mount, ...]
    log_close_s: float
    """How long a container's end waits for its last lines to be delivered."""


@dataclass(slots=True)
class Setup:
    """Filled by the hooks, in their order; read by the containers. Keys are container names."""

    order: TaskOrder
    definition: TaskDefinition
    parts: Parts
    facts: TaskFacts
    chronicle: Chronicle
    directory: Path
    """The task's own, made by the sandbox hook."""
    sandbox: Sandbox | None = None
    images: dict[str, Image] = field(default_factory=dict)
    secret_environment: dict[str, dict[str, str]] = field(default_factory=dict)
    file_environment: dict[str, dict[str, str]] = field(default_factory=dict)
    log_secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    mounts: dict[str, tuple[Mount, ...]] = field(default_factory=dict)
    given_environment: dict[str, dict[str, str]] = field(default_factory=dict)
    """FireLens's variables, weaker than the definition's own."""
    router_secrets: dict[str, str] = field(default_factory=dict)
    router_socket: Path | None = None
    drivers: dict[str, LogDriver] = field(default_factory=dict)

    def task_labels(self) -> dict[str, str]:
        """The labels that ECS puts on each container of the task."""
        return {
            "com.amazonaws.ecs.cluster": self.order.cluster_arn,
            "com.amazonaws.ecs.task-arn": self.order.task_arn,
            "com.amazonaws.ecs.task-definition-family": self.definition.family,
            "com.amazonaws.ecs.task-definition-version": self.definition.revision,
        }

    def container_labels(self, container: ContainerDefinition) -> dict[str, str]:
        return {
            **self.task_labels(),
            "com.amazonaws.ecs.container-name": container.name,
            **dict(container.labels),
        }

    def specify(self, container: ContainerDefinition, host: str) -> ContainerSpec:
        """What the engine is to start, once every hook has run. Raises CannotStartContainer."""
        name, image = container.name, self.images[container.name]
        container_id = runtime_id(self.order, name)
        secrets = dict(self.secret_environment.get(name, {}))
        if container.firelens is not None:
            secrets.update(self.router_secrets)
        given = {**self.parts.extra_environment, **self.given_environment.get(name, {})}
        from_aws = aws_environment(
            self.order,
            metadata_url=self.parts.metadata.base_url,
            container_id=container_id,
            credentials_id=self.facts.credentials_id,
        )
        return specification(
            container,
            image,
            container_id=container_id,
            host=host,
            environment=environment(
                container,
                image,
                self.order,
                extra=given,
                files=self.file_environment.get(name, {}),
                secrets=secrets,
                from_aws=from_aws,
            ),
            mounts=(*self.parts.extra_mounts, *self.mounts.get(name, ())),
        )


Prepare = Callable[[Setup, AsyncExitStack], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Hook:
    """One step before the containers. Registers its undo on the stack before it acts.

    status: what the task's lastStatus is meanwhile. is_interruptible: a stop need not wait for
    it, since it holds nothing half made."""

    name: str
    status: str
    prepare: Prepare
    is_interruptible: bool = False


async def together(work: Mapping[str, Coroutine[Any, Any, _T]]) -> dict[str, _T]:
    """All results by key. The first failure cancels the rest and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            jobs = {key: group.create_task(one) for key, one in work.items()}
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return {key: job.result() for key, job in jobs.items()}
