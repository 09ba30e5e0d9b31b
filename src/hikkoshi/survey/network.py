"""Who listens, and who calls whom, from /proc/net (proc_pid_net(5)), which needs no root."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.model.survey import Listener, Peer, Process
from hikkoshi.survey.gathered import Gathered
from hikkoshi.survey.processes import socket_owners

_LINE = re.compile(
    r"^/proc/net/(?P<table>tcp6?|udp6?):\s*\d+:\s+(?P<local>[0-9A-F]+):(?P<lport>[0-9A-F]{4})\s+"
    r"(?P<remote>[0-9A-F]+):(?P<rport>[0-9A-F]{4})\s+(?P<state>[0-9A-F]{2})\s+\S+\s+\S+\s+\S+\s+"
    r"(?P<uid>\d+)\s+\d+\s+(?P<inode>\d+)"
)
_ESTABLISHED, _LISTEN, _UDP_BOUND = "01", "0A", "07"

KINDS = {
    5432: "postgresql", 3306: "mysql", 6379: "redis", 11211: "memcached", 27017: "mongodb",
    9092: "kafka", 5672: "amqp", 5671: "amqp", 4222: "nats", 9200: "elasticsearch", 443: "https",
    80: "http", 2000: "xray", 8126: "datadog-traces", 8125: "statsd", 24224: "fluentd",
    4317: "otlp", 4318: "otlp", 389: "ldap", 636: "ldap", 25: "smtp", 587: "smtp", 465: "smtp",
    1433: "sqlserver", 1521: "oracle", 2379: "etcd", 8500: "consul", 53: "dns",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Socket:
    protocol: str
    local: str
    port: int
    remote: str
    remote_port: int
    state: str
    uid: int
    inode: str


def read_network(
    gathered: Gathered, processes: Sequence[Process]
) -> tuple[tuple[Listener, ...], tuple[Peer, ...]]:
    sockets = [s for line in gathered.answer("net").splitlines() if (s := _socket(line))]
    owners = socket_owners(gathered)
    units = {process.pid: process.unit for process in processes}
    only = _only_unit_of_user(processes)
    # Who looks may read the descriptors of all their own processes: an unowned socket of theirs is
    # of a process that was not seen.
    only.pop(int(own) if (own := gathered.answer("id").strip()).isdigit() else -1, None)
    listeners: dict[tuple[str, int, str], Listener] = {}
    for found in sockets:
        is_bound = found.state == (_LISTEN if found.protocol == "tcp" else _UDP_BOUND)
        if not is_bound or not found.port or (found.protocol == "udp" and found.remote_port):
            continue
        pid = owners.get(found.inode)
        unit = units.get(pid) if pid is not None else only.get(found.uid)
        key = (found.protocol, found.port, found.local)
        listeners[key] = Listener(found.port, found.local, found.protocol, found.uid, pid, unit)
    own_ports = {listener.port for listener in listeners.values()}
    counts: Counter[tuple[str, int, str | None]] = Counter()
    for found in sockets:
        if found.protocol == "tcp" and found.state == _ESTABLISHED and found.port not in own_ports:
            pid = owners.get(found.inode)
            unit = units.get(pid) if pid is not None else only.get(found.uid)
            counts[found.remote, found.remote_port, unit] += 1
    peers = tuple(
        Peer(address, port, count, KINDS.get(port, ""), unit)
        for (address, port, unit), count in sorted(counts.items(), key=str)
    )
    return tuple(sorted(listeners.values(), key=lambda s: (s.port, s.protocol, s.address))), peers


def _only_unit_of_user(processes: Sequence[Process]) -> dict[int, str]:
    """uid → its unit, where all that this user runs is one unit (not root's: too many are)."""
    found: dict[int, set[str]] = {}
    for process in processes:
        if process.unit and process.uid != 0:
            found.setdefault(process.uid, set()).add(process.unit)
    return {uid: next(iter(units)) for uid, units in found.items() if len(units) == 1}


def _socket(line: str) -> _Socket | None:
    match = _LINE.match(line)
    if match is None:
        return None
    return _Socket(
        match["table"][:3],
        _address(match["local"]),
        int(match["lport"], 16),
        _address(match["remote"]),
        int(match["rport"], 16),
        match["state"],
        int(match["uid"]),
        match["inode"],
    )


def _address(text: str) -> str:
    """The kernel writes each 32-bit word in the host's order, which is little-endian on x86 and
    arm64."""
    if len(text) == 8:
        return socket.inet_ntoa(struct.pack("<I", int(text, 16)))
    if len(text) != 32:
        return ""
    packed = b"".join(struct.pack("<I", int(text[i : i + 8], 16)) for i in range(0, 32, 8))
    address = ipaddress.IPv6Address(packed)
    return str(address.ipv4_mapped or address)
