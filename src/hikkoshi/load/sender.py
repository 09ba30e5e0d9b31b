"""The sending loop: one thread, one epoll, non-blocking sockets.

Each turn it waits for the next due request or the next readable socket, whichever is first; reads
what has come; and sends what is due. Nothing in it sleeps a fixed time and nothing waits for one
connection alone. Times inside are seconds after the start of the run.
"""

from __future__ import annotations

import math
import select
import ssl
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Any, cast

from hikkoshi.load.carrier import Lane
from hikkoshi.load.checking import MAX_BODY_BYTES, Answer, Checker
from hikkoshi.load.connection import NEVER, Connection, Job, State
from hikkoshi.load.exchange import Exchange
from hikkoshi.load.failures import Failure
from hikkoshi.load.lanes import LanePool
from hikkoshi.load.limits import Limits
from hikkoshi.load.pool import CannotOpen, Pool
from hikkoshi.load.redirects import REDIRECTS, Redirector
from hikkoshi.load.request import Prepared
from hikkoshi.load.response import Head
from hikkoshi.load.results import RESULT
from hikkoshi.load.tally import SETTLE_AT, Tally

# No more sends than this between two looks at the sockets, so that a burst starves no answer.
_BURST = 64
# How often timeouts are looked for, and the longest wait.
_TICK_S = 0.01
_EVENTS = 256
# Of a request that servers of HTTP/2 have not begun; a server that ends every connection at once
# would else be asked for ever.
_MOST_RETRIES = 3
# Looked up once: an enum's member costs as much as the comparison.
_CONNECTING, _IDLE, _READING = State.CONNECTING, State.IDLE, State.READING
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
        self._checker = Checker(limits.checks) if limits.checks else None
        self._redirector = Redirector(limits.form) if limits.redirects else None
        self._epoll = select.epoll()
        needs_body = self._checker is not None and self._checker.needs_body
        most_body = MAX_BODY_BYTES if needs_body else 0
        self._pool: Pool = (
            LanePool(
                self._epoll, targets, limits, tls, tally.totals, ends=self, most_body=most_body
            )
            if limits.is_http2
            else Pool(self._epoll, targets, limits, tls, tally.totals)
        )
        self._exchange = Exchange(self._epoll, self, mark=limits.mark, most_body=most_body)
        # Connections at work, oldest request first: their deadlines rise, but for those that are
        # tried again, which keep their first deadline and are looked at one by one.
        self._busy: dict[Connection | Lane, None] = {}
        self._again: set[Connection | Lane] = set()
        self._places = limits.places
        self._queue: deque[Job] = deque()
        self._start = 0.0
        self._next_seq, self._stride = limits.share
        self._schedule: Iterator[float] = iter(())
        if limits.pacer is not None:
            self._schedule = limits.pacer.schedule(*limits.share)
        self._next_due = next(self._schedule, math.inf)
        self._next_tick = 0.0
        self._next_window = limits.report_every_s
        self._stop_by: float | None = None

    def run(self, start: float) -> None:
        """start: a moment of time.monotonic(), now or to come."""
        self._start = start
        if self._control_fd is not None:
            self._epoll.register(self._control_fd, select.EPOLLIN)
        issue = self._issue if self._limits.pacer is not None else self._issue_closed
        try:
            while True:
                now = monotonic() - start
                if now >= self._next_tick:
                    self._next_tick = now + _TICK_S
                    self._expire(now)
                if self._queue:
                    self._drain(now)
                issue(now)
                if len(self._tally.ended) >= SETTLE_AT:
                    self._tally.settle()
                if now >= self._next_window:
                    self._next_window = now + self._limits.report_every_s
                    self._report(now)
                if not self._busy and not self._queue and not self._is_issuing(now):
                    return
                self._wait()
        finally:
            self._end(monotonic() - start)

    # What is due

    def _is_issuing(self, now: float) -> bool:
        if self._stop_by is not None:
            return False
        if self._limits.pacer is not None:
            return self._next_due != math.inf
        return now < self._limits.duration_s

    def _issue(self, now: float) -> None:
        due = self._next_due
        if due > now or self._stop_by is not None:
            return
        targets, count, late_ones = self._round, len(self._round), self._tally.late
        for _ in range(_BURST):
            now = monotonic() - self._start
            if due > now:
                break
            seq = self._next_seq
            self._next_seq = seq + self._stride
            late = now - due
            late_ones.append(late)
            self._admit(_job((seq, targets[seq % count], due, late, 0, 0, NEVER)), now)
            due = next(self._schedule, math.inf)
        self._next_due = due
        self._tally.totals.last_issue_s = now

    def _issue_closed(self, now: float) -> None:
        if now < 0 or self._stop_by is not None:
            return
        targets, count, late_ones = self._round, len(self._round), self._tally.late
        most = self._places
        for _ in range(_BURST):
            if len(self._busy) >= most or now >= self._limits.duration_s:
                return
            seq = self._next_seq
            self._next_seq = seq + self._stride
            now = monotonic() - self._start
            late_ones.append(0.0)
            self._tally.totals.last_issue_s = now
            self._give(_job((seq, targets[seq % count], now, 0.0, 0, 0, NEVER)), now)

    # A request finds a connection, or a place in the queue

    def _admit(self, job: Job, now: float) -> None:
        if job.late > self._limits.timeout_s:
            self._tally.failed(job, NEVER, now, Failure.TIMEOUT, "the generator came too late")
        elif not self._queue and self._has_room(job):
            self._give(job, now)
        elif len(self._queue) >= self._limits.queue:
            detail = f"{self._limits.connections} connections at work, queue of {len(self._queue)}"
            self._tally.failed(job, NEVER, now, Failure.OVERFLOW, detail)
        else:
            totals = self._tally.totals
            self._queue.append(job)
            totals.waited += 1
            totals.peak_queue = max(totals.peak_queue, len(self._queue))

    def _has_room(self, job: Job) -> bool:
        # With all connections open, one to somewhere else may be idle and give way.
        return bool(job.target.address.idle) or (
            len(self._busy) < self._places and self._pool.has_room(job.target.address)
        )

    def _drain(self, now: float) -> None:
        for _ in range(_BURST):
            if not self._queue or not self._has_room(self._queue[0]):
                return
            self._give(self._queue.popleft(), now)

    def _give(self, job: Job, now: float, must_be_new: bool = False) -> None:
        """Sends on an idle connection, or opens one; there is room for it."""
        idle = job.target.address.idle
        connection = self._pool.take(job, now) if idle and not must_be_new else None
        if connection is None:
            found = self._pool.open(job.target.address)
            if isinstance(found, CannotOpen):
                ended = monotonic() - self._start
                self._tally.failed(job, now, ended, found.failure, found.detail)
                return
            connection = found
        connection.job = job
        connection.sent_at = now
        self._busy[connection] = None
        if job.given == job.given:  # not NaN: it is tried again
            connection.sent_at = job.given
            self._again.add(connection)
        if connection.state is not _CONNECTING:
            self._exchange.send(connection)

    # What the sockets say

    def _wait(self) -> None:
        now = monotonic() - self._start
        wait = min(self._next_due, self._next_tick, self._next_window) - now
        if self._limits.pacer is None:
            # Nothing is due at a moment of its own: epoll's own waiting, rounded to a
            # millisecond, is exact enough, and saves a call.
            has_room = len(self._busy) < self._places
            events = self._epoll.poll(
                0 if wait <= 0 or (has_room and now >= 0 and self._is_issuing(now)) else wait,
                _EVENTS,
            )
        else:
            # epoll rounds its own waiting to a millisecond; select on its descriptor does not.
            if wait > 0:
                select.select((self._epoll,), (), (), wait)
            events = self._epoll.poll(0, _EVENTS)
        fds, on_event, read = self._pool.fds, self._exchange.on_event, self._exchange.read
        for fd, mask in events:
            connection = fds.get(fd)
            if connection is not None:
                if connection.state is _READING:
                    read(connection)
                else:
                    on_event(connection, mask)
            elif fd == self._control_fd:
                self._control()

    # How a request ends (the protocol Ends)

    def answered(
        self,
        connection: Connection | Lane,
        head: Head,
        bytes_in: int,
        is_reusable: bool,
        body: bytes,
    ) -> None:
        now = monotonic() - self._start
        job = self._release(connection)
        status, sent, body_bytes = head.status, connection.sent_at, connection.body_bytes
        if is_reusable and self._limits.is_kept_alive and connection.out is None:
            connection.served += 1
            connection.state = _IDLE
            connection.idle_since = now
            connection.address.idle.append(connection)
        else:
            self._pool.drop(connection)
        if self._redirector is not None and status in REDIRECTS and self._follow(job, sent, head):
            return
        is_success = 200 <= status < 400
        if self._checker is not None:
            answer = Answer(status, head.raw, body, bytes_in, now - job.intended)
            problem = self._checker.problem(answer)
            if problem is not None:
                self._tally.failed(
                    job, sent, now, Failure.UNEXPECTED, problem, status=status,
                    bytes_in=bytes_in, bytes_out=body_bytes, marked=head.marked,
                )  # fmt: skip
                return
            is_success = is_success or self._checker.has_status
        text = self._tally.number_of(head.marked) if head.marked else 0
        self._tally.ended.append(
            (RESULT, 0, status, job.target.index, job.seq, job.intended, sent, now, bytes_in,
             body_bytes, job.late, text, job.retries, is_success)
        )  # fmt: skip

    def _follow(self, job: Job, sent: float, head: Head) -> bool:
        """Whether the request goes on elsewhere, or has ended by going on too long."""
        assert self._redirector is not None
        target = self._redirector.follow(job.target, head)
        if target is None or self._stop_by is not None:
            return False
        now = monotonic() - self._start
        if job.hops >= self._limits.redirects:
            detail = f"more than {self._limits.redirects} redirects"
            self._tally.failed(
                job, sent, now, Failure.TOO_MANY_REDIRECTS, detail, status=head.status
            )
        else:
            self._give(job._replace(target=target, hops=job.hops + 1, given=sent), now)
        return True

    def broken(self, connection: Connection | Lane, failure: Failure, detail: str) -> None:
        """A reused connection may have been closed while it was idle: then, and if sending twice
        does no harm, the request is tried once more."""
        job = connection.job
        if job is None:
            self.gone(connection)
            return
        is_stale = connection.served > 0
        if not is_stale or not job.target.is_idempotent or job.retries or self._stop_by is not None:
            self.failed(connection, failure, detail)
            return
        sent = connection.sent_at
        self._release(connection)
        self._pool.drop(connection)
        self._tally.totals.retries += 1
        now = monotonic() - self._start
        self._give(job._replace(retries=1, given=sent), now, must_be_new=True)

    def untouched(self, connection: Connection | Lane, failure: Failure, detail: str) -> None:
        """No harm can come of sending again what the server has not begun, whatever it is."""
        job = connection.job
        assert job is not None
        if job.retries >= _MOST_RETRIES or self._stop_by is not None:
            self.failed(connection, failure, detail)
            return
        self._tally.totals.retries += 1
        self._give_again(connection, job.retries + 1)

    def unsent(self, connection: Connection | Lane) -> None:
        assert connection.job is not None
        self._give_again(connection, connection.job.retries)

    def _give_again(self, connection: Connection | Lane, retries: int) -> None:
        job = self._release(connection)._replace(retries=retries, given=connection.sent_at)
        self._pool.drop(connection)
        if self._has_room(job):
            self._give(job, monotonic() - self._start)
        else:
            self._queue.appendleft(job)

    def failed(self, connection: Connection | Lane, failure: Failure, detail: str) -> None:
        job = self._release(connection)
        now = monotonic() - self._start
        sent_bytes = connection.body_bytes
        self._tally.failed(job, connection.sent_at, now, failure, detail, bytes_out=sent_bytes)
        self._pool.drop(connection)

    def gone(self, connection: Connection | Lane) -> None:
        connection.address.idle.remove(connection)
        self._pool.drop(connection)

    def _release(self, connection: Connection | Lane) -> Job:
        job = connection.job
        assert job is not None
        connection.job = connection.reader = None
        del self._busy[connection]
        if self._again:
            self._again.discard(connection)
        return job

    # Time passing, and the end

    def _expire(self, now: float) -> None:
        """A request has `timeout_s` from the moment it was due, in the queue or at work."""
        timeout = self._limits.timeout_s
        while self._queue and now - self._queue[0].intended > timeout:
            job = self._queue.popleft()
            self._tally.failed(job, NEVER, now, Failure.TIMEOUT, "no connection became free")
        for connection in [each for each in self._again if self._is_late(each, now)]:
            self.failed(connection, Failure.TIMEOUT, "no whole answer in time")
        while self._busy:
            oldest = next(iter(self._busy))
            if not self._is_late(oldest, now):
                break
            wanting = "connection" if oldest.state <= State.HANDSHAKE else "whole answer"
            self.failed(oldest, Failure.TIMEOUT, f"no {wanting} in time")
        if self._stop_by is not None and now >= self._stop_by:
            while self._queue:
                self._tally.failed(self._queue.popleft(), NEVER, now, Failure.STOPPED, "")
            for connection in list(self._busy):
                self.failed(connection, Failure.STOPPED, "the run was stopped")

    def _is_late(self, connection: Connection | Lane, now: float) -> bool:
        assert connection.job is not None
        return now - connection.job.intended > self._limits.timeout_s

    def _control(self) -> None:
        grace_s = self._on_control()
        if grace_s is None:
            return
        now = monotonic() - self._start
        self._tally.settle()
        self._tally.totals.is_stopped = True
        self._tally.totals.planned = self._planned(now)
        self._stop_by = now + grace_s
        self._next_tick = now
        self._next_due = math.inf
        if self._control_fd is not None:
            self._epoll.unregister(self._control_fd)
            self._control_fd = None

    def _report(self, now: float) -> None:
        window = self._tally.take_window(now)
        window |= {
            "planned": self._planned(now),
            "connections": len(self._pool.fds),
            "busy": len(self._busy),
            "queued": len(self._queue),
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
        if self._stop_by is None:
            self._tally.totals.planned = self._planned(math.inf)
        self._report(now)
        self._pool.close()
        self._epoll.close()
