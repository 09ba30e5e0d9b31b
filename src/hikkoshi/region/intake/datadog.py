"""Plays Datadog's log intake: takes what a log router sends, and keeps it as evidence.

A stand-in: it checks that a key is there, not that Datadog knows it; it keeps records as they
came and runs none of Datadog's pipelines. Limits and answers follow
https://docs.datadoghq.com/api/latest/logs/#send-logs.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hikkoshi.base.clock import Clock
from hikkoshi.base.errors import CannotRun
from hikkoshi.model.evidence import Recorder
from hikkoshi.region.intake.certificates import make_certificates
from hikkoshi.region.intake.http import (
    MAX_HEAD,
    Answer,
    BadRequest,
    Request,
    TooLarge,
    decompress,
    serve_connection,
)

MAX_PAYLOAD = 5_000_000
MAX_ENTRIES = 1000
MAX_LOG = 1_000_000
DESTINATION = "datadog"
HOSTS = (
    "*.logs.datadoghq.com", "*.datadoghq.com", "*.logs.datadoghq.eu", "*.datadoghq.eu",
    "*.logs.us3.datadoghq.com", "*.logs.us5.datadoghq.com", "*.logs.ap1.datadoghq.com",
    "*.logs.ap2.datadoghq.com", "*.us3.datadoghq.com", "*.us5.datadoghq.com",
    "*.ap1.datadoghq.com", "*.ap2.datadoghq.com", "*.logs.ddog-gov.com",
)  # fmt: skip
"""Names that the certificate is for; a star stands for one label only."""

NAMES = tuple(
    f"{service}.{site}"
    for site in (
        "datadoghq.com", "datadoghq.eu", "us3.datadoghq.com", "us5.datadoghq.com",
        "ap1.datadoghq.com", "ap2.datadoghq.com",
    )
    for service in ("http-intake.logs", "api")
)  # fmt: skip
"""Names to put into the region's DNS, pointing at the intake's address."""


@dataclass(frozen=True, slots=True)
class Port:
    """0 asks for any free port."""

    number: int
    is_tls: bool


@dataclass(slots=True)
class Counts:
    """records: taken. truncated: over 1 MB, cut. over_entries: requests of more than 1000 entries.
    refused: requests by status."""

    requests: int = 0
    records: int = 0
    truncated: int = 0
    over_entries: int = 0
    refused: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Trouble:
    status: int | None
    delay_s: float
    until: float
    requests: float


class DatadogIntake:
    """`start` it on addresses; `fail` and `slow_down` make trouble; `close` it.

    refuse_over_entries: Datadog documents a limit of 1000 entries a request but no answer for
    more, and Fluent Bit's plugin does not split its chunks; by default they are taken and counted
    (`Counts.over_entries`), with this they are answered 413.
    """

    def __init__(
        self,
        directory: Path,
        recorder: Recorder,
        clock: Clock,
        *,
        extra_names: Sequence[str] = (),
        refuse_over_entries: bool = False,
    ) -> None:
        self.counts = Counts()
        self.ports: dict[bool, int] = {}
        self._recorder = recorder
        self._clock = clock
        self._refuses_over_entries = refuse_over_entries
        self._certificates = make_certificates(directory, [*HOSTS, *extra_names])
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._trouble: _Trouble | None = None

    @property
    def ca_file(self) -> Path:
        """What clients are to trust: set SSL_CERT_FILE to it."""
        return self._certificates.ca

    def stand_ins(self) -> list[str]:
        return ["Datadog's log intake (records are kept, no pipelines are run)"]

    async def start(
        self, host: str, ports: Iterable[Port] = (Port(443, True), Port(80, False))
    ) -> None:
        """Listen; afterwards `ports[is_tls]` tells the number. CannotRun if a port is taken."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificates.chain)
        for port in ports:
            try:
                server = await asyncio.start_server(
                    self._connected,
                    host,
                    port.number,
                    ssl=context if port.is_tls else None,
                    limit=MAX_HEAD,
                )
            except OSError as error:
                await self.close()
                raise CannotRun(
                    f"Datadog's intake cannot listen on {host}:{port.number}: {error.strerror}",
                    fix="free the port, or give the intake another address",
                ) from error
            self._servers.append(server)
            self.ports[port.is_tls] = server.sockets[0].getsockname()[1]

    def fail(
        self, *, status: int = 503, for_s: float = float("inf"), requests: float = float("inf")
    ) -> None:
        """Answer `status` and keep nothing, for a time or a number of requests."""
        self._trouble = _Trouble(status, 0.0, self._clock.monotonic() + for_s, requests)

    def slow_down(self, delay_s: float, *, for_s: float = float("inf")) -> None:
        """Answer, and take the records, only after delay_s."""
        self._trouble = _Trouble(None, delay_s, self._clock.monotonic() + for_s, float("inf"))

    def recover(self) -> None:
        self._trouble = None

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await serve_connection(reader, writer, self._handle, MAX_PAYLOAD * 2)
        finally:
            self._connections.discard(task)

    async def _handle(self, request: Request) -> Answer:
        answer = await self._troubled() or self._answer(request)
        self.counts.requests += 1
        if answer.status >= 400:
            self.counts.refused[answer.status] = self.counts.refused.get(answer.status, 0) + 1
            self._recorder.record(
                "dropped", t=self._clock.now(), intake=DESTINATION,
                reason=f"HTTP {answer.status}", count=1,
            )  # fmt: skip
        return answer

    async def _troubled(self) -> Answer | None:
        trouble = self._trouble
        if trouble is None:
            return None
        if self._clock.monotonic() >= trouble.until or trouble.requests <= 0:
            self._trouble = None
            return None
        left = trouble.requests - 1
        self._trouble = _Trouble(trouble.status, trouble.delay_s, trouble.until, left)
        if trouble.delay_s:
            await asyncio.sleep(trouble.delay_s)
        if trouble.status is None:
            return None
        return _error(trouble.status, "the intake was told to fail")

    def _answer(self, request: Request) -> Answer:
        if request.path == "/api/v1/validate":
            if not _has_key(request):
                return _error(403, "Forbidden")
            return Answer(200, b'{"valid":true}')
        if request.path not in ("/api/v2/logs", "/v1/input") and not request.path.startswith(
            "/v1/input/"
        ):
            return _error(404, "Not found")
        if request.method != "POST":
            return _error(405, "Method not allowed")
        if not _has_key(request):
            return _error(403, "Forbidden")
        try:
            if request.body is None:
                raise TooLarge
            encoding = request.headers.get("content-encoding", "").lower()
            body = decompress(request.body, encoding, MAX_PAYLOAD)
            entries = read_entries(body, request.headers.get("content-type", ""))
        except TooLarge:
            return _error(413, "Payload too large")
        except BadRequest as error:
            return _error(400, str(error))
        if len(entries) > MAX_ENTRIES:
            self.counts.over_entries += 1
            if self._refuses_over_entries:
                return _error(413, f"more than {MAX_ENTRIES} entries")
        self._keep(entries)
        return Answer(202 if request.path == "/api/v2/logs" else 200)

    def _keep(self, entries: list[Any]) -> None:
        now = self._clock.now()
        for entry in entries:
            text = json.dumps(entry, ensure_ascii=False)
            if len(text) > MAX_LOG:
                self.counts.truncated += 1
                text = json.dumps(_truncated(entry), ensure_ascii=False)
            self._recorder.record("delivered_logs", t=now, destination=DESTINATION, record=text)
        self.counts.records += len(entries)


def _has_key(request: Request) -> bool:
    """As header, in the query, or (in /v1/input/KEY) in the path. It is looked at, never kept."""
    if request.headers.get("dd-api-key"):
        return True
    fields = dict(part.partition("=")[::2] for part in request.query.split("&"))
    if fields.get("dd-api-key") or fields.get("api_key"):
        return True
    return len(request.path.removeprefix("/v1/input/").strip("/")) >= 32


def read_entries(body: bytes, content_type: str) -> list[Any]:
    """The logs of one request: a JSON array, one object, lines of JSON, or plain text lines.
    BadRequest for what is none of them."""
    text = body.decode("utf-8", "replace")
    if content_type.startswith(("text/plain", "application/logplex-1")):
        return [{"message": line} for line in text.splitlines() if line.strip()]
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise BadRequest("the JSON is nested too deeply") from error
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"invalid JSON: {error}") from error
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or not all(isinstance(e, (dict, str)) for e in found):
        raise BadRequest("an entry is not a JSON object")
    return [entry if isinstance(entry, dict) else {"message": entry} for entry in found]


def _truncated(entry: dict[str, Any]) -> dict[str, Any]:
    """Datadog takes a log of more than 1 MB and cuts it; here the longest texts are cut."""
    budget = MAX_LOG // max(1, len(entry))
    return {
        key: value if len(text := value if isinstance(value, str) else json.dumps(value)) <= budget
        else text[:budget]
        for key, value in entry.items()
    }  # fmt: skip


def _error(status: int, detail: str) -> Answer:
    body = {"errors": [{"status": str(status), "title": detail}]}
    return Answer(status, json.dumps(body).encode())
