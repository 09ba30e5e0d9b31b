"""A HAProxy process and its control socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from hikkoshi.base.errors import CannotRun, DeadlinePassed
from hikkoshi.region.elb.target import ServerRow, read_statistics
from hikkoshi.region.engine.instances import Instance

_START_S = 10.0
_ANSWER_S = 5.0


class Process:
    """One generation of HAProxy. The connection to its control socket is kept open, since a
    process that is stopping still answers on it, though it takes no new one."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, command: str) -> str:
        """One command; its answer without the prompt. Raises OSError if the process is gone, and
        DeadlinePassed if it does not answer."""
        async with self._turn:
            self._writer.write(command.encode() + b"\n")
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await self._writer.drain()
                    answer = await self._reader.readuntil(b"\n> ")
            except TimeoutError as error:
                self._writer.close()
                what = f"HAProxy did not answer {command.split(' ')[0]!r} within {_ANSWER_S:g} s"
                raise DeadlinePassed(what) from error
            except asyncio.IncompleteReadError as error:
                raise ConnectionResetError("HAProxy closed its control socket") from error
            return answer[:-3].decode("utf-8", "replace").strip()

    async def statistics(self) -> dict[tuple[str, str], ServerRow]:
        return read_statistics(await self.ask("show stat"))

    def hang_up(self) -> None:
        """A stopping process ends when its last connection is closed; this one counts too."""
        self._writer.close()

    async def kill(self) -> None:
        self.hang_up()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


async def check_configuration(
    instance: Instance, binary: str, path: Path, pass_fds: Sequence[int]
) -> str | None:
    """What HAProxy has against the file; None if nothing. It wants to see the sockets as well."""
    log = path.with_suffix(".log")
    log.unlink(missing_ok=True)
    argv = [binary, "-c", "-f", str(path)]
    process = await instance.spawn(argv, log=log, pass_fds=pass_fds)
    try:
        async with asyncio.timeout(_START_S):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"it was not checked within {_START_S:g} s"
    return None if code == 0 else log.read_text(errors="replace").strip()


async def start(
    instance: Instance,
    binary: str,
    path: Path,
    control_socket: Path,
    *,
    log: Path,
    pass_fds: Sequence[int],
    replacing: Process | None,
) -> Process:
    """A new process that serves; the one it replaces then takes no new connection, and ends with
    its last one. Raises CannotRun, with the end of the log, if it does not come up."""
    argv = [binary, "-db", "-f", str(path)]
    if replacing is not None and replacing.is_alive:
        argv += ["-sf", str(replacing.pid)]
    process = await instance.spawn(argv, log=log, pass_fds=pass_fds)
    try:
        async with asyncio.timeout(_START_S):
            reader, writer = await _connect(process, control_socket)
            writer.write(b"prompt\n")
            await reader.readuntil(b"\n> ")
    except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        end = log.read_text(errors="replace")[-1000:] if log.exists() else ""
        raise CannotRun(f"HAProxy did not start within {_START_S:g} s: {end}") from error
    return Process(process, reader, writer)


async def _connect(
    process: asyncio.subprocess.Process, path: Path
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_unix_connection(str(path), limit=64 * 1024 * 1024)
        except OSError:
            if process.returncode is not None:
                raise
            # The socket appears when the process listens; nothing announces it.
            await asyncio.sleep(0.005)
