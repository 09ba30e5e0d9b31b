"""Where a request finds a connection, or waits for one, and what becomes of it when that has
answered, failed or gone. Times are seconds after the start of the run."""

from __future__ import annotations

import select
import ssl
from collections import deque
from collections.abc import Sequence
from time import monotonic

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
from hikkoshi.load.tally import Tally

# No more sends than this between two looks at the sockets, so that a burst starves no answer.
BURST = 64
# Of a request that servers of HTTP/2 have not begun; a server that ends every connection at once
# would else be asked for ever.
_MOST_RETRIES = 3
# Looked up once: an enum's member costs as much as the comparison.
_CONNECTING, _IDLE = State.CONNECTING, State.IDLE


class Desk:
    """busy: the connections at work, oldest request first: their deadlines rise, but for those that
    are tried again, which keep their first deadline and are looked at one by one. queue: requests
    that wait. places: requests that can be at work at one time. start: of the run, a moment of
    time.monotonic(). stop_by: once the run is to end, when the last answer counts."""

    def __init__(
        self,
        epoll: select.epoll,
        targets: Sequence[Prepared],
        limits: Limits,
        tally: Tally,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._limits = limits
        self._tally = tally
        self._checker = Checker(limits.checks) if limits.checks else None
        self._redirector = Redirector(limits.form) if limits.redirects else None
        needs_body = self._checker is not None and self._checker.needs_body
        most_body = MAX_BODY_BYTES if needs_body else 0
        self.pool: Pool = (
            LanePool(epoll, targets, limits, tls, tally.totals, ends=self, most_body=most_body)
            if limits.is_http2
            else Pool(epoll, targets, limits, tls, tally.totals)
        )
        self.exchange = Exchange(epoll, self, mark=limits.mark, most_body=most_body)
        self.busy: dict[Connection | Lane, None] = {}
        self._again: set[Connection | Lane] = set()
        self.places = limits.places
        self.queue: deque[Job] = deque()
        self.start = 0.0
        self.stop_by: float | None = None

    def admit(self, job: Job, now: float) -> None:
        if job.late > self._limits.timeout_s:
            self._tally.failed(job, NEVER, now, Failure.TIMEOUT, "the generator came too late")
        elif not self.queue and self._has_room(job):
            self.give(job, now)
        elif len(self.queue) >= self._limits.queue:
            detail = f"{self._limits.connections} connections at work, queue of {len(self.queue)}"
            self._tally.failed(job, NEVER, now, Failure.OVERFLOW, detail)
        else:
            totals = self._tally.totals
            self.queue.append(job)
            totals.waited += 1
            totals.peak_queue = max(totals.peak_queue, len(self.queue))

    def _has_room(self, job: Job) -> bool:
        # With all connections open, one to somewhere else may be idle and give way.
        return bool(job.target.address.idle) or (
            len(self.busy) < self.places and self.pool.has_room(job.target.address)
        )

    def drain(self, now: float) -> None:
        for _ in range(BURST):
            if not self.queue or not self._has_room(self.queue[0]):
                return
            self.give(self.queue.popleft(), now)

    def give(self, job: Job, now: float, must_be_new: bool = False) -> None:
        """Sends on an idle connection, or opens one; there is room for it."""
        idle = job.target.address.idle
        connection = self.pool.take(job, now) if idle and not must_be_new else None
        if connection is None:
            found = self.pool.open(job.target.address)
            if isinstance(found, CannotOpen):
                ended = monotonic() - self.start
                self._tally.failed(job, now, ended, found.failure, found.detail)
                return
            connection = found
        connection.job = job
        connection.sent_at = now
        self.busy[connection] = None
        if job.given == job.given:  # not NaN: it is tried again
            connection.sent_at = job.given
            self._again.add(connection)
        if connection.state is not _CONNECTING:
            self.exchange.send(connection)

    # How a request ends (the protocol Ends)

    def answered(
        self,
        connection: Connection | Lane,
        head: Head,
        bytes_in: int,
        is_reusable: bool,
        body: bytes,
    ) -> None:
        now = monotonic() - self.start
        job = self._release(connection)
        status, sent, body_bytes = head.status, connection.sent_at, connection.body_bytes
        if is_reusable and self._limits.is_kept_alive and connection.out is None:
            connection.served += 1
            connection.state = _IDLE
            connection.idle_since = now
            connection.address.idle.append(connection)
        else:
            self.pool.drop(connection)
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
        if target is None or self.stop_by is not None:
            return False
        now = monotonic() - self.start
        if job.hops >= self._limits.redirects:
            detail = f"more than {self._limits.redirects} redirects"
            self._tally.failed(
                job, sent, now, Failure.TOO_MANY_REDIRECTS, detail, status=head.status
            )
        else:
            self.give(job._replace(target=target, hops=job.hops + 1, given=sent), now)
        return True

    def broken(self, connection: Connection | Lane, failure: Failure, detail: str) -> None:
        """A reused connection may have been closed while it was idle: then, and if sending twice
        does no harm, the request is tried once more."""
        job = connection.job
        if job is None:
            self.gone(connection)
            return
        is_stale = connection.served > 0
        if not is_stale or not job.target.is_idempotent or job.retries or self.stop_by is not None:
            self.failed(connection, failure, detail)
            return
        sent = connection.sent_at
        self._release(connection)
        self.pool.drop(connection)
        self._tally.totals.retries += 1
        now = monotonic() - self.start
        self.give(job._replace(retries=1, given=sent), now, must_be_new=True)

    def untouched(self, connection: Connection | Lane, failure: Failure, detail: str) -> None:
        """No harm can come of sending again what the server has not begun, whatever it is."""
        job = connection.job
        assert job is not None
        if job.retries >= _MOST_RETRIES or self.stop_by is not None:
            self.failed(connection, failure, detail)
            return
        self._tally.totals.retries += 1
        self._give_again(connection, job.retries + 1)

    def unsent(self, connection: Connection | Lane) -> None:
        assert connection.job is not None
        if self.stop_by is not None:
            self.failed(connection, Failure.STOPPED, "the run was stopped")
        else:
            self._give_again(connection, connection.job.retries)

    def _give_again(self, connection: Connection | Lane, retries: int) -> None:
        job = self._release(connection)._replace(retries=retries, given=connection.sent_at)
        self.pool.drop(connection)
        if self._has_room(job):
            self.give(job, monotonic() - self.start)
        else:
            self.queue.appendleft(job)

    def failed(self, connection: Connection | Lane, failure: Failure, detail: str) -> None:
        job = self._release(connection)
        now = monotonic() - self.start
        sent_bytes = connection.body_bytes
        self._tally.failed(job, connection.sent_at, now, failure, detail, bytes_out=sent_bytes)
        self.pool.drop(connection)

    def gone(self, connection: Connection | Lane) -> None:
        connection.address.idle.remove(connection)
        self.pool.drop(connection)

    def _release(self, connection: Connection | Lane) -> Job:
        job = connection.job
        assert job is not None
        connection.job = connection.reader = None
        del self.busy[connection]
        if self._again:
            self._again.discard(connection)
        return job

    # Time passing

    def expire(self, now: float) -> None:
        """A request has `timeout_s` from the moment it was due, in the queue or at work."""
        timeout = self._limits.timeout_s
        while self.queue and now - self.queue[0].intended > timeout:
            job = self.queue.popleft()
            self._tally.failed(job, NEVER, now, Failure.TIMEOUT, "no connection became free")
        # The end of one may give others a new lane (HTTP/2): each is looked at when its turn comes.
        for connection in list(self._again):
            if connection in self._again and self._is_late(connection, now):
                self.failed(connection, Failure.TIMEOUT, "no whole answer in time")
        while self.busy:
            oldest = next(iter(self.busy))
            if not self._is_late(oldest, now):
                break
            wanting = "connection" if oldest.state <= State.HANDSHAKE else "whole answer"
            self.failed(oldest, Failure.TIMEOUT, f"no {wanting} in time")
        if self.stop_by is not None and now >= self.stop_by:
            while self.queue:
                self._tally.failed(self.queue.popleft(), NEVER, now, Failure.STOPPED, "")
            while self.busy:
                self.failed(next(iter(self.busy)), Failure.STOPPED, "the run was stopped")

    def _is_late(self, connection: Connection | Lane, now: float) -> bool:
        assert connection.job is not None
        return now - connection.job.intended > self._limits.timeout_s
