"""What a region has on the machine, seen from outside: processes, namespaces, sockets, groups."""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Traces:
    """Taken of a running process and all below it. Processes are held as pidfds, so that a number
    that is used again deceives nobody."""

    processes: dict[int, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    network_namespaces: set[str] = field(default_factory=set)
    listening: set[str] = field(default_factory=set)
    control_groups: set[str] = field(default_factory=set)

    def close(self) -> None:
        for fd in self.processes.values():
            os.close(fd)
        self.processes.clear()


def take(pid: int, state: Path) -> Traces:
    found = Traces()
    sockets: set[str] = set()
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        with contextlib.suppress(OSError):
            found.processes[one] = os.pidfd_open(one)
            found.names[one] = Path(f"/proc/{one}/comm").read_text().strip()
            for thread in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (thread / "children").read_text().split()]
            found.network_namespaces.add(os.readlink(f"/proc/{one}/ns/net"))
            for descriptor in os.scandir(f"/proc/{one}/fd"):
                with contextlib.suppress(OSError):
                    sockets.add(os.readlink(descriptor.path))
    found.network_namespaces.discard(os.readlink("/proc/self/ns/net"))
    found.listening = {inode for inode in _listening() if f"socket:[{inode}]" in sockets}
    with contextlib.suppress(OSError, ValueError):
        record = json.loads((state / "region.json").read_text())
        found.control_groups = set(record["cgroups"])
    return found


def left_of(before: Traces, home: Path, project: Path) -> list[str]:
    """Everything that is still there, one line each."""
    left = [f"process {pid} ({before.names.get(pid)})" for pid in _alive(before.processes)]
    left += [f"process {pid} of this home" for pid in _started_from(home)]
    left += [f"network namespace {name}" for name in before.network_namespaces & _namespaces()]
    left += [f"listening socket {inode}" for inode in before.listening & set(_listening())]
    left += [f"control group {name}" for name in before.control_groups if Path(name).exists()]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    left += [f"mount {line}" for line in mounts if str(home.parent) in line]
    for place in (project / ".hikkoshi" / "region", home / "state" / "hikkoshi" / "region"):
        left += [f"state {place}"] if place.exists() else []
    left += [f"index entry {p}" for p in (home / "state" / "hikkoshi").glob("*.json")]
    return left


def wait_gone(before: Traces, deadline_s: float) -> None:
    """Until every process of `before` has ended, or the deadline."""
    deadline = time.monotonic() + deadline_s
    for fd in before.processes.values():
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.poll(max(0.0, deadline - time.monotonic()) * 1000)


def _alive(processes: dict[int, int]) -> list[int]:
    alive = []
    for pid, fd in processes.items():
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(0):
            alive.append(pid)
    return alive


def _started_from(home: Path) -> Iterator[int]:
    """Processes with this home in their environment, or with a working directory under it."""
    needle = f"XDG_STATE_HOME={home / 'state'}".encode()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            environment = Path(f"/proc/{entry.name}/environ").read_bytes()
            at = os.readlink(f"/proc/{entry.name}/cwd")
            if needle in environment.split(b"\0") or at.startswith(str(home.parent)):
                yield int(entry.name)


def _namespaces() -> set[str]:
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"/proc/{entry.name}/ns/net"))
    return found


def _listening() -> list[str]:
    """Inodes of this namespace's listening TCP sockets, and of its unix sockets."""
    found = []
    for name, state in (("tcp", "0A"), ("tcp6", "0A")):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == state:
                    found.append(words[9])
    return found
