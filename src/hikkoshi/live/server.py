"""The live page on loopback: one page and one stream of server-sent events, behind a token."""

from __future__ import annotations

import contextlib
import hmac
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PING_S = 10.0


class Feed:
    """The newest message of each kind, handed to every reader as it comes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._latest: dict[str, tuple[int, str]] = {}
        self._number = 0
        self._is_closed = False
        self.readers = 0

    def put(self, kind: str, text: str) -> None:
        """text: one line."""
        with self._changed:
            self._number += 1
            self._latest[kind] = (self._number, text)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def after(self, number: int) -> tuple[int, list[tuple[str, str]]] | None:
        """(number, messages) that came after that number; no messages: none within PING_S.
        None: the feed has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._number > number, PING_S)
            if self._is_closed:
                return None
            fresh = sorted(
                (n, kind, text) for kind, (n, text) in self._latest.items() if n > number
            )
            return self._number, [(kind, text) for _, kind, text in fresh]


class LiveServer:
    """Listens on 127.0.0.1 alone. Answers only to its own names and to who has its token, so that
    neither another host's page (DNS rebinding) nor another user of this machine reads along."""

    def __init__(self, feed: Feed, page: Callable[[str], tuple[str, str]], port: int = 0) -> None:
        """page: from the token to the page and its Content-Security-Policy. OSError when the port
        is taken."""
        self.token = secrets.token_urlsafe(18)
        handler = type("Handler", (_Handler,), {"feed": feed, "token": self.token})
        self._feed = feed
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        handler.page = page(self.token)  # type: ignore[attr-defined]
        handler.hosts = {f"{n}:{self.port}" for n in ("127.0.0.1", "localhost")}  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def link(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def __enter__(self) -> LiveServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    feed: Feed
    token: str
    page: tuple[str, str]
    hosts: set[str]

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        given = parse_qs(address.query).get("token", [""])[0]
        if self.headers.get("Host", "").lower() not in self.hosts:
            self._say(421, "this page answers to 127.0.0.1 and localhost alone\n")
        elif address.path not in ("/", "/events"):
            self._say(404, "there is nothing here\n")
        elif not hmac.compare_digest(given.encode(), self.token.encode()):
            self._say(403, "open the whole link that hikkoshi watch printed\n")
        elif address.path == "/":
            self._say(200, self.page[0], "text/html; charset=utf-8", self.page[1])
        else:
            self._stream()

    def _say(self, status: int, text: str, kind: str = "text/plain", policy: str = "") -> None:
        data = text.encode()
        self.send_response(status)
        self._headers(kind)
        self.send_header("Content-Length", str(len(data)))
        if policy:
            self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(data)

    def _headers(self, kind: str) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")

    def _stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self._headers("text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        number = 0
        self.feed.readers += 1
        try:
            with contextlib.suppress(OSError):
                while (found := self.feed.after(number)) is not None:
                    number, messages = found
                    text = "".join(f"event: {kind}\ndata: {body}\n\n" for kind, body in messages)
                    self.wfile.write((text or ": still here\n\n").encode())
                    self.wfile.flush()
                self.wfile.write(b"event: end\ndata: {}\n\n")
        finally:
            self.feed.readers -= 1

    def log_message(self, *_: Any) -> None:
        """Silence: the token is in the path."""
