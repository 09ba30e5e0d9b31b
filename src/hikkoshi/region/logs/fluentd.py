"""Docker's `fluentd` log driver, as FireLens sets it up: asynchronous, over the router's socket.

The container never waits. While the router is away, lines wait in a bounded buffer; what does not
fit is dropped and counted. As on Fargate there is no acknowledgement: lines that the router had
in its socket when it was killed are lost without the driver knowing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgpack

from hikkoshi.base.clock import Clock
from hikkoshi.region.logs.counted import Counted
from hikkoshi.region.logs.lines import Line

DEFAULT_LINES = 1_048_576
MAX_LINES = 536_870_912
"""log-driver-buffer-limit counts lines: 1,048,576 unless set, 0 up to 536,870,911.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/firelens-docker-buffer-limit.html"""

BUFFER_BYTES = 32 * 1024 * 1024
"""A bound of our own on top, for this machine's sake: Docker's would be a million lines of any
length."""

RETRY_WAIT_S = 1.0
MAX_RETRY_WAIT_S = 60.0
"""fluentd-retry-wait of Docker, and the cap of fluent-logger-golang, which grows it by 1.5."""

BATCH_BYTES = 65_536


def buffer_lines(options: Mapping[str, str]) -> int:
    """The limit in lines. ValueError if it is none that ECS takes."""
    text = options.get("log-driver-buffer-limit")
    if text is None:
        return DEFAULT_LINES
    if not text.isdigit() or int(text) >= MAX_LINES:
        raise ValueError(
            f"log-driver-buffer-limit is {text!r}; write a number of lines from 0 to "
            f"{MAX_LINES - 1}"
        )
    # fluent-logger-golang takes 0 as its own default.
    return int(text) or 8192


def retry_wait_s(attempt: int, wait_s: float = RETRY_WAIT_S) -> float:
    """How long to wait after the attempt-th failure in a row (from 0): 0, 1, 1, 2, 3, 5, 7 … s."""
    return min(wait_s * int(1.5 ** (min(attempt, 40) - 1)), MAX_RETRY_WAIT_S)


class FluentdForwarder:
    """Sends one container's lines to one socket. All calls on the event loop."""

    def __init__(
        self,
        path: Path,
        tag: str,
        fields: Mapping[str, str],
        counted: Counted,
        clock: Clock,
        *,
        max_lines: int = DEFAULT_LINES,
        max_bytes: int = BUFFER_BYTES,
        wait_s: float = RETRY_WAIT_S,
    ) -> None:
        self._path = path
        self._tag = tag
        self._fields = dict(fields)
        self._counted = counted
        self._clock = clock
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._wait_s = wait_s
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._packer = msgpack.Packer(unicode_errors="surrogateescape", autoreset=True)
        self._wake = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def write(self, stream: str, lines: list[Line]) -> None:
        counted = self._counted
        seconds, fraction = divmod(self._clock.now(), 1)
        time = msgpack.ExtType(0, struct.pack(">II", int(seconds), int(fraction * 1e9)))
        for line in lines:
            counted.accepted += 1
            message: bytes = self._packer.pack([self._tag, time, self._record(stream, line), {}])
            is_over = self._bytes + len(message) > self._max_bytes
            if len(self._queue) >= self._max_lines or is_over:
                counted.dropped += 1
                continue
            self._queue.append(message)
            self._bytes += len(message)
        if self._queue:
            self._is_idle.clear()
            self._wake.set()
        counted.changed()

    def _record(self, stream: str, line: Line) -> dict[str, str]:
        record = {
            **self._fields,
            "source": stream,
            "log": line.data.decode("utf-8", "surrogateescape"),
        }
        if line.part is not None:
            record["partial_message"] = "true"
            record["partial_id"] = line.part.id
            record["partial_ordinal"] = str(line.part.ordinal)
            record["partial_last"] = "true" if line.part.is_last else "false"
        return record

    async def close(self, timeout_s: float) -> None:
        """Send what is left, for at most timeout_s; the rest is dropped and counted."""
        if not self._task.done():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_idle.wait(), timeout_s)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._counted.dropped += len(self._queue)
        self._queue.clear()
        self._bytes = 0

    async def _run(self) -> None:
        connection: socket.socket | None = None
        failures = 0
        try:
            while True:
                await self._wake.wait()
                try:
                    if connection is None:
                        connection = await self._connect()
                    failures = 0
                    await self._send_all(connection)
                    self._wake.clear()
                    self._is_idle.set()
                except OSError:
                    if connection is not None:
                        connection.close()
                        connection = None
                    await asyncio.sleep(retry_wait_s(failures, self._wait_s))
                    failures += 1
        finally:
            if connection is not None:
                connection.close()

    async def _send_all(self, connection: socket.socket) -> None:
        """Until the queue is empty. A message leaves the queue once the kernel has all of it; one
        that was cut off by a broken connection is sent again whole."""
        queue = self._queue
        while queue:
            batch: list[bytes] = []
            size = 0
            for message in queue:
                batch.append(message)
                size += len(message)
                if size >= BATCH_BYTES:
                    break
            view = memoryview(b"".join(batch))
            sent = done = index = 0
            while sent < size:
                sent += await self._send(connection, view[sent:])
                while index < len(batch) and done + len(batch[index]) <= sent:
                    done += len(batch[index])
                    self._bytes -= len(queue.popleft())
                    index += 1

    async def _send(self, connection: socket.socket, data: memoryview) -> int:
        try:
            return connection.send(data, socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            await _writable(connection)
            return 0

    async def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        try:
            with _short(self._path) as name:
                connection.connect(name)
        except BaseException:
            connection.close()
            raise
        return connection


async def _writable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    fd = connection.fileno()

    def set_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(fd, set_ready)
    try:
        await ready
    finally:
        loop.remove_writer(fd)


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for a socket that fits into the 107 bytes that the kernel takes."""
    if len(os.fsencode(path)) <= 107:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
