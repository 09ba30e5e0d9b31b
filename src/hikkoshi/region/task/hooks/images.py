"""Every image of the task; one that cannot be pulled stops it, essential or not (C12)."""

from __future__ import annotations

from contextlib import AsyncExitStack

from hikkoshi.region.engine.port import CannotPullContainer
from hikkoshi.region.task.setup import Setup, StartFailedError, together


async def prepare(setup: Setup, undo: AsyncExitStack) -> None:
    names = dict.fromkeys(container.image for container in setup.definition.containers)
    setup.chronicle.pull_started_at = setup.chronicle.now()
    try:
        images = await together({name: setup.parts.engine.pull(name) for name in names})
    except CannotPullContainer as error:
        raise StartFailedError(f"CannotPullContainerError: {error}") from error
    finally:
        setup.chronicle.pull_stopped_at = setup.chronicle.now()
    for container in setup.definition.containers:
        setup.images[container.name] = images[container.image]
