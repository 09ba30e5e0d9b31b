"""The region's DNS, asked over real sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.dns import DnsServer
from hikkoshi.region.dns.zone import Zone

CLUSTER = "genba.cluster-abc.ap-northeast-1.rds.amazonaws.com"
WRITER = "genba-1.abc.ap-northeast-1.rds.amazonaws.com"
OTHER = "genba-2.abc.ap-northeast-1.rds.amazonaws.com"


@asynccontextmanager
async def running() -> AsyncIterator[DnsServer]:
    server = DnsServer()
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.close()


def exchange(port: int, packet: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(packet, ("127.0.0.1", port))
        return s.recv(4096)


async def ask(server: DnsServer, name: str, kind: str = "A") -> DNSRecord:
    packet = DNSRecord.question(name, kind).pack()
    return DNSRecord.parse(await asyncio.to_thread(exchange, server.port, packet))


def answers(record: DNSRecord) -> list[tuple[str, str, str, int]]:
    return [
        (str(rr.rname).rstrip("."), QTYPE[rr.rtype], str(rr.rdata).rstrip("."), rr.ttl)
        for rr in record.rr
    ]


def test_an_endpoint_is_answered_with_its_chain_and_flips() -> None:
    async def scenario() -> None:
        async with running() as server:
            server.set(WRITER, ["10.0.1.1"], ttl_s=5)
            server.set(OTHER, ["10.0.1.2"], ttl_s=5)
            server.set_alias(CLUSTER, WRITER)
            record = await ask(server, CLUSTER)
            assert record.header.aa and record.header.rcode == RCODE.NOERROR
            assert answers(record) == [
                (CLUSTER, "CNAME", WRITER, 5),
                (WRITER, "A", "10.0.1.1", 5),
            ]
            server.set_alias(CLUSTER, OTHER)
            assert answers(await ask(server, CLUSTER))[-1] == (OTHER, "A", "10.0.1.2", 5)
            cname = await ask(server, CLUSTER, "CNAME")
            assert answers(cname) == [(CLUSTER, "CNAME", OTHER, 5)]

    asyncio.run(scenario())


def test_no_such_name_and_no_such_record_differ() -> None:
    async def scenario() -> None:
        async with running() as server:
            server.set("api.internal", ["10.0.0.9"])
            absent = await ask(server, "example.com")
            assert absent.header.rcode == RCODE.NXDOMAIN and not absent.rr
            assert QTYPE[absent.auth[0].rtype] == "SOA"
            no_v6 = await ask(server, "api.internal", "AAAA")
            assert no_v6.header.rcode == RCODE.NOERROR and not no_v6.rr
            between = await ask(server, "internal")
            assert between.header.rcode == RCODE.NOERROR and not between.rr
            server.remove("api.internal")
            assert (await ask(server, "api.internal")).header.rcode == RCODE.NXDOMAIN

    asyncio.run(scenario())


def test_letter_case_is_ignored_and_given_back_as_asked() -> None:
    async def scenario() -> None:
        async with running() as server:
            server.set("Api.Internal.", ["10.0.0.9"])
            record = await ask(server, "aPi.inTERnal")
            assert answers(record) == [("aPi.inTERnal", "A", "10.0.0.9", 60)]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("http-intake.logs.datadoghq.com", "10.0.0.3"),
        ("a.b.c.datadoghq.com", "10.0.0.3"),
        ("x.trace.datadoghq.com", "10.0.0.4"),
        ("api.datadoghq.com", "10.0.0.5"),
        ("datadoghq.com", None),
        ("notdatadoghq.com", None),
    ],
)
def test_the_nearest_wildcard_answers(name: str, address: str | None) -> None:
    zone = Zone()
    zone.set("*.datadoghq.com", ["10.0.0.3"])
    zone.set("*.trace.datadoghq.com", ["10.0.0.4"])
    zone.set("api.datadoghq.com", ["10.0.0.5"])
    end = zone.find(name).end
    assert (end.addresses if end else None) == ((address,) if address else None)


def test_addresses_take_turns() -> None:
    zone = Zone()
    zone.set("ro.internal", ["10.0.1.1", "10.0.1.2"], ttl_s=5)
    firsts = []
    for _ in range(4):
        end = zone.find("ro.internal").end
        assert end is not None and set(end.addresses) == {"10.0.1.1", "10.0.1.2"}
        firsts.append(end.addresses[0])
    assert firsts[0] == firsts[2] != firsts[1] == firsts[3]


def test_a_circle_of_aliases_ends() -> None:
    zone = Zone()
    zone.set_alias("a.internal", "b.internal")
    zone.set_alias("b.internal", "a.internal")
    found = zone.find("a.internal")
    assert found.end is None and len(found.chain) == 8


def test_bad_names_and_addresses_are_refused() -> None:
    zone = Zone()
    with pytest.raises(ValueError, match="not a DNS name"):
        zone.set("a..b", ["10.0.0.1"])
    with pytest.raises(ValueError):
        zone.set("a.b", ["10.0.0.256"])


def test_garbage_is_dropped_and_counted_and_the_server_lives() -> None:
    async def scenario() -> None:
        async with running() as server:
            server.set("api.internal", ["10.0.0.9"])
            question = DNSRecord.question("api.internal")
            reply = question.reply().pack()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                for packet in (b"", b"\x00", b"hello", question.pack()[:15], reply):
                    s.sendto(packet, ("127.0.0.1", server.port))
            assert answers(await ask(server, "api.internal"))
            assert server.dropped == 5 and server.answered == 1

    asyncio.run(scenario())


def test_edns_is_answered_and_a_long_answer_is_cut_for_udp_only() -> None:
    async def scenario() -> None:
        async with running() as server:
            server.set("many.internal", [f"10.0.2.{i}" for i in range(1, 60)])
            plain = await ask(server, "many.internal")
            assert plain.header.tc
            question = DNSRecord.question("many.internal")
            question.add_ar(EDNS0(udp_len=4096))
            raw = await asyncio.to_thread(exchange, server.port, question.pack())
            record = DNSRecord.parse(raw)
            assert not record.header.tc and len(record.rr) == 59
            assert QTYPE[record.ar[0].rtype] == "OPT"

            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            packet = DNSRecord.question("many.internal").pack()
            for _ in range(2):
                writer.write(struct.pack("!H", len(packet)) + packet)
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                assert len(DNSRecord.parse(await reader.readexactly(length)).rr) == 59
            writer.close()

    asyncio.run(scenario())


def test_what_is_not_a_plain_query_is_refused_in_dns_words() -> None:
    async def scenario() -> None:
        async with running() as server:
            update = DNSRecord(DNSHeader(opcode=5), q=DNSQuestion("a.internal"))
            raw = await asyncio.to_thread(exchange, server.port, update.pack())
            assert DNSRecord.parse(raw).header.rcode == RCODE.NOTIMP
            empty = DNSRecord(DNSHeader(id=7))
            raw = await asyncio.to_thread(exchange, server.port, empty.pack())
            assert DNSRecord.parse(raw).header.rcode == RCODE.FORMERR

    asyncio.run(scenario())


def test_a_taken_port_is_told() -> None:
    async def scenario() -> None:
        async with running() as server:
            with pytest.raises(CannotRun, match=f"127.0.0.1:{server.port}"):
                await DnsServer().start("127.0.0.1", server.port)

    asyncio.run(scenario())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_no_packet_breaks_the_server(packet: bytes) -> None:
    server = DnsServer()
    server.answer(packet, is_udp=True)
    assert server.answered + server.dropped == 1


def test_questions_are_told_with_who_asked():
    heard = []

    async def scenario():
        server = DnsServer(heard=lambda client, name: heard.append((client, name)))
        await server.start("127.0.0.1", 0)
        server.set(WRITER, ["10.0.0.7"])
        try:
            await ask(server, WRITER)
            await ask(server, "nowhere.example")
        finally:
            await server.close()

    asyncio.run(scenario())
    assert heard == [("127.0.0.1", WRITER), ("127.0.0.1", "nowhere.example")]
