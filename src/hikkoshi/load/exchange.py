"""One connection's way through its states, as its socket tells: connect, TLS, write, read."""

from __future__ import annotations

import select
import ssl
from typing import Protocol

from hikkoshi.load.carrier import Lane
from hikkoshi.load.connection import READ_BYTES, Connection, State, failure_of
from hikkoshi.load.failures import Failure
from hikkoshi.load.response import Head, ResponseReader, Unreadable, parse_head

_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
# Looked up once: an enum's member costs as much as the comparison.
_READING, _IDLE, _WRITING = State.READING, State.IDLE, State.WRITING
_HEADS_KEPT = 256
# Heads longer than this are parsed each time: they are rare, and would fill the memory.
_LONGEST_KEPT = 2048


class Ends(Protocol):
    """How an exchange ends; the connection still carries its job when these are called."""

    def answered(
        self, connection: Connection, head: Head, bytes_in: int, is_reusable: bool, body: bytes
    ) -> None: ...

    def failed(self, connection: Connection, failure: Failure, detail: str) -> None: ...

    def broken(self, connection: Connection, failure: Failure, detail: str) -> None:
        """The connection is gone, and no byte of an answer had come."""
        ...

    def gone(self, connection: Connection) -> None:
        """An idle connection was closed by the other side, or spoke without being asked."""
        ...


class Exchange:
    """most_body: how many bytes of a body are kept for checks; 0 for none."""

    def __init__(self, epoll: select.epoll, ends: Ends, *, mark: bytes, most_body: int) -> None:
        self._epoll = epoll
        self._ends = ends
        self._mark = mark
        self._most_body = most_body
        self._heads: dict[bytes, Head] = {}

    def on_event(self, connection: Connection, mask: int) -> None:
        """For a connection in any state; one that is READING may be handed to `read` at once."""
        state = connection.state
        if state is _READING or state is _IDLE:
            self.read(connection)
        elif state is State.CONNECTING:
            self._connected(connection)
        elif connection.carrier is not None and state is State.CARRYING:
            connection.carrier.on_event(mask)
        elif state is State.HANDSHAKE:
            self._handshake(connection)
        elif state is State.WRITING:
            # An answer may come, or the connection end, before the request is all out.
            if mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self.read(connection)
            if connection.state is State.WRITING and connection.out is not None:
                self._write(connection, connection.out)

    # Before the request

    def _connected(self, connection: Connection) -> None:
        if number := connection.connect_error():
            error = OSError(number, "connect")
            self._refused(connection, failure_of(error), f"connect: error {number}")
        elif connection.address.is_tls:
            connection.state = State.HANDSHAKE
            self._handshake(connection)
        else:
            self._open(connection)

    def _handshake(self, connection: Connection) -> None:
        try:
            wants = connection.handshake()
        except (OSError, ValueError) as error:
            self._refused(connection, Failure.TLS_FAILED, str(error))
            return
        if wants is not None:
            self._watch(connection, wants == "write")
            return
        assert isinstance(connection.sock, ssl.SSLSocket)
        if connection.carrier is not None and connection.sock.selected_alpn_protocol() != "h2":
            self._refused(connection, Failure.TLS_FAILED, "the server does not speak h2")
            return
        self._open(connection)

    def _open(self, connection: Connection) -> None:
        if connection.carrier is not None:
            connection.carrier.opened()
        else:
            self.send(connection)

    def _refused(self, connection: Connection, failure: Failure, detail: str) -> None:
        if connection.carrier is not None:
            connection.carrier.lost(failure, detail)
        else:
            self._ends.failed(connection, failure, detail)

    def send(self, connection: Connection | Lane) -> None:
        """The request of the connection's job."""
        if isinstance(connection, Lane):
            connection.carrier.send(connection)
            return
        job = connection.job
        assert job is not None
        target = job.target
        if target.render is None:
            data, connection.body_bytes = target.data, target.body_bytes
        else:
            data, connection.body_bytes = target.render(job.seq)
        self._write(connection, data)

    def _write(self, connection: Connection, data: bytes | memoryview) -> None:
        try:
            sent = connection.sock.send(data)
        except _NOT_NOW:
            sent = 0
        except OSError as error:
            self._ends.broken(connection, failure_of(error), str(error))
            return
        if sent == len(data):
            connection.state, connection.out = _READING, None
            if connection.watches_writes:
                self._watch(connection, False)
        else:
            connection.state, connection.out = _WRITING, memoryview(data)[sent:]
            if not connection.watches_writes:
                self._watch(connection, True)

    def _watch(self, connection: Connection, is_for_writes: bool) -> None:
        mask = select.EPOLLIN | (select.EPOLLOUT if is_for_writes else 0)
        self._epoll.modify(connection.fd, mask)
        connection.watches_writes = is_for_writes

    # The answer

    def read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(READ_BYTES)
        except _NOT_NOW:
            return
        except OSError as error:
            self._lost(connection, failure_of(error), str(error))
            return
        job = connection.job
        if job is None:
            self._ends.gone(connection)
        elif not data:
            self._ended(connection)
        elif connection.reader is not None:
            self._read_on(connection, connection.reader, data)
        else:
            # The usual answer: whole, in one piece, its length told. Heads that repeat are parsed
            # once.
            end = data.find(b"\r\n\r\n") + 4
            if end > 3 and connection.out is None and not job.target.is_head:
                raw = data[:end]
                head = self._heads.get(raw) or self._learn(raw)
                size = len(data) - end
                if head is not None and head.length == size:
                    body = data[end:] if self._most_body else b""
                    self._ends.answered(connection, head, size, head.is_kept_alive, body)
                    return
            connection.reader = ResponseReader(job.target.is_head, self._mark, self._most_body)
            self._read_on(connection, connection.reader, data)

    def _learn(self, raw: bytes) -> Head | None:
        try:
            head = parse_head(raw, self._mark)
        except Unreadable:
            return None
        # Only for final answers whose length is told; the reader knows the rest.
        if head.status < 200 or head.status in (204, 304) or head.length is None:
            return None
        if len(raw) <= _LONGEST_KEPT:
            if len(self._heads) >= _HEADS_KEPT:
                self._heads.clear()
            self._heads[raw] = head
        return head

    def _read_on(self, connection: Connection, reader: ResponseReader, data: bytes) -> None:
        try:
            is_whole = reader.feed(data)
            while not is_whole and connection.has_more():
                is_whole = reader.feed(connection.sock.recv(READ_BYTES))
        except Unreadable as error:
            self._ends.failed(connection, error.failure, error.detail)
        except OSError as error:
            self._lost(connection, failure_of(error), str(error))
        else:
            if is_whole:
                assert reader.head is not None
                self._ends.answered(
                    connection, reader.head, reader.bytes_in, reader.is_reusable, bytes(reader.body)
                )

    def _ended(self, connection: Connection) -> None:
        """The other side closed."""
        reader = connection.reader
        if connection.job is None:
            self._ends.gone(connection)
        elif reader is not None and reader.finish():
            assert reader.head is not None
            self._ends.answered(connection, reader.head, reader.bytes_in, False, bytes(reader.body))
        elif reader is not None:
            self._ends.failed(connection, Failure.INCOMPLETE_RESPONSE, "closed within the answer")
        else:
            self._ends.broken(connection, Failure.CONNECTION_CLOSED, "closed before an answer")

    def _lost(self, connection: Connection, failure: Failure, detail: str) -> None:
        if connection.job is None:
            self._ends.gone(connection)
        elif connection.reader is not None:
            self._ends.failed(connection, failure, detail)
        else:
            self._ends.broken(connection, failure, detail)
