"""The region's X-Ray API behind the real front, and a real sidecar process."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hikkoshi.base.clock import SystemClock
from hikkoshi.region.front.door import ApiFront
from hikkoshi.region.xray.service import XrayService

SOURCE = Path(__file__).parents[2] / "src"


class Rows:
    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def record(self, table: str, **columns: Any) -> None:
        self.rows.append((table, columns))

    def of(self, table: str) -> list[dict[str, Any]]:
        return [columns for name, columns in self.rows if name == table]


@dataclass
class Api:
    endpoint: str
    service: XrayService
    rows: Rows
    loop: asyncio.AbstractEventLoop


@pytest.fixture
def api() -> Iterator[Api]:
    rows = Rows()
    service = XrayService(rows, SystemClock())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    front = ApiFront({"xray": service}, loop=loop, fallback=None)
    front.start([listening])
    try:
        yield Api(f"http://127.0.0.1:{port}", service, rows, loop)
    finally:
        front.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass
class Sidecar:
    process: subprocess.Popen[str]
    xray: int
    otlp: int
    grpc: int
    lines: list[str] = field(default_factory=list)

    def stop(self) -> tuple[int, str]:
        """SIGTERM; the exit code and what it logged."""
        self.process.terminate()
        _, log = self.process.communicate(timeout=15)
        return self.process.returncode, log


StartSidecar = Callable[..., Sidecar]


@pytest.fixture
def start_sidecar() -> Iterator[StartSidecar]:
    started: list[subprocess.Popen[str]] = []

    def start(endpoint: str, xray: int = 0, otlp: int = 0) -> Sidecar:
        environment = os.environ | {
            "PYTHONPATH": str(SOURCE),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "ap-northeast-1",
            "HIKKOSHI_XRAY_PORT": str(xray),
            "HIKKOSHI_OTLP_PORT": str(otlp),
            "HIKKOSHI_OTLP_GRPC_PORT": "0",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "hikkoshi.region.xray.sidecar"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stderr is not None
        first = process.stderr.readline()
        assert "listening on 127.0.0.1: X-Ray " in first, first
        words = first.replace(",", "").split()
        ports = [0 if words[at] == "taken" else int(words[at]) for at in (5, 7, 9)]
        return Sidecar(process, *ports)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.01)
