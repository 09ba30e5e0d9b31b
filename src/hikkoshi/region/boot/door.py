"""The door: the region's process on the host. It binds sockets, starts what is inside, keeps the
journal, follows its launcher, and removes what is left at the end. It has one thread."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput, CannotRun, HikkoshiError
from hikkoshi.region.boot import linux
from hikkoshi.region.boot.cgroups import planned_directories
from hikkoshi.region.boot.cleanup import remove_leftovers
from hikkoshi.region.boot.doors import answer_request, listen
from hikkoshi.region.boot.inner import Inside, enter_namespaces
from hikkoshi.region.boot.settings import GROUND, RegionRecord, write_record, write_whole


@dataclass(frozen=True, slots=True)
class Orders:
    """What `launch` sends on the door's standard input. `lock` and `reports` are descriptors."""

    region_id: str
    state: str
    record_directory: str
    entry_point: str
    payload: Any
    host: str
    port: int
    is_detached: bool
    engine: str
    docker_socket: str
    stop_deadline_s: float
    index_entry: str
    launcher_pid: int
    lock: int
    reports: int


def bind_api(host: str, port: int) -> socket.socket:
    """Raises BadInput (the port is taken or privileged) before anything is started."""
    try:
        return listen(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BadInput(
                f"port {port} is in use on {host}", fix="choose another: --port N, or --port 0"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise BadInput(
                f"port {port} is privileged", fix="choose one of 1024 or more: --port N"
            ) from error
        raise CannotRun(f"cannot listen on {host}:{port}: {error.strerror}") from error
    except OverflowError as error:
        raise BadInput(f"{port} is not a port", fix="choose 0 to 65535: --port N") from error


class Door:
    """One region's door. `run` returns when all is over and removed; its value is the exit code."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._selector = selectors.DefaultSelector()
        self._record: RegionRecord | None = None
        self._init = 0
        self._kill_at: float | None = None
        self._partial = b""
        self._has_failed = False

    def run(self) -> int:
        orders = self._orders
        with contextlib.ExitStack() as undo:
            wake, signals = socket.socketpair()
            signals.setblocking(False)
            undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(signals.fileno()))
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda *_: None)
            try:
                api = bind_api(orders.host, orders.port)
                self._record = self._first_record(api)
                undo.callback(remove_leftovers, self._record)
                self._write_journal(self._record)
                Path(orders.state, GROUND).mkdir(exist_ok=True)
            except HikkoshiError as error:
                self._announce_error(error)
                return error.exit_code
            self._start_inside(api)
            self._watch(wake)
            while self._turn():
                pass
        return 1 if self._has_failed else 0

    def _first_record(self, api: socket.socket) -> RegionRecord:
        orders = self._orders
        start = linux.process_start_time(os.getpid())
        assert start is not None
        return RegionRecord(
            region_id=orders.region_id,
            state=orders.state,
            record_directory=orders.record_directory,
            engine=orders.engine,
            entry_point=orders.entry_point,
            boot_id=linux.boot_id(),
            started_at=time.time(),
            door_pid=os.getpid(),
            door_start=start,
            host=orders.host,
            port=api.getsockname()[1],
            is_detached=orders.is_detached,
            cgroups=tuple(
                str(path)
                for path in planned_directories(
                    orders.region_id, is_dockers=bool(orders.docker_socket)
                )
            ),
            index_entry=orders.index_entry,
            stop_deadline_s=orders.stop_deadline_s,
            docker_socket=orders.docker_socket,
        )

    def _write_journal(self, record: RegionRecord) -> None:
        try:
            write_record(record)
            write_whole(Path(record.index_entry), json.dumps({"state": record.state}))
        except OSError as error:
            raise CannotRun(f"cannot keep the region's journal: {error}") from error

    def _start_inside(self, api: socket.socket) -> None:
        """Fork into the namespaces and become init's parent."""
        orders, record = self._orders, self._record
        assert record is not None
        linux.adopt_orphans()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read_end, write_end = os.pipe()
        released, release = os.pipe()
        child = os.fork()
        if child == 0:
            ours.close()
            os.close(read_end)
            os.close(release)
            os.close(orders.reports)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            inside = Inside(
                orders.region_id,
                Path(orders.state, GROUND),
                Path(orders.record_directory),
                orders.entry_point,
                orders.payload,
                api,
                record.api_url,
                theirs,
                write_end,
                [Path(name) for name in record.cgroups],
                record.docker_socket,
            )
            enter_namespaces(inside, released)
        for socket_ in (api, theirs):
            socket_.close()
        os.close(write_end)
        os.close(released)
        self._channel, self._reports_in = ours, read_end
        os.waitpid(child, 0)
        self._init = self._find_init()
        if self._init:
            start = linux.process_start_time(self._init) or 0
            self._record = replace(record, init_pid=self._init, init_start=start)
            write_record(self._record)
            os.write(release, b"g")
        # Open for as long as the door lives: init sees by it whether the door is still there.
        self._release = release

    def _find_init(self) -> int:
        """Init's pid on the host: the only child that is left, by /proc; 0 if it never came."""
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        try:
            pids = children.read_text().split()
        except OSError:
            pids = [
                entry.name
                for entry in Path("/proc").iterdir()
                if entry.name.isdigit() and _parent_of(entry) == os.getpid()
            ]
        return int(pids[0]) if pids else 0

    def _watch(self, wake: socket.socket) -> None:
        watch = self._selector.register
        watch(wake, selectors.EVENT_READ, lambda: self._on_signal(wake))
        watch(self._reports_in, selectors.EVENT_READ, self._on_report)
        watch(self._channel, selectors.EVENT_READ, self._on_request)
        if self._init:
            fd = os.pidfd_open(self._init)
            watch(fd, selectors.EVENT_READ, self._on_init_end)
        if not self._orders.is_detached:
            try:
                launcher = os.pidfd_open(self._orders.launcher_pid)
            except OSError:
                self._stop()
                return
            watch(launcher, selectors.EVENT_READ, lambda: self._on_launcher_end(launcher))

    def _turn(self) -> bool:
        """Wait for one thing and see to it; False when init has ended and all was read."""
        timeout = None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic())
        for key, _ in self._selector.select(timeout):
            # What ran before it in this round may have taken it off.
            if key.fd in self._selector.get_map():
                key.data()
        if self._kill_at is not None and time.monotonic() >= self._kill_at and self._init:
            os.kill(self._init, signal.SIGKILL)
            self._kill_at = None
        return self._init != 0 or self._reports_in in self._selector.get_map()

    def _stop(self) -> None:
        if self._init and self._kill_at is None:
            os.kill(self._init, signal.SIGTERM)
            self._kill_at = time.monotonic() + self._orders.stop_deadline_s

    def _on_signal(self, wake: socket.socket) -> None:
        wake.recv(64)
        self._stop()

    def _on_launcher_end(self, fd: int) -> None:
        self._selector.unregister(fd)
        os.close(fd)
        self._stop()

    def _on_request(self) -> None:
        if not answer_request(self._channel, self._orders.host):
            self._selector.unregister(self._channel)
            self._channel.close()

    def _on_init_end(self) -> None:
        os.waitpid(self._init, 0)
        self._init = 0
        for key in list(self._selector.get_map().values()):
            if key.fileobj != self._reports_in:
                self._selector.unregister(key.fileobj)

    def _on_report(self) -> None:
        data = os.read(self._reports_in, 65536)
        if not data:
            self._selector.unregister(self._reports_in)
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            report: Mapping[str, Any] = json.loads(line)
            if report["event"] == "ready" and self._record is not None:
                self._record = replace(self._record, is_ready=True)
                write_record(self._record)
            if report["event"] == "failed":
                self._has_failed = True
            if report["event"] != "forked":
                self._announce(line)

    def _announce(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._orders.reports, line + b"\n")

    def _announce_error(self, error: HikkoshiError) -> None:
        kind = "BadInput" if isinstance(error, BadInput) else "CannotRun"
        values = {"kind": kind, "what": error.what, "where": error.where, "fix": error.fix}
        self._announce(json.dumps({"event": "failed", **values}).encode())


def _parent_of(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
