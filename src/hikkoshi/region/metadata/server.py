"""The task metadata, credentials and fault endpoint: a small, strict HTTP/1.1 server.

A task reads only what is its own: a request from another address than the task's is answered as if
there were no such id.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from hikkoshi.base.clock import Clock, SystemClock
from hikkoshi.region.metadata.agent import FaultAgent
from hikkoshi.region.metadata.documents import (
    container_document,
    credentials_document,
    stats_document,
    task_document,
    task_stats_document,
)
from hikkoshi.region.ports import ContainerFacts, TaskFacts

_MAX_HEAD_BYTES = 16 * 1024
_MAX_BODY_BYTES = 64 * 1024
# A client that says nothing for so long is let go.
_IDLE_S = 30.0


class RequestError(Exception):
    """The request is answered with this status and the connection closed."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


Answer = tuple[HTTPStatus, Any]


class MetadataServer:
    """ports.MetadataEndpoint. base_url: what containers are told, whatever host and port are."""

    def __init__(
        self, *, base_url: str = "http://169.254.170.2", clock: Clock | None = None
    ) -> None:
        self.base_url = base_url
        self._clock = clock or SystemClock()
        self._tasks: dict[str, TaskFacts] = {}
        self._agent = FaultAgent()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self, host: str = "169.254.170.2", port: int = 80) -> int:
        """Begin to serve; the port it listens on (for port 0)."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=_MAX_HEAD_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for connection in tuple(self._connections):
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    def register(self, task: TaskFacts) -> None:
        self._tasks[task.order.task_arn] = task

    def withdraw(self, task_arn: str) -> None:
        self._tasks.pop(task_arn, None)
        self._agent.forget(task_arn)

    # ── answers ─────────────────────────────────────────────────────────────────────────────────

    def answer(self, path: str, source: str) -> Answer:
        """The status and JSON document for a GET of `path` by the address `source`."""
        mine = self._of(source)
        match path.split("?")[0].strip("/").split("/"):
            case ["v4", container_id, *rest]:
                return self._metadata(mine, container_id, tuple(rest))
            case ["v2", "credentials", credentials_id]:
                return self._credentials(mine, credentials_id)
            case ["v2", "credentials"]:
                return HTTPStatus.BAD_REQUEST, {
                    "code": "NoIdInRequest",
                    "message": "CredentialsV2Request: No ID in the request",
                    "HTTPErrorCode": 400,
                }
            case _:
                return HTTPStatus.NOT_FOUND, "404 page not found"

    async def agent_answer(self, head: Head, body: bytes, source: str) -> Answer:
        """The same for a request under /api/."""
        match head.path.split("?")[0].strip("/").split("/"):
            case ["api", container_id, "fault", "v1", kind, action]:
                if head.method != "POST":
                    return HTTPStatus.METHOD_NOT_ALLOWED, f"{head.method} is not allowed here"
                found = _find(self._of(source), container_id)
                return await self._agent.answer(found[0] if found else None, kind, action, body)
            case _:
                return (
                    HTTPStatus.NOT_IMPLEMENTED,
                    "this part of the agent's API (task protection) is not implemented by the "
                    "local region",
                )

    def _of(self, source: str) -> list[TaskFacts]:
        return [task for task in self._tasks.values() if task.address == source]

    def _metadata(self, mine: list[TaskFacts], container_id: str, rest: tuple[str, ...]) -> Answer:
        found = _find(mine, container_id)
        if found is None:
            return (
                HTTPStatus.NOT_FOUND,
                f"V4 container metadata handler: unable to get container ID from request: "
                f"no container {container_id} of this task",
            )
        task, container = found
        match rest:
            case ():
                return HTTPStatus.OK, container_document(task, container)
            case ("task",):
                return HTTPStatus.OK, task_document(task, self._now())
            case ("taskWithTags",):
                tags = dict(task.order.tags)
                return HTTPStatus.OK, {**task_document(task, self._now()), "TaskTags": tags}
            case ("stats",):
                return HTTPStatus.OK, stats_document(container)
            case ("task", "stats"):
                return HTTPStatus.OK, task_stats_document(task)
            case _:
                return HTTPStatus.NOT_FOUND, "404 page not found"

    def _credentials(self, mine: list[TaskFacts], credentials_id: str) -> Answer:
        for task in mine:
            if task.credentials_id == credentials_id:
                return HTTPStatus.OK, credentials_document(task, self._now())
        return HTTPStatus.BAD_REQUEST, {
            "code": "InvalidIdInRequest",
            "message": "CredentialsV2Request: ID not found",
            "HTTPErrorCode": 400,
        }

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)

    # ── HTTP ────────────────────────────────────────────────────────────────────────────────────

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client went away
        except asyncio.CancelledError:
            pass  # the server closes; asyncio's callback would report a cancelled handler
        finally:
            self._connections.discard(connection)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = str(writer.get_extra_info("peername")[0])
        while True:
            is_last = True
            method = "GET"
            try:
                async with asyncio.timeout(_IDLE_S):
                    head = parse_head(await reader.readuntil(b"\r\n\r\n"))
                    body = await reader.readexactly(head.body_bytes)
                method, is_last = head.method, head.is_last
                if head.is_for_agent:
                    status, document = await self.agent_answer(head, body, source)
                else:
                    status, document = self.answer(head.path, source)
            except asyncio.LimitOverrunError:
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                document = "the request's head is too large"
            except RequestError as error:
                status, document = error.status, str(error)
            writer.write(_response(status, document, has_body=method != "HEAD", is_last=is_last))
            await writer.drain()
            if is_last:
                return


@dataclass(frozen=True, slots=True)
class Head:
    """is_last: whether the client closes after this."""

    method: str
    path: str
    is_last: bool
    body_bytes: int = 0

    @property
    def is_for_agent(self) -> bool:
        return self.path.startswith("/api/")


def parse_head(head: bytes) -> Head:
    """Raises RequestError."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):
        raise RequestError(HTTPStatus.BAD_REQUEST, "not an HTTP/1.1 request")
    method, path, version = words
    headers: dict[str, str] = {}
    for line in lines[1:]:
        if line:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                raise RequestError(HTTPStatus.BAD_REQUEST, "a malformed header")
            headers[name.lower()] = value.strip()
    body_bytes = _body_bytes(method, path, headers)
    wish = headers.get("connection", "").lower()
    is_last = wish == "close" or (version == "HTTP/1.0" and wish != "keep-alive")
    return Head(method, path, is_last, body_bytes)


def _body_bytes(method: str, path: str, headers: dict[str, str]) -> int:
    length = headers.get("content-length", "0")
    if path.startswith("/api/"):
        if "transfer-encoding" in headers:
            raise RequestError(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is expected here")
        if not length.isascii() or not length.isdecimal():
            raise RequestError(HTTPStatus.BAD_REQUEST, "not a Content-Length")
        if int(length[:20]) > _MAX_BODY_BYTES:
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")
        return int(length)
    if method not in ("GET", "HEAD"):
        raise RequestError(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not allowed here")
    if length != "0" or "transfer-encoding" in headers:
        raise RequestError(HTTPStatus.BAD_REQUEST, "a body is not expected here")
    return 0


def _response(status: HTTPStatus, document: Any, *, has_body: bool, is_last: bool) -> bytes:
    body = json.dumps(document).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Connection: {'close' if is_last else 'keep-alive'}\r\n\r\n"
    )
    return head.encode() + (body if has_body else b"")


def _find(mine: list[TaskFacts], container_id: str) -> tuple[TaskFacts, ContainerFacts] | None:
    for task in mine:
        for container in task.containers():
            if container.state.runtime_id == container_id:
                return task, container
    return None
