"""What a process on this machine holds: memory, descriptors, connections; with its children."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    memory_bytes: int
    descriptors: int
    connections: int


def usage_of(pid: int) -> Usage | None:
    """Of the process and all its descendants; None when it is gone, or may not be looked at."""
    memory = descriptors = connections = 0
    try:
        for each in [pid, *_descendants(pid)]:
            entry = Path("/proc") / str(each)
            try:
                memory += int((entry / "statm").read_text().split()[1]) * _PAGE
                links = _links(entry / "fd")
            except (FileNotFoundError, ProcessLookupError):
                if each == pid:
                    return None
                continue
            descriptors += len(links)
            connections += sum(link.startswith("socket:") for link in links)
    except PermissionError:
        return None
    return Usage(memory, descriptors, connections)


def _links(directory: Path) -> list[str]:
    """What the descriptors lead to; one may be closed while they are listed."""
    links = []
    for link in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(str(link.readlink()))
    return links


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                children = [int(each) for each in task.read_text().split()]
            except OSError:
                continue
            found += children
            waiting += children
    return found
