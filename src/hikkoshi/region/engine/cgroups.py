"""Limits and counters of tasks by control groups, version 1 or 2, where they can be written.

A region has one directory in each hierarchy (Ground.cgroups); a task a directory in it; a container
a directory in the task's. Limits hold for the task; a container may have one of memory beside it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hikkoshi.base.kernel_files import read_kernel_file
from hikkoshi.region.engine.port import SandboxUsage

PERIOD_US = 100_000
_REMOVE_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class CpuCounters:
    cpu_s: float
    periods: int | None
    throttled_periods: int | None
    throttled_s: float | None


class Group(Protocol):
    """One task's or container's group. Reading gives None where the kernel does not count it."""

    has_cpu: bool
    has_memory: bool

    def child(self, name: str) -> Group: ...

    def limit_cpu(self, vcpu: float) -> None: ...

    def share_cpu(self, units: int) -> None: ...

    def limit_memory(self, mebibytes: int) -> None: ...

    def add(self, pid: int) -> None: ...

    def entered(self) -> AbstractContextManager[bool]:
        """Puts the calling thread into the group, where the kernel allows that for one thread:
        what it spawns meanwhile is in it from the start. Tells whether it is."""
        ...

    def pids(self) -> list[int]: ...

    def cpu(self) -> CpuCounters | None: ...

    def memory_bytes(self) -> int | None:
        """Without page cache that can be dropped, as `docker stats` counts it."""
        ...

    def out_of_memory_kills(self) -> int: ...

    def remove(self) -> bool:
        """Kill what is inside and remove it; False while something still holds it."""
        ...


def parse_flat(text: str) -> dict[str, int]:
    """`key value` lines (cpu.stat, memory.stat, memory.events)."""
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if value.strip().isdigit():
            found[key] = int(value)
    return found


def weight_from_units(units: int) -> int:
    """cpu.weight (v2) for ECS's cpu units, which are v1's shares; 2 where none are given."""
    shares = min(max(units, 2), 262_144)
    return 1 + ((shares - 2) * 9_999) // 262_142


def safe_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".") or "_"


class GroupV1:
    """directories: by controller (cpu, cpuacct, memory); a joint mount appears under both."""

    def __init__(self, directories: dict[str, Path], home: Sequence[Path]) -> None:
        """home: the groups that this process is in, one a hierarchy."""
        self._directories = directories
        self._home = home
        self.has_cpu = "cpu" in directories
        self.has_memory = "memory" in directories

    def child(self, name: str) -> GroupV1:
        made = {kind: path / safe_name(name) for kind, path in self._directories.items()}
        for path in made.values():
            path.mkdir(exist_ok=True)
        return GroupV1(made, self._home)

    def _write(self, kind: str, knob: str, value: int) -> None:
        if kind in self._directories:
            (self._directories[kind] / knob).write_text(str(value))

    def limit_cpu(self, vcpu: float) -> None:
        self._write("cpu", "cpu.cfs_period_us", PERIOD_US)
        self._write("cpu", "cpu.cfs_quota_us", max(1000, int(vcpu * PERIOD_US)))

    def share_cpu(self, units: int) -> None:
        self._write("cpu", "cpu.shares", max(units, 2))

    def limit_memory(self, mebibytes: int) -> None:
        size = mebibytes << 20
        self._write("memory", "memory.limit_in_bytes", size)
        if "memory" in self._directories:
            # Not there when the kernel does not count swap.
            with contextlib.suppress(OSError):
                self._write("memory", "memory.memsw.limit_in_bytes", size)

    def add(self, pid: int) -> None:
        for path in set(self._directories.values()):
            (path / "cgroup.procs").write_text(str(pid))

    @contextlib.contextmanager
    def entered(self) -> Iterator[bool]:
        """Moving a whole process waits for all CPUs, about 10 ms a hierarchy; a thread that moves
        itself does not. The thread must not be the first one: memory is charged by that."""
        try:
            for path in set(self._directories.values()):
                _move_this_thread(path)
            yield True
        finally:
            for path in self._home:
                _move_this_thread(path)

    def pids(self) -> list[int]:
        for path in self._directories.values():
            return _read_pids(path)
        return []

    def cpu(self) -> CpuCounters | None:
        if "cpuacct" not in self._directories:
            return None
        nanoseconds = int(read_kernel_file(self._directories["cpuacct"] / "cpuacct.usage"))
        if "cpu" not in self._directories:
            return CpuCounters(nanoseconds / 1e9, None, None, None)
        counts = parse_flat(read_kernel_file(self._directories["cpu"] / "cpu.stat"))
        return CpuCounters(
            nanoseconds / 1e9,
            counts.get("nr_periods"),
            counts.get("nr_throttled"),
            counts.get("throttled_time", 0) / 1e9,
        )

    def memory_bytes(self) -> int | None:
        if "memory" not in self._directories:
            return None
        directory = self._directories["memory"]
        used = int(read_kernel_file(directory / "memory.usage_in_bytes"))
        cached = parse_flat(read_kernel_file(directory / "memory.stat")).get(
            "total_inactive_file", 0
        )
        return max(0, used - cached)

    def out_of_memory_kills(self) -> int:
        if "memory" not in self._directories:
            return 0
        text = (self._directories["memory"] / "memory.oom_control").read_text()
        return parse_flat(text).get("oom_kill", 0)

    def remove(self) -> bool:
        return _remove(self._directories.values())


class GroupV2:
    """One directory of the unified hierarchy, with the controllers that it was given."""

    def __init__(self, directory: Path, controllers: frozenset[str]) -> None:
        self._directory = directory
        self._controllers = controllers
        self.has_cpu = "cpu" in controllers
        self.has_memory = "memory" in controllers

    def child(self, name: str) -> GroupV2:
        hand_out(self._directory, self._controllers)
        path = self._directory / safe_name(name)
        path.mkdir(exist_ok=True)
        return GroupV2(path, self._controllers)

    def _write(self, knob: str, value: str) -> None:
        (self._directory / knob).write_text(value)

    def limit_cpu(self, vcpu: float) -> None:
        if self.has_cpu:
            self._write("cpu.max", f"{max(1000, int(vcpu * PERIOD_US))} {PERIOD_US}")

    def share_cpu(self, units: int) -> None:
        if self.has_cpu:
            self._write("cpu.weight", str(weight_from_units(units)))

    def limit_memory(self, mebibytes: int) -> None:
        if self.has_memory:
            self._write("memory.max", str(mebibytes << 20))
            with contextlib.suppress(OSError):
                self._write("memory.swap.max", "0")

    def add(self, pid: int) -> None:
        self._write("cgroup.procs", str(pid))

    def entered(self) -> AbstractContextManager[bool]:
        return contextlib.nullcontext(False)

    def pids(self) -> list[int]:
        return _read_pids(self._directory)

    def cpu(self) -> CpuCounters | None:
        counts = parse_flat(read_kernel_file(self._directory / "cpu.stat"))
        if "usage_usec" not in counts:
            return None
        throttled = counts.get("throttled_usec")
        return CpuCounters(
            counts["usage_usec"] / 1e6,
            counts.get("nr_periods"),
            counts.get("nr_throttled"),
            None if throttled is None else throttled / 1e6,
        )

    def memory_bytes(self) -> int | None:
        if not self.has_memory:
            return None
        used = int(read_kernel_file(self._directory / "memory.current"))
        counts = parse_flat(read_kernel_file(self._directory / "memory.stat"))
        return max(0, used - counts.get("inactive_file", 0))

    def out_of_memory_kills(self) -> int:
        if not self.has_memory:
            return 0
        return parse_flat((self._directory / "memory.events").read_text()).get("oom_kill", 0)

    def remove(self) -> bool:
        return _remove([self._directory])


def _move_this_thread(directory: Path) -> None:
    """Without a file object, which lets the interpreter go twice as often; a start waits for it."""
    fd = os.open(f"{directory}/tasks", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"0")
    finally:
        os.close(fd)


def hand_out(directory: Path, controllers: Iterable[str]) -> None:
    """Let the children of a v2 group have these controllers. Raises OSError."""
    knob = directory / "cgroup.subtree_control"
    missing = set(controllers) - set(knob.read_text().split())
    if missing:
        knob.write_text(" ".join(f"+{name}" for name in sorted(missing)))


def _read_pids(directory: Path) -> list[int]:
    """Without our own: while a thread of ours is in the group to spawn (`entered`), v1 lists the
    whole process there, and whoever empties the group would kill the region."""
    try:
        listed = [int(line) for line in read_kernel_file(directory / "cgroup.procs").split()]
    except OSError:
        return []
    return [pid for pid in listed if pid != os.getpid()]


def _remove(directories: Iterable[Path]) -> bool:
    is_gone = True
    for directory in set(directories):
        for pid in _read_pids(directory):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if pid > 0:
                    os.kill(pid, signal.SIGKILL)
        try:
            directory.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            is_gone = False
    return is_gone


def open_groups(candidates: Sequence[Path]) -> Group | None:
    """The region's own group in the first kind of hierarchy that can be written: v1 directories if
    they can limit cpu or memory, else the first v2 one that can. None where neither can. What is
    made here is under the candidates' names, which the journal already has."""
    v1: dict[str, Path] = {}
    for path in candidates:
        if (path.parent / "cgroup.controllers").exists():
            continue
        with contextlib.suppress(OSError):
            path.mkdir(exist_ok=True)
            for kind, knob in (
                ("cpu", "cpu.cfs_quota_us"),
                ("cpuacct", "cpuacct.usage"),
                ("memory", "memory.limit_in_bytes"),
            ):
                if (path / knob).exists():
                    v1[kind] = path
    if v1 and _accepts_a_process(list(set(v1.values()))):
        return GroupV1(v1, [path.parent for path in set(v1.values())])
    for path in candidates:
        if (path.parent / "cgroup.controllers").exists():
            group = _open_v2(path)
            if group is not None:
                return group
    return None


def _open_v2(path: Path) -> GroupV2 | None:
    try:
        offered = set((path.parent / "cgroup.controllers").read_text().split())
        wanted = frozenset(offered & {"cpu", "memory"})
        if not wanted:
            return None
        hand_out(path.parent, wanted)
        path.mkdir(exist_ok=True)
        hand_out(path, wanted)
        trial = path / "trial"
        trial.mkdir(exist_ok=True)
    except OSError:
        with contextlib.suppress(OSError):
            path.rmdir()
        return None
    is_accepted = _accepts_a_process([trial])
    _remove_soon([trial] if is_accepted else [trial, path])
    return GroupV2(path, wanted) if is_accepted else None


def _accepts_a_process(directories: Sequence[Path]) -> bool:
    """Whether a process of ours may be moved in; tried with one that is ended at once."""
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL) as process:
        try:
            for directory in directories:
                (directory / "cgroup.procs").write_text(str(process.pid))
        except OSError:
            return False
        finally:
            process.kill()
    return True


def _remove_soon(directories: Sequence[Path]) -> None:
    deadline = time.monotonic() + _REMOVE_DEADLINE_S
    for directory in directories:
        while directory.exists() and time.monotonic() < deadline:
            try:
                directory.rmdir()
            except OSError:
                time.sleep(0.001)  # The kernel tells nobody when a group has become empty.


def usage_of(group: Group) -> SandboxUsage | None:
    """What the group has counted for its task; None where it lacks a controller, or is gone."""
    with contextlib.suppress(OSError):
        counted, memory = group.cpu(), group.memory_bytes()
        if counted is not None and memory is not None:
            return SandboxUsage(
                counted.cpu_s,
                memory,
                counted.periods,
                counted.throttled_periods,
                counted.throttled_s,
            )
    return None
