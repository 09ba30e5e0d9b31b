"""The task's metadata and credentials endpoint, from before its first container to its end."""

from __future__ import annotations

from contextlib import AsyncExitStack

from hikkoshi.region.task.setup import Setup


async def prepare(setup: Setup, undo: AsyncExitStack) -> None:
    undo.callback(setup.parts.metadata.withdraw, setup.order.task_arn)
    setup.parts.metadata.register(setup.facts)
