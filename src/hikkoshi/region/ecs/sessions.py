"""ECS Exec's sessions as the region serves them: AWS's data channel on a websocket of its own.

One listening socket on the host's loopback, opened with the first ExecuteCommand. A session waits
a minute for its client; its token is good for one connection. When the client goes, the command is
ended; when the command ends, the client is told `channel_closed`, as AWS tells it (without an exit
code: AWS's agent sends none for interactive commands).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hikkoshi.region.engine.port import CannotStartContainer, Terminal
from hikkoshi.session.channel import Channel
from hikkoshi.session.message import (
    CHANNEL_CLOSED,
    OUTPUT,
    TERMINATE_SESSION,
    MalformedMessage,
    Message,
    Payload,
    encode,
)

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection

Door = Callable[[], Awaitable[tuple[int, int]]]
"""(descriptor, port) of a listening socket on the host's loopback."""
Start = Callable[[], Awaitable[Terminal]]
"""Raises CannotStartContainer or LookupError."""

AGENT_VERSION = "3.3.1611.0"
OPEN_WITHIN_S = 60.0
HANDSHAKE_WITHIN_S = 30.0
PIECE = 1024
MAX_UNACKNOWLEDGED = 256
MAX_SESSIONS = 200
TICK_S = 0.05

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    token: str
    target: str
    start: Start
    until: float


class ExecSessions:
    """Made on the loop. `door` None: there is no host to open a port on, and no session."""

    def __init__(self, door: Door | None) -> None:
        self._door = door
        self._waiting: dict[str, _Waiting] = {}
        self._server: Server | None = None
        self._port = 0
        self._opening = asyncio.Lock()

    @property
    def is_there(self) -> bool:
        return self._door is not None

    async def open(self, target: str, start: Start) -> dict[str, str]:
        """A session that waits for its client: AWS's `session` shape."""
        port = await self._listen()
        now = time.monotonic()
        self._waiting = {k: w for k, w in self._waiting.items() if w.until > now}
        while len(self._waiting) >= MAX_SESSIONS:
            self._waiting.pop(next(iter(self._waiting)))
        session_id = f"ecs-execute-command-{secrets.token_hex(9)[:17]}"
        token = secrets.token_urlsafe(96)
        self._waiting[session_id] = _Waiting(token, target, start, now + OPEN_WITHIN_S)
        url = f"ws://127.0.0.1:{port}/v1/data-channel/{session_id}?role=publish_subscribe"
        return {"sessionId": session_id, "streamUrl": url, "tokenValue": token}

    async def _listen(self) -> int:
        async with self._opening:
            if self._server is None:
                assert self._door is not None, "is_there was asked first"
                # Here and not above: every region imports this module, and most have no session.
                from websockets.asyncio.server import serve

                descriptor, self._port = await self._door()
                listener = socket.socket(fileno=descriptor)
                self._server = await serve(
                    self._attend,
                    sock=listener,
                    compression=None,
                    max_size=1 << 21,
                    # A web page cannot speak to it: browsers always say where they come from.
                    origins=[None],
                    logger=_log.getChild("websocket"),
                )
            return self._port

    async def close(self) -> None:
        """Ends every session."""
        self._waiting.clear()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _attend(self, socket: ServerConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        assert socket.request is not None
        session_id = urlsplit(socket.request.path).path.rpartition("/")[2]
        try:
            waiting = await asyncio.wait_for(self._opened(socket, session_id), HANDSHAKE_WITHIN_S)
            if waiting is None:
                await socket.close(1008, "no such session, or not its token")
                return
            await _Served(socket, session_id, waiting).run()
        except (ConnectionClosed, MalformedMessage, ConnectionError, TimeoutError) as error:
            _log.info("session %s broke off: %s", session_id, error)
            await socket.close(1002)

    async def _opened(self, socket: ServerConnection, session_id: str) -> _Waiting | None:
        """The first frame is text, with the token."""
        try:
            document = json.loads(await socket.recv())
            token = str(document["TokenValue"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        waiting = self._waiting.get(session_id)
        if waiting is None or waiting.until < time.monotonic():
            return None
        if not hmac.compare_digest(waiting.token.encode(), token.encode()):
            return None
        return self._waiting.pop(session_id)


class _Served:
    """One client, one command."""

    def __init__(self, socket: ServerConnection, session_id: str, waiting: _Waiting) -> None:
        self._socket = socket
        self._session_id = session_id
        self._waiting = waiting
        self._channel = Channel(OUTPUT, time.monotonic)
        self._shaken = asyncio.Event()
        self._terminal: Terminal | None = None
        self._typed: asyncio.Queue[bytes] = asyncio.Queue(1024)
        self._ended = asyncio.Event()

    async def run(self) -> None:
        jobs = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._resend()),
            asyncio.create_task(self._speak()),
        ]
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            if self._terminal is not None:
                await self._terminal.close()

    async def _listen(self) -> None:
        async for frame in self._socket:
            if not isinstance(frame, bytes):
                continue
            received = self._channel.receive(frame)
            for reply in received.replies:
                await self._socket.send(reply)
            for message in received.messages:
                if not await self._take(message):
                    return

    async def _take(self, message: Message) -> bool:
        match message.payload_type:
            case Payload.HANDSHAKE_RESPONSE:
                self._shaken.set()
            case Payload.OUTPUT:
                await self._typed.put(message.payload)
            case Payload.SIZE if self._terminal is not None:
                self._terminal.resize(*_size(message.document()))
            case Payload.FLAG:
                return message.payload != TERMINATE_SESSION.to_bytes(4, "big")
        return True

    async def _resend(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for frame in self._channel.due():
                await self._socket.send(frame)

    async def _speak(self) -> None:
        """The handshake, then the command's output to its end, then the closing word."""
        started = time.monotonic_ns()
        action = {
            "ActionType": "SessionType",
            "ActionParameters": {"SessionType": "InteractiveCommands", "Properties": None},
        }
        await self._say(
            Payload.HANDSHAKE_REQUEST,
            {"AgentVersion": AGENT_VERSION, "RequestedClientActions": [action]},
        )
        await asyncio.wait_for(self._shaken.wait(), HANDSHAKE_WITHIN_S)
        try:
            self._terminal = await self._waiting.start()
        except (CannotStartContainer, LookupError) as error:
            await self._complete(started)
            await self._finish(str(error))
            return
        await self._complete(started)
        typing = asyncio.create_task(self._type(self._terminal))
        try:
            while data := await self._terminal.read():
                await self._output(data)
        finally:
            typing.cancel()
            await asyncio.gather(typing, return_exceptions=True)
        await self._finish("")

    async def _complete(self, started_ns: int) -> None:
        took = time.monotonic_ns() - started_ns
        await self._say(
            Payload.HANDSHAKE_COMPLETE, {"HandshakeTimeToComplete": took, "CustomerMessage": ""}
        )

    async def _type(self, terminal: Terminal) -> None:
        while True:
            await terminal.write(await self._typed.get())

    async def _output(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            # A client that does not read holds the command up, as a terminal does.
            while self._channel.unacknowledged >= MAX_UNACKNOWLEDGED or self._channel.is_paused:
                await asyncio.sleep(TICK_S / 5)
            piece = data[start : start + PIECE]
            await self._socket.send(self._channel.send(Payload.OUTPUT, piece))

    async def _finish(self, output: str) -> None:
        while self._channel.unacknowledged:
            await asyncio.sleep(TICK_S / 5)
        message = Message(CHANNEL_CLOSED)
        body = {
            "MessageId": str(message.id),
            "CreatedDate": str(message.created_ms),
            "DestinationId": self._waiting.target,
            "SessionId": self._session_id,
            "MessageType": CHANNEL_CLOSED,
            "SchemaVersion": 1,
            "Output": output,
        }
        await self._socket.send(
            encode(Message(CHANNEL_CLOSED, json.dumps(body).encode(), id=message.id, flags=3))
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._socket.wait_closed(), 5.0)

    async def _say(self, payload_type: Payload, document: dict[str, Any]) -> None:
        await self._socket.send(self._channel.send(payload_type, json.dumps(document).encode()))


def _size(document: dict[str, Any]) -> tuple[int, int]:
    """Columns and rows, within what a terminal can have."""
    found = []
    for name, usual in (("cols", 80), ("rows", 24)):
        value = document.get(name)
        found.append(min(max(value, 1), 9999) if isinstance(value, int) else usual)
    return found[0], found[1]
