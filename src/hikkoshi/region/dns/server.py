"""The region's DNS server: the zone behind a UDP and a TCP socket."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.dns.messages import GarbageError, question_of, reply
from hikkoshi.region.dns.zone import Zone

IDLE_S = 10.0
MAX_TCP_CONNECTIONS = 128


class DnsServer:
    """Answers for the region's names (`Names` of the region's ports) and for nothing else.

    Use: `server = DnsServer(); await server.start("10.0.0.2")`, then `set`, `set_alias`, `remove`
    at any time, also before the start. Packets that are no questions are dropped and counted."""

    def __init__(
        self, zone: Zone | None = None, heard: Callable[[str, str], None] | None = None
    ) -> None:
        """heard: told of each question that is answered, as (client's address, name)."""
        self.zone = zone or Zone()
        self._heard = heard
        self.answered = 0
        self.dropped = 0
        self.port = 0
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def set(self, name: str, addresses: list[str], ttl_s: int = 60) -> None:
        self.zone.set(name, addresses, ttl_s)

    def set_alias(self, name: str, target: str, ttl_s: int = 5) -> None:
        self.zone.set_alias(name, target, ttl_s)

    def remove(self, name: str) -> None:
        self.zone.remove(name)

    async def start(self, address: str, port: int = 53) -> None:
        """Listen on address:port by UDP and TCP; port 0 takes a free one, the same for both.
        Raises CannotRun when the address is not here or the port is taken."""
        loop = asyncio.get_running_loop()
        try:
            self._tcp = await asyncio.start_server(self._serve_tcp, address, port)
            self.port = int(self._tcp.sockets[0].getsockname()[1])
            self._udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=(address, self.port)
            )
        except OSError as error:
            await self.close()
            raise CannotRun(
                f"the region's DNS cannot listen on {address}:{port}: {error.strerror or error}",
                fix="stop what else listens there, or give the DNS another address",
            ) from error

    async def close(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def answer(self, packet: bytes, *, is_udp: bool, client: str = "") -> bytes | None:
        """The reply to a packet, or None (counted) where there is to be none."""
        try:
            packed = reply(packet, self.zone, is_udp=is_udp)
        except GarbageError:
            self.dropped += 1
            return None
        self.answered += 1
        if self._heard is not None and (name := question_of(packet)):
            self._heard(client, name)
        return packed

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_TCP_CONNECTIONS:
            self.dropped += 1
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(IDLE_S):
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                packet = await reader.readexactly(length)
            client = str((writer.get_extra_info("peername") or ("",))[0])
            packed = self.answer(packet, is_udp=False, client=client)
            if packed is None:
                return
            writer.write(struct.pack("!H", len(packed)) + packed)
            await writer.drain()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        packed = self._server.answer(data, is_udp=True, client=str(addr[0]))
        if packed is not None and self._transport is not None:
            self._transport.sendto(packed, addr)
