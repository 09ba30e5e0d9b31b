"""A WebSocket handshake, one message, and the first message that comes back, by websockets."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException
from websockets.sync.client import connect

from hikkoshi.synthetic.reply import ExchangeFailed, Reply, Tls
from hikkoshi.synthetic.requests import WebSocketRequest
from hikkoshi.synthetic.wire.clock import Watch
from hikkoshi.synthetic.wire.sockets import open_tcp, tls_of, wrap_tls
from hikkoshi.synthetic.wire.web import MAX_BODY_BYTES


def exchange_websocket(request: WebSocketRequest, watch: Watch, connect_to: str | None) -> Reply:
    parts = urlsplit(request.url)
    host, is_tls = parts.hostname or "localhost", parts.scheme == "wss"
    sock = open_tcp(host, parts.port or (443 if is_tls else 80), watch, connect_to)
    tls: Tls | None = None
    with sock:
        if is_tls:
            wrapped = wrap_tls(sock, host, watch, is_insecure=request.is_insecure)
            tls, sock = tls_of(wrapped), wrapped
        try:
            return _talk(request, watch, sock, tls)
        except ConnectionClosed as error:
            raise ExchangeFailed("WEBSOCKET", f"closed: {error}", watch.timings()) from error
        except InvalidHandshake as error:
            told = f"the handshake failed: {error}"
            raise ExchangeFailed("WEBSOCKET", told, watch.timings()) from error
        except WebSocketException as error:
            raise ExchangeFailed("WEBSOCKET", str(error), watch.timings()) from error


def _talk(request: WebSocketRequest, watch: Watch, sock: socket.socket, tls: Tls | None) -> Reply:
    # TLS is done: to the library the address is a plain one, over a socket that is given to it.
    plain = "ws" + request.url.removeprefix("wss").removeprefix("ws")
    message: str | None = None
    with contextlib.ExitStack() as stack:
        with watch.phase("first_byte"):
            connection = stack.enter_context(
                connect(
                    plain,
                    sock=sock,
                    additional_headers=list(request.headers),
                    open_timeout=watch.left(),
                    close_timeout=1,
                    compression=None,
                    max_size=MAX_BODY_BYTES,
                    proxy=None,
                )
            )
        if request.message is not None:
            with watch.phase("download"):
                text = request.message
                connection.send(text if request.is_binary else text.decode("utf-8"))
                came = connection.recv(watch.left())
                message = came if isinstance(came, str) else came.decode("utf-8", "replace")
        timings = watch.timings()
    response = connection.response
    headers = {} if response is None else {n.lower(): v for n, v in response.headers.raw_items()}
    return Reply(timings, 101, headers, b"", tls, "established", message=message)
