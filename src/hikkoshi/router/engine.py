"""The engine: inputs → filters → chunks → outputs, with retries and an orderly end.

One thread reads, filters and schedules; outputs deliver in a few worker threads each. A chunk is
the records of one input under one tag; every output that matches the tag gets the same chunk.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import selectors
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from hikkoshi.router.assembly import make_filters, make_inputs, make_routes
from hikkoshi.router.codec import quicken
from hikkoshi.router.configuration import Configuration
from hikkoshi.router.event import Event
from hikkoshi.router.inputs.base import Input
from hikkoshi.router.outputs import OutputContext
from hikkoshi.router.port import Emit, Log, Result
from hikkoshi.router.route import Chunk, Counters, Route

CHUNK_BYTES = 2_000_000
MAX_HOPS = 10
TICK_S = 0.5
REPORT_S = 10.0
QUICK_FROM = 10_000
"""Records after which a faster JSON is worth what its loading costs."""


class _Task(NamedTuple):
    chunk: Chunk
    route: Route
    attempt: int


class Engine:
    """Build it from a configuration (BadInput), `start` it (CannotRun), `run` it to its end."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        log: Log,
        write: Callable[[bytes], None],
        environ: Mapping[str, str],
        pick: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.counters = Counters()
        self._service = configuration.service
        self._log = log
        self._pick = pick
        self._selector = selectors.DefaultSelector()
        self._done: deque[Callable[[], None]] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._chunks: dict[tuple[int, str], Chunk] = {}
        self._routes_of: dict[str, list[Route]] = {}
        self._running = 0
        self._dispatched = 0
        self._reported = ""
        self._stop_by: float | None = None
        self._is_asked_to_stop = False
        self._is_quick = False
        self._filters = make_filters(configuration, log, self._emitter)
        self._inputs = make_inputs(configuration, log, self._selector, self.ingest)
        self._routes = make_routes(configuration, OutputContext(log, write, environ))

    # -- records ----------------------------------------------------------------------------

    def ingest(self, source: Input, tag: str, events: list[Event], size: int) -> None:
        self.counters.accepted += len(events)
        self._pass_on(source, tag, events, size, 0, -1)
        if source.limit and source.buffered >= source.limit and not source.is_paused:
            self._log("warn", "input", f"{source.name} paused (mem buf overlimit)")
            source.pause()

    def _emitter(self, index: int, start: int) -> Emit:
        depth = 0

        def emit(tag: str, events: list[Event]) -> None:
            nonlocal depth
            if depth >= MAX_HOPS:
                self.counters.dropped += len(events)
                self._log("error", "filter", f"tag {tag!r} was rewritten in a circle: dropped")
                return
            depth += 1
            try:
                size = sum(len(str(record)) for _, record in events)
                self._pass_on(None, tag, events, size, start, index)
            finally:
                depth -= 1

        return emit

    def _pass_on(
        self, source: Input | None, tag: str, events: list[Event], size: int, start: int, skip: int
    ) -> None:
        before = len(events)
        for index in range(start, len(self._filters)):
            made, matches = self._filters[index]
            if index == skip or not matches(tag):
                continue
            events = made.apply(tag, events)
            if not events:
                return
        share = size * len(events) // max(before, 1)
        key = (id(source), tag)
        chunk = self._chunks.get(key)
        if chunk is None:
            chunk = self._chunks[key] = Chunk(source, tag)
        chunk.events += events
        chunk.size += share
        if source is not None:
            source.buffered += share
        if chunk.size >= CHUNK_BYTES:
            del self._chunks[key]
            self._dispatch(chunk)

    def _dispatch(self, chunk: Chunk) -> None:
        routes = self._routes_of.get(chunk.tag)
        if routes is None:
            if len(self._routes_of) > 10_000:
                self._routes_of.clear()
            routes = [route for route in self._routes if route.matches(chunk.tag)]
            self._routes_of[chunk.tag] = routes
        if not routes:
            self.counters.unrouted += len(chunk.events)
            self._release(chunk)
            return
        chunk.pending = len(routes)
        self._dispatched += len(chunk.events) * len(routes)
        for route in routes:
            self._submit(_Task(chunk, route, 1))

    def _submit(self, task: _Task) -> None:
        self._running += 1
        task.route.submit(task.chunk, task.attempt, lambda result: self._post(task, result))

    def _post(self, task: _Task, result: Result) -> None:
        self._done.append(lambda: self._finished(task, result))
        # A full pipe wakes the loop as well as one more byte would.
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    def _finished(self, task: _Task, result: Result) -> None:
        task.route.finished()
        self._running -= 1
        count = len(task.chunk.events)
        if result is Result.RETRY and self._may_retry(task):
            self.counters.retried += count
            wait = self._retry_wait(task.attempt)
            self._log(
                "warn", "engine", f"failed to flush chunk of {count} records "
                f"(tag {task.chunk.tag!r}, output {task.route.name}), retry in {wait:.0f} s",
            )  # fmt: skip
            self._running += 1
            again = _Task(task.chunk, task.route, task.attempt + 1)
            self._at(time.monotonic() + wait, lambda: self._retry(again))
            return
        if result is Result.OK:
            self.counters.delivered += count
        elif result is Result.CAPTURED:
            self.counters.captured += count
        else:
            self.counters.dropped += count
            self._log(
                "error", "engine", f"chunk of {count} records (tag {task.chunk.tag!r}, output "
                f"{task.route.name}) cannot be retried: dropped",
            )  # fmt: skip
        task.chunk.pending -= 1
        if task.chunk.pending <= 0:
            self._release(task.chunk)

    def _may_retry(self, task: _Task) -> bool:
        return task.route.retry_limit is None or task.attempt <= task.route.retry_limit

    def _retry_wait(self, attempt: int) -> float:
        """Between base and base·2^attempt, at most cap; a second while shutting down."""
        if self._stop_by is not None:
            return 1.0
        base, cap = self._service.retry_base_s, self._service.retry_cap_s
        return min(cap, self._pick(base, min(cap, base * 2 ** min(attempt, 30))))

    def _retry(self, task: _Task) -> None:
        self._running -= 1
        self._submit(task)

    def _release(self, chunk: Chunk) -> None:
        source = chunk.source
        if source is None:
            return
        source.buffered -= chunk.size
        if source.is_paused and self._stop_by is None and source.buffered < source.limit:
            source.resume()
            self._log("info", "input", f"{source.name} resume (mem buf overlimit)")

    def close(self) -> None:
        """Give back what the engine itself has opened."""
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # -- the loop ---------------------------------------------------------------------------

    def start(self) -> None:
        for source in self._inputs:
            source.start()
        self._every(self._service.flush_s, self._flush)
        self._every(TICK_S, self._tick_filters)
        self._every(REPORT_S, self._report)
        for source in self._inputs:
            if source.tick_s is not None:
                self._every(source.tick_s, lambda s=source: s.tick(time.monotonic()))  # type: ignore[misc]

    def ask_to_stop(self) -> None:
        """Safe in a signal handler."""
        self._is_asked_to_stop = True
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    def run(self) -> None:
        """Until `ask_to_stop`, and then until all is delivered or Grace has passed."""
        while not self._is_over():
            self._step()
        self._report()

    def _step(self) -> None:
        now = time.monotonic()
        wait = max(0.0, self._timers[0][0] - now) if self._timers else TICK_S
        if self._stop_by is not None:
            wait = min(wait, max(0.0, self._stop_by - now))
        for key, _ in self._selector.select(wait):
            key.data(key.fileobj)
        while self._done:
            self._done.popleft()()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        if self._is_asked_to_stop and self._stop_by is None:
            self._begin_stop(now)

    def _begin_stop(self, now: float) -> None:
        grace = self._service.grace_s
        self._log("info", "engine", f"service will shutdown in max {grace:g} seconds")
        for source in self._inputs:
            source.drain()
        self._stop_by = now + grace
        for source in self._inputs:
            source.close()
        for made, _ in self._filters:
            made.close()
        self._flush()

    def _is_over(self) -> bool:
        if self._stop_by is None:
            return False
        if self._running == 0 and not self._done:
            self._log("info", "engine", "service has stopped (0 pending tasks)")
            return True
        if time.monotonic() >= self._stop_by:
            self.counters.dropped += self._left()
            self._log("warn", "engine", f"service has stopped ({self._running} pending tasks)")
            return True
        return False

    def _left(self) -> int:
        """Records of tasks that Grace has cut off; whatever was not delivered is dropped."""
        c = self.counters
        return max(0, self._dispatched - c.delivered - c.captured - c.dropped)

    def _flush(self) -> None:
        chunks, self._chunks = list(self._chunks.values()), {}
        for chunk in chunks:
            self._dispatch(chunk)

    def _tick_filters(self) -> None:
        if not self._is_quick and self.counters.accepted >= QUICK_FROM:
            self._is_quick = True
            quicken()
        now = time.monotonic()
        for made, _ in self._filters:
            made.tick(now)

    def _report(self) -> None:
        line = self.counters.line()
        if line != self._reported:
            self._reported = line
            self._log("info", "counters", line)

    def _woken(self, _: object) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _at(self, when: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._order), call))

    def _every(self, period: float, call: Callable[[], None]) -> None:
        def again() -> None:
            call()
            self._at(time.monotonic() + period, again)

        self._at(time.monotonic() + period, again)
