"""One HTTP/1.1 exchange on a connection of its own."""

from __future__ import annotations

import http.client
import socket
import zlib
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from hikkoshi.synthetic.reply import ExchangeFailed, Reply, Tls
from hikkoshi.synthetic.requests import HttpRequest
from hikkoshi.synthetic.wire.clock import Watch
from hikkoshi.synthetic.wire.sockets import open_tcp, tls_of, wrap_tls

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_REDIRECTS = 10
_REDIRECTS = {301, 302, 303, 307, 308}
# What must not go to another host than it was meant for.
_PRIVATE = {"authorization", "cookie", "proxy-authorization"}
_OF_A_BODY = {"content-type", "content-length", "transfer-encoding", "content-encoding"}


def exchange_http(request: HttpRequest, watch: Watch, connect_to: str | None) -> Reply:
    for _ in range(MAX_REDIRECTS + 1):
        reply = _once(request, watch, connect_to)
        place = reply.headers.get("location")
        if not request.is_following or reply.status not in _REDIRECTS or place is None:
            return reply
        watch.redirected()
        request = redirected(request, reply.status, place)
    raise ExchangeFailed(
        "TOO_MANY_REDIRECTS", f"more than {MAX_REDIRECTS} redirects", watch.timings()
    )


def redirected(request: HttpRequest, status: int, place: str) -> HttpRequest:
    """The request that follows a redirect, as browsers make it (RFC 9110, 15.4)."""
    url = urljoin(request.url, place)
    before, after = urlsplit(request.url), urlsplit(url)
    headers = [(n, v) for n, v in request.headers if n.lower() != "host"]
    if (before.scheme, before.netloc) != (after.scheme, after.netloc):
        headers = [(n, v) for n, v in headers if n.lower() not in _PRIVATE]
    is_get = status == 303 or (status in (301, 302) and request.method == "POST")
    if is_get and request.method != "HEAD":
        headers = [(n, v) for n, v in headers if n.lower() not in _OF_A_BODY]
        return replace(request, url=url, method="GET", body=None, headers=tuple(headers))
    return replace(request, url=url, headers=tuple(headers))


def _once(request: HttpRequest, watch: Watch, connect_to: str | None) -> Reply:
    parts = urlsplit(request.url)
    is_tls = parts.scheme == "https"
    connection = http.client.HTTPConnection(parts.netloc.rpartition("@")[2] or "localhost")
    try:
        sock = open_tcp(
            parts.hostname or "localhost", parts.port or (443 if is_tls else 80), watch, connect_to
        )
        connection.sock = sock
        tls: Tls | None = None
        if is_tls:
            wrapped = wrap_tls(
                sock,
                parts.hostname or "localhost",
                watch,
                is_insecure=request.is_insecure,
                client=request.client_certificate,
            )
            connection.sock = sock = wrapped
            tls = tls_of(wrapped)
        with watch.phase("first_byte"):
            _send(connection, request)
            sock.settimeout(watch.left())
            response = connection.getresponse()
        with watch.phase("download"):
            data = _read(response, sock, watch)
    finally:
        connection.close()
    merged: dict[str, str] = {}
    for name, value in response.getheaders():
        key = name.lower()
        merged[key] = f"{merged[key]}, {value}" if key in merged else value
    timings = watch.timings()
    body = _decoded(data, merged.get("content-encoding", ""))
    return Reply(timings, response.status, merged, body, tls, connection="established")


def _send(connection: http.client.HTTPConnection, request: HttpRequest) -> None:
    parts = urlsplit(request.url)
    path = parts.path or "/"
    given = {name.lower() for name, _ in request.headers}
    connection.putrequest(
        request.method,
        f"{path}?{parts.query}" if parts.query else path,
        skip_host="host" in given,
        skip_accept_encoding=True,
    )
    for name, value in request.headers:
        connection.putheader(name, value.encode("utf-8"))
    if "user-agent" not in given:
        connection.putheader("User-Agent", "hikkoshi")
    has_length = given & {"content-length", "transfer-encoding"}
    if not has_length and (request.body is not None or request.method in ("POST", "PUT", "PATCH")):
        connection.putheader("Content-Length", str(len(request.body or b"")))
    connection.putheader("Connection", "close")
    connection.endheaders(request.body)


def _read(response: http.client.HTTPResponse, sock: socket.socket, watch: Watch) -> bytes:
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


def _decoded(data: bytes, encoding: str) -> bytes:
    """Only for a test that asks for it by Accept-Encoding; what cannot be decoded stays as it is,
    and so does what would grow beyond the bound."""
    try:
        if encoding.strip().lower() == "gzip":
            decoder = zlib.decompressobj(wbits=31)
        elif encoding.strip().lower() == "deflate":
            decoder = zlib.decompressobj()
        else:
            return data
        return decoder.decompress(data, MAX_BODY_BYTES)
    except zlib.error:
        return data
