"""Routers as real processes: the stand-in always, the real Fluent Bit where it is installed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgpack

STAND_IN = (sys.executable, "-m", "hikkoshi.router")
REAL = shutil.which("fluent-bit") or "/opt/fluent-bit/bin/fluent-bit"
SOURCE = str(Path(__file__).parents[2] / "src")


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"within {timeout_s} s this did not happen: {what}")
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RouterProcess:
    def __init__(self, argv: tuple[str, ...], path: Path, environ: dict[str, str]) -> None:
        self.out = path.with_suffix(".out")
        self.err = path.with_suffix(".err")
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                [*argv, "-c", str(path)],
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": SOURCE, **environ},
            )

    def stdout(self) -> str:
        return self.out.read_text("utf-8", "replace")

    def log(self) -> str:
        return self.err.read_text("utf-8", "replace")

    def wait_for_log(self, text: str) -> None:
        wait_until(lambda: text in self.log() or self.process.poll() is not None, text)
        assert text in self.log(), self.log()

    def stop(self, timeout_s: float = 20.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def starter(argv: tuple[str, ...], directory: Path) -> Iterator[Callable[..., RouterProcess]]:
    started: list[RouterProcess] = []

    def start(text: str, environ: dict[str, str] | None = None) -> RouterProcess:
        path = directory / f"router{len(started)}.conf"
        path.write_text(text)
        started.append(RouterProcess(argv, path, environ or {}))
        return started[-1]

    yield start
    for router in started:
        if router.process.poll() is None:
            router.kill()


class Sink:
    """An HTTP server that keeps bodies; `status` is answered, `gate` holds answers back."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.gate = threading.Event()
        self.gate.set()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.requests.append((dict(self.headers), body))
                sink.gate.wait(30)
                with contextlib.suppress(ConnectionError):
                    self.send_response(sink.status)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


Start = Callable[..., RouterProcess]


def through(
    start: Start,
    directory: Path,
    records: list[dict[str, Any]],
    filters: str,
    *,
    tag: str = "app.a",
    parsers: str = "",
    match: str = "*",
) -> list[dict[str, Any]]:
    """Send records by the forward protocol through filters; what a file output then holds."""
    port = free_port()
    (directory / "parsers.conf").write_text(parsers)
    extra = f"    Parsers_File {directory}/parsers.conf\n" if parsers else ""
    router = start(
        f"""[SERVICE]
    Flush 0.1
    Grace 2
{extra}[INPUT]
    Name forward
    Listen 127.0.0.1
    Port {port}
{filters}
[OUTPUT]
    Name file
    Match {match}
    Path {directory}
    File out
    Format plain
"""
    )  # fmt: skip
    with connected(port, router) as sender:
        entries = [[1_700_000_000 + n, record] for n, record in enumerate(records)]
        sender.sendall(msgpack.packb([tag, entries, {"chunk": "c1"}]))
        assert msgpack.unpackb(sender.recv(100)) == {"ack": "c1"}
    assert router.stop() == 0, router.log()
    out = directory / "out"
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def connected(port: int, router: RouterProcess) -> socket.socket:
    found: list[socket.socket] = []

    def connect() -> bool:
        assert router.process.poll() is None, router.log()
        try:
            found.append(socket.create_connection(("127.0.0.1", port), 5))
        except ConnectionRefusedError:
            return False
        return True

    wait_until(connect, f"the router listens on {port}")
    return found[0]
