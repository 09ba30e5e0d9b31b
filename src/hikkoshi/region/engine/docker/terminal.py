"""A command at a terminal inside a container, by Docker's exec."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from hikkoshi.region.engine.docker.daemon import Daemon, DockerRefused, Stream, path_of


class DockerTerminal:
    """Keeps engine/port.py's Terminal. kill: by its pid on the machine."""

    def __init__(
        self, daemon: Daemon, identity: str, stream: Stream, kill: Callable[[int], Awaitable[None]]
    ) -> None:
        self._daemon = daemon
        self._identity = identity
        self._stream = stream
        self._kill = kill
        self._resizing: set[asyncio.Task[None]] = set()

    async def read(self) -> bytes:
        try:
            return await self._stream.reader.read(1 << 16)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._stream.writer.write(data)
            await self._stream.writer.drain()

    def resize(self, columns: int, rows: int) -> None:
        job = asyncio.ensure_future(self._resize(columns, rows))
        self._resizing.add(job)
        job.add_done_callback(self._resizing.discard)

    async def _resize(self, columns: int, rows: int) -> None:
        with contextlib.suppress(DockerRefused):
            path = path_of("exec", self._identity, "resize", w=columns, h=rows)
            await self._daemon.ask("POST", path)

    async def close(self) -> int:
        """137 where it had to be killed, or the container is gone."""
        try:
            state = await self._state()
            if state["Running"]:
                await self._kill(int(state["Pid"] or 0))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(2.0):
                        while (state := await self._state())["Running"]:
                            await asyncio.sleep(0.02)
        except DockerRefused:
            return 137
        finally:
            self._stream.close()
        return 137 if state["ExitCode"] is None else int(state["ExitCode"])

    async def _state(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._daemon.ask(
            "GET", path_of("exec", self._identity, "json")
        )
        return found
