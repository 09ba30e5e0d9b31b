"""Docker's API over its unix socket, on the event loop.

Requests are HTTP/1.0, so that an answer is whatever comes until the end of the connection: no
chunks, and a stream (attach, wait, pull) is read as it arrives. No version is named in the path:
the daemon then speaks its newest, and what is used here has not changed since API 1.25.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode

_PIECE = 1 << 18


class DockerRefused(Exception):
    """The daemon's answer was an error; the text is its message. status 0: it did not answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Stream:
    """The rest of a connection after the answer's head."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def close(self) -> None:
        self.writer.close()


def path_of(*parts: str, **query: object) -> str:
    """Each part is quoted whole; a query value that is not text is sent as JSON."""
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    if not query:
        return path
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in query.items()}
    return f"{path}?{urlencode(texts)}"


class Daemon:
    """Every call opens a connection of its own. Raises DockerRefused."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def ask(
        self, method: str, path: str, document: object = None, *, timeout_s: float = 60.0
    ) -> Any:
        """The answer's JSON; None for an empty one."""
        try:
            async with asyncio.timeout(timeout_s):
                stream = await self.open(method, path, document)
                try:
                    body = await stream.reader.read()
                finally:
                    stream.close()
        except TimeoutError as error:
            raise DockerRefused(0, f"Docker did not answer {path} in {timeout_s:g} s") from error
        except OSError as error:
            raise DockerRefused(0, f"the connection to Docker broke: {error}") from error
        return _parse(body)

    async def open(
        self,
        method: str,
        path: str,
        document: object = None,
        *,
        body: IO[bytes] | None = None,
        size: int = 0,
    ) -> Stream:
        """Returns when the head of a good answer has come. body, of `size` bytes, goes as it is."""
        payload = b"" if document is None else json.dumps(document).encode()
        kind = "application/json" if body is None else "application/x-tar"
        head = (
            f"{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {size or len(payload)}\r\n\r\n"
        )
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=1 << 20)
        except OSError as error:
            raise DockerRefused(0, f"Docker does not answer: {error}") from error
        with contextlib.ExitStack() as undo:
            undo.callback(writer.close)
            try:
                writer.write(head.encode() + payload)
                while body is not None and (piece := await asyncio.to_thread(body.read, _PIECE)):
                    writer.write(piece)
                    await writer.drain()
                status = await _read_head(reader)
                if status >= 400:
                    raise DockerRefused(status, _message(await reader.read()))
            except OSError as error:
                raise DockerRefused(0, f"the connection to Docker broke: {error}") from error
            undo.pop_all()
        return Stream(reader, writer)

    async def follow(
        self, path: str, *, body: IO[bytes] | None = None, size: int = 0
    ) -> AsyncIterator[dict[str, Any]]:
        """A POST that is answered by a JSON document a line (pull, import, load). Raises
        DockerRefused with the error that a line tells."""
        stream = await self.open("POST", path, body=body, size=size)
        try:
            while line := await stream.reader.readline():
                told = json.loads(line)
                if "error" in told:
                    raise DockerRefused(500, str(told["error"]))
                yield told
        finally:
            stream.close()


async def _read_head(reader: asyncio.StreamReader) -> int:
    first = (await reader.readline()).split()
    if len(first) < 2 or not first[1].isdigit():
        raise DockerRefused(0, "what answers there does not speak Docker's protocol")
    while (await reader.readline()).strip():
        pass
    return int(first[1])


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body) if body.strip() else None
    except ValueError:
        return body.decode(errors="replace")


def _message(body: bytes) -> str:
    told = _parse(body)
    return str(told.get("message", told) if isinstance(told, dict) else told).strip()


async def separate(
    reader: asyncio.StreamReader, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader
) -> None:
    """Docker's multiplexed stream into two, until its end: eight bytes (which, 0, 0, 0, length in
    network order), then that many."""
    try:
        while True:
            head = await reader.readexactly(8)
            data = await reader.readexactly(int.from_bytes(head[4:], "big"))
            (stderr if head[0] == 2 else stdout).feed_data(data)
    except (asyncio.IncompleteReadError, OSError):
        pass
    finally:
        stdout.feed_eof()
        stderr.feed_eof()
