"""The sending loop: one thread, one epoll, non-blocking sockets.

Each turn it waits for the next due request or the next readable socket, whichever is first; reads
what has come; and sends what is due. Nothing in it sleeps a fixed time and nothing waits for one
connection alone. Times inside are seconds after the start of the run.
"""

from __future__ import annotations

import math
import select
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hikkoshi.load.connection import READ_BYTES, Connection, Job, State, failure_of
from hikkoshi.load.failures import Failure
from hikkoshi.load.pacer import Pacer
from hikkoshi.load.request import Address, Prepared
from hikkoshi.load.response import Head, ResponseReader, Unreadable, parse_head
from hikkoshi.load.tally import Tally

# No more sends than this between two looks at the sockets, so that a burst starves no answer.
_BURST = 64
# How often timeouts are looked for, and the longest wait.
_TICK_S = 0.01
_HEADS_KEPT = 256
_NEVER = math.nan


@dataclass(frozen=True, slots=True)
class Limits:
    """connections: open at one time. queue: requests that wait for one. pacer None: closed model,
    `connections` at work for `duration_s`. share (i, n): of the plan, requests i, i+n, i+2n, …"""

    pacer: Pacer | None
    duration_s: float
    connections: int
    queue: int
    timeout_s: float
    is_kept_alive: bool = True
    mark: bytes = b""
    share: tuple[int, int] = (0, 1)
    report_every_s: float = 0.25


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
        self._targets, self._order = targets, order
        self._limits = limits
        self._tally = tally
        self._tls = tls
        self._control_fd, self._on_control = control_fd, on_control
        self._on_window = on_window
        self._epoll = select.epoll()
        self._fds: dict[int, Connection] = {}
        # Connections at work, oldest request first: their deadlines rise, but for retries, which
        # keep the deadline of their first try and are looked at one by one.
        self._busy: dict[Connection, None] = {}
        self._retried: set[Connection] = set()
        self._queue: deque[Job] = deque()
        self._heads: dict[bytes, Head] = {}
        self._start = 0.0
        self._next_seq, self._stride = limits.share
        self._count = limits.pacer.count if limits.pacer else 0
        self._next_due = self._due(self._next_seq)
        self._next_tick = 0.0
        self._next_window = limits.report_every_s
        self._stop_by: float | None = None

    def run(self, start: float) -> None:
        """start: a moment of time.monotonic(), now or to come."""
        self._start = start
        if self._control_fd is not None:
            self._epoll.register(self._control_fd, select.EPOLLIN)
        try:
            while not self._is_over():
                now = time.monotonic() - start
                if now >= self._next_tick:
                    self._next_tick = now + _TICK_S
                    self._expire(now)
                if self._queue:
                    self._drain(now)
                self._issue(now)
                if now >= self._next_window:
                    self._next_window = now + self._limits.report_every_s
                    self._report(now)
                self._wait()
        finally:
            self._end(time.monotonic() - start)

    # What is due

    def _due(self, seq: int) -> float:
        pacer = self._limits.pacer
        return pacer.due(seq) if pacer is not None and seq < self._count else math.inf

    def _is_issuing(self, now: float) -> bool:
        if self._stop_by is not None:
            return False
        if self._limits.pacer is not None:
            return self._next_due != math.inf
        return now < self._limits.duration_s

    def _is_over(self) -> bool:
        now = time.monotonic() - self._start
        return not self._busy and not self._queue and not self._is_issuing(now)

    def _issue(self, now: float) -> None:
        if now < 0 or self._stop_by is not None:
            return
        if self._limits.pacer is None:
            self._issue_closed(now)
            return
        for _ in range(_BURST):
            due = self._next_due
            if due > now:
                return
            seq = self._next_seq
            self._next_seq = seq + self._stride
            self._next_due = self._due(self._next_seq)
            now = time.monotonic() - self._start
            late = now - due
            self._tally.issued(late, now)
            target = self._targets[self._order[seq % len(self._order)]]
            self._admit(Job(seq, target, due, late), now)

    def _issue_closed(self, now: float) -> None:
        for _ in range(_BURST):
            if len(self._busy) >= self._limits.connections or now >= self._limits.duration_s:
                return
            seq = self._next_seq
            self._next_seq = seq + self._stride
            now = time.monotonic() - self._start
            self._tally.issued(0.0, now)
            target = self._targets[self._order[seq % len(self._order)]]
            self._admit(Job(seq, target, now, 0.0), now)

    # A request finds a connection, or a place in the queue

    def _admit(self, job: Job, now: float) -> None:
        if job.late > self._limits.timeout_s:
            self._tally.failed(job, _NEVER, now, Failure.TIMEOUT, "the generator came too late")
        elif not self._queue and self._has_room(job.target.address):
            self._give(job, now)
        elif len(self._queue) >= self._limits.queue:
            detail = f"{self._limits.connections} connections at work, queue of {len(self._queue)}"
            self._tally.failed(job, _NEVER, now, Failure.OVERFLOW, detail)
        else:
            totals = self._tally.totals
            self._queue.append(job)
            totals.waited += 1
            totals.peak_queue = max(totals.peak_queue, len(self._queue))

    def _has_room(self, address: Address) -> bool:
        if address.idle or len(self._fds) < self._limits.connections:
            return True
        # All connections are open, but one to somewhere else may be idle and give way.
        return len(self._busy) < self._limits.connections

    def _drain(self, now: float) -> None:
        for _ in range(_BURST):
            if not self._queue or not self._has_room(self._queue[0].target.address):
                return
            self._give(self._queue.popleft(), now)

    def _give(self, job: Job, now: float, must_be_new: bool = False) -> None:
        """Sends on an idle connection, or opens one; there is room for it."""
        address = job.target.address
        while address.idle and not must_be_new:
            connection = address.idle.pop()
            # A request that cannot be repeated is worth a look whether the peer has hung up.
            is_risky = not job.target.is_idempotent or now - connection.idle_since > 1.0
            if is_risky and connection.is_stale():
                self._drop(connection)
                continue
            self._start_on(connection, job, now)
            self._write(connection, job.target.data)
            return
        if len(self._fds) >= self._limits.connections:
            self._close_an_idle_one()
        self._open(job, now)

    def _close_an_idle_one(self) -> None:
        for target in self._targets:
            if target.address.idle:
                self._drop(target.address.idle.pop(0))
                return

    def _open(self, job: Job, now: float) -> None:
        try:
            connection = Connection(job.target.address, self._tls)
        except (OSError, ValueError) as error:
            ended = time.monotonic() - self._start
            kind = failure_of(error) if isinstance(error, OSError) else Failure.CONNECT_FAILED
            self._tally.failed(job, now, ended, kind, str(error))
            return
        self._fds[connection.fd] = connection
        self._epoll.register(connection.fd, select.EPOLLIN | select.EPOLLOUT)
        totals = self._tally.totals
        totals.opened += 1
        totals.peak_connections = max(totals.peak_connections, len(self._fds))
        self._start_on(connection, job, now)

    def _start_on(self, connection: Connection, job: Job, now: float) -> None:
        connection.job = job
        connection.sent_at = now
        self._busy[connection] = None
        if job.retries:
            self._retried.add(connection)

    # What the sockets say

    def _wait(self) -> None:
        now = time.monotonic() - self._start
        until = min(self._next_due, self._next_tick, self._next_window)
        wait = until - now
        if self._limits.pacer is None and len(self._busy) < self._limits.connections:
            wait = 0.0 if self._is_issuing(now) and now >= 0 else wait
        # epoll rounds its own waiting to a millisecond; select on its descriptor does not.
        if wait > 0:
            select.select([self._epoll.fileno()], [], [], wait)
        for fd, mask in self._epoll.poll(0, 256):
            connection = self._fds.get(fd)
            if connection is not None:
                self._on_event(connection, mask)
            elif fd == self._control_fd:
                self._control()

    def _on_event(self, connection: Connection, mask: int) -> None:
        state = connection.state
        if state is State.READING or state is State.IDLE:
            self._read(connection)
        elif state is State.CONNECTING:
            self._connected(connection)
        elif state is State.HANDSHAKE:
            self._handshake(connection)
        elif state is State.WRITING:
            # An answer may come, or the connection end, before the request is all out.
            if mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self._read(connection)
            if connection.state is State.WRITING and connection.out is not None:
                self._write(connection, connection.out)

    def _connected(self, connection: Connection) -> None:
        if number := connection.connect_error():
            error = OSError(number, "connect")
            self._fail(connection, failure_of(error), f"connect: error {number}")
            return
        assert connection.job is not None
        if connection.address.is_tls:
            connection.state = State.HANDSHAKE
            self._handshake(connection)
        else:
            self._write(connection, connection.job.target.data)

    def _handshake(self, connection: Connection) -> None:
        assert connection.job is not None
        try:
            wants = connection.handshake()
        except (OSError, ValueError) as error:
            self._fail(connection, Failure.TLS_FAILED, str(error))
            return
        if wants is None:
            self._write(connection, connection.job.target.data)
        else:
            self._watch(connection, wants == "write")

    def _write(self, connection: Connection, data: bytes | memoryview) -> None:
        connection.state = State.WRITING
        try:
            connection.out = connection.write(data)
        except OSError as error:
            self._broken(connection, failure_of(error), str(error))
            return
        if connection.out is None:
            connection.state = State.READING
        if connection.watches_writes is not (connection.out is not None):
            self._watch(connection, connection.out is not None)

    def _watch(self, connection: Connection, is_for_writes: bool) -> None:
        mask = select.EPOLLIN | (select.EPOLLOUT if is_for_writes else 0)
        self._epoll.modify(connection.fd, mask)
        connection.watches_writes = is_for_writes

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._broken(connection, failure_of(error), str(error))
            return
        job = connection.job
        if job is None:
            # Closed while idle, or speaking without being asked: of no use either way.
            connection.address.idle.remove(connection)
            self._drop(connection)
            return
        if not data:
            self._ended(connection)
            return
        reader = connection.reader
        if reader is None:
            # The usual answer: whole, in one piece, its length told. Heads that repeat are parsed
            # once.
            end = data.find(b"\r\n\r\n") + 4
            if end > 3 and not job.target.is_head:
                head = self._heads.get(data[:end]) or self._learn(data[:end])
                if head is not None and head.length == len(data) - end and connection.out is None:
                    self._finish(connection, head, head.length, head.is_kept_alive)
                    return
            reader = connection.reader = ResponseReader(job.target.is_head, self._limits.mark)
        try:
            is_whole = reader.feed(data)
            while not is_whole and connection.has_more():
                is_whole = reader.feed(connection.sock.recv(READ_BYTES))
        except Unreadable as error:
            self._fail(connection, error.failure, error.detail)
            return
        except OSError as error:
            self._broken(connection, failure_of(error), str(error))
            return
        if is_whole:
            assert reader.head is not None
            self._finish(connection, reader.head, reader.bytes_in, reader.is_reusable)

    def _learn(self, raw: bytes) -> Head | None:
        try:
            head = parse_head(raw, self._limits.mark)
        except Unreadable:
            return None
        # Only for final answers whose length is told; the reader knows the rest.
        if head.status < 200 or head.status in (204, 304) or head.length is None:
            return None
        if len(self._heads) >= _HEADS_KEPT:
            self._heads.clear()
        self._heads[raw] = head
        return head

    # How a request ends

    def _finish(self, connection: Connection, head: Head, bytes_in: int, is_reusable: bool) -> None:
        now = time.monotonic() - self._start
        job = self._release(connection)
        self._tally.answered(job, connection.sent_at, now, head.status, bytes_in, head.marked)
        if is_reusable and self._limits.is_kept_alive and connection.out is None:
            connection.served += 1
            connection.state = State.IDLE
            connection.idle_since = now
            connection.address.idle.append(connection)
        else:
            self._drop(connection)

    def _ended(self, connection: Connection) -> None:
        """The other side closed while an answer was awaited."""
        reader = connection.reader
        if reader is not None and reader.finish():
            assert reader.head is not None
            self._finish(connection, reader.head, reader.bytes_in, False)
        elif reader is not None:
            self._fail(connection, Failure.INCOMPLETE_RESPONSE, "closed within the answer")
        else:
            self._broken(connection, Failure.CONNECTION_CLOSED, "closed before an answer")

    def _broken(self, connection: Connection, failure: Failure, detail: str) -> None:
        """The connection is gone. A reused one may have been closed while it was idle: then, and
        if sending twice does no harm and no byte of an answer had come, it is tried once more."""
        job = connection.job
        if job is None:
            connection.address.idle.remove(connection)
            self._drop(connection)
            return
        is_stale = connection.served > 0 and connection.reader is None
        if not is_stale or not job.target.is_idempotent or job.retries or self._stop_by is not None:
            self._fail(connection, failure, detail)
            return
        sent_at = connection.sent_at
        self._release(connection)
        self._drop(connection)
        self._tally.totals.retries += 1
        self._give(job._replace(retries=1), sent_at, must_be_new=True)

    def _fail(self, connection: Connection, failure: Failure, detail: str) -> None:
        job = self._release(connection)
        now = time.monotonic() - self._start
        self._tally.failed(job, connection.sent_at, now, failure, detail)
        self._drop(connection)

    def _release(self, connection: Connection) -> Job:
        job = connection.job
        assert job is not None
        connection.job = connection.reader = None
        del self._busy[connection]
        if job.retries:
            self._retried.discard(connection)
        return job

    def _drop(self, connection: Connection) -> None:
        del self._fds[connection.fd]
        connection.close()

    # Time passing, and the end

    def _expire(self, now: float) -> None:
        """A request has `timeout_s` from the moment it was due, in the queue or at work."""
        timeout = self._limits.timeout_s
        while self._queue and now - self._queue[0].intended > timeout:
            job = self._queue.popleft()
            self._tally.failed(job, _NEVER, now, Failure.TIMEOUT, "no connection became free")
        for connection in [each for each in self._retried if self._is_late(each, now)]:
            self._fail(connection, Failure.TIMEOUT, "no whole answer in time")
        while self._busy:
            oldest = next(iter(self._busy))
            if not self._is_late(oldest, now):
                break
            wanting = "connection" if oldest.state <= State.HANDSHAKE else "whole answer"
            self._fail(oldest, Failure.TIMEOUT, f"no {wanting} in time")
        if self._stop_by is not None and now >= self._stop_by:
            while self._queue:
                self._tally.failed(self._queue.popleft(), _NEVER, now, Failure.STOPPED, "")
            for connection in list(self._busy):
                self._fail(connection, Failure.STOPPED, "the run was stopped")

    def _is_late(self, connection: Connection, now: float) -> bool:
        assert connection.job is not None
        return now - connection.job.intended > self._limits.timeout_s

    def _control(self) -> None:
        grace_s = self._on_control()
        if grace_s is None:
            return
        now = time.monotonic() - self._start
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
            "connections": len(self._fds),
            "busy": len(self._busy),
            "queued": len(self._queue),
        }
        self._on_window(window)

    def _planned(self, now: float) -> int:
        pacer = self._limits.pacer
        if pacer is None:
            return self._tally.totals.issued
        due = min(self._count, math.floor(pacer.integral(now)) + 1) if now >= 0 else 0
        first, stride = self._limits.share
        return max(0, -(-(due - first) // stride))

    def _end(self, now: float) -> None:
        totals = self._tally.totals
        if self._stop_by is None:
            totals.planned = self._planned(math.inf)
        self._report(now)
        for connection in list(self._fds.values()):
            self._drop(connection)
        self._epoll.close()
