"""The task's directory, its network and its limits."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack

from hikkoshi.base.errors import HikkoshiError
from hikkoshi.region.task.setup import Setup, StartFailedError


async def prepare(setup: Setup, undo: AsyncExitStack) -> None:
    undo.push_async_callback(asyncio.to_thread, shutil.rmtree, setup.directory, True)
    # What a region that was killed left behind under the same name is nobody's.
    if setup.directory.exists():
        await asyncio.to_thread(shutil.rmtree, setup.directory)
    setup.directory.mkdir(parents=True, mode=0o755)
    # The engine undoes its own half-made sandbox; this hook is never cut short.
    try:
        setup.sandbox = await setup.parts.engine.create_sandbox(
            setup.order.task_id,
            cpu_vcpu=setup.definition.cpu_vcpu,
            memory_mib=setup.definition.memory_mib,
            labels=setup.task_labels(),
        )
    except HikkoshiError as error:
        raise StartFailedError(f"ResourceInitializationError: {error}") from error
    undo.push_async_callback(setup.sandbox.remove)
    setup.chronicle.connectivity_at = setup.chronicle.now()
