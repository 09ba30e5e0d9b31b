"""One DNS question in, one answer out, as bytes (RFC 1035, RFC 6891, RFC 2308)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from dnslib import CLASS, CNAME, EDNS0, OPCODE, QR, QTYPE, RCODE, RR, SOA, A, DNSError, DNSRecord

from hikkoshi.region.dns.zone import Found, Record, Zone

PLAIN_UDP_BYTES = 512
OUR_UDP_BYTES = 1232
NEGATIVE_TTL_S = 5


class GarbageError(Exception):
    """Not a question: too short, cut off, or itself an answer. It gets no reply."""


def reply(packet: bytes, zone: Zone, *, is_udp: bool) -> bytes:
    """The answer to one packet. Raises GarbageError for what is no question."""
    question = _parse(packet)
    answer = question.reply(ra=0, aa=1)
    answer.header.rcode = _refusal(question)
    if answer.header.rcode == RCODE.NOERROR:
        _fill(answer, question, zone)
    limit = _offer_edns(question, answer)
    packed = bytes(answer.pack())
    if is_udp and len(packed) > limit:
        packed = bytes(answer.truncate().pack())
    return packed


def question_of(packet: bytes) -> str:
    """The name that a packet asks for, without its last dot; "" where there is none."""
    try:
        return str(_parse(packet).q.qname).rstrip(".")[:255]
    except GarbageError:
        return ""


def _parse(packet: bytes) -> DNSRecord:
    try:
        question = DNSRecord.parse(packet)
    except (DNSError, ValueError, IndexError, KeyError) as error:
        raise GarbageError(str(error)) from error
    if question.header.qr != QR.QUERY:
        raise GarbageError("an answer, not a question")
    return question


def _refusal(question: DNSRecord) -> int:
    if question.header.opcode != OPCODE.QUERY:
        return int(RCODE.NOTIMP)
    if len(question.questions) != 1:
        return int(RCODE.FORMERR)
    if question.q.qclass not in (CLASS.IN, 255):
        return int(RCODE.REFUSED)
    return int(RCODE.NOERROR)


def _fill(answer: DNSRecord, question: DNSRecord, zone: Zone) -> None:
    asked = str(question.q.qname)
    found = zone.find(asked)
    kind = question.q.qtype
    if found.chain and kind == QTYPE.CNAME:
        found = Found(found.chain[:1], None, is_known=True)
    owner = question.q.qname
    for alias in found.chain:
        answer.add_answer(RR(owner, QTYPE.CNAME, rdata=CNAME(alias.target), ttl=alias.ttl_s))
        owner = alias.target
    has_addresses = False
    if found.end is not None and kind in (QTYPE.A, QTYPE.ANY):
        for address in found.end.addresses:
            answer.add_answer(RR(owner, QTYPE.A, rdata=A(address), ttl=found.end.ttl_s))
            has_addresses = True
    has_records = _add_records(answer, owner, found.records, kind)
    if not found.is_known:
        answer.header.rcode = RCODE.NXDOMAIN
    if not has_addresses and not has_records and not (found.chain and kind == QTYPE.CNAME):
        answer.add_auth(_authority())


def _add_records(answer: DNSRecord, owner: object, records: Sequence[Record], kind: int) -> bool:
    """Those of the kind that was asked for; one whose data make no sense is left out."""
    has_any = False
    for record in records:
        with contextlib.suppress(DNSError, ValueError, IndexError, KeyError, StopIteration):
            if kind not in (QTYPE.ANY, getattr(QTYPE, record.kind)):
                continue
            line = f"{str(owner).rstrip('.')}. {record.ttl_s} IN {record.kind} {record.data}"
            for each in RR.fromZone(line):
                answer.add_answer(each)
                has_any = True
    return has_any


def _authority() -> RR:
    """How long a "no" may be kept: as short as an RDS endpoint's own TTL."""
    times = (1, 60, 60, 60, NEGATIVE_TTL_S)
    soa = SOA("ns.region.internal", "hostmaster.region.internal", times)
    return RR(".", QTYPE.SOA, rdata=soa, ttl=NEGATIVE_TTL_S)


def _offer_edns(question: DNSRecord, answer: DNSRecord) -> int:
    """Adds our OPT record if the question had one; the size that the asker takes by UDP."""
    for record in question.ar:
        if record.rtype == QTYPE.OPT:
            answer.add_ar(EDNS0(udp_len=OUR_UDP_BYTES))
            return max(PLAIN_UDP_BYTES, min(int(record.rclass), OUR_UDP_BYTES))
    return PLAIN_UDP_BYTES
