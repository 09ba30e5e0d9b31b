"""Finding regions, and removing what is left of one: processes, cgroups, directories."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.boot import linux
from hikkoshi.region.boot.settings import (
    GROUND,
    KEPT,
    LOCK_FILE,
    RECORD_FILE,
    RegionRecord,
    read_record,
)

_KILL_DEADLINE_S = 10.0
_REMOVERS = 8


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """was_running: its processes were still there. was_killed: they did not end when asked."""

    record: RegionRecord | None
    was_running: bool
    was_killed: bool


def is_alive(pid: int, start: int, boot: str) -> bool:
    """Whether that very process still runs: same boot, same pid, same start time."""
    return pid > 0 and boot == linux.boot_id() and linux.process_start_time(pid) == start


def find_regions(index: Path) -> list[tuple[RegionRecord, bool]]:
    """Every region of this user's index with whether it runs, oldest first. Entries whose state
    directory is gone are dropped from the index."""
    found = []
    for entry in index.glob("*.json"):
        try:
            state = Path(json.loads(entry.read_text())["state"])
        except (OSError, ValueError, KeyError):
            continue
        record = read_record(state)
        if record is None:
            if not state.exists():
                entry.unlink(missing_ok=True)
            continue
        found.append((record, is_alive(record.door_pid, record.door_start, record.boot_id)))
    return sorted(found, key=lambda pair: pair[0].started_at)


def clean_up(state: Path) -> CleanedUp:
    """End the region of this state directory, if it runs, and remove everything of it. Idempotent.

    Raises CannotRun if a process of it cannot be ended (another user's region)."""
    record = read_record(state)
    if record is None:
        remove_unused(state)
        return CleanedUp(None, was_running=False, was_killed=False)
    was_running = is_alive(record.door_pid, record.door_start, record.boot_id)
    was_killed = False
    if was_running:
        deadline = _stop_deadline(record)
        if not _end(record.door_pid, record.door_start, signal.SIGTERM, deadline):
            was_killed = True
            _end(record.door_pid, record.door_start, signal.SIGKILL, _KILL_DEADLINE_S)
    remove_leftovers(record)
    return CleanedUp(record, was_running, was_killed)


def _stop_deadline(record: RegionRecord) -> float:
    """A little longer than the door itself waits before it kills what is inside."""
    return record.stop_deadline_s + 5.0


def _end(pid: int, start: int, number: int, deadline_s: float) -> bool:
    """Signal that very process and wait for its end; True when it is gone."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if linux.process_start_time(pid) != start:
            return True
        signal.pidfd_send_signal(fd, number)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(deadline_s * 1000))
    except ProcessLookupError:
        return True
    except PermissionError as error:
        raise CannotRun(
            f"process {pid} of this region belongs to another user",
            fix="run the command as the user that started the region",
        ) from error
    finally:
        os.close(fd)


def remove_leftovers(record: RegionRecord) -> None:
    """After the door has ended (or by the door itself at its end): init and all that is below it,
    control groups, the state directory, the index's entry. Idempotent; never touches a process
    that is not the region's."""
    if is_alive(record.init_pid, record.init_start, record.boot_id):
        _end(record.init_pid, record.init_start, signal.SIGKILL, _KILL_DEADLINE_S)
    if record.docker_socket:
        from hikkoshi.region.boot.docker_socket import remove_from_docker

        remove_from_docker(record.docker_socket, record.region_id)
    for name in record.cgroups:
        remove_cgroup(Path(name))
    _remove_state(Path(record.state))
    with contextlib.suppress(OSError):
        Path(record.index_entry).unlink(missing_ok=True)


def remove_unused(state: Path) -> None:
    """What a door leaves that was ended before it had a journal: its lock, in an empty directory.

    Nothing is done while the lock is held (a region that starts), or where there is a journal."""
    try:
        fd = os.open(state / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not (state / RECORD_FILE).exists():
            _remove_state(state)
    except BlockingIOError:
        return
    finally:
        os.close(fd)


def remove_kept(state: Path) -> None:
    """What a killed region would have brought back; not while another runs there. Idempotent."""
    if read_record(state) is None:
        remove_tree(state / KEPT)
        with contextlib.suppress(OSError):
            state.rmdir()


def _remove_state(state: Path) -> None:
    """Only what is ours: the directory itself goes when nothing else is in it."""
    remove_tree(state / GROUND)
    with contextlib.suppress(OSError):
        for partial in state.glob(f".{RECORD_FILE}.*"):
            partial.unlink(missing_ok=True)
        for name in (RECORD_FILE, LOCK_FILE):
            (state / name).unlink(missing_ok=True)
        state.rmdir()


def remove_cgroup(directory: Path) -> None:
    """Kill what is in the group and its children, and remove them; nothing if it is not there."""
    if not directory.is_dir():
        return
    groups = [Path(top) for top, _, _ in os.walk(directory, topdown=False)]
    deadline = time.monotonic() + _KILL_DEADLINE_S
    for group in groups:
        while group.is_dir():
            for pid in _members(group):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            try:
                group.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    return
                # The kernel tells nobody when a v1 group has become empty.
                time.sleep(0.005)


def _members(group: Path) -> list[int]:
    try:
        return [int(line) for line in (group / "cgroup.procs").read_text().split() if line != "0"]
    except OSError:
        return []


def remove_tree(directory: Path) -> None:
    """Also where overlayfs left directories that nobody may enter."""

    def retry(function: Callable[..., Any], path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            parent = Path(path).parent
            parent.chmod(parent.stat().st_mode | stat.S_IRWXU)
            if Path(path).is_dir() and not Path(path).is_symlink():
                Path(path).chmod(stat.S_IRWXU)
                shutil.rmtree(path, ignore_errors=True)
            else:
                Path(path).unlink(missing_ok=True)

    if directory.is_symlink() or not directory.exists():
        return
    _remove_files(directory)
    shutil.rmtree(directory, onerror=retry)


def _remove_files(directory: Path) -> None:
    """Several at a time: a disk that is told of each freed block answers one removal in 3 ms, and a
    database has thousands of files. What cannot be removed is left to its caller."""
    files = [f"{top}/{name}" for top, _, names in os.walk(directory) for name in names]

    def remove(path: str) -> None:
        with contextlib.suppress(OSError):
            Path(path).unlink()

    with ThreadPoolExecutor(_REMOVERS) as pool:
        for _ in pool.map(remove, files):
            pass
