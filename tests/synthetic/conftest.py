from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Reports(ThreadingHTTPServer):
    """A little service of reports, with a few paths that misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reports: dict[int, dict[str, Any]] = {}
        self.failures_left = 0
        self.tokens: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Reports

    def log_message(self, format: str, *args: Any) -> None:
        return None

    def do_GET(self) -> None:
        self.server.tokens.append(self.headers.get("Authorization"))
        path = self.path.partition("?")[0]
        if path == "/reports":
            self.answer(200, {"reports": list(self.server.reports.values())})
        elif path.startswith("/reports/"):
            report = self.server.reports.get(int(path.rpartition("/")[2]))
            self.answer(200 if report else 404, report or {"error": "no such report"})
        elif path == "/flaky" and self.server.failures_left > 0:
            self.server.failures_left -= 1
            self.answer(503, {"error": "not yet"})
        elif path == "/slow":
            time.sleep(0.05)
            self.answer(200, {})
        elif path == "/hang":
            time.sleep(1.0)
            self.answer(200, {})
        elif path == "/half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort")
            self.close_connection = True
        elif path == "/garbage":
            self.wfile.write(b"220 mail.example ESMTP\r\n")
            self.close_connection = True
        elif path == "/echo":
            self.answer(200, {"token": self.headers.get("Authorization")})
        else:
            self.answer(200, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = len(self.server.reports) + 1
        self.server.reports[number] = {"id": number, "status": "open", **body}
        self.answer(201, self.server.reports[number], {"Location": f"/reports/{number}"})

    def answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def service() -> Iterator[Reports]:
    server = Reports()
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
