"""A DNS query by the protocol itself, so that any server and any type can be asked."""

from __future__ import annotations

import socket
from pathlib import Path

import dnslib

from hikkoshi.synthetic.reply import ExchangeFailed, Reply
from hikkoshi.synthetic.requests import DnsRequest
from hikkoshi.synthetic.wire.clock import Watch

RESOLV_CONF = Path("/etc/resolv.conf")


def exchange_dns(request: DnsRequest, watch: Watch) -> Reply:
    server = request.server or _own_server()
    records: dict[str, tuple[str, ...]] = {}
    with watch.phase("dns"):
        for kind in request.types:
            records[kind] = _ask(request.name, kind, server, request.port, watch)
    return Reply(watch.timings(), records=records)


def _own_server() -> str:
    try:
        for line in RESOLV_CONF.read_text("utf-8", "replace").splitlines():
            words = line.split()
            if len(words) >= 2 and words[0] == "nameserver":
                return words[1]
    except OSError:
        pass
    return "127.0.0.1"


def _ask(name: str, kind: str, server: str, port: int, watch: Watch) -> tuple[str, ...]:
    """The values of the answer, those of the type alone. ExchangeFailed: the name is unknown."""
    query = dnslib.DNSRecord.question(name, kind)
    data = _over_udp(query.pack(), server, port, watch)
    try:
        answer = dnslib.DNSRecord.parse(data)
        if answer.header.tc:
            answer = dnslib.DNSRecord.parse(_over_tcp(query.pack(), server, port, watch))
    except dnslib.DNSError as error:
        raise ExchangeFailed("DNS", f"not an answer: {error}", watch.timings()) from error
    if answer.header.rcode:
        code = dnslib.RCODE.get(answer.header.rcode)
        raise ExchangeFailed("DNS", f"{name} {kind}: {code}", watch.timings())
    return tuple(_value(rr) for rr in answer.rr if dnslib.QTYPE.get(rr.rtype) == kind)


def _value(record: dnslib.RR) -> str:
    if record.rtype == dnslib.QTYPE.TXT:
        return b"".join(record.rdata.data).decode("utf-8", "replace")
    return str(record.rdata).rstrip(".")


def _over_udp(query: bytes, server: str, port: int, watch: Watch) -> bytes:
    family, kind, protocol, _, address = socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as sock:
        sock.connect(address)
        sock.settimeout(watch.left())
        sock.send(query)
        while True:
            sock.settimeout(watch.left())
            data = sock.recv(65535)
            if data[:2] == query[:2]:
                return data


def _over_tcp(query: bytes, server: str, port: int, watch: Watch) -> bytes:
    with socket.create_connection((server, port), timeout=watch.left()) as sock:
        sock.sendall(len(query).to_bytes(2, "big") + query)
        file = sock.makefile("rb")
        size = int.from_bytes(file.read(2), "big")
        return file.read(size)
