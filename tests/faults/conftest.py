"""The command as its users have it, and a service that can be broken at will."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))

from command import Command


@pytest.fixture
def hikkoshi(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path / "home")
    yield command
    command("down", "--all") if command.regions() else None


class Breakable:
    """GET / answers 200, or 503 while `is_broken`. POST /notes keeps the body, but for every
    `loses`-th, which is acknowledged and forgotten."""

    def __init__(self) -> None:
        self.is_broken = False
        self.loses = 0
        self.count = 0
        self.notes: list[str] = []
        self.url = ""


@pytest.fixture
def breakable() -> Iterator[Breakable]:
    state = Breakable()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, "\n".join(state.notes))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if not state.is_broken:
                state.count += 1
                if not state.loses or state.count % state.loses:
                    state.notes.append(body)
            self.answer(201, "")

        def answer(self, status: int, text: str) -> None:
            data = text.encode()
            self.send_response(503 if state.is_broken else status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()
