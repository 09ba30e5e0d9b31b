"""The sending loop: one thread, one epoll, non-blocking sockets.

Each turn it waits for the next due request or the next readable socket, whichever is first; reads
what has come; and sends what is due. Nothing in it sleeps a fixed time and nothing waits for one
connection alone. Times inside are seconds after the start of the run. What is due goes to the
`desk`, which finds it a connection.
"""

from __future__ import annotations

import math
import select
import ssl
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Any, cast

from hikkoshi.load.connection import NEVER, Job, State
from hikkoshi.load.desk import BURST, Desk
from hikkoshi.load.limits import Limits
from hikkoshi.load.request import Prepared
from hikkoshi.load.tally import SETTLE_AT, Tally

# How often timeouts are looked for, and the longest wait.
_TICK_S = 0.01
_EVENTS = 256
# Looked up once: an enum's member costs as much as the comparison.
_READING = State.READING
# As Job(…), at half its cost: all seven fields, in order.
_job = cast(Callable[[tuple[Any, ...]], Job], partial(tuple.__new__, Job))


class Sender:
    """One run. `run` returns when every request that was issued is accounted for in the tally."""

    def __init__(
        self,
        targets: Sequence[Prepared],
        order: Sequence[int],
        limits: Limits,
        tally: Tally,
        *,
        tls: ssl.SSLContext | None = None,
        control_fd: int | None = None,
        on_control: Callable[[], float | None] = lambda: None,
        on_window: Callable[[dict[str, Any]], None] = lambda window: None,
    ) -> None:
        """on_control: called when control_fd is readable; seconds of grace to stop within, or
        None to go on."""
        self._round = tuple(targets[index] for index in order)
        self._limits = limits
        self._tally = tally
        self._control_fd, self._on_control = control_fd, on_control
        self._on_window = on_window
        self._epoll = select.epoll()
        self._desk = Desk(self._epoll, targets, limits, tally, tls)
        self._start = 0.0
        self._next_seq, self._stride = limits.share
        self._schedule: Iterator[float] = iter(())
        if limits.pacer is not None:
            self._schedule = limits.pacer.schedule(*limits.share)
        self._next_due = next(self._schedule, math.inf)
        self._next_tick = 0.0
        self._next_window = limits.report_every_s

    def run(self, start: float) -> None:
        """start: a moment of time.monotonic(), now or to come."""
        self._start = self._desk.start = start
        if self._control_fd is not None:
            self._epoll.register(self._control_fd, select.EPOLLIN)
        issue = self._issue if self._limits.pacer is not None else self._issue_closed
        desk, queue, busy = self._desk, self._desk.queue, self._desk.busy
        try:
            while True:
                now = monotonic() - start
                if now >= self._next_tick:
                    self._next_tick = now + _TICK_S
                    desk.expire(now)
                if queue:
                    desk.drain(now)
                issue(now)
                if len(self._tally.ended) >= SETTLE_AT:
                    self._tally.settle()
                if now >= self._next_window:
                    self._next_window = now + self._limits.report_every_s
                    self._report(now)
                if not busy and not queue and not self._is_issuing(now):
                    return
                self._wait()
        finally:
            self._end(monotonic() - start)

    # What is due

    def _is_issuing(self, now: float) -> bool:
        if self._desk.stop_by is not None:
            return False
        if self._limits.pacer is not None:
            return self._next_due != math.inf
        return now < self._limits.duration_s

    def _issue(self, now: float) -> None:
        due = self._next_due
        if due > now:
            return
        targets, count, late_ones = self._round, len(self._round), self._tally.late
        admit = self._desk.admit
        for _ in range(BURST):
            now = monotonic() - self._start
            if due > now:
                break
            seq = self._next_seq
            self._next_seq = seq + self._stride
            late = now - due
            late_ones.append(late)
            admit(_job((seq, targets[seq % count], due, late, 0, 0, NEVER)), now)
            due = next(self._schedule, math.inf)
        self._next_due = due
        self._tally.totals.last_issue_s = now

    def _issue_closed(self, now: float) -> None:
        if now < 0 or self._desk.stop_by is not None:
            return
        targets, count, late_ones = self._round, len(self._round), self._tally.late
        busy, most, give = self._desk.busy, self._desk.places, self._desk.give
        for _ in range(BURST):
            if len(busy) >= most or now >= self._limits.duration_s:
                return
            seq = self._next_seq
            self._next_seq = seq + self._stride
            now = monotonic() - self._start
            late_ones.append(0.0)
            self._tally.totals.last_issue_s = now
            give(_job((seq, targets[seq % count], now, 0.0, 0, 0, NEVER)), now)

    # What the sockets say

    def _wait(self) -> None:
        desk = self._desk
        now = monotonic() - self._start
        wait = min(self._next_due, self._next_tick, self._next_window) - now
        if self._limits.pacer is None:
            # Nothing is due at a moment of its own: epoll's own waiting, rounded to a
            # millisecond, is exact enough, and saves a call.
            has_room = len(desk.busy) < desk.places
            events = self._epoll.poll(
                0 if wait <= 0 or (has_room and now >= 0 and self._is_issuing(now)) else wait,
                _EVENTS,
            )
        else:
            # epoll rounds its own waiting to a millisecond; select on its descriptor does not.
            if wait > 0:
                select.select((self._epoll,), (), (), wait)
            events = self._epoll.poll(0, _EVENTS)
        fds, on_event, read = desk.pool.fds, desk.exchange.on_event, desk.exchange.read
        for fd, mask in events:
            connection = fds.get(fd)
            if connection is not None:
                if connection.state is _READING:
                    read(connection)
                else:
                    on_event(connection, mask)
            elif fd == self._control_fd:
                self._control()

    # Time passing, and the end

    def _control(self) -> None:
        grace_s = self._on_control()
        if grace_s is None:
            return
        now = monotonic() - self._start
        self._tally.settle()
        self._tally.totals.is_stopped = True
        self._tally.totals.planned = self._planned(now)
        self._desk.stop_by = now + grace_s
        self._next_tick = now
        self._next_due = math.inf
        if self._control_fd is not None:
            self._epoll.unregister(self._control_fd)
            self._control_fd = None

    def _report(self, now: float) -> None:
        window = self._tally.take_window(now)
        window |= {
            "planned": self._planned(now),
            "connections": len(self._desk.pool.fds),
            "busy": len(self._desk.busy),
            "queued": len(self._desk.queue),
        }
        self._on_window(window)

    def _planned(self, now: float) -> int:
        pacer = self._limits.pacer
        if pacer is None:
            return self._tally.totals.issued
        due = min(pacer.count, math.floor(pacer.integral(now)) + 1) if now >= 0 else 0
        first, stride = self._limits.share
        return max(0, -(-(due - first) // stride))

    def _end(self, now: float) -> None:
        self._tally.settle()
        if self._desk.stop_by is None:
            self._tally.totals.planned = self._planned(math.inf)
        self._report(now)
        self._desk.pool.close()
        self._epoll.close()
