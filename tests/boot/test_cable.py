"""What becomes of a frame: pure, on frames that are written out here."""

from __future__ import annotations

import json
import random
import socket
import struct

import pytest

from hikkoshi.region.boot.cable import EGRESS, INGRESS, Cable, fate, read_packet, read_rules
from hikkoshi.region.boot.impairing import as_rule
from hikkoshi.region.engine.port import Impairment

EVERYWHERE = ("0.0.0.0/0",)


def frame(target: str, port: int, *, protocol: int = 6, fragment: int = 0, words: int = 5) -> bytes:
    """A virtio_net_hdr, Ethernet, IPv4 (of so many 32-bit words) and the ports."""
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x40 | words, 0, 0, 0, fragment, 64, protocol, 0,
        socket.inet_aton("10.0.1.1"), socket.inet_aton(target),
    )  # fmt: skip
    options = bytes((words - 5) * 4)
    return bytes(10 + 12) + b"\x08\x00" + ip + options + struct.pack("!HH", 40000, port) + bytes(16)


def befalls(impairments: list[Impairment], direction: str, data: bytes) -> float | None:
    rules = read_rules(json.dumps([as_rule(each) for each in impairments]))
    return fate(rules, direction, read_packet(data), random.Random(1))


HOLE = Impairment("egress", EVERYWHERE, ("10.0.9.0/24",), "tcp", 80, loss=1.0)


@pytest.mark.parametrize(
    ("direction", "data", "is_lost"),
    [
        (EGRESS, frame("10.0.1.2", 80), True),
        (EGRESS, frame("10.0.1.2", 80, words=7), True),
        (INGRESS, frame("10.0.1.2", 80), False),
        (EGRESS, frame("10.0.1.2", 81), False),
        (EGRESS, frame("10.0.1.2", 80, protocol=17), False),
        (EGRESS, frame("10.0.9.7", 80), False),
        (EGRESS, frame("10.0.1.2", 80, fragment=100), False),
        (EGRESS, bytes(10 + 12) + b"\x08\x06" + bytes(46), False),
        (EGRESS, frame("10.0.1.2", 80)[:40], False),
        (EGRESS, b"", False),
    ],
)
def test_a_black_hole(direction: str, data: bytes, is_lost: bool) -> None:
    assert befalls([HOLE], direction, data) == (None if is_lost else 0.0)


def test_delays_are_of_networks_and_ipv6_ones_match_nothing() -> None:
    late = Impairment("egress", ("10.0.1.0/24",), (), delay_s=0.2)
    six = Impairment("egress", ("::/0",), (), delay_s=0.2)
    assert befalls([late], EGRESS, frame("10.0.1.9", 5432)) == 0.2
    assert befalls([late], EGRESS, frame("10.0.2.9", 5432)) == 0.0
    assert befalls([six], EGRESS, frame("10.0.1.9", 5432)) == 0.0
    assert befalls([late, HOLE], EGRESS, frame("10.0.1.9", 80)) is None


def test_jitter_and_loss_are_as_often_as_they_are_asked() -> None:
    rules = read_rules(
        json.dumps(
            [
                as_rule(Impairment("egress", EVERYWHERE, (), delay_s=0.1, jitter_s=0.05)),
                as_rule(Impairment("egress", EVERYWHERE, (), loss=0.3)),
            ]
        )
    )
    chance, packet = random.Random(7), read_packet(frame("10.0.1.9", 1))
    fates = [fate(rules, EGRESS, packet, chance) for _ in range(10_000)]
    kept = [each for each in fates if each is not None]
    assert 0.28 < 1 - len(kept) / len(fates) < 0.32
    assert 0.05 <= min(kept) < 0.055 and 0.145 < max(kept) <= 0.15


def test_frames_wait_for_their_time_and_the_queue_has_an_end() -> None:
    """On a pair of sockets in place of cards; the frames come out in their order."""
    task, far_task = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    bridge, far_bridge = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with task, far_task, bridge, far_bridge:
        cable = Cable(task, bridge)
        for number in (1, 2):
            cable.hold(0.5, bridge, frame("10.0.1.9", number))
        assert cable.release(now=0.4) == pytest.approx(0.1)
        assert cable.release(now=0.5) is None
        ports = [read_packet(far_bridge.recv(4096)) for _ in range(2)]
        assert [each.port for each in ports if each is not None] == [1, 2]
        for _ in range(1005):
            cable.hold(1.0, bridge, b"x")
        assert (cable.delayed, cable.lost) == (1002, 5)
