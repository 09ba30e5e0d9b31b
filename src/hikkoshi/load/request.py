"""From targets to the bytes that are sent and the addresses they are sent to."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.load.targets import Target
from hikkoshi.load.variables import Feed, Piece, fill_in, has_variables, pieces_of

if TYPE_CHECKING:
    from hikkoshi.load.carrier import Lane
    from hikkoshi.load.connection import Connection

USER_AGENT = "hikkoshi"
# Sent twice, these do no more than sent once (RFC 9110, 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_CHUNK_BYTES = 16 * 1024
# What stays as it is in a path or query; the rest is sent as UTF-8 in %XX.
_PLAIN = "/?#[]@!$&'()*+,;=:%-._~"


@dataclass(slots=True, eq=False)
class Address:
    """Where connections lead. `idle` is a stack: the last one used is the first one reused."""

    family: socket.AddressFamily
    places: tuple[object, ...]
    is_tls: bool = False
    server_name: str = ""
    idle: list[Connection | Lane] = field(default_factory=list)
    _turn: int = 0

    def next_place(self) -> object:
        """The addresses of one name take turns."""
        self._turn += 1
        return self.places[self._turn % len(self.places)]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A target, ready to be sent. render: with variables, makes the bytes of request number seq
    and says how many of them are body; else `data` and `body_bytes` hold."""

    index: int
    endpoint: str
    method: str
    url: str
    data: bytes
    body_bytes: int
    address: Address
    is_head: bool
    is_idempotent: bool
    target: Target
    render: Callable[[int], tuple[bytes, int]] | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """How requests are written and where they lead. connect_to: `host:port` or `unix:/path`; all
    connections lead there, whatever the addresses say (they still decide the Host header).
    server_name: for TLS, instead of the address's. is_chunked: bodies go in chunks; is_http2: never
    do, since that has frames of its own."""

    base_url: str | None = None
    connect_to: str | None = None
    is_kept_alive: bool = True
    is_chunked: bool = False
    is_http2: bool = False
    server_name: str | None = None
    feed: Feed | None = None

    def written(self, target: Target, url: str) -> bytes:
        if self.is_http2:
            kept = [pair for pair in target.headers if pair[0].lower() != "transfer-encoding"]
            target = replace(target, headers=tuple(kept))
        return request_bytes(target, url, self.is_kept_alive, self.is_chunked)


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


def prepare(targets: Sequence[Target], form: Form = Form()) -> tuple[Prepared, ...]:
    """Resolves names and builds the bytes, once, before the first request is due.

    Raises BadInput (no host, bad address, unknown variable) and CannotRun (a name that does not
    resolve).
    """
    addresses: dict[tuple[str, str], Address] = {}
    return tuple(
        prepare_one(index, target, form, addresses) for index, target in enumerate(targets)
    )


def prepare_one(
    index: int, target: Target, form: Form, addresses: dict[tuple[str, str], Address]
) -> Prepared:
    """addresses: those already resolved, by scheme and authority; it grows."""
    url = whole_url(target, form.base_url)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(f"{url!r} is not an address", fix="write http://host:port/path")
    if has_variables(parts.netloc):
        raise BadInput(f"{url!r} has a variable in its host", fix="use them in paths and queries")
    if target.method == "CONNECT":
        raise BadInput(
            "CONNECT asks a proxy for a connection, and is no request", where=target.where or None,
            fix="leave it out; --connect-to leads all connections to one place",
        )  # fmt: skip
    key = (parts.scheme, parts.netloc)
    if key not in addresses:
        address = _address(parts.scheme, parts.hostname, parts.port, form.connect_to)
        address.server_name = form.server_name or address.server_name
        addresses[key] = address
    return Prepared(
        index=index,
        endpoint=target.endpoint,
        method=target.method,
        url=url,
        data=form.written(target, url),
        body_bytes=len(target.body),
        address=addresses[key],
        is_head=target.method == "HEAD",
        is_idempotent=target.method in IDEMPOTENT,
        target=target,
        render=_renderer(target, url, form),
    )


def _renderer(target: Target, url: str, form: Form) -> Callable[[int], tuple[bytes, int]] | None:
    """None for a target without variables."""
    texts = [url, *(value for _, value in target.headers)]
    if not has_variables(target.body) and not any(map(has_variables, texts)):
        return None
    where = target.where or target.endpoint
    address = pieces_of(url, form.feed, where=where, is_address=True)
    names = [name for name, _ in target.headers]
    values = [pieces_of(value, form.feed, where=where) for _, value in target.headers]
    body: list[Piece] = [target.body]
    if has_variables(target.body):
        with contextlib.suppress(UnicodeDecodeError):
            text = target.body.decode()
            body = pieces_of(text, form.feed, where=where, is_strict=False)

    def render(seq: int) -> tuple[bytes, int]:
        headers = tuple(
            (name, fill_in(value, seq).decode()) for name, value in zip(names, values, strict=True)
        )
        if any("\r" in value or "\n" in value for _, value in headers):
            headers = tuple((name, " ".join(value.split())) for name, value in headers)
        filled = fill_in(body, seq)
        made = replace(target, headers=headers, body=filled)
        whole = fill_in(address, seq).decode()
        return form.written(made, whole), len(filled)

    return render


def request_bytes(
    target: Target, url: str, is_kept_alive: bool = True, is_chunked: bool = False
) -> bytes:
    """is_chunked: a body goes in chunks, without its length told before."""
    parts = urlsplit(url)
    given = {name.lower(): value for name, value in target.headers}
    lines = [f"{target.method} {path_of(url)} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {host_of(parts.netloc)}")
    if "user-agent" not in given:
        lines.append(f"User-Agent: {USER_AGENT}")
    if "accept" not in given:
        lines.append("Accept: */*")
    lines += [f"{name}: {value}" for name, value in target.headers]
    body = target.body
    if "chunked" in given.get("transfer-encoding", "").lower():
        body = _in_chunks(body)
    elif is_chunked and body and "content-length" not in given:
        lines.append("Transfer-Encoding: chunked")
        body = _in_chunks(body)
    elif not {"content-length", "transfer-encoding"} & given.keys() and (
        body or target.method in _WITH_BODY
    ):
        lines.append(f"Content-Length: {len(body)}")
    if not is_kept_alive and "connection" not in given:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body


def host_of(netloc: str) -> str:
    """Host and port as they are sent. BadInput when it is no name that DNS has letters for."""
    if netloc.isascii():
        return netloc
    try:
        return netloc.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise BadInput(f"{netloc!r} is not a host's name: {error}", fix="correct it") from error


def path_of(url: str) -> str:
    """Path and query as they are sent."""
    parts = urlsplit(url)
    path = quote(parts.path or "/", safe=_PLAIN)
    return f"{path}?{quote(parts.query, safe=_PLAIN)}" if parts.query else path


def _in_chunks(body: bytes) -> bytes:
    parts = [
        b"%x\r\n%s\r\n" % (len(chunk), chunk)
        for at in range(0, len(body), _CHUNK_BYTES)
        if (chunk := body[at : at + _CHUNK_BYTES])
    ]
    return b"".join(parts) + b"0\r\n\r\n"


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
