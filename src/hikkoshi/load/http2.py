"""HTTP/2 on one connection, by the library h2: one request at a time on it.

The request comes as the bytes of HTTP/1.1 and is taken apart again, so that variables, bodies from
files and headers need no second way of being made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hikkoshi.load.failures import Failure
from hikkoshi.load.response import MAX_HEAD_BYTES, Head, Unreadable

if TYPE_CHECKING:
    import h2.connection

# Of the connection (RFC 9113, 8.2.2), or told in another way.
_NOT_SENT = {b"host", b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te"}


class Http2:
    """`outgoing` after each call has the bytes to be sent; `feed` is True when the answer is
    whole, and then `head`, `bytes_in` and `body` hold."""

    def __init__(self, is_tls: bool, most_body: int = 0) -> None:
        import h2.config
        import h2.connection

        # h2 checks what we send and what comes; its own words end up in the details of a failure.
        self._h2: h2.connection.H2Connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self._h2.initiate_connection()
        self._scheme = b"https" if is_tls else b"http"
        self._most_body = most_body
        self._stream = 0
        self._unsent = b""
        self.head: Head | None = None
        self.bytes_in = 0
        self.body = bytearray()

    def outgoing(self) -> bytes:
        return bytes(self._h2.data_to_send())

    def request(self, data: bytes) -> None:
        """data: a request as HTTP/1.1 would send it, its body not in chunks."""
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
        self.head, self.bytes_in, self.body = None, 0, bytearray()
        self._stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(self._stream, headers, end_stream=not body)
        self._unsent = body
        self._send_body()

    def _send_body(self) -> None:
        while self._unsent:
            room = self._h2.local_flow_control_window(self._stream)
            size = min(room, self._h2.max_outbound_frame_size, len(self._unsent))
            if size <= 0:
                return
            part, self._unsent = self._unsent[:size], self._unsent[size:]
            self._h2.send_data(self._stream, part, end_stream=not self._unsent)

    def feed(self, data: bytes) -> bool:
        """Raises Unreadable: what is no HTTP/2, and a stream that the server reset."""
        import h2.events
        import h2.exceptions

        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            raise Unreadable(Failure.BAD_RESPONSE, f"not HTTP/2: {error}") from error
        is_whole = False
        for event in events:
            if isinstance(event, h2.events.WindowUpdated):
                self._send_body()
            elif isinstance(event, h2.events.ConnectionTerminated):
                raise Unreadable(Failure.CONNECTION_CLOSED, f"GOAWAY {event.error_code}")
            elif getattr(event, "stream_id", None) != self._stream:
                continue
            elif isinstance(event, h2.events.ResponseReceived):
                self.head = _head_of(event.headers or [])
            elif isinstance(event, h2.events.DataReceived):
                self._take(event)
            elif isinstance(event, h2.events.StreamReset):
                raise Unreadable(Failure.CONNECTION_RESET, f"stream reset {event.error_code}")
            elif isinstance(event, h2.events.StreamEnded):
                is_whole = True
        if is_whole and self.head is None:
            raise Unreadable(Failure.BAD_RESPONSE, "a stream ended without headers")
        return is_whole

    def _take(self, event: Any) -> None:
        self.bytes_in += len(event.data)
        if self._most_body:
            self.body += event.data
            if self.bytes_in > self._most_body:
                raise Unreadable(Failure.TOO_LARGE, f"a body above {self._most_body} bytes")
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)


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
