"""Bridges, veth pairs, addresses and routes by rtnetlink, message by message.

Written out because a task start makes six of these calls and has 60 ms in all; the layout is
rtnetlink(7)'s. A socket acts in the network namespace in which it was made.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from types import TracebackType

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_NEWROUTE = 20, 24
_NLMSG_ERROR = 2
_REQUEST, _ACK, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x200, 0x400

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 10, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_GATEWAY = 5
_IFF_UP = 0x1
_TABLE_MAIN, _PROTOCOL_BOOT, _SCOPE_UNIVERSE, _UNICAST = 254, 3, 0, 1


def attribute(kind: int, payload: bytes) -> bytes:
    """One netlink attribute, padded to four bytes."""
    size = 4 + len(payload)
    return struct.pack("=HH", size, kind) + payload + b"\0" * (-size % 4)


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def _link(index: int = 0, *, is_up: bool | None = None) -> bytes:
    flags, change = (_IFF_UP if is_up else 0, 0 if is_up is None else _IFF_UP)
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def bridge_message(name: str, mac: bytes) -> bytes:
    info = attribute(_IFLA_LINKINFO, _text(_INFO_KIND, "bridge"))
    return _link(is_up=True) + attribute(_IFLA_ADDRESS, mac) + _text(_IFLA_IFNAME, name) + info


def veth_message(name: str, bridge: int, peer: str, peer_namespace: int, peer_mac: bytes) -> bytes:
    """A pair: `name` here, up and on the bridge; `peer` in the namespace of that descriptor."""
    inside = (
        _link()
        + _text(_IFLA_IFNAME, peer)
        + attribute(_IFLA_ADDRESS, peer_mac)
        + _number(_IFLA_NET_NS_FD, peer_namespace)
    )
    info = attribute(
        _IFLA_LINKINFO,
        _text(_INFO_KIND, "veth") + attribute(_INFO_DATA, attribute(_VETH_PEER, inside)),
    )
    return _link(is_up=True) + _text(_IFLA_IFNAME, name) + _number(_IFLA_MASTER, bridge) + info


class Netlink:
    """A route socket in the calling thread's network namespace. Errors are OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def _ask(self, kind: int, flags: int, body: bytes, what: str) -> bytes:
        """Send one request; its answer's body (empty for a bare acknowledgement)."""
        self._sequence += 1
        header = struct.pack("=IHHII", 16 + len(body), kind, flags | _REQUEST, self._sequence, 0)
        self._socket.send(header + body)
        while True:
            data = self._socket.recv(65536)
            size, answer, _, sequence, _ = struct.unpack_from("=IHHII", data)
            if sequence != self._sequence:
                continue
            if answer != _NLMSG_ERROR:
                return data[16:size]
            (number,) = struct.unpack_from("=i", data, 16)
            if number != 0:
                raise OSError(-number, f"{what}: {os.strerror(-number)}")
            return b""

    def add_bridge(self, name: str, mac: bytes) -> int:
        """Make it, set it up, and answer its index.

        Without an address of its own a bridge takes the lowest of its cables', and changes it when
        that cable goes: every neighbour then talks to nobody until its ARP entry has aged."""
        flags = _ACK | _CREATE | _EXCLUSIVE
        self._ask(_RTM_NEWLINK, flags, bridge_message(name, mac), f"add bridge {name}")
        return self.index(name)

    def add_veth(
        self, name: str, bridge: int, namespace: int, mac: bytes, peer: str = "eth0"
    ) -> None:
        """A cable from the bridge to `peer` (down) in the namespace of that descriptor."""
        body = veth_message(name, bridge, peer, namespace, mac)
        self._ask(_RTM_NEWLINK, _ACK | _CREATE | _EXCLUSIVE, body, f"add veth {name}")

    def remove_link(self, name: str) -> None:
        """Gone afterwards, whether or not it was there."""
        try:
            body = _link() + _text(_IFLA_IFNAME, name)
            self._ask(_RTM_DELLINK, _ACK, body, f"remove {name}")
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def index(self, name: str) -> int:
        answer = self._ask(_RTM_GETLINK, 0, _link() + _text(_IFLA_IFNAME, name), f"find {name}")
        return int(struct.unpack_from("=BxHi", answer)[2])

    def set_up(self, index: int) -> None:
        self._ask(_RTM_NEWLINK, _ACK, _link(index, is_up=True), "set link up")

    def set_bridge(self, index: int, bridge: int) -> None:
        """Plug the link into that bridge; 0: unplug it."""
        body = _link(index) + _number(_IFLA_MASTER, bridge)
        self._ask(_RTM_NEWLINK, _ACK, body, "set the link's bridge")

    def add_address(self, index: int, address: str, prefix: int) -> None:
        """Nothing to do if the address is already there."""
        packed = socket.inet_aton(address)
        body = struct.pack("=BBBBi", socket.AF_INET, prefix, 0, _SCOPE_UNIVERSE, index)
        body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
        try:
            self._ask(_RTM_NEWADDR, _ACK | _CREATE | _EXCLUSIVE, body, f"add address {address}")
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise

    def add_default_route(self, gateway: str) -> None:
        body = struct.pack(
            "=BBBBBBBBI",
            *(socket.AF_INET, 0, 0, 0, _TABLE_MAIN, _PROTOCOL_BOOT, _SCOPE_UNIVERSE, _UNICAST, 0),
        )
        body += attribute(_RTA_GATEWAY, socket.inet_aton(gateway))
        self._ask(_RTM_NEWROUTE, _ACK | _CREATE | _EXCLUSIVE, body, f"route by {gateway}")
