"""A log driver for each container, before any of them can write."""

from __future__ import annotations

from contextlib import AsyncExitStack

from hikkoshi.region.ports import LogDriver, LogTarget
from hikkoshi.region.task.definition import AWSFIRELENS, ContainerDefinition
from hikkoshi.region.task.firelens import tag
from hikkoshi.region.task.setup import Setup, StartFailedError, together
from hikkoshi.region.task.specification import runtime_id

NO_DRIVER = "none"
"""What a container without logConfiguration has: its lines are kept here only."""


async def check(setup: Setup, undo: AsyncExitStack) -> None:
    """Every destination, before any container starts."""
    try:
        await together(
            {
                c.name: setup.parts.logs.prepare(_target(setup, c))
                for c in setup.definition.containers
            }
        )
    except ValueError as error:
        raise StartFailedError(f"ResourceInitializationError: {error}") from error


async def prepare(setup: Setup, undo: AsyncExitStack) -> None:
    for container in setup.definition.containers:
        try:
            driver = _ClosedOnce(setup.parts.logs.open(_target(setup, container)))
        except ValueError as error:
            raise StartFailedError(
                f"CannotStartContainerError: container {container.name}: "
                f"failed to initialize logging driver: {error}"
            ) from error
        setup.drivers[container.name] = driver
        # Containers that ran have closed theirs; this is for those that never did.
        undo.push_async_callback(driver.close, 0.0)


class _ClosedOnce:
    """A container closes its driver at its end, the task whatever is still open at its own."""

    def __init__(self, driver: LogDriver) -> None:
        self._driver = driver
        self._is_closed = False

    def write(self, stream: str, data: bytes) -> None:
        self._driver.write(stream, data)

    async def close(self, timeout_s: float) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self._driver.close(timeout_s)


def _target(setup: Setup, container: ContainerDefinition) -> LogTarget:
    log = container.log
    options = dict(log.options) if log is not None else {}
    is_routed = log is not None and log.driver == AWSFIRELENS
    if not is_routed:
        # A router's secrets are in the router's environment instead.
        options.update(setup.log_secrets.get(container.name, {}))
    return LogTarget(
        task_id=setup.order.task_id,
        container=container.name,
        container_id=runtime_id(setup.order, container.name),
        driver=log.driver if log is not None else NO_DRIVER,
        options=options,
        fluentd_socket=str(setup.router_socket) if is_routed else None,
        tag=tag(container.name, setup.order.task_id) if is_routed else None,
        region=setup.order.region,
        labels=setup.container_labels(container),
    )
