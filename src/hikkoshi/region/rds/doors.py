"""A door on the host's loopback that leads to whichever server plays a role now."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from hikkoshi.region.engine.instances import Ground

CHUNK = 65536

Target = Callable[[], tuple[str, int] | None]


class Door:
    """Forwards each connection to `target()` as it is when the connection comes; one whose server
    ends is cut, as the server's own connections are."""

    def __init__(self, ground: Ground, target: Target) -> None:
        self._ground = ground
        self._target = target
        self._fd = -1
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self, wanted_port: int | None) -> None:
        self._fd, self.port = await self._ground.open_door(wanted_port)
        listening = socket.socket(fileno=os.dup(self._fd))
        listening.setblocking(False)
        self._server = await asyncio.start_server(self._lead, sock=listening)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            await self._ground.close_door(self._fd)
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            if task is not None:
                self._open.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        where = self._target()
        if where is None:
            return
        there_reader, there_writer = await asyncio.open_connection(*where)
        try:
            pumps = (
                asyncio.create_task(_pump(reader, there_writer)),
                asyncio.create_task(_pump(there_reader, writer)),
            )
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            there_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
