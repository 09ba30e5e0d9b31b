"""A proxy before a region that answers half of all calls as AWS does when it is asked too often."""

from __future__ import annotations

import contextlib
import random
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JSON = b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
XML = (
    b"<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code>"
    b"<Message>Rate exceeded</Message></Error><RequestId>r</RequestId></ErrorResponse>"
)
_NOT_SENT_ON = ("transfer-encoding", "connection", "server", "date", "content-length")


class Throttling(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target: str, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.dice = random.Random(seed)
        self.refused = 0
        self.passed = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Throttling

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.dice.random() < 0.5:
            self.server.refused += 1
            is_json = "json" in self.headers.get("Content-Type", "")
            self._answer(400, {"Content-Type": "application/x-amz-json-1.1" if is_json
                               else "text/xml"}, JSON if is_json else XML)  # fmt: skip
            return
        self.server.passed += 1
        headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        request = urllib.request.Request(self.server.target + self.path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                self._answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            self._answer(error.code, dict(error.headers), error.read())

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _NOT_SENT_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def throttling(target: str, seed: int = 7):
    proxy = Throttling(target, seed)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join(10)
