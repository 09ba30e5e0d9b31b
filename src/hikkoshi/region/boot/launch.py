"""Start a region from the host, and the handle to it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput, CannotRun, DeadlinePassed
from hikkoshi.region.boot.cleanup import clean_up, remove_leftovers, remove_unused
from hikkoshi.region.boot.settings import (
    LOCK_FILE,
    LaunchSettings,
    RegionRecord,
    index_entry,
    read_record,
)

BYTECODE = "bytecode"
_TAIL_LINES = 20
_TURN_S = 1.0


class RegionHandle:
    """A region that was launched by this process. Not safe to share between threads."""

    def __init__(
        self, settings: LaunchSettings, process: subprocess.Popen[bytes], reports: int, log: Path
    ) -> None:
        self.settings = settings
        self.log = log
        self._process = process
        self._reports = reports
        self._partial = b""
        self._record: RegionRecord | None = None

    @property
    def pid(self) -> int:
        """The door's."""
        return self._process.pid

    @property
    def api_url(self) -> str:
        """Known once `wait_ready` has returned."""
        if self._record is None:
            raise CannotRun("the region is not ready yet")
        return self._record.api_url

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self, deadline_s: float = 60.0) -> None:
        """Return when the entry point has called `ready()`. Raises what went wrong inside (BadInput
        or CannotRun, with the log's tail) or DeadlinePassed; the region is then gone."""
        try:
            report = self._next_report(time.monotonic() + deadline_s)
        except DeadlinePassed:
            self.stop()
            raise
        if report.get("event") != "ready":
            self._fail(report)
        self._record = read_record(self.settings.state)
        if self._record is None:
            self.stop()
            raise CannotRun(f"the region's journal in {self.settings.state} cannot be read")

    def _next_report(self, deadline: float) -> Mapping[str, Any]:
        poll = select.poll()
        poll.register(self._reports, select.POLLIN)
        while b"\n" not in self._partial:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise DeadlinePassed(
                    f"the region did not become ready in time\n{self.log_tail()}".rstrip(),
                    fix=f"see {self.log}",
                )
            data = os.read(self._reports, 65536)
            if not data:
                return {"event": "ended"}
            self._partial += data
        line, _, self._partial = self._partial.partition(b"\n")
        report: Mapping[str, Any] = json.loads(line)
        return report

    def _fail(self, report: Mapping[str, Any]) -> None:
        self._wait_gone()
        if report.get("event") == "failed":
            where, fix = report.get("where"), report.get("fix")
            if report["kind"] == "BadInput":
                raise BadInput(report["what"], where=where, fix=fix)
            # A refusal that names its fix needs no log; anything else does.
            tail = "" if fix else self.log_tail()
            raise CannotRun(f"{report['what']}\n{tail}".rstrip(), where=where, fix=fix)
        raise CannotRun(
            f"the region ended before it was ready\n{self.log_tail()}".rstrip(),
            fix=f"see {self.log}",
        )

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def wait_ended(self, timeout_s: float | None = None) -> bool:
        """Wait until the region has ended by itself; False if it still runs after timeout_s.

        In turns of a second: Python looks for signals before it enters a system call, and one that
        came in between (Ctrl-C at the very moment at which this begins to wait) would be seen by
        nobody until the region ends."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while self._process.poll() is None:
            left = _TURN_S if end is None else min(_TURN_S, end - time.monotonic())
            if left <= 0:
                return False
            self._await_end(left)
        return True

    def _await_end(self, timeout_s: float) -> None:
        try:
            fd = os.pidfd_open(self._process.pid)
        except ProcessLookupError:
            return
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            poll.poll(timeout_s * 1000)
        finally:
            os.close(fd)

    def stop(self) -> None:
        """SIGTERM, the entry point's own shutdown, and all gone. Idempotent."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
        try:
            self._wait_gone()
        except (KeyboardInterrupt, SystemExit):
            # Interrupted while all is being removed: that is finished first.
            self._wait_gone()
            raise

    def _wait_gone(self) -> None:
        try:
            self._process.wait(self.settings.stop_deadline_s + 10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        record = read_record(self.settings.state)
        if record is not None and record.door_pid == self._process.pid:
            remove_leftovers(record)
        elif record is None:
            remove_unused(self.settings.state)
        if self._reports >= 0:
            os.close(self._reports)
            self._reports = -1


def launch(settings: LaunchSettings) -> RegionHandle:
    """Start the door and return at once; `wait_ready` tells how it went.

    What an earlier region left in the same state directory is removed first. Raises BadInput if a
    region runs there, CannotRun if the directories cannot be written."""
    state, records = settings.state.absolute(), settings.record_directory.absolute()
    with contextlib.ExitStack() as undo:
        lock = _take_state(state)
        undo.callback(os.close, lock)
        try:
            records.mkdir(parents=True, exist_ok=True)
            settings.index.mkdir(parents=True, exist_ok=True)
            log = undo.enter_context((records / "region.log").open("ab"))
        except OSError as error:
            raise CannotRun(f"cannot write to {error.filename}: {error.strerror}") from error
        read_end, write_end = os.pipe()
        undo.callback(os.close, write_end)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hikkoshi.region.boot"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(lock, write_end),
            start_new_session=True,
            env=_environment(os.environ, settings.index.absolute() / BYTECODE),
        )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as orders:
            orders.write(json.dumps(_orders(settings, state, records, lock, write_end)).encode())
    return RegionHandle(settings, process, read_end, records / "region.log")


def _orders(
    settings: LaunchSettings, state: Path, records: Path, lock: int, reports: int
) -> dict[str, Any]:
    return {
        "region_id": secrets.token_hex(4),
        "state": str(state),
        "record_directory": str(records),
        "entry_point": settings.entry_point,
        "payload": settings.payload,
        "host": settings.host,
        "port": settings.port,
        "is_detached": settings.is_detached,
        "engine": settings.engine,
        "docker_socket": settings.docker_socket,
        "stop_deadline_s": settings.stop_deadline_s,
        "index_entry": str(index_entry(settings.index.absolute(), state)),
        "launcher_pid": os.getpid(),
        "lock": lock,
        "reports": reports,
    }


def _environment(current: Mapping[str, str], bytecode: Path) -> dict[str, str]:
    """Without the user's AWS settings: nothing inside may reach a real account.

    Where PYTHONDONTWRITEBYTECODE keeps sources clean, as in most images of Python, every region
    would compile a thousand modules again, half of what it costs to start one: what it compiles is
    kept in a place of hikkoshi's own instead, away from the sources."""
    kept = {key: value for key, value in current.items() if not key.startswith("AWS_")}
    if kept.pop("PYTHONDONTWRITEBYTECODE", ""):
        kept.setdefault("PYTHONPYCACHEPREFIX", str(bytecode))
    return kept


def _take_state(state: Path) -> int:
    """The lock on the state directory, held by the region's processes as long as one lives."""
    while True:
        try:
            state.mkdir(parents=True, exist_ok=True)
            fd = os.open(state / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CannotRun(f"cannot write to {state}: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            record = read_record(state)
            place = f" (pid {record.door_pid}, {record.api_url})" if record else ""
            raise BadInput(
                f"a region already runs with its state in {state}{place}",
                fix="end it first: hikkoshi down",
            ) from None
        if _is_still(fd, state / LOCK_FILE):
            if read_record(state) is None:
                return fd
            clean_up(state)
            if read_record(state) is not None:
                os.close(fd)
                raise CannotRun(f"what an earlier region left in {state} cannot be removed")
        os.close(fd)


def _is_still(fd: int, path: Path) -> bool:
    """Whether the path still names the open file: an earlier region's end removes both."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
