"""A command at a terminal inside a container, as `docker exec -it` starts it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import Mapping, Sequence

from hikkoshi.base.ending import Ending
from hikkoshi.region.engine.limits import set_limits
from hikkoshi.region.engine.port import CannotStartContainer
from hikkoshi.region.engine.spawner import spawn
from hikkoshi.region.engine.started import Started

# The session's leader must take the terminal as its own before it becomes the command; doing so
# between fork and exec is not safe in a process with threads, so a small program does it.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_NOT_FOUND = re.compile(rb"nsenter: failed to execute ([^\r\n]*): [^\r\n:]*\r?\n")
_PIECE = 1 << 16


class EmbeddedTerminal:
    """Keeps engine/port.py's Terminal."""

    def __init__(self, master: int, ending: Ending) -> None:
        self._master = master
        self._ending = ending
        self._is_first = True
        self._held = b""
        os.set_blocking(master, False)

    async def read(self) -> bytes:
        """b"" when the terminal has no more."""
        while True:
            try:
                data = os.read(self._master, _PIECE)
            except BlockingIOError:
                if self._ending.value is not None:
                    # A process left in the background may hold the terminal; `docker exec` ends.
                    return self._release()
                await self._ready()
                continue
            except OSError:  # EIO: nobody has the other end any more
                return self._release()
            if not self._is_first:
                return data
            self._held += data
            if _may_be_nsenter(self._held) and b"\n" not in self._held:
                continue
            return self._release()

    def _release(self) -> bytes:
        """The first output, once its first line is whole; nothing later."""
        held, self._held, self._is_first = self._held, b"", False
        return _NOT_FOUND.sub(_as_aws_says_it, held)

    async def _ready(self) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._master, readable.set)
        ended = asyncio.ensure_future(self._ending.wait())
        ready = asyncio.ensure_future(readable.wait())
        try:
            await asyncio.wait({ended, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._master)
            for one in (ended, ready):
                one.cancel()

    async def write(self, data: bytes) -> None:
        """Waits while the terminal's own buffer is full. Nothing once the command has ended."""
        while data and self._ending.value is None:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.01)
            except OSError:
                return

    def resize(self, columns: int, rows: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    async def close(self) -> int:
        """End the command and what it started in the foreground; its exit code."""
        if self._ending.value is None:
            for number in (signal.SIGHUP, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._ending.pid, number)
                done, _ = await asyncio.wait(
                    {asyncio.ensure_future(self._ending.wait())}, timeout=0.5
                )
                if done:
                    break
        ended = await self._ending.wait()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
        return ended.code


def _may_be_nsenter(text: bytes) -> bool:
    word = b"nsenter: "
    return text.startswith(word) or word.startswith(text)


def _as_aws_says_it(found: re.Match[bytes]) -> bytes:
    return (
        b'Unable to start command: Failed to start pty: exec: "'
        + found[1]
        + b'": executable file not found in $PATH\r\n'
    )


async def open_terminal(
    started: Started, enter: Sequence[str], argv: Sequence[str], environment: Mapping[str, str]
) -> EmbeddedTerminal:
    """enter: nsenter and its options, an absolute path first. Raises CannotStartContainer."""
    master, slave = pty.openpty()
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, master)
        command = [sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *enter, "--", *argv]
        try:
            popen, is_inside = await spawn(
                started.spawner,
                started.group,
                lambda: started.space.popen(
                    command, environment=environment, stdin=slave, stdout=slave, stderr=slave
                ),
            )
        except (OSError, ValueError) as error:
            raise CannotStartContainer(str(error)) from error
        finally:
            os.close(slave)
        with contextlib.suppress(OSError):
            set_limits(popen.pid, dict(started.limits))
            if started.group is not None and not is_inside:
                started.group.add(popen.pid)
        undo.pop_all()
    return EmbeddedTerminal(master, Ending(popen))
