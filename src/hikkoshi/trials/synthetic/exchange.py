"""One request and its answer, timed by phases."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from hikkoshi.trials.synthetic.expectations import Answer

MAX_BODY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds since the start of the exchange; None for a phase that was not reached."""

    connected_s: float | None = None
    first_byte_s: float | None = None
    total_s: float | None = None


class ExchangeFailed(Exception):
    """No whole answer came. kind: CONNREFUSED, CONNRESET, DNS, SSL, TIMEOUT, BODY_TOO_LARGE or
    BAD_RESPONSE (Datadog's names where it has one)."""

    def __init__(self, kind: str, detail: str, timings: Timings) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.timings = timings


@dataclass(frozen=True, slots=True)
class Exchange:
    answer: Answer
    timings: Timings


class _Watch:
    """Time since the start and what is left of it."""

    def __init__(self, timeout_s: float) -> None:
        self._start = time.monotonic()
        self._timeout_s = timeout_s
        self.connected_s: float | None = None
        self.first_byte_s: float | None = None

    def passed(self) -> float:
        return time.monotonic() - self._start

    def left(self) -> float:
        left = self._timeout_s - self.passed()
        if left <= 0:
            raise TimeoutError(f"not done within {self._timeout_s:g} s")
        return left

    def timings(self) -> Timings:
        return Timings(self.connected_s, self.first_byte_s, self.passed())


def exchange(
    method: str,
    url: str,
    headers: Sequence[tuple[str, str]],
    body: bytes | None,
    *,
    timeout_s: float,
    connect_to: str | None = None,
) -> Exchange:
    """Sends one request on a connection of its own; redirects are not followed.

    connect_to: `host:port` or `unix:/path`, instead of what the address says. timeout_s is for
    the whole exchange. Raises ExchangeFailed.
    """
    watch = _Watch(timeout_s)
    try:
        return _exchange(method, url, headers, body, watch, connect_to)
    except (OSError, http.client.HTTPException) as error:
        kind, detail = _told(error, timeout_s)
        raise ExchangeFailed(kind, detail, watch.timings()) from error


def _told(error: OSError | http.client.HTTPException, timeout_s: float) -> tuple[str, str]:
    """The kind and the words for what went wrong."""
    match error:
        case TimeoutError():
            return "TIMEOUT", f"not done within {timeout_s:g} s"
        case ConnectionRefusedError():
            return "CONNREFUSED", "nothing listens there"
        case socket.gaierror():
            return "DNS", str(error)
        case ssl.SSLError():
            return "SSL", str(error)
        case http.client.RemoteDisconnected():
            return "CONNRESET", "closed without an answer"
        case ConnectionError() | http.client.IncompleteRead():
            return "CONNRESET", "reset, or closed within the answer"
        case http.client.HTTPException():
            return "BAD_RESPONSE", f"{type(error).__name__}: {error}"[:200]
    return "CONNREFUSED", str(error)


def _exchange(
    method: str,
    url: str,
    headers: Sequence[tuple[str, str]],
    body: bytes | None,
    watch: _Watch,
    connect_to: str | None,
) -> Exchange:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc or "localhost")
    try:
        sock = connect(url, watch, connect_to)
        connection.sock = sock
        watch.connected_s = watch.passed()
        path = parts.path or "/"
        connection.putrequest(
            method,
            f"{path}?{parts.query}" if parts.query else path,
            skip_host=any(name.lower() == "host" for name, _ in headers),
            skip_accept_encoding=True,
        )
        for name, value in headers:
            connection.putheader(name, value.encode("utf-8"))
        connection.endheaders(body)
        sock.settimeout(watch.left())
        response = connection.getresponse()
        watch.first_byte_s = watch.passed()
        data = _read(response, sock, watch)
    finally:
        connection.close()
    merged: dict[str, str] = {}
    for name, value in response.getheaders():
        key = name.lower()
        merged[key] = f"{merged[key]}, {value}" if key in merged else value
    timings = watch.timings()
    return Exchange(Answer(response.status, merged, data, timings.total_s or 0.0), timings)


def connect(url: str, watch: _Watch, connect_to: str | None) -> socket.socket:
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    sock: socket.socket
    if connect_to is not None and connect_to.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(watch.left())
        sock.connect(connect_to.removeprefix("unix:"))
    else:
        host, port = parts.hostname or "localhost", parts.port or (443 if is_tls else 80)
        if connect_to is not None:
            host, _, text = connect_to.rpartition(":")
            host, port = host.strip("[]"), int(text)
        sock = socket.create_connection((host, port), timeout=watch.left())
    if is_tls:
        context = ssl.create_default_context()
        sock = context.wrap_socket(sock, server_hostname=parts.hostname)
    return sock


def _read(response: http.client.HTTPResponse, sock: socket.socket, watch: _Watch) -> bytes:
    pieces = []
    size = 0
    while True:
        sock.settimeout(watch.left())
        piece = response.read1(65536)
        if not piece:
            break
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise ExchangeFailed(
                "BODY_TOO_LARGE", f"above {MAX_BODY_BYTES >> 20} MiB", watch.timings()
            )
        pieces.append(piece)
    # read1 ends quietly when the connection does; the length that was told shows it.
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(pieces)
