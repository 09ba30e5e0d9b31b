"""HTTP/2 on one connection, by the library h2: the protocol alone, no socket.

A request comes as the bytes of HTTP/1.1 and is taken apart again, so that variables, bodies from
files and headers need no second way of being made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hikkoshi.load.failures import Failure
from hikkoshi.load.response import MAX_HEAD_BYTES, Head, Unreadable

if TYPE_CHECKING:
    import h2.connection

# Of the connection (RFC 9113, 8.2.2), or told in another way.
_NOT_SENT = {b"host", b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te"}
_REFUSED, _CANCEL = 7, 8  # RFC 9113, 7


class Ended(NamedTuple):
    """How a stream ended: answered whole, or by a failure (head: what had come until then).
    is_untouched: the server has said that it did nothing about the request."""

    stream: int
    head: Head | None
    bytes_in: int
    body: bytes
    failure: Failure | None = None
    detail: str = ""
    is_untouched: bool = False


class _Stream:
    __slots__ = ("body", "bytes_in", "head", "unsent")

    def __init__(self, unsent: bytes) -> None:
        self.unsent = unsent
        self.head: Head | None = None
        self.bytes_in = 0
        self.body = bytearray()


class Http2:
    """`outgoing` after each call has the bytes to be sent. is_settled: the server has told its
    settings. is_going: it takes no further streams."""

    def __init__(self, is_tls: bool, most_body: int = 0) -> None:
        import h2.config

        # h2 checks what we send and what comes; its own words end up in the details of a failure.
        self._h2: h2.connection.H2Connection = _lasting_connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self._h2.initiate_connection()
        self._scheme = b"https" if is_tls else b"http"
        self._most_body = most_body
        self._streams: dict[int, _Stream] = {}
        self.is_settled = False
        self.is_going = False

    @property
    def most_streams(self) -> int:
        """At one time, as the server wants it; without end before it has said so."""
        return int(self._h2.remote_settings.max_concurrent_streams)

    def outgoing(self) -> bytes:
        return bytes(self._h2.data_to_send())

    def has_head(self, stream: int) -> bool:
        return stream in self._streams and self._streams[stream].head is not None

    def request(self, data: bytes) -> int:
        """Its stream. data: a request as HTTP/1.1 would send it, its body not in chunks."""
        raw, _, body = data.partition(b"\r\n\r\n")
        first, *lines = raw.split(b"\r\n")
        method, path, _ = first.split(b" ", 2)
        pairs = [line.split(b":", 1) for line in lines]
        named = [(name.lower(), value.strip()) for name, value in pairs]
        authority = next((value for name, value in named if name == b"host"), b"")
        headers = [
            (b":method", method), (b":scheme", self._scheme), (b":authority", authority),
            (b":path", path), *(pair for pair in named if pair[0] not in _NOT_SENT),
        ]  # fmt: skip
        number = self._h2.get_next_available_stream_id()
        self._h2.send_headers(number, headers, end_stream=not body)
        self._streams[number] = _Stream(body)
        self._send_body(number)
        return number

    def reset(self, stream: int) -> None:
        """The request is not waited for any more."""
        import h2.exceptions

        if self._streams.pop(stream, None) is None:
            return
        try:
            self._h2.reset_stream(stream, _CANCEL)
        except h2.exceptions.ProtocolError:
            return  # it has ended, or the connection has

    def _send_body(self, number: int) -> None:
        stream = self._streams[number]
        while stream.unsent:
            room = self._h2.local_flow_control_window(number)
            size = min(room, self._h2.max_outbound_frame_size, len(stream.unsent))
            if size <= 0:
                return
            part, stream.unsent = stream.unsent[:size], stream.unsent[size:]
            self._h2.send_data(number, part, end_stream=not stream.unsent)

    def feed(self, data: bytes) -> list[Ended]:
        """The streams that have ended by this. Unreadable: the connection is of no more use."""
        import h2.exceptions

        if not self.is_settled and data.startswith(b"HTTP/"):
            # h2 would take it for the head of a frame of 4 MB, and wait for that.
            raise Unreadable(Failure.BAD_RESPONSE, f"not HTTP/2: {data[:40]!r}")
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            raise Unreadable(Failure.BAD_RESPONSE, f"not HTTP/2: {error}") from error
        ended: list[Ended] = []
        for event in events:
            self._take(event, ended)
        return ended

    def _take(self, event: Any, ended: list[Ended]) -> None:
        import h2.events

        if isinstance(event, h2.events.ConnectionTerminated):
            self._go(event, ended)
            return
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.is_settled = True
            return
        if isinstance(event, h2.events.WindowUpdated):
            # Of one stream, or (0) of the connection, for which several may have waited.
            for number in [event.stream_id] if event.stream_id else list(self._streams):
                if number in self._streams:
                    self._send_body(number)
            return
        number = getattr(event, "stream_id", None) or 0
        stream = self._streams.get(number)
        if stream is None:
            if isinstance(event, h2.events.DataReceived):  # of one that was reset
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            return
        try:
            if isinstance(event, h2.events.ResponseReceived):
                stream.head = _head_of(event.headers or [])
            elif isinstance(event, h2.events.DataReceived):
                self._take_data(stream, event)
            elif isinstance(event, h2.events.StreamReset):
                del self._streams[number]
                failure = Failure.CONNECTION_RESET
                detail = f"stream reset {event.error_code}"
                is_refused = event.error_code == _REFUSED
                ended.append(
                    Ended(number, stream.head, stream.bytes_in, b"", failure, detail, is_refused)
                )
            elif isinstance(event, h2.events.StreamEnded):
                del self._streams[number]
                if stream.head is None:
                    raise Unreadable(Failure.BAD_RESPONSE, "a stream ended without headers")
                body = bytes(stream.body)
                ended.append(Ended(number, stream.head, stream.bytes_in, body))
        except Unreadable as error:
            self.reset(number)
            failure, detail = error.failure, error.detail
            ended.append(Ended(number, stream.head, stream.bytes_in, b"", failure, detail))

    def _take_data(self, stream: _Stream, event: Any) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        stream.bytes_in += len(event.data)
        if self._most_body:
            stream.body += event.data
            if stream.bytes_in > self._most_body:
                raise Unreadable(Failure.TOO_LARGE, f"a body above {self._most_body} bytes")

    def _go(self, event: Any, ended: list[Ended]) -> None:
        """GOAWAY (RFC 9113, 6.8): streams above the last one that it names were not begun; with
        no error the others are still answered."""
        self.is_going = True
        detail = f"GOAWAY {event.error_code}"
        if event.error_code:
            raise Unreadable(Failure.CONNECTION_CLOSED, detail)
        for number in [each for each in self._streams if each > event.last_stream_id]:
            del self._streams[number]
            ended.append(Ended(number, None, 0, b"", Failure.CONNECTION_CLOSED, detail, True))


def _lasting_connection(config: Any) -> Any:
    """h2 reads nothing more after a GOAWAY, although a server that ends a connection in order (as
    nginx does after 1,000 requests) still answers what it has begun. There is no public way round
    it; were this method renamed, h2 would only do again what it does by itself."""
    import h2.connection
    import h2.events

    class Lasting(h2.connection.H2Connection):
        def _receive_goaway_frame(self, frame: Any) -> Any:
            if frame.error_code:
                return super()._receive_goaway_frame(frame)
            event = h2.events.ConnectionTerminated()
            event.error_code = 0
            event.last_stream_id = frame.last_stream_id
            return [], [event]

    return Lasting(config)


def _head_of(headers: Any) -> Head:
    status = next((value for name, value in headers if name == b":status"), b"")
    if not status.isdigit() or len(status) != 3:
        raise Unreadable(Failure.BAD_RESPONSE, f"the status is {status!r}")
    lines = [b"HTTP/2 " + status]
    lines += [name + b": " + value for name, value in headers if not name.startswith(b":")]
    raw = b"\r\n".join(lines) + b"\r\n\r\n"
    if len(raw) > MAX_HEAD_BYTES:
        raise Unreadable(Failure.TOO_LARGE, f"headers above {MAX_HEAD_BYTES} bytes")
    return Head(int(status), None, False, True, "", raw)
