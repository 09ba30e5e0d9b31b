"""The end of a child process, seen by the loop, with the cpu time it and its children took."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    """As a shell counts it."""
    cpu_s: float


class Ending:
    """Made on the loop, for a child that nobody else waits for."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self._popen = popen
        self._done: asyncio.Future[Ended] = self._loop.create_future()
        self._fd = os.pidfd_open(popen.pid)
        self._loop.add_reader(self._fd, self._on_end)

    def _on_end(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        _, status, used = os.wait4(self._popen.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        # Popen must not wait for it again.
        self._popen.returncode = code
        ended = Ended(128 - code if code < 0 else code, used.ru_utime + used.ru_stime)
        if not self._done.done():
            self._done.set_result(ended)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def value(self) -> Ended | None:
        return self._done.result() if self._done.done() else None

    def send_signal(self, number: int) -> None:
        """Nothing if it has ended; never reaches another process that was given its pid."""
        if self.value is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)

    async def wait(self) -> Ended:
        return await asyncio.shield(self._done)
