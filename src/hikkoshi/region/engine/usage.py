"""What a container uses, by /proc: works without control groups and without root."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hikkoshi.base.kernel_files import read_kernel_file

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class FileUse:
    """Of the process with the most open files."""

    open_files: int = 0
    limit: int = 0
    sockets: int = 0


def parse_stat(text: str) -> tuple[int, float]:
    """/proc/PID/stat → (parent's pid, seconds of cpu, those of its waited-for children too)."""
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), sum(int(ticks) for ticks in fields[11:15]) / _TICKS


def descendants(roots: Iterable[int], proc: Path = PROC) -> list[int]:
    """The roots that live and everything below them."""
    found: list[int] = []
    waiting = list(roots)
    seen: set[int] = set()
    while waiting:
        pid = waiting.pop()
        if pid in seen:
            continue
        seen.add(pid)
        try:
            threads = list((proc / str(pid) / "task").iterdir())
        except OSError:
            continue
        found.append(pid)
        for thread in threads:
            try:
                text = read_kernel_file(thread / "children")
            except OSError:
                continue
            waiting += [int(child) for child in text.split()]
    return found


def cpu_seconds(pids: Iterable[int], proc: Path = PROC) -> float:
    """Each dead child is counted once, by the parent that waited for it."""
    total = 0.0
    for pid in pids:
        try:
            total += parse_stat(read_kernel_file(f"{proc}/{pid}/stat"))[1]
        except (OSError, ValueError, IndexError):
            continue
    return total


def memory_bytes(pids: Iterable[int], proc: Path = PROC) -> int:
    """Proportional set size, so that shared pages count once; resident size where the kernel does
    not tell it."""
    return sum(_memory_of(pid, proc) for pid in pids)


def _memory_of(pid: int, proc: Path) -> int:
    try:
        for line in read_kernel_file(f"{proc}/{pid}/smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    try:
        return int(read_kernel_file(f"{proc}/{pid}/statm").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def file_use(pids: Iterable[int], proc: Path = PROC) -> FileUse:
    counts = {}
    for pid in pids:
        try:
            # Not by pathlib: this runs for every process, twice a second.
            counts[pid] = len(os.listdir(f"{proc}/{pid}/fd"))  # noqa: PTH208
        except OSError:
            continue
    if not counts:
        return FileUse()
    pid = max(counts, key=lambda one: counts[one])
    return FileUse(counts[pid], _soft_limit(pid, proc), _sockets(pid, proc))


def _soft_limit(pid: int, proc: Path) -> int:
    try:
        text = read_kernel_file(f"{proc}/{pid}/limits")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return int(soft) if soft.isdigit() else 0
    return 0


def _sockets(pid: int, proc: Path) -> int:
    count = 0
    try:
        with os.scandir(f"{proc}/{pid}/fd") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    count += os.readlink(entry.path).startswith("socket:")  # noqa: PTH115
    except OSError:
        return count
    return count
