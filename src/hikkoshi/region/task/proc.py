"""What /proc tells of a container's first process and of its network namespace.

`process` is that process's directory in the /proc that knows it."""

from __future__ import annotations

import ipaddress
import signal
from dataclasses import dataclass
from pathlib import Path

from hikkoshi.base.kernel_files import read_kernel_file

_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Opens:
    """TCP connections that were opened to elsewhere and that could not be, both cumulative."""

    opened: int
    failed: int


def handles(process: Path, signal_name: str) -> bool | None:
    """Whether the process has a handler for the signal. PID 1 of a container without one is not
    ended by it. None where it cannot be read."""
    full = signal_name if signal_name.startswith("SIG") else f"SIG{signal_name}"
    try:
        number = int(signal.Signals[full])
        text = read_kernel_file(process / "status")
    except (OSError, KeyError):
        return None
    return is_caught(text, number)


def is_caught(status: str, number: int) -> bool | None:
    for line in status.splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return None


def tcp_in_use(process: Path) -> tuple[int, ...]:
    """How many TCP sockets the process's network namespace has, by IPv4 and IPv6: cheap to read,
    where /proc/net/tcp walks through the table of the whole machine (some 7 ms)."""
    found = []
    for name in ("sockstat", "sockstat6"):
        try:
            found.append(parse_in_use(read_kernel_file(process / "net" / name)))
        except OSError:
            found.append(0)
    return tuple(found)


def parse_in_use(text: str) -> int:
    """From /proc/net/sockstat or sockstat6: `TCP: inuse 3 orphan 0 …`, `TCP6: inuse 1`."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 2 and words[0] in ("TCP:", "TCP6:") and words[2].isdigit():
            return int(words[2])
    return 0


def listening_of(process: Path) -> set[tuple[str, int]]:
    """(address, port) of each TCP socket that listens in the process's network namespace."""
    found: set[tuple[str, int]] = set()
    for name in ("tcp", "tcp6"):
        try:
            text = read_kernel_file(process / "net" / name)
        except OSError:
            continue
        found |= parse_listening(text)
    return found


def parse_listening(text: str) -> set[tuple[str, int]]:
    """From /proc/net/tcp or tcp6: addresses are hexadecimal, each 32 bits little-endian."""
    found: set[tuple[str, int]] = set()
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTEN:
            address, _, port = fields[1].partition(":")
            raw = bytes.fromhex(address)
            words = b"".join(raw[k : k + 4][::-1] for k in range(0, len(raw), 4))
            found.add((str(ipaddress.ip_address(words)), int(port, 16)))
    return found


def opens_of(process: Path) -> Opens | None:
    try:
        text = read_kernel_file(process / "net" / "snmp")
    except OSError:
        return None
    return parse_opens(text)


def parse_opens(text: str) -> Opens | None:
    """From /proc/net/snmp: a line of names, then one of numbers."""
    lines = [line.split() for line in text.splitlines() if line.startswith("Tcp:")]
    if len(lines) < 2:
        return None
    values = dict(zip(lines[0], lines[1], strict=False))
    try:
        return Opens(int(values["ActiveOpens"]), int(values["AttemptFails"]))
    except (KeyError, ValueError):
        return None
