"""Echoes (ping), where the machine lets an ordinary program send them."""

from __future__ import annotations

import os
import socket
import struct
import time

from hikkoshi.synthetic.reply import CannotTry, Packets, Reply
from hikkoshi.synthetic.requests import IcmpRequest
from hikkoshi.synthetic.wire.clock import Watch

_ECHO, _ECHO_V6, _REPLIES = 8, 128, {0, 129}


def exchange_icmp(request: IcmpRequest, watch: Watch) -> Reply:
    """Echo after echo; one that does not come back within a second counts as lost."""
    with watch.phase("dns"):
        family, *_, address = socket.getaddrinfo(request.host, 0)[0]
    is_v6 = family == socket.AF_INET6
    protocol = socket.getprotobyname("ipv6-icmp" if is_v6 else "icmp")
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        raise CannotTry(
            "this user may not send ICMP echoes here (sysctl net.ipv4.ping_group_range)"
        ) from None
    trips: list[float] = []
    with sock:
        sock.connect(address)
        for number in range(1, request.count + 1):
            trip_s = _echo(sock, number, is_v6, min(1.0, watch.left()))
            trips += [] if trip_s is None else [trip_s]
    return Reply(watch.timings(), packets=Packets(request.count, tuple(trips)))


def _echo(sock: socket.socket, number: int, is_v6: bool, timeout_s: float) -> float | None:
    payload = os.urandom(32)
    head = struct.pack("!BBHHH", _ECHO_V6 if is_v6 else _ECHO, 0, 0, 0, number)
    packet = head[:2] + struct.pack("!H", checksum(head + payload)) + head[4:] + payload
    started = time.monotonic()
    try:
        sock.send(packet)
        while (left := timeout_s - (time.monotonic() - started)) > 0:
            sock.settimeout(left)
            data = sock.recv(2048)
            if data[:1] and data[0] in _REPLIES and data[8:] == payload:
                return time.monotonic() - started
    except TimeoutError:
        pass
    return None


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
