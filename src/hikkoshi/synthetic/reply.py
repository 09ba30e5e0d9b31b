"""What came back of one request of any kind, with the time of each phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Timings:
    """How long each phase took, in seconds; None for one that was not reached or is not there.

    first_byte_s: from the request sent to the first byte of its answer. redirect_s: all the
    exchanges before the last. total_s: everything.
    """

    dns_s: float | None = None
    connect_s: float | None = None
    tls_s: float | None = None
    first_byte_s: float | None = None
    download_s: float | None = None
    redirect_s: float | None = None
    total_s: float | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's own. subject, issuer: name → value, as in {"CN": "example.com", "O": "…"}."""

    subject: Mapping[str, str]
    issuer: Mapping[str, str]
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    serial: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Tls:
    """version: as a number, 1.2 or 1.3. lowest: the lowest version that the server accepts, where
    it was asked for."""

    version: float
    cipher: str
    certificate: Certificate | None
    lowest: float | None = None


@dataclass(frozen=True, slots=True)
class Packets:
    """Echoes: how many were sent, and the round trip of each that came back, in seconds."""

    sent: int
    round_trips_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """Only what the kind of request has is there. Header names in lower case; several of one name
    are joined by a comma. connection: established, refused or timeout. records: type → values.
    message: what a UDP or WebSocket peer said."""

    timings: Timings
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    tls: Tls | None = None
    connection: str | None = None
    records: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    message: str | None = None
    packets: Packets | None = None

    @property
    def total_s(self) -> float:
        return self.timings.total_s or 0.0


class ExchangeFailed(Exception):
    """No whole answer came. kind: CONNREFUSED, CONNRESET, HOSTUNREACH, NETUNREACH, DNS, SSL,
    TIMEOUT, TOO_MANY_REDIRECTS, BODY_TOO_LARGE, MALFORMED_RESPONSE, WEBSOCKET (Datadog's names)."""

    def __init__(self, kind: str, detail: str, timings: Timings) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.timings = timings


class CannotTry(Exception):
    """What was asked for cannot be done by this program, or on this machine; the text says why."""
