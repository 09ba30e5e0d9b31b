"""One connection and the request it carries."""

from __future__ import annotations

import errno
import math
import socket
import ssl
from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from hikkoshi.load.failures import Failure
from hikkoshi.load.request import Address, Prepared
from hikkoshi.load.response import ResponseReader

if TYPE_CHECKING:
    from hikkoshi.load.carrier import Carrier

READ_BYTES = 16 * 1024
NEVER = math.nan

_KINDS: Mapping[int, Failure] = {
    errno.ECONNREFUSED: Failure.CONNECTION_REFUSED,
    errno.ECONNRESET: Failure.CONNECTION_RESET,
    errno.EPIPE: Failure.CONNECTION_RESET,
    errno.ECONNABORTED: Failure.CONNECTION_RESET,
    errno.ETIMEDOUT: Failure.TIMEOUT,
    errno.EADDRNOTAVAIL: Failure.NO_LOCAL_PORT,
    errno.EMFILE: Failure.NO_DESCRIPTOR,
    errno.ENFILE: Failure.NO_DESCRIPTOR,
}


class State(IntEnum):
    CONNECTING = 0
    HANDSHAKE = 1
    WRITING = 2
    READING = 3
    IDLE = 4
    CLOSED = 5
    CARRYING = 6


class Job(NamedTuple):
    """One request of the plan. Times are seconds on the sender's clock.

    late: how long after it was due the generator came to it; waiting for a connection not counted.
    hops: redirects followed so far. given: when it first got a connection, once it is tried again
    or redirected.
    """

    seq: int
    target: Prepared
    intended: float
    late: float
    retries: int = 0
    hops: int = 0
    given: float = NEVER


def failure_of(error: OSError) -> Failure:
    """The kind that a socket's error counts as."""
    if isinstance(error, ssl.SSLError):
        return Failure.TLS_FAILED
    return _KINDS.get(error.errno or 0, Failure.CONNECT_FAILED)


class Connection:
    """A non-blocking socket. The sender moves it through its states; it only does the I/O."""

    __slots__ = (
        "address",
        "body_bytes",
        "carrier",
        "fd",
        "idle_since",
        "job",
        "out",
        "reader",
        "sent_at",
        "served",
        "sock",
        "state",
        "watches_writes",
    )

    def __init__(self, address: Address, tls: ssl.SSLContext | None) -> None:
        """Raises OSError, also for a refusal that comes at once."""
        sock = socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            if address.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = sock.connect_ex(address.next_place())  # type: ignore[arg-type]
            if number not in (0, errno.EINPROGRESS):
                # A unix socket whose queue is full says EAGAIN; that is a refusal too.
                told = errno.ECONNREFUSED if number == errno.EAGAIN else number
                raise OSError(told, "connect")
            if address.is_tls and tls is not None:
                sock = tls.wrap_socket(
                    sock,
                    server_hostname=address.server_name,
                    do_handshake_on_connect=False,
                )
        except BaseException:
            sock.close()
            raise
        self.sock = sock
        self.fd = sock.fileno()
        self.address = address
        self.state = State.CONNECTING
        self.served = 0
        self.job: Job | None = None
        self.out: memoryview | None = None
        self.reader: ResponseReader | None = None
        # Of HTTP/2 only: it has the requests, in its lanes.
        self.carrier: Carrier | None = None
        self.body_bytes = 0
        self.sent_at = 0.0
        self.idle_since = 0.0
        self.watches_writes = True

    def connect_error(self) -> int:
        """0 when the connection stands, else the errno that it failed with."""
        return self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def handshake(self) -> str | None:
        """One step of TLS; `read` or `write` is what it waits for, None when it is done.

        Raises OSError (ssl.SSLError is one)."""
        assert isinstance(self.sock, ssl.SSLSocket)
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            return "read"
        except ssl.SSLWantWriteError:
            return "write"
        return None

    def has_more(self) -> bool:
        """Whether TLS holds bytes that have arrived but that no event will tell of."""
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0

    def is_stale(self) -> bool:
        """Whether an idle connection has been closed by the other side, or spoken on."""
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except (OSError, ValueError):
            # An ssl socket cannot peek; its end is noticed by the event alone.
            return not isinstance(self.sock, ssl.SSLSocket)
        return True

    def close(self) -> None:
        self.state = State.CLOSED
        self.sock.close()
