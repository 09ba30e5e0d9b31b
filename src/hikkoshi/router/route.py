"""Chunks, the outputs they go to, and what is counted on the way."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from hikkoshi.router.event import Event
from hikkoshi.router.inputs.base import Input
from hikkoshi.router.port import Log, Output, Result

WORKERS = 4


class Chunk:
    """pending: outputs that have not finished with it."""

    def __init__(self, source: Input | None, tag: str) -> None:
        self.source = source
        self.tag = tag
        self.events: list[Event] = []
        self.size = 0
        self.pending = 0


class Counters:
    """Records, since the start. accepted: by inputs; the others: by outputs, so that a record
    that goes to two outputs counts twice. unrouted: no output matched."""

    FIELDS = ("accepted", "delivered", "retried", "dropped", "captured", "unrouted")

    def __init__(self) -> None:
        self.accepted = self.delivered = self.retried = 0
        self.dropped = self.captured = self.unrouted = 0

    def line(self) -> str:
        return " ".join(f"{field}={getattr(self, field)}" for field in self.FIELDS)


class Route:
    """An output with its match and its workers, which are started as they are needed."""

    def __init__(
        self,
        name: str,
        output: Output,
        matches: Callable[[str], bool],
        retry_limit: int | None,
        log: Log,
    ) -> None:
        self.name = name
        self.output = output
        self.matches = matches
        self.retry_limit = retry_limit
        self._log = log
        self._jobs: queue.SimpleQueue[tuple[Chunk, int, Callable[[Result], None]]]
        self._jobs = queue.SimpleQueue()
        self._threads = 0
        self._busy = 0

    def submit(self, chunk: Chunk, attempt: int, done: Callable[[Result], None]) -> None:
        """Deliver in a worker; `done` is called there."""
        self._busy += 1
        if self._busy > self._threads and self._threads < WORKERS:
            self._threads += 1
            threading.Thread(target=self._work, daemon=True, name=self.name).start()
        self._jobs.put((chunk, attempt, done))

    def finished(self) -> None:
        self._busy -= 1

    def _work(self) -> None:
        while True:
            chunk, _, done = self._jobs.get()
            try:
                result = self.output.flush(chunk.tag, chunk.events)
            except Exception as error:
                # One record that nobody foresaw must not cost the worker.
                self._log("error", f"output:{self.name}", f"{type(error).__name__}: {error}")
                result = Result.ERROR
            done(result)
