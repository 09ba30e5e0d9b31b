"""A program that carries a task's frames between its cable and the bridge, and spoils some.

Run by path, with the standard library alone, so that it starts in some 20 ms. Its arguments are
three descriptors: a packet socket towards the task, one towards the bridge, and a stream over
which rules come as lines of JSON; each line is answered with a line of counts. It ends with the
stream. Frames carry a virtio_net_hdr (PACKET_VNET_HDR), for checksums and segments of the kernel's
own sockets are left to the card and must stay so: see packet(7), linux/virtio_net.h.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import random
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import Any

EGRESS, INGRESS = "egress", "ingress"
# Of netem, which the agent uses: what is more is dropped.
QUEUE_FRAMES = 1000
_LARGEST_FRAME = 10 + 18 + 65536
_BURST = 64
_ETHERNET = 10
_IP = _ETHERNET + 14
_IPV4 = b"\x08\x00"
_PROTOCOLS = {6: "tcp", 17: "udp"}

Network = tuple[int, int]
"""(address, mask)"""


@dataclass(frozen=True, slots=True)
class Packet:
    """What rules look at. port: the destination's; None in fragments after the first."""

    protocol: str
    target: int
    port: int | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault. direction as the task sees it. protocol, port None: any. targets: networks of
    destinations; spared: those among them that are left alone. loss: probability of a drop."""

    direction: str
    targets: tuple[Network, ...]
    spared: tuple[Network, ...] = ()
    protocol: str | None = None
    port: int | None = None
    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0

    def holds(self, direction: str, packet: Packet) -> bool:
        return (
            direction == self.direction
            and self.protocol in (None, packet.protocol)
            and self.port in (None, packet.port)
            and any(packet.target & mask == address for address, mask in self.targets)
            and not any(packet.target & mask == address for address, mask in self.spared)
        )


def read_packet(frame: bytes) -> Packet | None:
    """None for what is not IPv4 (ARP must pass, or nobody is reached at all)."""
    if frame[_ETHERNET + 12 : _IP] != _IPV4 or len(frame) < _IP + 20:
        return None
    protocol = _PROTOCOLS.get(frame[_IP + 9], "other")
    (target,) = struct.unpack_from("!I", frame, _IP + 16)
    (fragment,) = struct.unpack_from("!H", frame, _IP + 6)
    start = _IP + (frame[_IP] & 0xF) * 4
    port = None
    if protocol != "other" and not fragment & 0x1FFF and len(frame) >= start + 4:
        (port,) = struct.unpack_from("!H", frame, start + 2)
    return Packet(protocol, target, port)


def fate(
    rules: tuple[Rule, ...], direction: str, packet: Packet | None, chance: random.Random
) -> float | None:
    """Seconds by which the packet is late; None: it is lost."""
    late = 0.0
    if packet is None:
        return late
    for rule in rules:
        if not rule.holds(direction, packet):
            continue
        if rule.loss and (rule.loss >= 1 or chance.random() < rule.loss):
            return None
        late += rule.delay_s
        if rule.jitter_s:
            late += chance.uniform(-rule.jitter_s, rule.jitter_s)
    return max(0.0, late)


def read_rules(line: str) -> tuple[Rule, ...]:
    """Of a JSON array of rules, each with the fields of Rule."""

    def networks(found: list[list[int]]) -> tuple[Network, ...]:
        return tuple((int(address), int(mask)) for address, mask in found)

    def rule(each: dict[str, Any]) -> Rule:
        targets, spared = networks(each.pop("targets")), networks(each.pop("spared", []))
        return Rule(targets=targets, spared=spared, **each)

    return tuple(rule(each) for each in json.loads(line))


@dataclass(slots=True)
class Cable:
    """task and bridge: packet sockets. waiting: (due, n, socket, frame), a heap."""

    task: socket.socket
    bridge: socket.socket
    chance: random.Random = field(default_factory=random.Random)
    rules: tuple[Rule, ...] = ()
    passed: int = 0
    delayed: int = 0
    lost: int = 0
    waiting: list[tuple[float, int, socket.socket, bytes]] = field(default_factory=list)

    def take(self, direction: str, now: float) -> None:
        """Up to a burst of frames from one side."""
        source, sink = (self.task, self.bridge) if direction == EGRESS else (self.bridge, self.task)
        for _ in range(_BURST):
            try:
                frame, _, _, sender = source.recvmsg(_LARGEST_FRAME)
            except OSError:
                return
            if sender[2] == socket.PACKET_OUTGOING:
                continue  # what we sent ourselves
            late = fate(self.rules, direction, read_packet(frame), self.chance)
            if late is None:
                self.lost += 1
            elif late:
                self.hold(now + late, sink, frame)
            else:
                self.passed += 1
                send(sink, frame)

    def hold(self, due: float, sink: socket.socket, frame: bytes) -> None:
        """Until then; a frame that finds the queue full is lost."""
        if len(self.waiting) >= QUEUE_FRAMES:
            self.lost += 1
            return
        self.delayed += 1
        heapq.heappush(self.waiting, (due, self.delayed, sink, frame))

    def release(self, now: float) -> float | None:
        """Send what is due; seconds until the next is."""
        while self.waiting and self.waiting[0][0] <= now:
            _, _, sink, frame = heapq.heappop(self.waiting)
            send(sink, frame)
        return self.waiting[0][0] - now if self.waiting else None

    def counts(self) -> dict[str, int]:
        return {"passed": self.passed, "delayed": self.delayed, "lost": self.lost}


def send(sink: socket.socket, frame: bytes) -> None:
    """A full or vanished card loses the frame, as cards do."""
    with contextlib.suppress(OSError):
        sink.send(frame)


def carry(cable: Cable, control: socket.socket) -> None:
    """Until the control stream ends."""
    heard = control.makefile("rw", encoding="utf-8")
    while True:
        wait = cable.release(time.monotonic())
        ready, _, _ = select.select([control, cable.task, cable.bridge], [], [], wait)
        now = time.monotonic()
        if cable.task in ready:
            cable.take(EGRESS, now)
        if cable.bridge in ready:
            cable.take(INGRESS, now)
        if control in ready:
            line = heard.readline()
            if not line:
                return
            cable.rules = read_rules(line)
            heard.write(json.dumps(cable.counts()) + "\n")
            heard.flush()


def main() -> None:
    sockets = [socket.socket(fileno=int(fd)) for fd in sys.argv[1:4]]
    for one in sockets[:2]:
        one.setblocking(False)
    carry(Cable(sockets[0], sockets[1]), sockets[2])


if __name__ == "__main__":
    main()
