"""Plays the X-Ray daemon and the OpenTelemetry collector inside a task.

`python3 -m hikkoshi.region.xray.sidecar`: UDP and TCP 2000 as the X-Ray daemon has them, OTLP over
HTTP at 4318 and over gRPC at 4317, all forwarded to the region's X-Ray API at AWS_ENDPOINT_URL. It
is a program of its own, so it reads its environment and writes its log (stderr) itself. Only the
standard library is loaded at the start: every task starts one.

Environment: AWS_ENDPOINT_URL (or AWS_ENDPOINT_URL_XRAY), AWS_REGION; HIKKOSHI_XRAY_ADDRESS
(127.0.0.1), HIKKOSHI_XRAY_PORT (2000), HIKKOSHI_OTLP_PORT (4318),
HIKKOSHI_OTLP_GRPC_PORT (4317)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hikkoshi.region.xray.forward import Forwarder
from hikkoshi.region.xray.http import (
    BadRequestError,
    Handler,
    Request,
    Response,
    serve_connection,
)
from hikkoshi.region.xray.wire import BadDocumentError, parse_datagram

LAST_FLUSH_S = 4.0
RECEIVE_BUFFER = 4 << 20
DATAGRAM = 65536
PROXIED = frozenset({"/GetSamplingRules", "/SamplingTargets"})
PROTOBUF = "application/x-protobuf"
OTLP_CALLS = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "/v1/traces",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "/v1/metrics",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "/v1/logs",
}
"""gRPC's method → the same thing's path in HTTP."""

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Settings:
    endpoint: str
    region: str
    address: str = "127.0.0.1"
    xray_port: int = 2000
    otlp_port: int = 4318
    grpc_port: int = 4317


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises KeyError without an endpoint, ValueError for a port that is no number."""
    endpoint = environment.get("AWS_ENDPOINT_URL_XRAY") or environment["AWS_ENDPOINT_URL"]
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    return Settings(
        endpoint.rstrip("/"),
        region or "ap-northeast-1",
        environment.get("HIKKOSHI_XRAY_ADDRESS", "127.0.0.1"),
        int(environment.get("HIKKOSHI_XRAY_PORT", "2000")),
        int(environment.get("HIKKOSHI_OTLP_PORT", "4318")),
        int(environment.get("HIKKOSHI_OTLP_GRPC_PORT", "4317")),
    )


class Sidecar:
    def __init__(self, settings: Settings, forwarder: Forwarder) -> None:
        self._settings = settings
        self._forwarder = forwarder
        self._servers: list[asyncio.Server] = []
        self._udp: asyncio.DatagramTransport | None = None
        self._socket: socket.socket | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.ignored = {"/v1/metrics": 0, "/v1/logs": 0}

    async def start(self) -> tuple[int | None, int | None, int | None]:
        """Listen; the ports of X-Ray, OTLP/HTTP and OTLP/gRPC. None: another container of the task
        has it, as where a daemon and a collector stand side by side. Raises OSError when there is
        none to be had."""
        errors: list[OSError] = []
        ports: list[int | None] = []
        own = self._settings
        for opening in (
            self._open_daemon,
            lambda: self._listen(own.otlp_port, _over_http(self._answer_otlp)),
            lambda: self._listen(own.grpc_port, self._over_grpc),
        ):
            try:
                ports.append(await opening())
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                errors.append(error)
                ports.append(None)
        if len(errors) == len(ports):
            raise errors[0]
        xray, otlp, grpc = ports
        return xray, otlp, grpc

    async def _open_daemon(self) -> int:
        """TCP and UDP of one port, or neither."""
        xray_port = await self._listen(self._settings.xray_port, _over_http(self._answer_daemon))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            udp.setblocking(False)
            udp.bind((self._settings.address, xray_port))
        except OSError:
            udp.close()
            self._servers.pop().close()
            raise
        self._socket = udp
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        return xray_port

    async def close(self) -> None:
        """Take nothing more, and deliver what is there, also what only the kernel has yet."""
        if self._udp is not None and self._socket is not None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.take_datagram(self._socket.recv(DATAGRAM))
            self._udp.close()
        for server in self._servers:
            server.close()
        await self._forwarder.finish(LAST_FLUSH_S)
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def take_datagram(self, data: bytes) -> None:
        try:
            self._forwarder.put(parse_datagram(data))
        except BadDocumentError as error:
            self._forwarder.reject(error.reason)

    async def _listen(self, port: int, talk: Talk) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)
            # Only `close` cancels; what asyncio's streams see cancelled they log as an error.
            with contextlib.suppress(asyncio.CancelledError):
                await talk(reader, writer)

        server = await asyncio.start_server(serve, self._settings.address, port)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _answer_daemon(self, request: Request) -> Response:
        """The sampling calls of the SDKs, handed on to the API."""
        if request.path not in PROXIED:
            return Response(404, b'{"message": "the daemon proxies the sampling calls only"}')
        if request.method != "POST":
            return Response(405, b'{"message": "POST"}')
        try:
            return await self._forwarder.call(request.path, request.body or b"{}")
        except (OSError, TimeoutError, ValueError) as error:
            raise BadRequestError(502, f"the X-Ray API does not answer: {error}") from error

    async def _answer_otlp(self, request: Request) -> Response:
        if request.method != "POST":
            return Response(405, b'{"message": "POST"}')
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (PROTOBUF, "application/json"):
            return Response(415, b'{"message": "send application/x-protobuf or application/json"}')
        if request.path in self.ignored:
            self.ignored[request.path] += 1
        elif request.path == "/v1/traces":
            return self._take_traces(request.body, kind)
        else:
            return Response(404, b'{"message": "there are /v1/traces, /v1/metrics and /v1/logs"}')
        return Response(200, b"" if kind == PROTOBUF else b"{}", kind)

    def _take_traces(self, body: bytes, kind: str) -> Response:
        from hikkoshi.region.xray.otlp import read_json, read_protobuf

        try:
            spans, refused = read_protobuf(body) if kind == PROTOBUF else read_json(body)
        except ValueError as error:
            raise BadRequestError(400, f"not OTLP: {error}") from error
        lost = self._put(spans, refused)
        if kind == PROTOBUF:
            return Response(200, _partial_success(lost), kind)
        return Response(
            200,
            b'{"partialSuccess":{"rejectedSpans":"%d"}}' % lost if lost else b"{}",
            kind,
        )

    async def _over_grpc(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Only who speaks gRPC pays for loading HTTP/2.
        from hikkoshi.region.xray.grpc import serve_grpc

        await serve_grpc(reader, writer, self._answer_call)

    def _answer_call(self, path: str, message: bytes) -> bytes:
        """The answer's message of an Export call. Raises CallError."""
        from hikkoshi.region.xray.grpc import INVALID_ARGUMENT, UNIMPLEMENTED, CallError
        from hikkoshi.region.xray.otlp import read_protobuf

        kind = OTLP_CALLS.get(path)
        if kind in self.ignored:
            self.ignored[kind] += 1
            return b""
        if kind != "/v1/traces":
            raise CallError(UNIMPLEMENTED, f"{path} is not an Export of traces, metrics or logs")
        try:
            spans, refused = read_protobuf(message)
        except ValueError as error:
            raise CallError(INVALID_ARGUMENT, f"not OTLP: {error}") from error
        return _partial_success(self._put(spans, refused))

    def _put(self, spans: list[dict[str, Any]], refused: int) -> int:
        """How many are lost, the refused among them: no valid ids or times, or a full queue."""
        from hikkoshi.region.xray.otlp import documents_of

        documents = list(documents_of(spans))
        bad = refused + len(spans) - len(documents)
        for _ in range(bad):
            self._forwarder.reject("an OTLP span without valid ids and times")
        return bad + sum(not self._forwarder.put(document) for document in documents)


def _over_http(handler: Handler) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve_connection(reader, writer, handler)

    return talk


def _partial_success(lost: int) -> bytes:
    """ExportTraceServiceResponse with partial_success.rejected_spans, or empty for none."""
    if not lost:
        return b""
    number = bytearray()
    while lost > 0x7F:
        number.append(lost & 0x7F | 0x80)
        lost >>= 7
    number.append(lost)
    return bytes([0x0A, len(number) + 1, 0x08]) + bytes(number)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._sidecar.take_datagram(data)


def _log(line: str) -> None:
    sys.stderr.write(f"xray-stand-in: {line}\n")
    sys.stderr.flush()


async def _run(settings: Settings) -> int:
    forwarder = Forwarder(settings.endpoint, settings.region, _log)
    sidecar = Sidecar(settings, forwarder)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        ports = await sidecar.start()
    except OSError as error:
        _log(f"cannot listen on {settings.address}: {error}")
        return 1
    # What is taken is another container's of this task, which delivers to the same place.
    xray, http, grpc = (port or "taken" for port in ports)
    _log(f"listening on {settings.address}: X-Ray {xray}, OTLP/HTTP {http}, OTLP/gRPC {grpc}")
    sending = asyncio.create_task(forwarder.run())
    await stopped.wait()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await sidecar.close()
    return 0


def main() -> int:
    try:
        settings = read_settings(os.environ)
    except KeyError:
        _log("AWS_ENDPOINT_URL is not set: there is nowhere to send traces to")
        return 2
    except ValueError as error:
        _log(f"a port is not a number: {error}")
        return 2
    return asyncio.run(_run(settings))


if __name__ == "__main__":
    sys.exit(main())
