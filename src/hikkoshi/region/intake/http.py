"""A small HTTP/1.1 server side on asyncio streams, for intakes: bounded, keep-alive."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

MAX_HEAD = 65_536
IDLE_S = 75.0


@dataclass(frozen=True, slots=True)
class Request:
    """headers: names in small letters. body: as it came, still compressed. None: too large."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = b"{}"


class BadRequest(Exception):
    pass


class TooLarge(Exception):
    pass


REASONS = {
    200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 413: "Payload Too Large",
    415: "Unsupported Media Type", 429: "Too Many Requests", 500: "Internal Server Error",
    503: "Service Unavailable",
}  # fmt: skip


async def serve_connection(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    handle: Callable[[Request], Awaitable[Answer]],
    max_body: int,
) -> None:
    """Requests one after another, until the client goes, is idle, or sends what is no HTTP."""
    try:
        while True:
            request = await asyncio.wait_for(_read(reader, writer, max_body), IDLE_S)
            if request is None:
                return
            answer = await handle(request)
            wants_close = request.headers.get("connection", "").lower() == "close"
            # What is left of a body that was too large is not read: the connection ends.
            is_last = wants_close or request.body is None
            await _write(writer, answer, is_last)
            if is_last:
                return
    except BadRequest as error:
        await _write(writer, Answer(400, str(error).encode()), True)
    except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, ValueError):
        return
    finally:
        writer.close()


async def _write(writer: asyncio.StreamWriter, answer: Answer, is_last: bool) -> None:
    reason = REASONS.get(answer.status, "Unknown")
    head = (
        f"HTTP/1.1 {answer.status} {reason}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(answer.body)}\r\n"
        f"Connection: {'close' if is_last else 'keep-alive'}\r\n\r\n"
    )
    try:
        writer.write(head.encode("latin-1") + answer.body)
        await writer.drain()
    except ConnectionError:
        return


async def _read(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_body: int
) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise BadRequest("the request ended in its headers") from error
        return None
    except asyncio.LimitOverrunError as error:
        raise BadRequest("the headers are too large") from error
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest("this is no HTTP/1 request")
    headers = {}
    for line in lines[1:]:
        if line:
            name, found, value = line.partition(":")
            if not found:
                raise BadRequest("a header without a colon")
            headers[name.strip().lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    path, _, query = words[1].partition("?")
    return Request(words[0], path, query, headers, await _body(reader, headers, max_body))


async def _body(
    reader: asyncio.StreamReader, headers: dict[str, str], max_body: int
) -> bytes | None:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        parts, size = [], 0
        while True:
            line = await reader.readline()
            count = _number(line.split(b";")[0], 16)
            if count == 0:
                break
            size += count
            if size > max_body:
                return None
            parts.append(await reader.readexactly(count))
            await reader.readline()
        while (await reader.readline()).strip():
            pass
        return b"".join(parts)
    length = _number(headers.get("content-length", "0").encode(), 10)
    return None if length > max_body else await reader.readexactly(length)


def _number(text: bytes, base: int) -> int:
    try:
        value = int(text, base)
    except ValueError as error:
        raise BadRequest("a length is not a number") from error
    if value < 0:
        raise BadRequest("a length is negative")
    return value


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """gzip, deflate (with or without its header) or identity. BadRequest, TooLarge."""
    if encoding in ("", "identity"):
        if len(body) > limit:
            raise TooLarge
        return body
    windows = {"gzip": [31], "deflate": [15, -15]}.get(encoding)
    if windows is None:
        raise BadRequest(f"the content encoding {encoding[:40]!r} is not known")
    for window in windows:
        stream = zlib.decompressobj(window)
        try:
            data = stream.decompress(body, limit + 1)
        except zlib.error:
            continue
        if len(data) > limit:
            raise TooLarge
        if stream.eof:
            return data
    raise BadRequest(f"the body is not {encoding}")
