"""What a step sends, by kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Both in PEM."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """url is whole. body None: none is sent."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    is_following: bool = False
    is_insecure: bool = False
    client_certificate: ClientCertificate | None = None


@dataclass(frozen=True, slots=True)
class TlsRequest:
    """A handshake alone. is_lowest_asked: the lowest version that is accepted is found, too."""

    host: str
    port: int = 443
    server_name: str | None = None
    is_insecure: bool = False
    is_lowest_asked: bool = False
    client_certificate: ClientCertificate | None = None


@dataclass(frozen=True, slots=True)
class TcpRequest:
    """is_refusal_an_answer: refused or timed out is then what came, and not a failure."""

    host: str
    port: int
    is_refusal_an_answer: bool = False


@dataclass(frozen=True, slots=True)
class UdpRequest:
    host: str
    port: int
    message: bytes = b""


@dataclass(frozen=True, slots=True)
class DnsRequest:
    """types: A, AAAA, CNAME, … server None: the machine's own."""

    name: str
    types: tuple[str, ...] = ("A",)
    server: str | None = None
    port: int = 53


@dataclass(frozen=True, slots=True)
class WebSocketRequest:
    """message None: only the handshake. An answer is waited for when a message is sent."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    message: bytes | None = None
    is_binary: bool = False
    is_insecure: bool = False


@dataclass(frozen=True, slots=True)
class IcmpRequest:
    host: str
    count: int = 4


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


Request = (
    HttpRequest
    | TlsRequest
    | TcpRequest
    | UdpRequest
    | DnsRequest
    | WebSocketRequest
    | IcmpRequest
    | Wait
)
