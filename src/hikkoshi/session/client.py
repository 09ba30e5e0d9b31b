"""The caller's end of a session: run one command, or sit at a terminal.

The exit code: AWS's agent tells none for ECS Exec, so `run` has a shell in the container say it
behind the output. A container without /bin/sh has no such shell; then the code is None.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import shlex
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hikkoshi.base.errors import DeadlinePassed, HikkoshiError
from hikkoshi.session.channel import Channel
from hikkoshi.session.message import (
    CHANNEL_CLOSED,
    INPUT,
    TERMINATE_SESSION,
    MalformedMessage,
    Message,
    Payload,
)

CLIENT_VERSION = "1.2.707.0"
"""The session-manager-plugin whose behaviour this client has; agents choose features by it."""
TICK_S = 0.1
PIECE = 1024
MAX_UNACKNOWLEDGED = 64
MAX_FRAME = 2 << 20


class SessionFailed(HikkoshiError):
    """The session could not be opened, or broke off."""


@dataclass(frozen=True, slots=True)
class Session:
    """What ecs:ExecuteCommand answers. token is a secret: it opens the container."""

    id: str
    stream_url: str
    token: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Session:
        """From the whole answer of ecs:ExecuteCommand, or from its `session`."""
        found = answer.get("session", answer)
        return cls(found["sessionId"], found["streamUrl"], found["tokenValue"])

    def __repr__(self) -> str:
        return f"Session(id={self.id!r})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """output: what the terminal showed, stdout and stderr in one, with lines ended by \\n. code:
    None where it was not told (no /bin/sh, or the session was ended from outside)."""

    output: bytes
    code: int | None

    @property
    def text(self) -> str:
        return self.output.decode("utf-8", "replace")


def telling_its_code(argv: Sequence[str], marker: str) -> str:
    """A `command` for ecs:ExecuteCommand that prints `marker` and the exit code at the end."""
    script = f"{shlex.join(argv)}; printf '\\n{marker}%d\\n' $?"
    return shlex.join(["/bin/sh", "-c", script])


def run(
    execute: Callable[[str], Mapping[str, Any]],
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout_s: float = 60.0,
) -> Outcome:
    """Run argv in a container and wait for its end.

    execute: calls ecs:ExecuteCommand with the `command` that it is given (`interactive` must be
    True) and returns AWS's answer; so this room needs no client of AWS. stdin is typed into the
    terminal as it is (end it with \\x04 where the command reads to the end).

        outcome = run(lambda command: ecs.execute_command(
            cluster=c, task=t, container="app", interactive=True, command=command), ["id", "-u"])

    Raises SessionFailed, DeadlinePassed after timeout_s (the command is ended), and whatever
    `execute` raises.
    """
    marker = f"hikkoshi-exit-{secrets.token_hex(8)}:"
    session = Session.of(execute(telling_its_code(argv, marker)))
    shown = bytearray()
    told: list[int] = []

    async def talk() -> None:
        await converse(session, shown.extend, _once(stdin), told=told.append)

    try:
        asyncio.run(asyncio.wait_for(talk(), timeout_s))
    except TimeoutError:
        raise DeadlinePassed(
            f"the command {shlex.join(argv)} did not end within {timeout_s:g} s"
        ) from None
    return _outcome(bytes(shown), marker, told)


def _outcome(shown: bytes, marker: str, told: Sequence[int]) -> Outcome:
    output = shown.replace(b"\r\n", b"\n")
    found = re.search(rb"\n?" + marker.encode() + rb"(\d+)\n?", output)
    if found is None:
        return Outcome(output, told[-1] if told else None)
    return Outcome(output[: found.start()], int(found[1]))


def attend(session: Session, stdin: int, stdout: int) -> int | None:
    """Connect a terminal (or a pipe) to the session until it ends; the exit code if it was told.

    stdin, stdout: file descriptors; a terminal is raw meanwhile and its size is followed. Raises
    SessionFailed.
    """
    told: list[int] = []

    def show(data: bytes) -> None:
        while data:
            data = data[os.write(stdout, data) :]

    with _raw(stdin):
        asyncio.run(
            converse(session, show, _reader(stdin), size=lambda: _size(stdout), told=told.append)
        )
    return told[-1] if told else None


Reader = Callable[[], Awaitable[bytes]]
"""The next bytes to type; b"" when there are no more."""


async def converse(
    session: Session,
    show: Callable[[bytes], object],
    read: Reader,
    *,
    size: Callable[[], tuple[int, int] | None] | None = None,
    told: Callable[[int], object] | None = None,
) -> None:
    """Speak until the session ends. Cancelling it ends the session, and with it the command."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, WebSocketException

    try:
        async with connect(
            session.stream_url, max_size=MAX_FRAME, proxy=None, open_timeout=20, compression=None
        ) as socket:
            await socket.send(_opening(session))
            talk = _Conversation(socket.send, show, told or (lambda code: None), session.id)
            helpers = [
                asyncio.create_task(talk.type_in(read)),
                asyncio.create_task(talk.keep_up(size or (lambda: None))),
            ]
            try:
                async for frame in socket:
                    if isinstance(frame, bytes) and await talk.take(frame):
                        return
            except asyncio.CancelledError:
                with contextlib.suppress(ConnectionClosed, TimeoutError):
                    await asyncio.wait_for(talk.terminate(), 1.0)
                raise
            finally:
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
            raise SessionFailed(f"session {session.id} broke off")
    except (OSError, WebSocketException, MalformedMessage) as error:
        raise SessionFailed(f"session {session.id} failed: {error}") from error


def _opening(session: Session) -> str:
    return json.dumps(
        {
            "MessageSchemaVersion": "1.0",
            "RequestId": str(uuid.uuid4()),
            "TokenValue": session.token,
            "ClientId": str(uuid.uuid4()),
            "ClientVersion": CLIENT_VERSION,
        }
    )


class _Conversation:
    def __init__(
        self,
        send: Callable[[bytes], Awaitable[None]],
        show: Callable[[bytes], object],
        told: Callable[[int], object],
        session_id: str,
    ) -> None:
        self._send = send
        self._show = show
        self._told = told
        self._session_id = session_id
        self._channel = Channel(INPUT, time.monotonic)
        self._is_open = asyncio.Event()

    async def take(self, frame: bytes) -> bool:
        """True when the session is over."""
        received = self._channel.receive(frame)
        for reply in received.replies:
            await self._send(reply)
        for message in received.messages:
            if message.type == CHANNEL_CLOSED:
                said = message.document().get("Output")
                if said and not self._is_open.is_set():
                    raise SessionFailed(f"session {self._session_id} was refused: {said}")
                return True
            await self._work_on(message)
        return False

    async def _work_on(self, message: Message) -> None:
        match message.payload_type:
            case Payload.HANDSHAKE_REQUEST:
                await self._shake_hands(message)
            case Payload.HANDSHAKE_COMPLETE:
                self._is_open.set()
            case Payload.OUTPUT | Payload.STANDARD_ERROR | Payload.ERROR:
                self._is_open.set()
                self._show(message.payload)
            case Payload.EXIT_CODE:
                with contextlib.suppress(ValueError):
                    self._told(int(message.payload))

    async def _shake_hands(self, message: Message) -> None:
        done, errors = [], []
        for action in message.document().get("RequestedClientActions") or []:
            kind = action.get("ActionType")
            error = "" if kind == "SessionType" else f"Unsupported action {kind}"
            done.append(
                {
                    "ActionType": kind,
                    "ActionStatus": 2 if error else 1,
                    "ActionResult": None,
                    "Error": error,
                }
            )
            if error:
                errors.append(error)
        answer = {
            "ClientVersion": CLIENT_VERSION,
            "ProcessedClientActions": done,
            "Errors": errors,
        }
        await self._say(Payload.HANDSHAKE_RESPONSE, json.dumps(answer).encode())
        if any("KMSEncryption" in error for error in errors):
            raise SessionFailed(
                f"session {self._session_id} is encrypted with a KMS key of the cluster's",
                fix="that is not implemented; use `aws ecs execute-command` for this cluster",
            )

    async def type_in(self, read: Reader) -> None:
        await self._is_open.wait()
        while data := await read():
            for start in range(0, len(data), PIECE):
                while self._channel.unacknowledged >= MAX_UNACKNOWLEDGED or self._channel.is_paused:
                    await asyncio.sleep(TICK_S / 10)
                await self._say(Payload.OUTPUT, data[start : start + PIECE])

    async def keep_up(self, size: Callable[[], tuple[int, int] | None]) -> None:
        """Send again what was not acknowledged, and the terminal's size when it changes."""
        known: tuple[int, int] | None = None
        while True:
            for frame in self._channel.due():
                await self._send(frame)
            now = size() if self._is_open.is_set() else None
            if now is not None and now != known:
                known = now
                body = json.dumps({"cols": now[0], "rows": now[1]})
                await self._say(Payload.SIZE, body.encode())
            await asyncio.sleep(TICK_S)

    async def terminate(self) -> None:
        await self._say(Payload.FLAG, TERMINATE_SESSION.to_bytes(4, "big"))

    async def _say(self, payload_type: int, payload: bytes) -> None:
        await self._send(self._channel.send(payload_type, payload))


def _once(data: bytes) -> Reader:
    left = [data] if data else []

    async def read() -> bytes:
        return left.pop() if left else b""

    return read


END_OF_FILE = b"\x04"
"""What a terminal understands as the end of its input."""


def _reader(stdin: int) -> Reader:
    """At the end of a file or pipe the far terminal is told so: twice where a line is unfinished,
    since the first only hands that over."""
    last = b"\n"
    has_ended = False

    async def read() -> bytes:
        nonlocal last, has_ended
        if has_ended:
            return b""
        await _readable(stdin)
        data = os.read(stdin, PIECE)
        if data:
            last = data
            return data
        has_ended = True
        return END_OF_FILE if last.endswith(b"\n") else END_OF_FILE * 2

    return read


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(fd, readable.set)
    except PermissionError:  # a plain file: always readable, and epoll has no such thing
        return
    try:
        await readable.wait()
    finally:
        loop.remove_reader(fd)


def _size(stdout: int) -> tuple[int, int] | None:
    try:
        found = os.get_terminal_size(stdout)
    except OSError:
        return None
    return found.columns, found.lines


@contextlib.contextmanager
def _raw(stdin: int) -> Any:
    import termios
    import tty

    if not os.isatty(stdin):
        yield
        return
    before = termios.tcgetattr(stdin)
    tty.setraw(stdin)
    try:
        yield
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)
