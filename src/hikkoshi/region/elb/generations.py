"""The HAProxy that serves, and those before it that still carry connections."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hikkoshi.base.errors import HikkoshiError
from hikkoshi.region.elb.control import Process, check_configuration, start
from hikkoshi.region.elb.target import ServerRow
from hikkoshi.region.engine.instances import Instance
from hikkoshi.region.front.port import AwsError

_log = logging.getLogger(__name__)
_QUIET_S = 1.0
"""Clients of a stopping process that have sent nothing for so long are taken to be idle."""

Rows = Mapping[tuple[str, str], ServerRow]

Render = Callable[[Path, Path], str]
"""(control socket, server-state-file) → HAProxy's configuration."""


class Generations:
    """A new configuration is a new process, which takes the listening sockets over; the one before
    it ends with its last connection. All on the region's loop."""

    def __init__(
        self,
        *,
        instance: Instance,
        binary: str,
        directory: Path,
        sockets: Path,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instance = instance
        self._binary = binary
        self._directory = directory
        self._sockets = sockets
        self._monotonic = monotonic
        self._number = 0
        self._current: Process | None = None
        self._stopping: list[Process] = []
        self._quiet_since: dict[Process, tuple[int, float]] = {}

    @property
    def current(self) -> Process | None:
        return self._current

    async def replace(self, render: Render, state: str, fds: Sequence[int]) -> None:
        """Serve by this from now on. If HAProxy has something against it, an AwsError is raised
        and the old process goes on."""
        self._number += 1
        name = f"haproxy-{self._number}"
        path, state_file = self._directory / f"{name}.cfg", self._directory / f"{name}.state"
        control = self._sockets / f"{name}.sock"
        self._directory.mkdir(parents=True, exist_ok=True)
        self._sockets.mkdir(parents=True, exist_ok=True)
        path.write_text(render(control, state_file))
        state_file.write_text(state)
        fault = await check_configuration(self._instance, self._binary, path, fds)
        if fault is not None:
            _log.error("HAProxy refuses %s: %s", path, fault)
            what = f"the load balancer refuses this: {fault}"
            raise AwsError("InvalidConfigurationRequest", what)
        new = await start(
            self._instance, self._binary, path, control,
            log=self._directory / "haproxy.log", pass_fds=fds, replacing=self._current,
        )  # fmt: skip
        if self._current is not None:
            self._stopping.append(self._current)
        self._current = new
        for stale in (
            *self._directory.glob("haproxy-*.cfg"),
            *self._directory.glob("haproxy-*.state"),
        ):
            if stale.stem != name:
                stale.unlink(missing_ok=True)

    async def end_serving(self) -> None:
        """No listener is left."""
        if self._current is not None:
            await self._current.kill()
            self._current = None

    async def tell(self, command: str, wanted: str = "") -> None:
        """To the current process, if there is one. What it was to be told is in the configuration
        of whatever replaces it, should it have died. wanted: in the answer; empty: no answer."""
        if self._current is None:
            return
        try:
            answer = await self._current.ask(command)
        except (OSError, HikkoshiError) as error:
            _log.warning("HAProxy could not be told %r: %s", command, error)
            return
        if (wanted and wanted not in answer) or (not wanted and answer):
            _log.warning("HAProxy, told %r, says %r", command, answer)

    async def cut(self, backend: str, server: str) -> None:
        """End the server's sessions, whichever process has them."""
        await self.tell(f"shutdown sessions server {backend}/{server}")
        for process in self._stopping:
            # Its proxies are disabled and take no command, but each session does.
            with contextlib.suppress(OSError, HikkoshiError):
                for session in sessions_of(await process.ask("show sess"), backend, server):
                    await process.ask(f"shutdown session {session}")

    async def look_at_stopping(self) -> dict[Process, Rows]:
        """What the processes that are ending still carry; those without a client are let go."""
        seen: dict[Process, Rows] = {}
        for process in list(self._stopping):
            if not process.is_alive:
                process.hang_up()
                self._stopping.remove(process)
                self._quiet_since.pop(process, None)
                continue
            try:
                rows = await process.statistics()
            except (OSError, HikkoshiError):
                continue
            seen[process] = rows
            if not any(row.sessions for (_, name), row in rows.items() if name == "FRONTEND"):
                process.hang_up()
        return seen

    async def end_the_quiet(self, older: Mapping[Process, Rows]) -> bool:
        """Whether no process that is stopping can send a request to a target that leaves.

        Such a process cannot be told of changes. One that only has idle clients is ended; one whose
        clients are busy ends by itself, since each is told to close with its next answer."""
        is_clear = True
        for process, rows in older.items():
            if not process.is_alive:
                continue
            is_busy = any(row.sessions for (_, name), row in rows.items() if name == "BACKEND")
            if not is_busy and self._is_quiet(process, rows):
                await process.kill()
            else:
                is_clear = False
        return is_clear

    def _is_quiet(self, process: Process, rows: Rows) -> bool:
        count = sum(row.requests for (_, name), row in rows.items() if name == "FRONTEND")
        known, since = self._quiet_since.get(process, (-1, 0.0))
        if known != count:
            self._quiet_since[process] = (count, self._monotonic())
            return False
        return self._monotonic() - since >= _QUIET_S

    async def close(self) -> None:
        for process in (*self._stopping, *([self._current] if self._current else [])):
            await process.kill()
        self._stopping, self._current = [], None


def sessions_of(answer: str, backend: str, server: str) -> list[str]:
    """The addresses of the server's sessions in HAProxy's `show sess`."""
    wanted = {f"be={backend}", f"srv={server}"}
    lines = [line.split(" ") for line in answer.splitlines()]
    return [words[0].rstrip(":") for words in lines if wanted <= set(words)]
