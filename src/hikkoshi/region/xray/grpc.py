"""As much gRPC as OTLP's exporters need: unary calls over clear-text HTTP/2, by the library h2.

Source: grpc/doc/PROTOCOL-HTTP2.md and doc/compression.md of the gRPC project. A message may be
gzipped; deadlines are not looked at, since an answer waits for nothing."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from hikkoshi.region.xray.http import IDLE_S, MAX_BODY, BadRequestError, gunzip

OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 3, 8, 12, 13
MAX_STREAMS = 32
# What all calls of one connection may have waiting here; more is refused, so that no sender can
# fill the task's memory by beginning calls.
MAX_WAITING = 2 * MAX_BODY
READ = 1 << 16
_PREFACE = b"PRI * HTTP/2.0"
_WRONG_PORT = b"this port speaks gRPC (HTTP/2); OTLP by HTTP has one of its own, 4318\n"
_PREFIX = 5
_OF_STATUS = {400: INVALID_ARGUMENT, 413: RESOURCE_EXHAUSTED, 415: UNIMPLEMENTED}


class CallError(ValueError):
    """A call that is refused: its gRPC status, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Handler = Callable[[str, bytes], bytes]
"""(path, message) → message. Raises CallError."""


@dataclass(slots=True)
class _Call:
    path: str
    encoding: str
    body: bytearray = field(default_factory=bytearray)
    is_too_large: bool = False


def unframe(body: bytes, encoding: str) -> bytes:
    """The one message of a unary call: compressed flag, length (4 bytes), message.
    Raises CallError."""
    if len(body) < _PREFIX:
        raise CallError(INTERNAL, "the call carries no message")
    is_compressed, length = struct.unpack_from(">BI", body)
    if len(body) != _PREFIX + length:
        raise CallError(INTERNAL, f"not one message: {length} bytes told, {len(body) - 5} sent")
    message = bytes(body[_PREFIX:])
    if not is_compressed:
        return message
    if encoding != "gzip":
        raise CallError(UNIMPLEMENTED, f"grpc-encoding {encoding}: send gzip or identity")
    try:
        return gunzip(message)
    except BadRequestError as error:
        raise CallError(_OF_STATUS[error.status], str(error)) from error


def frame(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


class GrpcConnection:
    """One connection, without its socket: `feed` takes bytes, `outgoing` has what to send."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._calls: dict[int, _Call] = {}
        self._waiting = 0
        self._is_begun = False
        self._wrong_port = b""
        # Header names and values are bytes: what a hostile sender puts there need not be UTF-8.
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._h2.local_settings = Settings(
            client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS}
        )
        self._h2.initiate_connection()

    def feed(self, data: bytes) -> bool:
        """False: the sender broke HTTP/2, and the connection ends after `outgoing`."""
        if not self._is_begun and not _PREFACE.startswith(data[: len(_PREFACE)]):
            head = f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(_WRONG_PORT)}\r\n\r\n"
            self._wrong_port = head.encode() + _WRONG_PORT
            return False
        self._is_begun = True
        try:
            events = self._h2.receive_data(data)
        except ProtocolError:
            return False
        for event in events:
            # The client may have given up a call whose end is in the same bytes.
            with contextlib.suppress(ProtocolError):
                self._take(event)
        return True

    def outgoing(self) -> bytes:
        return self._wrong_port or bytes(self._h2.data_to_send())

    def say_goodbye(self) -> None:
        """GOAWAY: the client sends its next call on a new connection."""
        self._h2.close_connection()

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int() as stream, headers=headers):
                self._begin(stream, dict(headers or ()))
            case DataReceived(stream_id=int() as stream, data=bytes() as data):
                self._add(stream, data, event.flow_controlled_length or 0)
            case StreamEnded(stream_id=int() as stream):
                self._answer(stream)
            case StreamReset(stream_id=int() as stream):
                self._forget(stream)

    def _begin(self, stream: int, headers: dict[Any, Any]) -> None:
        if not headers.get(b"content-type", b"").startswith(b"application/grpc"):
            self._h2.send_headers(stream, [(":status", "415")], end_stream=True)
        elif headers.get(b":method") != b"POST":
            self._h2.send_headers(stream, [(":status", "405")], end_stream=True)
        else:
            path = headers.get(b":path", b"").decode("latin-1")
            encoding = headers.get(b"grpc-encoding", b"identity").decode("latin-1").lower()
            self._calls[stream] = _Call(path, encoding)

    def _add(self, stream: int, data: bytes, controlled: int) -> None:
        call = self._calls.get(stream)
        if call is not None and not call.is_too_large:
            self._waiting += len(data)
            call.body += data
            if len(call.body) > MAX_BODY + _PREFIX or self._waiting > MAX_WAITING:
                self._waiting -= len(call.body)
                call.body.clear()
                call.is_too_large = True
        if controlled:
            self._h2.acknowledge_received_data(controlled, stream)

    def _answer(self, stream: int) -> None:
        call = self._forget(stream)
        if call is None:
            return
        try:
            if call.is_too_large:
                raise CallError(RESOURCE_EXHAUSTED, f"more than {MAX_BODY} bytes")
            answer = self._handler(call.path, unframe(bytes(call.body), call.encoding))
        except CallError as error:
            self._refuse(stream, error)
            return
        if self._h2.local_flow_control_window(stream) < _PREFIX + len(answer):
            self._refuse(stream, CallError(RESOURCE_EXHAUSTED, "no window for the answer"))
            return
        self._h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        self._h2.send_data(stream, frame(answer))
        self._h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    def _refuse(self, stream: int, error: CallError) -> None:
        """Trailers only: a status without a message."""
        self._h2.send_headers(
            stream,
            [
                (":status", "200"),
                ("content-type", "application/grpc"),
                ("grpc-status", str(error.status)),
                ("grpc-message", quote(str(error), safe=" ,:;/()")),
                ("grpc-accept-encoding", "identity,gzip"),
            ],
            end_stream=True,
        )

    def _forget(self, stream: int) -> _Call | None:
        call = self._calls.pop(stream, None)
        if call is not None:
            self._waiting -= len(call.body)
        return call


async def serve_grpc(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
) -> None:
    """Answers one connection's calls until it ends, is idle, or breaks HTTP/2."""
    connection = GrpcConnection(handler)
    try:
        is_open = True
        while is_open:
            try:
                async with asyncio.timeout(IDLE_S):
                    data = await reader.read(READ)
            except TimeoutError:
                connection.say_goodbye()
                is_open = False
            else:
                is_open = bool(data) and connection.feed(data)
            writer.write(connection.outgoing())
            async with asyncio.timeout(IDLE_S):
                await writer.drain()
    except (OSError, TimeoutError):
        return
    finally:
        writer.close()
