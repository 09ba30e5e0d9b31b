"""From targets to the bytes that are sent and the addresses they are sent to."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.load.targets import Target

if TYPE_CHECKING:
    from hikkoshi.load.connection import Connection

USER_AGENT = "hikkoshi"
# Sent twice, these do no more than sent once (RFC 9110, 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
# What stays as it is in a path or query; the rest is sent as UTF-8 in %XX.
_PLAIN = "/?#[]@!$&'()*+,;=:%-._~"


@dataclass(slots=True, eq=False)
class Address:
    """Where connections lead. `idle` is a stack: the last one used is the first one reused."""

    family: socket.AddressFamily
    places: tuple[object, ...]
    is_tls: bool = False
    server_name: str = ""
    idle: list[Connection] = field(default_factory=list)
    _turn: int = 0

    def next_place(self) -> object:
        """The addresses of one name take turns."""
        self._turn += 1
        return self.places[self._turn % len(self.places)]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A target, ready to be sent."""

    index: int
    endpoint: str
    method: str
    url: str
    data: bytes
    body_bytes: int
    address: Address
    is_head: bool
    is_idempotent: bool


def whole_url(target: Target, base_url: str | None) -> str:
    """The target's address with the base put before a bare path. BadInput if one is wanting."""
    if not target.url.startswith("/"):
        return target.url
    if base_url is None:
        raise BadInput(
            f"{target.method} {target.url} names no host",
            fix="give a base address (--base-url http://host:port), or write whole addresses",
        )
    return base_url.rstrip("/") + target.url


def prepare(
    targets: Sequence[Target],
    *,
    base_url: str | None = None,
    connect_to: str | None = None,
    is_kept_alive: bool = True,
) -> tuple[Prepared, ...]:
    """Resolves names and builds the bytes, once, before the first request is due.

    connect_to: `host:port` or `unix:/path`; all connections lead there, whatever the addresses
    say (they still decide the Host header).
    Raises BadInput (no host, bad address) and CannotRun (a name that does not resolve).
    """
    addresses: dict[tuple[str, str], Address] = {}
    prepared = []
    for index, target in enumerate(targets):
        url = whole_url(target, base_url)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(f"{url!r} is not an address", fix="write http://host:port/path")
        key = (parts.scheme, parts.netloc)
        if key not in addresses:
            addresses[key] = _address(parts.scheme, parts.hostname, parts.port, connect_to)
        prepared.append(
            Prepared(
                index=index,
                endpoint=target.endpoint,
                method=target.method,
                url=url,
                data=request_bytes(target, url, is_kept_alive),
                body_bytes=len(target.body),
                address=addresses[key],
                is_head=target.method == "HEAD",
                is_idempotent=target.method in IDEMPOTENT,
            )
        )
    return tuple(prepared)


def request_bytes(target: Target, url: str, is_kept_alive: bool = True) -> bytes:
    parts = urlsplit(url)
    path = quote(parts.path or "/", safe=_PLAIN)
    if parts.query:
        path += "?" + quote(parts.query, safe=_PLAIN)
    given = {name.lower() for name, _ in target.headers}
    lines = [f"{target.method} {path} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {parts.netloc.encode('idna').decode('ascii')}")
    if "user-agent" not in given:
        lines.append(f"User-Agent: {USER_AGENT}")
    if "accept" not in given:
        lines.append("Accept: */*")
    lines += [f"{name}: {value}" for name, value in target.headers]
    is_framed = given & {"content-length", "transfer-encoding"}
    if not is_framed and (target.body or target.method in _WITH_BODY):
        lines.append(f"Content-Length: {len(target.body)}")
    if not is_kept_alive and "connection" not in given:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + target.body


def _address(scheme: str, host: str, port: int | None, connect_to: str | None) -> Address:
    is_tls = scheme == "https"
    number = port or (443 if is_tls else 80)
    if connect_to is None:
        return _resolved(host, number, is_tls, host)
    if connect_to.startswith("unix:"):
        path = connect_to.removeprefix("unix:")
        if not path or len(path.encode()) > 107:
            raise BadInput(
                f"{connect_to!r} is not a unix socket", fix="write unix:/path, of at most 107 bytes"
            )
        return Address(socket.AF_UNIX, (path,), is_tls, host)
    other, colon, text = connect_to.rpartition(":")
    if not colon or not text.isdigit() or not 0 < int(text) < 65536 or not other:
        raise BadInput(
            f"{connect_to!r} is not a place to connect to", fix="write host:port or unix:/path"
        )
    return _resolved(other.strip("[]"), int(text), is_tls, host)


def _resolved(host: str, port: int, is_tls: bool, server_name: str) -> Address:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CannotRun(
            f"the name {host!r} does not resolve: {error}",
            fix="check the name, or give the address with --connect-to",
        ) from error
    # One family only: the first that the resolver prefers and a socket can be bound for.
    family = found[0][0]
    places = tuple(dict.fromkeys(entry[4] for entry in found if entry[0] == family))
    return Address(family, places, is_tls, server_name)
