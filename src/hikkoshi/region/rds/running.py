"""The process of one database server: started, watched, and ended as an order or as a crash."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hikkoshi.region.engine.instances import Instance
from hikkoshi.region.rds.processes import descendants, first_named

# Database servers refuse to run as uid 0, and the region is uid 0 in its namespace.
UID = 1000
STOP_DEADLINE_S = 10.0


class Running:
    """`program`: its name in /proc. on_exit is called on the loop when the server ends without
    having been asked to."""

    def __init__(self, instance: Instance, program: str, on_exit: Callable[[], None]) -> None:
        self.instance = instance
        self.process: asyncio.subprocess.Process | None = None
        self._program = program
        self._on_exit = on_exit
        self._is_stopping = False
        self._watch: asyncio.Task[None] | None = None

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        writable: Sequence[Path],
        log: Path,
    ) -> None:
        self._is_stopping = False
        self.process = await self.instance.spawn(
            argv, environment=environment, uid=UID, writable=writable, log=log
        )
        self._watch = asyncio.create_task(self._watch_exit(self.process))

    async def stop(self, number: signal.Signals) -> bool:
        """Whether there was one; SIGKILL to all of it where the signal does not end it in time."""
        self._is_stopping = True
        process = self.process
        if process is None:
            return False
        if self._watch is not None:
            self._watch.cancel()
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(first_named(process.pid, self._program) or process.pid, number)
            try:
                await asyncio.wait_for(process.wait(), STOP_DEADLINE_S)
            except TimeoutError:
                for pid in descendants(process.pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        self.process = None
        return True

    async def _watch_exit(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        if not self._is_stopping:
            self._on_exit()


def tail(output: bytes, limit: int = 1000) -> str:
    """The end of what a program said."""
    return output.decode(errors="replace").strip()[-limit:]
