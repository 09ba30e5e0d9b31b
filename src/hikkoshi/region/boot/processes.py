"""asyncio's Process, for one that was started in another network namespace."""

from __future__ import annotations

import asyncio
import signal
import subprocess

from hikkoshi.base.ending import Ending


class SpawnedProcess(asyncio.subprocess.Process):
    """It has no pipes: stdin, stdout and stderr are None."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        # The base class only keeps a transport, and there is none: every method is overridden.
        self._popen = popen
        self._ending = Ending(popen)
        self.pid = popen.pid
        self.stdin = self.stdout = self.stderr = None

    @property
    def returncode(self) -> int | None:
        """As asyncio's: -N for a process killed by signal N; None while it runs."""
        return self._popen.returncode

    async def wait(self) -> int:
        await self._ending.wait()
        return int(self._popen.returncode)

    async def communicate(
        self, input: bytes | bytearray | memoryview | None = None
    ) -> tuple[bytes, bytes]:
        await self.wait()
        return b"", b""

    def send_signal(self, signal: int) -> None:
        """Raises ProcessLookupError if it has ended, as asyncio's does."""
        if self._ending.value is not None:
            raise ProcessLookupError(f"process {self.pid} has ended")
        self._ending.send_signal(signal)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
