"""The few Linux calls that Python 3.11 has no function for: unshare, setns, mount, prctl."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

CAP_SYS_ADMIN = 21

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Give the calling thread (NEWPID: its next children) namespaces of its own."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int) -> None:
    """Put the calling thread into the namespace that `fd` is open on."""
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    _check(
        _libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            data.encode() if data else None,
        ),
        f"mount {kind or ''} on {target}",
    )


def _prctl(option: int, argument: int | ctypes.Array[ctypes.c_char]) -> None:
    value = ctypes.c_ulong(argument) if isinstance(argument, int) else argument
    none = ctypes.c_ulong(0)
    _check(_libc.prctl(ctypes.c_int(option), value, none, none, none), "prctl")


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel for this signal when the thread that started this process ends."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent has ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_process_name(name: str) -> None:
    """What `ps` and /proc/PID/comm show (15 bytes at most)."""
    _prctl(_PR_SET_NAME, ctypes.create_string_buffer(name.encode()[:15]))


def has_capability(number: int) -> bool:
    """Whether this process has the capability in effect, by /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def process_start_time(pid: int) -> int | None:
    """Clock ticks after boot at which the process started; None if there is none (or a zombie).

    A pid with this number names one process for as long as the machine is up."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def use_one_heap() -> None:
    """glibc gives threads heaps of their own and keeps what is freed in them: of a process whose
    threads mostly hold the interpreter's lock, that is memory for nothing. Where the C library has
    no mallopt (musl), nothing."""
    m_trim_threshold, m_arena_max = -1, -8
    with contextlib.suppress(AttributeError):
        mallopt = _libc.mallopt
        mallopt(m_arena_max, 1)
        mallopt(m_trim_threshold, 128 << 10)
