"""The task's directory, its network and its limits."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack

from hikkoshi.base.errors import HikkoshiError
from hikkoshi.region.engine.port import Sandbox, Tunable
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
    await _tune(setup, setup.sandbox)
    setup.chronicle.connectivity_at = setup.chronicle.now()


async def _tune(setup: Setup, sandbox: Sandbox) -> None:
    """The network is the task's: a parameter that one container sets holds for all, and of two
    values the later one."""
    values = dict(pair for one in setup.definition.containers for pair in one.system_controls)
    if not values:
        return
    try:
        if not isinstance(sandbox, Tunable):
            raise OSError("systemControls are not implemented by this engine")
        await sandbox.tune(values)
    except OSError as error:
        raise StartFailedError(
            f"CannotStartContainerError: systemControls cannot be set: {error}"
        ) from error
