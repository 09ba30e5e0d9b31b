"""A WebSocket handshake, one message, and the first message that comes back (RFC 6455)."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import socket
from typing import BinaryIO
from urllib.parse import urlsplit

from hikkoshi.synthetic.reply import ExchangeFailed, Reply, Tls
from hikkoshi.synthetic.requests import WebSocketRequest
from hikkoshi.synthetic.wire.clock import Watch
from hikkoshi.synthetic.wire.sockets import open_tcp, tls_of, wrap_tls
from hikkoshi.synthetic.wire.web import MAX_BODY_BYTES

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10


def exchange_websocket(request: WebSocketRequest, watch: Watch, connect_to: str | None) -> Reply:
    parts = urlsplit(request.url)
    host, is_tls = parts.hostname or "localhost", parts.scheme == "wss"
    sock = open_tcp(host, parts.port or (443 if is_tls else 80), watch, connect_to)
    tls: Tls | None = None
    with sock:
        if is_tls:
            wrapped = wrap_tls(sock, host, watch, is_insecure=request.is_insecure)
            tls, sock = tls_of(wrapped), wrapped
        with watch.phase("first_byte"):
            sock.settimeout(watch.left())
            file = sock.makefile("rb")
            status, headers = _shake_hands(sock, file, request, watch)
        message: str | None = None
        if request.message is not None:
            with watch.phase("download"):
                kind = _BINARY if request.is_binary else _TEXT
                sock.sendall(frame(kind, request.message))
                message = _receive(sock, file, watch).decode("utf-8", "replace")
        sock.sendall(frame(_CLOSE, (1000).to_bytes(2, "big")))
        timings = watch.timings()
    return Reply(timings, status, headers, b"", tls, "established", message=message)


def _shake_hands(
    sock: socket.socket, file: BinaryIO, request: WebSocketRequest, watch: Watch
) -> tuple[int, dict[str, str]]:
    parts = urlsplit(request.url)
    key = base64.b64encode(os.urandom(16)).decode()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {path} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}"]
    lines += ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}"]
    lines += ["Sec-WebSocket-Version: 13"]
    for name, value in request.headers:
        if any(c in name + value for c in "\r\n"):
            raise ExchangeFailed("WEBSOCKET", f"a line break in header {name}", watch.timings())
        lines.append(f"{name}: {value}")
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8"))
    first = file.readline(65536).decode("latin-1").split(None, 2)
    if len(first) < 2 or not first[0].startswith("HTTP/") or not first[1].isdigit():
        raise http.client.BadStatusLine(" ".join(first))
    headers = {n.lower(): v for n, v in http.client.parse_headers(file).items()}
    expected = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()
    if first[1] != "101":
        told = f"the handshake was answered by status {first[1]}"
        raise ExchangeFailed("WEBSOCKET", told, watch.timings())
    if headers.get("sec-websocket-accept") != expected:
        raise ExchangeFailed("WEBSOCKET", "Sec-WebSocket-Accept is wrong", watch.timings())
    return 101, headers


def frame(kind: int, payload: bytes) -> bytes:
    """One whole frame, masked, as a client must."""
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | kind, 0x80 | size])
    elif size < 65536:
        head = bytes([0x80 | kind, 0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x80 | kind, 0x80 | 127]) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def _receive(sock: socket.socket, file: BinaryIO, watch: Watch) -> bytes:
    """The first whole message; pings are answered meanwhile."""
    whole = b""
    while True:
        sock.settimeout(watch.left())
        first, second = _exactly(file, 2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(_exactly(file, 2 if size == 126 else 8), "big")
        if size + len(whole) > MAX_BODY_BYTES:
            told = f"above {MAX_BODY_BYTES >> 20} MiB"
            raise ExchangeFailed("BODY_TOO_LARGE", told, watch.timings())
        payload = _exactly(file, size)
        match first & 0x0F:
            case 9:
                sock.sendall(frame(_PONG, payload))
            case 10:
                pass
            case 8:
                raise ExchangeFailed("WEBSOCKET", "closed without a message", watch.timings())
            case _:
                whole += payload
                if first & 0x80:
                    return whole


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise ConnectionResetError
    return data
