"""Batches of segment documents on their way to the API; bounded, and every loss is counted."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable

from hikkoshi.region.xray.http import Line, Response, post

BATCH = 50
# What came while the region was slow goes to it in one call, so that it catches up: a call costs
# as much as twenty documents. Characters; at most four bytes each, and it takes 4 MiB.
BATCH_CHARACTERS = 512 << 10
IDLE_S = 0.5
MAX_QUEUED_BYTES = 16 << 20
TRIES = 4
RETRY_S = 0.25
CALL_TIMEOUT_S = 5.0


class Forwarder:
    """`put` never waits. Full: the new document is dropped. The API away: a batch is tried four
    times over about two seconds, then dropped, so that old news do not stand before new ones."""

    def __init__(self, endpoint: str, region: str, log: Callable[[str], None]) -> None:
        self._endpoint = endpoint
        self._region = region
        self._log = log
        self._line: Line | None = None
        self._queue: deque[str] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._full_batch = asyncio.Event()
        self.received = 0
        self.sent = 0
        self.rejected = 0
        self.spilled = 0
        self._told: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._working: asyncio.Task[None] | None = None

    def put(self, document: str) -> bool:
        """False: the queue is full, and the document is lost."""
        self.received += 1
        if self._bytes + len(document) > MAX_QUEUED_BYTES:
            if self.spilled % 1000 == 0:
                self._log(f"the queue is full: {self.spilled + 1} documents dropped so far")
            self.spilled += 1
            return False
        self._queue.append(document)
        self._bytes += len(document)
        self._news.set()
        if len(self._queue) >= BATCH:
            self._full_batch.set()
        return True

    def reject(self, reason: str) -> None:
        self.received += 1
        if self.rejected % 1000 == 0:
            self._log(f"refused: {reason} ({self.rejected + 1} so far)")
        self.rejected += 1

    async def run(self) -> None:
        """Until cancelled: a batch when there are 50 documents, or half a second after the
        first; larger ones while there is more."""
        while True:
            await self._news.wait()
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._full_batch.wait()
            except TimeoutError:
                pass
            await self._work()

    async def _work(self) -> None:
        """Flush and tell, in a task that goes on when `run` is cancelled: a call that is cut off
        under way would be made again, and what it refused or told counted twice."""
        if self._working is not None:
            await asyncio.shield(self._working)
        self._working = asyncio.create_task(self._flush_and_tell())
        await asyncio.shield(self._working)

    async def _flush_and_tell(self) -> None:
        await self.flush()
        await self._tell()

    async def flush(self) -> None:
        """Send all that is queued now."""
        while self._queue:
            batch = self._next_batch()
            try:
                await self._send(batch)
            except asyncio.CancelledError:
                self._queue.extendleft(reversed(batch))
                self._bytes += sum(len(document) for document in batch)
                raise
        self._news.clear()
        self._full_batch.clear()

    def _next_batch(self) -> list[str]:
        batch: list[str] = []
        size = 0
        while self._queue and size < BATCH_CHARACTERS:
            size += len(self._queue[0])
            batch.append(self._queue.popleft())
        self._bytes -= size
        return batch

    async def finish(self, timeout_s: float) -> None:
        """Send what is left, for at most that long; what then remains is counted as lost."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._work()
        except TimeoutError:
            if self._working is not None:
                self._working.cancel()  # what it had under way is queued again
                await asyncio.gather(self._working, return_exceptions=True)
            self.spilled += len(self._queue)
        if self._line is not None:
            self._line.close()
        self._log(
            f"stopped: {self.received} received, {self.sent} sent, {self.rejected} rejected, "
            f"{self.spilled} dropped"
        )

    async def call(self, path: str, body: bytes) -> Response:
        """One call to the region's X-Ray API. Raises OSError, TimeoutError or ValueError."""
        return await post(self._endpoint, path, body, self._headers(), CALL_TIMEOUT_S)

    def _headers(self) -> dict[str, str]:
        # The region checks no signature; it routes by the scope in it.
        scope = f"sidecar/20260101/{self._region}/xray/aws4_request"
        signature = f"SignedHeaders=host, Signature={'0' * 64}"
        return {
            "Content-Type": "application/json",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, {signature}",
        }

    async def _call_again(self, path: str, body: bytes) -> Response:
        """As `call`, on the connection that is kept; the region takes a document once, however
        often it comes."""
        if self._line is None:
            self._line = Line(self._endpoint)
        return await self._line.post(path, body, self._headers(), CALL_TIMEOUT_S)

    async def _send(self, batch: list[str]) -> None:
        body = json.dumps({"TraceSegmentDocuments": batch}, ensure_ascii=False).encode()
        problem = ""
        for attempt in range(TRIES):
            try:
                response = await self._call_again("/TraceSegments", body)
            except (OSError, TimeoutError, ValueError) as error:
                problem = str(error) or type(error).__name__
            else:
                if response.status == 200:
                    self._count(len(batch), response.body)
                    return
                problem = f"status {response.status}: {response.body[:200]!r}"
                if response.status < 500:
                    break
            if attempt < TRIES - 1:
                await asyncio.sleep(RETRY_S * 2**attempt)
        self.spilled += len(batch)
        self._log(f"{len(batch)} documents dropped: {self._endpoint} {problem}")

    def _count(self, count: int, body: bytes) -> None:
        try:
            unprocessed = json.loads(body or b"{}").get("UnprocessedTraceSegments") or []
        except ValueError:
            unprocessed = []
        self.sent += count - len(unprocessed)
        for one in unprocessed[:3]:
            self._log(f"the API refused {one.get('Id')}: {one.get('Message')}")

    async def _tell(self) -> None:
        """The daemon's own counters since the last time, when something was lost."""
        now = (self.received, self.sent, self.rejected, self.spilled)
        received, sent, rejected, spilled = (
            new - old for new, old in zip(now, self._told, strict=True)
        )
        if not (rejected or spilled):
            return
        record = {
            "Timestamp": 0,
            "SegmentsReceivedCount": received,
            "SegmentsSentCount": sent,
            "SegmentsRejectedCount": rejected,
            "SegmentsSpilloverCount": spilled,
        }
        try:
            body = json.dumps({"TelemetryRecords": [record]}).encode()
            if (await self.call("/TelemetryRecords", body)).status == 200:
                self._told = now
        except (OSError, TimeoutError, ValueError) as error:
            self._log(f"cannot report losses: {error}")
