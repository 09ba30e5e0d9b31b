"""A proxy between a command and the region: what becomes of each of its calls is chosen here."""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Moment:
    """call: which of the command's calls, from 1. where: `before` it reaches the region; `after` it
    had its effect there, and before the command hears of it; or `later`, so many seconds after
    that."""

    call: int
    where: str
    later_s: float = 0.0


class KillsAt(ThreadingHTTPServer):
    """Calls `kill` at this moment; from then on nothing of the command's reaches the region."""

    daemon_threads = True

    def __init__(self, target: str, moment: Moment, kill: Callable[[], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.moment = moment
        self.kill = kill
        self.calls = 0
        self.has_killed = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def end(self) -> None:
        self.kill()
        self.has_killed.set()

    def handle_error(self, *_: object) -> None:
        """The one that asked has been killed."""


class _Handler(BaseHTTPRequestHandler):
    server: KillsAt

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server, moment = self.server, self.server.moment
        with server.lock:
            server.calls += 1
            is_it = server.calls == moment.call
        if server.has_killed.is_set():
            return None
        if is_it and moment.where == "before":
            return server.end()
        status, headers, answer = self._asked(body)
        if is_it and moment.where == "after":
            return server.end()
        self.send_response(status)
        self.send_header("Content-Type", headers.get("Content-Type", "text/xml"))
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()
        if is_it:
            time.sleep(moment.later_s)
            server.end()
        return None

    def _asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        request = urllib.request.Request(self.server.target + self.path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def killing(target: str, moment: Moment, kill: Callable[[], None]) -> Iterator[KillsAt]:
    proxy = KillsAt(target, moment, kill)
    thread = threading.Thread(target=lambda: proxy.serve_forever(0.02), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join(10)
