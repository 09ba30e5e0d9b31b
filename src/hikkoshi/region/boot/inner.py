"""From the door's child to the region's process: namespaces and init."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hikkoshi.base.errors import BadInput, CannotRun, HikkoshiError
from hikkoshi.region.boot import linux
from hikkoshi.region.boot.refusal import explain_refusal, read_facts

MACHINE_PROC = Path("/run/hikkoshi/proc")
DOCKER_SOCKET = Path("/run/hikkoshi/docker.sock")
_EVERYTHING = (
    linux.CLONE_NEWNET
    | linux.CLONE_NEWNS
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
)


@dataclass(frozen=True, slots=True)
class Inside:
    """What the door hands to the region's process; it arrives by fork, not by file."""

    region_id: str
    ground: Path
    record_directory: Path
    entry_point: str
    payload: Any
    api: socket.socket
    api_url: str
    channel: socket.socket
    reports: int
    cgroups: Sequence[Path]
    docker_socket: str

    def report(self, event: str, **values: object) -> None:
        """One line to the door; a reader that has gone is no reason to fail."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self.reports, json.dumps({"event": event, **values}).encode() + b"\n")

    def report_error(self, error: HikkoshiError) -> None:
        kind = "BadInput" if isinstance(error, BadInput) else "CannotRun"
        where, fix = error.where, error.fix
        self.report("failed", kind=kind, what=error.what, where=where, fix=fix)


def enter_namespaces(inside: Inside, released: int) -> NoReturn:
    """In the door's child: take namespaces, start init in them, and end.

    `released` becomes readable when the door is init's parent (it adopts orphans)."""
    linux.die_with_parent(signal.SIGKILL)
    # Until init and the region have their handlers: PID 1 would ignore it, not keep it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    step = "unshare"
    try:
        if linux.has_capability(linux.CAP_SYS_ADMIN):
            linux.unshare(_EVERYTHING)
        else:
            uid, gid = os.geteuid(), os.getegid()
            linux.unshare(_EVERYTHING | linux.CLONE_NEWUSER)
            step = "mapping the user"
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
            Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
        step = "fork into the namespaces"
        child = os.fork()
    except OSError as error:
        inside.report_error(explain_refusal(step, error.errno or errno.EPERM, read_facts()))
        os._exit(3)
    if child == 0:
        _run_init(inside, released)
    inside.report("forked", pid=child)
    os._exit(0)


def _run_init(inside: Inside, released: int) -> NoReturn:
    """PID 1. Reaps whatever is orphaned, passes SIGTERM on, and ends when the region has ended:
    the kernel then kills all that is left in the namespace."""
    if not os.read(released, 1):
        os._exit(3)
    linux.die_with_parent(signal.SIGKILL)
    if select.select([released], [], [], 0)[0]:
        os._exit(3)  # The door ended before the kernel had been asked to tell.
    os.close(released)
    linux.set_process_name("hikkoshi-init")
    try:
        _make_mounts(inside.docker_socket)
        socket.sethostname("region")
    except OSError as error:
        inside.report_error(explain_refusal(str(error), error.errno or errno.EPERM, read_facts()))
        os._exit(3)
    region = os.fork()
    if region == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        _run_region(inside)
    inside.api.close()
    inside.channel.close()
    os.close(inside.reports)
    # Blocked and waited for, not handled: Python would not see a signal that comes between its last
    # look and a wait for children, and the region would be told of its end by SIGKILL only.
    heard = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    while True:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == region:
                os._exit(os.waitstatus_to_exitcode(ended[1]) & 0xFF)
        if signal.sigwaitinfo(heard).si_signo == signal.SIGTERM:
            os.kill(region, signal.SIGTERM)


def _make_mounts(docker_socket: str) -> None:
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    guarded = linux.MS_NOSUID | linux.MS_NODEV
    kept: list[tuple[int, Path]] = []
    if docker_socket:
        # Docker's processes are not below ours: only the machine's own /proc knows them.
        kept = [(os.open("/proc", os.O_PATH), MACHINE_PROC)]
        kept += [(os.open(docker_socket, os.O_PATH), DOCKER_SOCKET)]
    linux.mount("proc", "/proc", "proc", guarded | linux.MS_NOEXEC)
    linux.mount("tmpfs", "/run", "tmpfs", guarded, "mode=755")
    Path("/run/hikkoshi").mkdir()
    for fd, place in kept:
        place.mkdir() if place == MACHINE_PROC else place.touch()
        linux.mount(f"/proc/self/fd/{fd}", str(place), None, linux.MS_BIND)
        os.close(fd)


def _run_region(inside: Inside) -> NoReturn:
    linux.set_process_name("hikkoshi-region")
    code = 1
    try:
        # Here and not above: the door and init, which stay beside it, need none of it.
        from hikkoshi.region.boot.serving import serve

        serve(inside)
        code = 0
    except HikkoshiError as error:
        traceback.print_exc()
        inside.report_error(error)
    except KeyboardInterrupt:
        code = 130
    except BaseException as error:
        traceback.print_exc()
        words = "".join(traceback.format_exception_only(error)).strip()
        inside.report_error(CannotRun(f"the region failed: {words}"))
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: threads that a room forgot must not keep the region from ending.
    os._exit(code)
