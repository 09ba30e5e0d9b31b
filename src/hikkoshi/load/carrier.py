"""One HTTP/2 connection and the lanes on it: each lane carries one request at a time.

To the sender a lane is what a connection of HTTP/1.1 is. When a lane's request fails, its stream is
reset and the connection goes on; when the connection fails, so do all its lanes.
"""

from __future__ import annotations

import select
import ssl
from collections import deque
from collections.abc import Callable
from typing import Protocol

from hikkoshi.load.connection import READ_BYTES, Connection, Job, State, failure_of
from hikkoshi.load.failures import Failure
from hikkoshi.load.http2 import Ended, Http2
from hikkoshi.load.request import Address
from hikkoshi.load.response import Head, Unreadable

_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Lane:
    """stream: of the request that it carries, once that is sent."""

    __slots__ = (
        "address", "body_bytes", "carrier", "idle_since", "job", "out", "reader", "sent_at",
        "served", "state", "stream",
    )  # fmt: skip

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.address: Address = carrier.connection.address
        self.state = State.READING if carrier.is_open else State.CONNECTING
        self.job: Job | None = None
        self.stream: int | None = None
        self.body_bytes = 0
        self.sent_at = 0.0
        self.served = 0
        self.idle_since = 0.0
        # What a connection of HTTP/1.1 has, and a lane has not.
        self.out: memoryview | None = None
        self.reader: None = None

    def is_stale(self) -> bool:
        return self.state is State.CLOSED or not self.carrier.takes_more

    def close(self) -> None:
        self.state = State.CLOSED
        self.carrier.drop(self)


class Ends(Protocol):
    """As of an `Exchange`; the lane still carries its job when these are called."""

    def answered(
        self, connection: Lane, head: Head, bytes_in: int, is_reusable: bool, body: bytes
    ) -> None: ...
    def failed(self, connection: Lane, failure: Failure, detail: str) -> None: ...
    def broken(self, connection: Lane, failure: Failure, detail: str) -> None: ...
    def gone(self, connection: Lane) -> None: ...
    def untouched(self, connection: Lane, failure: Failure, detail: str) -> None:
        """The server has not begun it, and will not: another connection may have it."""
        ...

    def unsent(self, connection: Lane) -> None:
        """It waited for its turn on a connection that takes no more."""
        ...


class Carrier:
    """on_room: called when it can take a lane again. on_close: when its connection is over."""

    def __init__(
        self,
        connection: Connection,
        epoll: select.epoll,
        ends: Ends,
        *,
        most_lanes: int,
        most_body: int,
        on_room: Callable[[Carrier], None],
        on_close: Callable[[Connection], None],
    ) -> None:
        self.connection = connection
        self.is_open = False
        self.takes_more = True
        self._epoll = epoll
        self._ends = ends
        self._most_lanes = most_lanes
        self._on_room, self._on_close = on_room, on_close
        self._http2 = Http2(connection.address.is_tls, most_body)
        self._lanes: dict[Lane, None] = {}
        self._streams: dict[int, Lane] = {}
        self._waiting: deque[Lane] = deque()
        self._out = bytearray()

    def has_room(self) -> bool:
        return self.takes_more and len(self._lanes) < min(
            self._most_lanes, self._http2.most_streams
        )

    def is_idle(self) -> bool:
        return all(lane.job is None for lane in self._lanes)

    def lane(self) -> Lane:
        """A new one; only when it `has_room`."""
        lane = Lane(self)
        self._lanes[lane] = None
        if not self.is_open:
            self._waiting.append(lane)
        return lane

    def opened(self) -> None:
        """The connection stands, TLS and all."""
        self.is_open = True
        self.connection.state = State.CARRYING
        self._watch(False)
        self._pump()

    def send(self, lane: Lane) -> None:
        """The request of the lane's job; it waits if the server wants fewer at once."""
        lane.state = State.READING
        self._waiting.append(lane)
        self._pump()

    def _pump(self) -> None:
        http2 = self._http2
        # One goes out at once, to have an answer soon; the others when it is known how many may.
        most = http2.most_streams if http2.is_settled else 1
        while self._waiting and len(self._streams) < most:
            lane = self._waiting.popleft()
            job = lane.job
            if job is None:
                continue
            target = job.target
            data, lane.body_bytes = (
                (target.data, target.body_bytes) if target.render is None
                else target.render(job.seq)
            )  # fmt: skip
            lane.state = State.READING
            lane.stream = http2.request(data)
            self._streams[lane.stream] = lane
        self._flush()

    def on_event(self, mask: int) -> None:
        if mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            self._read()
        if self.is_open and mask & select.EPOLLOUT:
            self._flush()

    def _flush(self) -> None:
        self._out += self._http2.outgoing()
        while self._out and self.is_open:
            try:
                sent = self.connection.sock.send(self._out)
            except _NOT_NOW:
                break
            except OSError as error:
                self.lost(failure_of(error), str(error))
                return
            del self._out[:sent]
        if self.is_open and bool(self._out) is not self.connection.watches_writes:
            self._watch(bool(self._out))

    def _watch(self, is_for_writes: bool) -> None:
        mask = select.EPOLLIN | (select.EPOLLOUT if is_for_writes else 0)
        self._epoll.modify(self.connection.fd, mask)
        self.connection.watches_writes = is_for_writes

    def _read(self) -> None:
        try:
            data = self.connection.sock.recv(READ_BYTES)
            while data and self.connection.has_more():
                data += self.connection.sock.recv(READ_BYTES)
        except _NOT_NOW:
            return
        except OSError as error:
            self.lost(failure_of(error), str(error))
            return
        if not data:
            self.lost(Failure.CONNECTION_CLOSED, "closed before an answer")
            return
        try:
            ended = self._http2.feed(data)
        except Unreadable as error:
            self.lost(error.failure, error.detail)
            return
        if self._http2.is_going:
            self._retire()
        for each in ended:
            lane = self._streams.pop(each.stream, None)
            if lane is not None and lane.job is not None:
                self._end(lane, each)
        if self.is_open:
            self._pump()
            self._close_if_done()

    def _retire(self) -> None:
        """No further requests; those that it carries may end."""
        self.takes_more = False
        for lane in self.idle_lanes():
            self._ends.gone(lane)
        while self._waiting:
            lane = self._waiting.popleft()
            if lane.job is not None:
                self._ends.unsent(lane)

    def _end(self, lane: Lane, ended: Ended) -> None:
        lane.stream = None
        if ended.failure is None:
            assert ended.head is not None
            self._ends.answered(lane, ended.head, ended.bytes_in, self.takes_more, ended.body)
        elif ended.head is not None:
            self._ends.failed(lane, ended.failure, ended.detail)
        elif ended.is_untouched:
            self._ends.untouched(lane, ended.failure, ended.detail)
        else:
            self._ends.broken(lane, ended.failure, ended.detail)

    def drop(self, lane: Lane) -> None:
        """The lane is no more; a request that it carried was given up."""
        if lane not in self._lanes:
            return
        del self._lanes[lane]
        if lane in self._waiting:
            self._waiting.remove(lane)
        if lane.stream is not None and self._streams.pop(lane.stream, None) is not None:
            # A server that leaves one request without an answer may have died without a word.
            self._http2.reset(lane.stream)
            if self.is_open:
                self._flush()
            self._retire()
        if self.takes_more:
            self._on_room(self)
        self._close_if_done(is_new=not self.is_open)

    def _close_if_done(self, is_new: bool = False) -> None:
        if not self._lanes and (is_new or not self.takes_more):
            self.close()

    def lost(self, failure: Failure, detail: str) -> None:
        """The connection is over, and with it all that its lanes carried."""
        was_open = self.is_open
        self.close()
        for lane in list(self._lanes):
            if lane.job is None:
                self._ends.gone(lane)
            elif not was_open:
                self._ends.failed(lane, failure, detail)
            elif lane.stream is not None and self._http2.has_head(lane.stream):
                self._ends.failed(lane, Failure.INCOMPLETE_RESPONSE, "closed within the answer")
            else:
                self._ends.broken(lane, failure, detail)

    def close(self) -> None:
        """Idle lanes are the pool's to forget."""
        if self.connection.state is State.CLOSED:
            return
        self.takes_more = self.is_open = False
        self._streams.clear()
        self._waiting.clear()
        self._on_close(self.connection)

    def idle_lanes(self) -> list[Lane]:
        return [lane for lane in self._lanes if lane.job is None]
