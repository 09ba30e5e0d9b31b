"""Child processes whose end is seen by the loop itself, without a thread for each."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess


def shell_code(returncode: int) -> int:
    """subprocess's -N for a killed process → 128 + N."""
    return 128 - returncode if returncode < 0 else returncode


class Ending:
    """Resolves when a process ends. Made on the loop; `returncode` is subprocess's."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self._popen = popen
        self._done: asyncio.Future[int] = self._loop.create_future()
        self._fd = os.pidfd_open(popen.pid)
        self._loop.add_reader(self._fd, self._ended)

    def _ended(self) -> None:
        code = self._popen.poll()
        if code is None:
            return
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        if not self._done.done():
            self._done.set_result(code)

    @property
    def returncode(self) -> int | None:
        return self._popen.returncode

    async def wait(self) -> int:
        return await asyncio.shield(self._done)


class SpawnedProcess(asyncio.subprocess.Process):
    """asyncio's Process, for one that was started in another network namespace. It has no pipes:
    stdin, stdout and stderr are None."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        # The base class only keeps a transport, and there is none: every method is overridden.
        self._popen = popen
        self._ending = Ending(popen)
        self.pid = popen.pid
        self.stdin = self.stdout = self.stderr = None

    @property
    def returncode(self) -> int | None:
        return self._ending.returncode

    async def wait(self) -> int:
        return await self._ending.wait()

    async def communicate(
        self, input: bytes | bytearray | memoryview | None = None
    ) -> tuple[bytes, bytes]:
        await self.wait()
        return b"", b""

    def send_signal(self, signal: int) -> None:
        """Raises ProcessLookupError if it has ended, as asyncio's does."""
        if self._popen.poll() is not None:
            raise ProcessLookupError(f"process {self.pid} has ended")
        self._popen.send_signal(signal)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
