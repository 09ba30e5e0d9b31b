"""The region's own network: a bridge, and a namespace with an address for whoever needs one."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.boot import linux
from hikkoshi.region.boot.netlink import Netlink

BRIDGE = "hikkoshi0"
GATEWAY = "10.0.0.1"
RESOLVER = "10.0.0.2"
PREFIX = 16
FIRST_ADDRESS = "10.0.1.1"
LAST_ADDRESS = "10.0.255.254"
PARAMETERS = Path("/proc/sys")
_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_PACKET_BUFFER_BYTES = 8 << 20
"""The kernel grants what net.core.rmem_max allows."""


class AddressPool:
    """Addresses in order; a freed one comes again only after all others had their turn, so that
    nobody who still holds it (a connection pool, a DNS cache) reaches a stranger."""

    def __init__(self, first: str = FIRST_ADDRESS, last: str = LAST_ADDRESS) -> None:
        self._first = int(ipaddress.IPv4Address(first))
        self._last = int(ipaddress.IPv4Address(last))
        self._next = self._first
        self._taken: set[int] = set()

    def take(self) -> str:
        """Raises CannotRun when every address is in use."""
        for _ in range(self._last - self._first + 1):
            candidate = self._next
            self._next = self._first if candidate == self._last else candidate + 1
            if candidate not in self._taken and candidate & 0xFF not in (0, 255):
                self._taken.add(candidate)
                return str(ipaddress.IPv4Address(candidate))
        raise CannotRun(
            f"all {len(self._taken)} addresses of the region's network are in use",
            fix="stop tasks, or start a second region",
        )

    def give_back(self, address: str) -> None:
        self._taken.discard(int(ipaddress.IPv4Address(address)))


def hardware_address(address: str) -> bytes:
    """Docker's way: 02:42 and the four bytes of the address."""
    return b"\x02\x42" + ipaddress.IPv4Address(address).packed


@dataclass(slots=True)
class Space:
    """A network namespace, kept by an open descriptor; `link` is its end on the bridge."""

    name: str
    address: str
    fd: int
    link: str


@dataclass(slots=True)
class Network:
    """Made in the region's namespace. `create` and `remove` may be called from any thread."""

    home: int
    bridge: int
    pool: AddressPool = field(default_factory=AddressPool)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _count: int = 0

    @classmethod
    def lay(cls) -> Network:
        """Set up `lo` and the bridge in the calling thread's (fresh) network namespace."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        with Netlink() as netlink:
            netlink.set_up(netlink.index("lo"))
            bridge = netlink.add_bridge(BRIDGE, hardware_address(GATEWAY))
            netlink.add_address(bridge, GATEWAY, PREFIX)
            netlink.add_address(bridge, RESOLVER, PREFIX)
        open_low_ports()
        return cls(home, bridge)

    @contextlib.contextmanager
    def inside(self, fd: int) -> Iterator[None]:
        """The calling thread is in that namespace for the length of the block, which must not
        await: what it spawns or opens belongs there."""
        linux.setns(fd, linux.CLONE_NEWNET)
        try:
            yield
        finally:
            linux.setns(self.home, linux.CLONE_NEWNET)

    def create(self, name: str) -> Space:
        """A namespace with a cable to the bridge, an address, and the bridge as its way out."""
        return self.connect(name, self.take_address(), self._new_namespace)

    def take_address(self) -> str:
        with self._lock:
            return self.pool.take()

    def connect(self, name: str, address: str, open_namespace: Callable[[], int]) -> Space:
        """Lay the cable into the namespace that `open_namespace` answers a descriptor of. The
        address, taken before, is given back if that fails."""
        with self._lock:
            self._count += 1
            link = f"hk{self._count:x}"
        with contextlib.ExitStack() as undo:
            undo.callback(self.give_back, address)
            fd = open_namespace()
            undo.callback(os.close, fd)
            with Netlink() as netlink:
                netlink.add_veth(link, self.bridge, fd, hardware_address(address))
            undo.callback(self._remove_link, link)
            with self.inside(fd), Netlink() as netlink:
                netlink.set_up(netlink.index("lo"))
                inner = netlink.index("eth0")
                netlink.add_address(inner, address, PREFIX)
                netlink.set_up(inner)
                netlink.add_default_route(GATEWAY)
                open_low_ports()
            undo.pop_all()
        return Space(name, address, fd, link)

    def remove(self, space: Space) -> None:
        """Idempotent. The address may be given out again."""
        if space.fd < 0:
            return
        fd, space.fd = space.fd, -1
        self._remove_link(space.link)
        self._remove_link(f"{space.link}b")
        os.close(fd)
        self.give_back(space.address)

    def cut(self, space: Space) -> tuple[socket.socket, socket.socket]:
        """Take the cable off the bridge and answer packet sockets at both ends of the gap: towards
        the task, and towards the bridge. Until someone carries frames between them nothing passes.
        """
        outer, inner = f"{space.link}b", f"{space.link}t"
        with contextlib.ExitStack() as undo, Netlink() as netlink:
            undo.callback(self.mend, space)
            netlink.add_veth(outer, self.bridge, self.home, hardware_address("0.0.0.0"), inner)
            deafen(inner)
            netlink.set_up(netlink.index(inner))
            bridge = undo.enter_context(packet_socket(inner))
            deafen(space.link)
            netlink.set_bridge(netlink.index(space.link), 0)
            task = packet_socket(space.link)
            undo.pop_all()
        return task, bridge

    def mend(self, space: Space) -> None:
        """The cable leads to the bridge again. Idempotent; nothing for a space that is removed."""
        with Netlink() as netlink:
            netlink.remove_link(f"{space.link}b")
            if space.fd >= 0:
                netlink.set_bridge(netlink.index(space.link), self.bridge)

    def add_address(self, address: str, prefix: int = 32) -> None:
        with Netlink() as netlink:
            netlink.add_address(self.bridge, address, prefix)

    def tune(self, space: Space, values: Mapping[str, str]) -> None:
        """Kernel parameters beneath `net.`, by sysctl(8)'s names. Raises OSError."""
        with self.inside(space.fd):
            for name, value in values.items():
                path = PARAMETERS.joinpath(*name.split("."))
                if not name.startswith("net.") or not path.is_relative_to(PARAMETERS / "net"):
                    raise PermissionError(errno.EPERM, f"{name} is no parameter of a network")
                path.write_text(f"{value}\n")

    def _new_namespace(self) -> int:
        linux.unshare(linux.CLONE_NEWNET)
        try:
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            linux.setns(self.home, linux.CLONE_NEWNET)

    def _remove_link(self, link: str) -> None:
        with Netlink() as netlink:
            netlink.remove_link(link)

    def give_back(self, address: str) -> None:
        with self._lock:
            self.pool.give_back(address)


def packet_socket(link: str) -> socket.socket:
    """Every frame that comes in at the link, with its virtio_net_hdr."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    try:
        made.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PACKET_BUFFER_BYTES)
        made.bind((link, _ETH_P_ALL))
    except OSError:
        made.close()
        raise
    return made


def deafen(link: str) -> None:
    """The kernel itself answers nothing that comes in there (Linux would answer ARP for every
    address of its own at every link). IPv6 may be absent."""
    Path(f"/proc/sys/net/ipv4/conf/{link}/arp_ignore").write_text("8")
    with contextlib.suppress(FileNotFoundError):
        Path(f"/proc/sys/net/ipv6/conf/{link}/disable_ipv6").write_text("1")


def open_low_ports() -> None:
    """Anyone may bind port 80, as on Fargate (and Docker since 20.10)."""
    Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")
