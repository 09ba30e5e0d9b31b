"""Spawning from one thread that lasts, in the control group that the process is to have."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable
from concurrent.futures import Executor

from hikkoshi.base.ending import Ending
from hikkoshi.region.engine.cgroups import Group


async def spawn(
    spawner: Executor, group: Group | None, start: Callable[[], subprocess.Popen[bytes]]
) -> tuple[subprocess.Popen[bytes], bool]:
    """(the process, whether it is in the group already). If this is cancelled meanwhile, what was
    spawned is ended. Raises what `start` raises."""

    def start_inside() -> tuple[subprocess.Popen[bytes], bool]:
        if group is None:
            return start(), True
        with group.entered() as is_inside:
            return start(), is_inside

    starting = asyncio.get_running_loop().run_in_executor(spawner, start_inside)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError, ValueError):
            popen, _ = await starting
            popen.kill()
            await Ending(popen).wait()
        raise
