"""The `awslogs` driver: batches of PutLogEvents, sent from a worker thread.

Limits: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
Options: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NamedTuple

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import Recorder
from hikkoshi.region.logs.counted import Counted
from hikkoshi.region.logs.lines import Line, shown
from hikkoshi.region.logs.multiline import DATETIME, PATTERN, Joining, Message, pattern_of

FLUSH_S = 5.0
"""Docker's awslogs driver publishes every five seconds, or when a batch is full."""

MAX_EVENTS = 10_000
MAX_BATCH_BYTES = 1_048_576
EVENT_OVERHEAD = 26
DEFAULT_BUFFER = 10 * 1024 * 1024
"""ECS: mode is non-blocking and max-buffer-size 10m, unless set (since June 2025)."""

RETRY_S = 1.0
ATTEMPTS = 5

_SIZE = re.compile(r"^(\d+)\s*([kmg]?)b?$", re.IGNORECASE)
_NOT_IMPLEMENTED = ("awslogs-endpoint", "awslogs-format")
_KNOWN = (
    "awslogs-group", "awslogs-region", "awslogs-stream-prefix", "awslogs-create-group", "mode",
    "max-buffer-size", DATETIME, PATTERN,
)  # fmt: skip

ClientFactory = Callable[[str], Any]
"""A region's name → a boto3 client of CloudWatch Logs."""


@dataclass(frozen=True, slots=True)
class AwslogsOptions:
    group: str
    region: str
    stream: str
    creates_group: bool
    buffer_bytes: int
    is_blocking: bool
    begins: re.Pattern[bytes] | None
    """What the first line of a message matches; None where each line is a message."""


class _Event(NamedTuple):
    """time in milliseconds; lines: of the container's, that it holds."""

    time: int
    text: str
    lines: int


def read_options(options: Mapping[str, str], container: str, task_id: str) -> AwslogsOptions:
    """ValueError for what Fargate would refuse, or what is not implemented here."""
    for key in options:
        if key in _NOT_IMPLEMENTED:
            raise ValueError(f"log option {key} is not implemented by the local region")
        if key not in _KNOWN:
            raise ValueError(
                f"unknown log option {key!r} for the awslogs log driver; known are "
                + ", ".join(_KNOWN)
            )
    for key in ("awslogs-group", "awslogs-region", "awslogs-stream-prefix"):
        if not options.get(key):
            raise ValueError(f"the awslogs log driver needs the option {key} on Fargate")
    mode = options.get("mode", "non-blocking")
    if mode not in ("blocking", "non-blocking"):
        raise ValueError(f"log option mode is {mode!r}; write blocking or non-blocking")
    return AwslogsOptions(
        group=options["awslogs-group"],
        region=options["awslogs-region"],
        stream=f"{options['awslogs-stream-prefix']}/{container}/{task_id}",
        creates_group=options.get("awslogs-create-group", "false").lower() == "true",
        buffer_bytes=_size(options.get("max-buffer-size")),
        is_blocking=mode == "blocking",
        begins=pattern_of(options),
    )


def _size(text: str | None) -> int:
    if text is None:
        return DEFAULT_BUFFER
    match = _SIZE.match(text.strip())
    if match is None or int(match.group(1)) == 0:
        raise ValueError(f"log option max-buffer-size is {text!r}; write 4m or 10m")
    factor: int = 1024 ** " kmg".index(match.group(2).lower() or " ")
    return int(match.group(1)) * factor


def create_stream(factory: ClientFactory, options: AwslogsOptions) -> None:
    """Blocking. ValueError in AWS's words if the group is not there."""
    client = factory(options.region)
    exceptions = client.exceptions
    if options.creates_group:
        with contextlib.suppress(exceptions.ResourceAlreadyExistsException):
            client.create_log_group(logGroupName=options.group)
    try:
        client.create_log_stream(logGroupName=options.group, logStreamName=options.stream)
    except exceptions.ResourceAlreadyExistsException:
        pass
    except exceptions.ResourceNotFoundException as error:
        raise ValueError(
            "failed to validate logger args: create stream has been retried 1 times: failed to "
            "create Cloudwatch log stream: ResourceNotFoundException: The specified log group "
            "does not exist."
        ) from error


class AwslogsForwarder:
    """Sends one container's lines to one stream. All calls on the event loop; the API is called
    in `executor`. Lines over the buffer, or refused five times, are dropped and counted."""

    def __init__(
        self,
        options: AwslogsOptions,
        factory: ClientFactory,
        executor: Executor,
        counted: Counted,
        recorder: Recorder,
        clock: Clock,
        *,
        flush_s: float = FLUSH_S,
    ) -> None:
        self._options = options
        self._factory = factory
        self._executor = executor
        self._counted = counted
        self._recorder = recorder
        self._clock = clock
        self._flush_s = flush_s
        self._queue: deque[_Event] = deque()
        self._bytes = 0
        self._joining = Joining(options.begins) if options.begins is not None else None
        self._client: Any = None
        self._full = asyncio.Event()
        self._is_closing = False
        self._task = asyncio.get_running_loop().create_task(self._run())
        self.last_error: str | None = None

    def write(self, stream: str, lines: list[Line]) -> None:
        now = int(self._clock.now() * 1000)
        for line in lines:
            self._counted.accepted += 1
            if self._joining is not None:
                self._queue_up(self._joining.add(now, line.data))
            elif line.data:
                # CloudWatch refuses empty messages; Docker's driver leaves them out too.
                self._queue_up([Message(now, line.data, 1)])
        if len(self._queue) >= MAX_EVENTS or self._bytes >= MAX_BATCH_BYTES // 2:
            self._full.set()
        self._counted.changed()

    def _queue_up(self, messages: list[Message]) -> None:
        for message in messages:
            size = len(message.data) + EVENT_OVERHEAD
            if self._bytes + size > self._options.buffer_bytes:
                self._counted.dropped += message.lines
                continue
            text = shown(message.data, len(message.data) + 1)
            self._queue.append(_Event(message.since, text, message.lines))
            self._bytes += size

    async def close(self, timeout_s: float) -> None:
        self._is_closing = True
        if self._joining is not None:
            self._queue_up(self._joining.end())
        self._full.set()
        try:
            await asyncio.wait_for(asyncio.shield(self._task), timeout_s)
        except TimeoutError:
            self._task.cancel()
        self._counted.dropped += sum(event.lines for event in self._queue)
        self._queue.clear()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), self._flush_s)
            self._full.clear()
            if self._joining is not None:
                now = int(self._clock.now() * 1000)
                self._queue_up(self._joining.overdue(now, int(self._flush_s * 1000)))
            while batch := self._take():
                for attempt in range(ATTEMPTS):
                    if await loop.run_in_executor(self._executor, self._put, batch):
                        self._record(batch)
                        break
                    if attempt < ATTEMPTS - 1:
                        await asyncio.sleep(RETRY_S)
                else:
                    self._counted.dropped += sum(event.lines for event in batch)
                    self._counted.changed()
            if self._is_closing:
                return

    def _take(self) -> list[_Event]:
        batch: list[_Event] = []
        size = 0
        while self._queue and len(batch) < MAX_EVENTS:
            # Broken bytes became U+FFFD, which is longer: count what will be sent.
            cost = len(self._queue[0].text.encode()) + EVENT_OVERHEAD
            if batch and size + cost > MAX_BATCH_BYTES:
                break
            batch.append(self._queue.popleft())
            size += cost
        self._bytes = max(0, self._bytes - size) if self._queue else 0
        return batch

    def _put(self, batch: list[_Event]) -> bool:
        """In the worker thread. Whatever the client raises, the container is not to notice."""
        options = self._options
        try:
            if self._client is None:
                create_stream(self._factory, options)
                self._client = self._factory(options.region)
            self._client.put_log_events(
                logGroupName=options.group,
                logStreamName=options.stream,
                logEvents=[{"timestamp": one.time, "message": one.text} for one in batch],
            )
        except Exception as error:
            self.last_error = str(error)
            return False
        return True

    def _record(self, batch: list[_Event]) -> None:
        destination = f"logs:{self._options.group}:{self._options.stream}"
        for one in batch:
            self._recorder.record(
                "delivered_logs", t=one.time / 1000, destination=destination, record=one.text
            )
