"""A small HTTP/1.1 client for outputs: keep-alive, TLS, chunked answers, nothing else.

http.client would cost a router in every task 40 ms and 5 MB at its start.
"""

from __future__ import annotations

import select
import socket
import threading
import zlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from hikkoshi.router.section import Settings

if TYPE_CHECKING:
    import ssl

CONNECT_TIMEOUT_S = 10.0
RESPONSE_TIMEOUT_S = 60.0
MAX_ANSWER = 4_000_000


class Response(NamedTuple):
    """headers: names in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpFailed(Exception):
    """No whole answer came; the words say why."""


class Tls(NamedTuple):
    verify: bool = True
    ca_file: str | None = None
    ca_path: str | None = None
    crt_file: str | None = None
    key_file: str | None = None
    vhost: str | None = None
    verify_hostname: bool = False

    def context(self) -> ssl.SSLContext:
        """Raises OSError for files that cannot be read. SSL_CERT_FILE is honoured by OpenSSL."""
        import ssl

        context = ssl.create_default_context(cafile=self.ca_file, capath=self.ca_path)
        # Fluent Bit checks the chain; the name only with tls.verify_hostname.
        context.check_hostname = self.verify and self.verify_hostname
        if not self.verify:
            context.verify_mode = ssl.CERT_NONE
        if self.crt_file:
            context.load_cert_chain(self.crt_file, self.key_file)
        return context


def read_tls(settings: Settings) -> Tls | None:
    """From `tls` and `tls.*`; None where TLS is off."""
    settings.ignore(["tls.debug", "tls.min_version", "tls.max_version", "tls.ciphers"])
    tls = Tls(
        verify=settings.boolean("tls.verify", True),
        ca_file=settings.text("tls.ca_file"),
        ca_path=settings.text("tls.ca_path"),
        crt_file=settings.text("tls.crt_file"),
        key_file=settings.text("tls.key_file"),
        vhost=settings.text("tls.vhost"),
        verify_hostname=settings.boolean("tls.verify_hostname", False),
    )
    return tls if settings.boolean("tls", False) else None


class HttpClient:
    """Requests to one host; connections are kept for the next one. Safe for many threads."""

    def __init__(self, host: str, port: int, tls: Tls | None = None) -> None:
        self.host = host
        self.port = port
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()

    def request(
        self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> Response:
        """Raises HttpFailed. Nothing is sent twice: a kept connection that the other side has
        closed is noticed before it is used."""
        connection = self._take()
        default = 443 if self._tls else 80
        host = self.host if self.port == default else f"{self.host}:{self.port}"
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        try:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("utf-8") + body)
            response, is_reusable = _read_response(connection)
        except (OSError, ValueError) as error:
            connection.close()
            raise HttpFailed(f"{self.host}:{self.port}: {error or type(error).__name__}") from error
        if is_reusable:
            with self._lock:
                self._idle.append(connection)
        else:
            connection.close()
        return response

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> socket.socket:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connect()
            readable, _, _ = select.select([connection], [], [], 0)
            if not readable:
                return connection
            connection.close()

    def _connect(self) -> socket.socket:
        try:
            raw = socket.create_connection((self.host, self.port), CONNECT_TIMEOUT_S)
        except OSError as error:
            raise HttpFailed(
                f"no upstream connection to {self.host}:{self.port}: {error}"
            ) from error
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(RESPONSE_TIMEOUT_S)
        if self._tls is None:
            return raw
        try:
            if self._context is None:
                self._context = self._tls.context()
            return self._context.wrap_socket(raw, server_hostname=self._tls.vhost or self.host)
        except (OSError, ValueError) as error:
            raw.close()
            raise HttpFailed(f"TLS with {self.host}:{self.port}: {error}") from error


def _read_response(connection: socket.socket) -> tuple[Response, bool]:
    buffer = bytearray()

    def more() -> None:
        data = connection.recv(65536)
        if not data:
            raise ValueError("the connection was closed before the whole answer came")
        buffer.extend(data)
        if len(buffer) > MAX_ANSWER:
            raise ValueError("the answer is larger than the limit")

    def line() -> str:
        while (end := buffer.find(b"\r\n")) < 0:
            more()
        text = buffer[:end].decode("latin-1")
        del buffer[: end + 2]
        return text

    def exactly(count: int) -> bytes:
        while len(buffer) < count:
            more()
        data = bytes(buffer[:count])
        del buffer[:count]
        return data

    status = 100
    headers: dict[str, str] = {}
    while status == 100:
        version, _, rest = line().partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError(f"this is no HTTP answer: {version[:40]!r}")
        status = int(rest.split(" ", 1)[0])
        headers = {}
        while text := line():
            name, _, value = text.partition(":")
            headers[name.strip().lower()] = value.strip()
    is_reusable = headers.get("connection", "").lower() != "close" and version != "HTTP/1.0"
    body, ends = _read_body(status, headers, line, exactly, more, buffer)
    return Response(status, headers, body), is_reusable and not ends


def _read_body(
    status: int,
    headers: dict[str, str],
    line: Callable[[], str],
    exactly: Callable[[int], bytes],
    more: Callable[[], None],
    buffer: bytearray,
) -> tuple[bytes, bool]:
    """(body, whether the connection's end was the body's end)."""
    if status in (204, 304):
        return b"", False
    if "chunked" in headers.get("transfer-encoding", "").lower():
        parts = []
        while size := int(line().split(";")[0], 16):
            parts.append(exactly(size))
            line()
        while line():
            pass
        return b"".join(parts), False
    if "content-length" in headers:
        return exactly(int(headers["content-length"])), False
    while True:
        try:
            more()
        except ValueError:
            return bytes(buffer), True


def gzip_bytes(data: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, 31)
    return stream.compress(data) + stream.flush()
