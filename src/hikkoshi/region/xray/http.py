"""As much HTTP/1.1 as the sidecar needs, on asyncio's streams. Standard library only."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_HEAD = 32 * 1024
MAX_BODY = 16 << 20
IDLE_S = 60.0
REQUEST_S = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """headers: names in lower case. body: already unpacked, if it was gzipped or chunked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = "application/json"


class BadRequestError(ValueError):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Handler = Callable[[Request], Awaitable[Response]]

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    502: "Bad Gateway",
}


async def serve_connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
) -> None:
    """Answers one connection's requests until it ends, is idle, or sends nonsense."""
    try:
        while True:
            async with asyncio.timeout(IDLE_S):
                head = await reader.readuntil(b"\r\n\r\n")
            async with asyncio.timeout(REQUEST_S):
                try:
                    request = await _read(head, reader, writer)
                    response = await handler(request)
                except BadRequestError as error:
                    await _send(writer, Response(error.status, str(error).encode(), "text/plain"))
                    return
                await _send(writer, response)
            if request.headers.get("connection", "").lower() == "close":
                return
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return
    finally:
        writer.close()


class Line:
    """POSTs to one server, on a connection that is kept from one to the next. One at a time."""

    def __init__(self, url: str) -> None:
        """Raises ValueError for what is no http:// address."""
        parts = urlsplit(url)
        self._url = url
        self._host, self._port = parts.hostname or "", parts.port or 80
        if parts.scheme != "http" or not self._host:
            raise ValueError(f"{url!r} is not an http:// address")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Response:
        """Raises OSError, TimeoutError or ValueError. A kept connection that turns out to be closed
        is opened again and the call made again: who answers has to bear one that comes twice."""
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"Content-Length: {len(body)}")
        message = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        async with asyncio.timeout(timeout_s):
            if self._streams is not None:
                try:
                    return await self._ask(self._streams, message)
                except (OSError, asyncio.IncompleteReadError):
                    pass
            self._streams = await asyncio.open_connection(self._host, self._port, limit=MAX_HEAD)
            try:
                return await self._ask(self._streams, message)
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                raise ValueError(f"{self._url} did not answer in HTTP") from error

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _ask(
        self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], message: bytes
    ) -> Response:
        reader, writer = streams
        is_kept = False
        try:
            writer.write(message)
            await writer.drain()
            first, fields = _parse_head(await reader.readuntil(b"\r\n\r\n"))
            try:
                status = int(first.split(" ")[1])
            except IndexError as error:
                raise ValueError(f"{self._url} did not answer in HTTP") from error
            answer = Response(status, await _body(fields, reader, until_end=True))
            has_end = "content-length" in fields or "transfer-encoding" in fields
            is_kept = has_end and fields.get("connection", "").lower() != "close"
            return answer
        finally:
            if not is_kept:  # also where the call was cut off: what comes yet belongs to it
                self.close()


async def post(
    url: str, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float
) -> Response:
    """One POST on a connection of its own. Raises OSError, TimeoutError or ValueError."""
    line = Line(url)
    try:
        return await line.post(path, body, {"Connection": "close", **headers}, timeout_s)
    finally:
        line.close()


async def _read(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    first, headers = _parse_head(head)
    words = first.split(" ")
    if len(words) != 3:
        raise BadRequestError(400, "not a request line")
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await _body(headers, reader, until_end=False)
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding == "gzip":
        body = gunzip(body)
    elif encoding != "identity":
        raise BadRequestError(415, f"Content-Encoding {encoding}: send gzip or none")
    return Request(words[0], words[1].partition("?")[0], headers, body)


def _parse_head(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if separator:
            headers[name.strip().lower()] = value.strip()
    return first, headers


async def _body(headers: dict[str, str], reader: asyncio.StreamReader, *, until_end: bool) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader)
    length = headers.get("content-length")
    if length is None:
        return await reader.read(MAX_BODY) if until_end else b""
    if not length.isascii() or not length.isdigit():
        raise BadRequestError(400, "Content-Length is not a number")
    if int(length) > MAX_BODY:
        raise BadRequestError(413, f"more than {MAX_BODY} bytes")
    return await reader.readexactly(int(length))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError as error:
            raise BadRequestError(400, "a chunk without a size") from error
        if size < 0 or len(found) + size > MAX_BODY:
            raise BadRequestError(413, f"more than {MAX_BODY} bytes")
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return bytes(found)
        found += await reader.readexactly(size)
        await reader.readexactly(2)


def gunzip(body: bytes) -> bytes:
    """At most MAX_BODY bytes of it. Raises BadRequestError."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        found = unpacker.decompress(body, MAX_BODY)
    except zlib.error as error:
        raise BadRequestError(400, f"not gzip: {error}") from error
    if unpacker.unconsumed_tail:
        raise BadRequestError(413, f"more than {MAX_BODY} bytes unpacked")
    if not unpacker.eof:
        raise BadRequestError(400, "the gzip stream is cut off")
    return found


async def _send(writer: asyncio.StreamWriter, response: Response) -> None:
    reason = _REASONS.get(response.status, "Answer")
    head = (
        f"HTTP/1.1 {response.status} {reason}\r\nContent-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\n\r\n"
    )
    writer.write(head.encode() + response.body)
    await writer.drain()
