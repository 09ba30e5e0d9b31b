"""The log drivers that Fargate knows: awsfirelens, awslogs, splunk; and none at all."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import Recorder
from hikkoshi.region.logs import awslogs
from hikkoshi.region.logs.counted import Counted
from hikkoshi.region.logs.fluentd import (
    BUFFER_BYTES,
    RETRY_WAIT_S,
    FluentdForwarder,
    buffer_lines,
)
from hikkoshi.region.logs.kept import BoundedFile, Evidence, LastLines
from hikkoshi.region.logs.lines import MAX_EVENT, MAX_LINE, Line, LineSplitter
from hikkoshi.region.ports import LogTarget

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class Forwarder(Protocol):
    def write(self, stream: str, lines: list[Line]) -> None: ...

    async def close(self, timeout_s: float) -> None: ...


class FargateLogDrivers:
    """Keeps the port `LogDrivers`. Every call on the region's event loop.

    Output is kept under `directory/TASK/CONTAINER.log` (bounded), as rows of `logs` (bounded a
    second), and in memory (`last_lines`), whatever the driver does with it.
    """

    def __init__(
        self,
        directory: Path,
        recorder: Recorder,
        clock: Clock,
        cloudwatch_client_factory: awslogs.ClientFactory | None = None,
        *,
        retry_wait_s: float = RETRY_WAIT_S,
        buffer_bytes: int = BUFFER_BYTES,
        awslogs_flush_s: float = awslogs.FLUSH_S,
    ) -> None:
        self._directory = directory
        self._recorder = recorder
        self._clock = clock
        self._factory = cloudwatch_client_factory
        self._retry_wait_s = retry_wait_s
        self._buffer_bytes = buffer_bytes
        self._awslogs_flush_s = awslogs_flush_s
        self._last = LastLines()
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="awslogs")
        self._not_imitated: set[str] = set()

    async def prepare(self, target: LogTarget) -> None:
        """What ECS checks before a container starts: the driver, its options, and that the log
        group is there. ValueError in the words that follow `ResourceInitializationError: `."""
        self._check(target)
        if target.driver == "awslogs" and self._factory is not None:
            options = awslogs.read_options(target.options, target.container, target.task_id)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(
                self._executor, awslogs.create_stream, self._factory, options
            )

    def open(self, target: LogTarget) -> ContainerLog:
        """Raises ValueError for a driver or option that Fargate does not know."""
        self._check(target)
        counted = Counted(self._recorder, self._clock, target.task_id, target.container)
        path = self._directory / _safe(target.task_id) / f"{_safe(target.container)}.log"
        return ContainerLog(
            forwarder=self._forwarder(target, counted),
            file=BoundedFile(path),
            evidence=Evidence(self._recorder, self._clock, target.task_id, target.container),
            last_lines=self._last,
            key=(target.task_id, target.container),
            counted=counted,
            longest=MAX_EVENT if target.driver == "awslogs" else MAX_LINE,
        )

    def last_lines(self, task_id: str, container: str, count: int = 20) -> list[str]:
        return self._last.get(task_id, container, count)

    def not_imitated(self) -> list[str]:
        """What was asked for and is played differently here, for the report."""
        return sorted(self._not_imitated)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _check(self, target: LogTarget) -> None:
        driver = target.driver
        if driver == "awsfirelens":
            buffer_lines(target.options)
            if target.fluentd_socket is None:
                raise ValueError(
                    f"container {target.container} uses awsfirelens, and no container of the task "
                    "has a firelensConfiguration"
                )
        elif driver == "awslogs":
            awslogs.read_options(target.options, target.container, target.task_id)
            if self._factory is None:
                raise ValueError("the awslogs log driver has no CloudWatch Logs here")
        elif driver == "splunk":
            raise ValueError("log driver splunk is not implemented by the local region")
        elif driver not in ("", "none"):
            raise ValueError(
                f"Fargate does not know the log driver {driver!r}; use awslogs, awsfirelens or "
                "splunk"
            )

    def _forwarder(self, target: LogTarget, counted: Counted) -> Forwarder | None:
        if target.driver == "awsfirelens" and target.fluentd_socket is not None:
            return FluentdForwarder(
                Path(target.fluentd_socket),
                target.tag or f"{target.container}-firelens-{target.task_id}",
                {"container_id": target.container_id, "container_name": target.container},
                counted,
                self._clock,
                max_lines=buffer_lines(target.options),
                max_bytes=self._buffer_bytes,
                wait_s=self._retry_wait_s,
            )
        if target.driver == "awslogs" and self._factory is not None:
            options = awslogs.read_options(target.options, target.container, target.task_id)
            if options.is_blocking:
                self._not_imitated.add(
                    "awslogs mode=blocking is played as non-blocking: a full buffer drops lines "
                    "here and would stop the container on Fargate"
                )
            return awslogs.AwslogsForwarder(
                options, self._factory, self._executor, counted, self._recorder, self._clock,
                flush_s=self._awslogs_flush_s,
            )  # fmt: skip
        return None


class ContainerLog:
    """One container's output on its way: kept, then forwarded. Keeps the port `LogDriver`."""

    def __init__(
        self,
        *,
        forwarder: Forwarder | None,
        file: BoundedFile,
        evidence: Evidence,
        last_lines: LastLines,
        key: tuple[str, str],
        counted: Counted,
        longest: int = MAX_LINE,
    ) -> None:
        self._forwarder = forwarder
        self._longest = longest
        self._file = file
        self._evidence = evidence
        self._last = last_lines
        self._key = key
        self._splitters: dict[str, LineSplitter] = {}
        self._is_closed = False
        self.counted = counted

    def write(self, stream: str, data: bytes) -> None:
        if self._is_closed:
            return
        self._file.write(data)
        splitter = self._splitters.get(stream)
        if splitter is None:
            splitter = self._splitters[stream] = LineSplitter(self._longest)
        self._hand_on(stream, splitter.feed(data))

    async def close(self, timeout_s: float) -> None:
        """Deliver what is left, for at most timeout_s; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        for stream, splitter in self._splitters.items():
            self._hand_on(stream, splitter.finish())
        self._file.close()
        self._evidence.close()
        if self._forwarder is not None:
            await self._forwarder.close(timeout_s)
        self.counted.close()

    def _hand_on(self, stream: str, lines: list[Line]) -> None:
        if not lines:
            return
        self._last.add(self._key, lines)
        self._evidence.add(stream, lines)
        if self._forwarder is not None:
            self._forwarder.write(stream, lines)
        else:
            self.counted.accepted += len(lines)
            self.counted.changed()


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name).strip(".") or "_"
