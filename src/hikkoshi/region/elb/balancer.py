"""The running HAProxy: what ELBv2 holds made true, and the targets' health read back."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hikkoshi.base.errors import HikkoshiError
from hikkoshi.model.evidence import Recorder
from hikkoshi.model.timers import Timers
from hikkoshi.region.elb.access import request_of
from hikkoshi.region.elb.backend import check_of, server_line, spare_line
from hikkoshi.region.elb.config import render
from hikkoshi.region.elb.control import Process, check_configuration, start
from hikkoshi.region.elb.meter import Meter
from hikkoshi.region.elb.model import Holdings, TargetGroup
from hikkoshi.region.elb.target import (
    DRAINING,
    INITIAL,
    STATE_HEADER,
    ServerRow,
    Target,
    counters_of,
    judge,
    state_lines,
)
from hikkoshi.region.engine.instances import Instance
from hikkoshi.region.front.port import AwsError

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.1
_RECORD_EVERY_S = 0.5
_QUIET_S = 1.0
"""Clients of a stopping process that have sent nothing for so long are taken to be idle."""

Rows = Mapping[tuple[str, str], ServerRow]


class Balancer:
    """Owns the HAProxy processes and the targets. All on the region's loop."""

    def __init__(
        self,
        *,
        instance: Instance,
        binary: str,
        directory: Path,
        sockets: Path,
        timers: Timers,
        recorder: Recorder,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instance = instance
        self._binary = binary
        self._directory = directory
        self._sockets = sockets
        self._timers = timers
        self._recorder = recorder
        self._monotonic = monotonic
        self._holdings = Holdings()
        self._targets: dict[str, dict[str, Target]] = {}
        self._leaving: set[tuple[str, str]] = set()
        self._quiet_since: dict[Process, tuple[int, float]] = {}
        self._current: Process | None = None
        self._stopping: list[Process] = []
        self._generation = 0
        self._last_number = 0
        self._recorded_at = 0.0
        self._turn = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self.meter = Meter()
        self._lines_in, self._lines_out = open_pipe()

    # Structure

    async def apply(self, holdings: Holdings) -> None:
        """Serve what is held from now on, without losing a connection. If HAProxy has something
        against it, an AwsError is raised and the old order stays."""
        async with self._turn:
            for arn in holdings.target_groups:
                if holdings.balancers_of(arn) and not self.is_in_use(arn) and arn in self._targets:
                    self._targets[arn] = as_just_registered(self._targets[arn])
            await self._replace_process(holdings)
            self._holdings = holdings
            for arn in [arn for arn in self._targets if arn not in holdings.target_groups]:
                del self._targets[arn]
            if self._watch is None:
                self._watch = asyncio.create_task(self._look_for_ever(), name="elb-watch")

    async def _replace_process(self, holdings: Holdings) -> None:
        if not holdings.listeners:
            if self._current is not None:
                await self._current.kill()
                self._current = None
            return
        self._generation += 1
        name = f"haproxy-{self._generation}"
        path, state = self._directory / f"{name}.cfg", self._directory / f"{name}.state"
        control = self._sockets / f"{name}.sock"
        text = render(
            holdings, self._targets, control_socket=control, state_file=state,
            log_fd=self._lines_out, timers=self._timers,
        )  # fmt: skip
        self._directory.mkdir(parents=True, exist_ok=True)
        self._sockets.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        state.write_text(self._state(holdings))
        fds = [
            fd
            for listener in holdings.listeners.values()
            for fd in (listener.door_fd, listener.inside_fd)
        ]
        fds.append(self._lines_out)
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

    def _state(self, holdings: Holdings) -> str:
        lines = []
        for arn, group in holdings.target_groups.items():
            check = check_of(group, self._timers)
            targets = self._targets.get(arn, {})
            lines += state_lines(
                group.backend, group.number, targets, check.rise, check.fall,
                is_sticky=group.is_sticky,
            )  # fmt: skip
        return STATE_HEADER + "".join(line + "\n" for line in lines)

    # Targets

    def targets(self, group_arn: str) -> Mapping[str, Target]:
        return self._targets.get(group_arn, {})

    def is_in_use(self, group_arn: str) -> bool:
        return bool(self._holdings.balancers_of(group_arn))

    async def register(
        self, group: TargetGroup, address: str, port: int, instance_id: str | None = None
    ) -> None:
        """Idempotent; a target that is draining is taken back. instance_id: the EC2 instance whose
        address this is, where the group's targets are instances."""
        async with self._turn:
            key = f"{address}:{port}"
            targets = self._targets.setdefault(group.arn, {})
            known = targets.get(key)
            if known is not None and known.phase != "draining":
                return
            if known is not None:
                fresh = Target(address, port, known.number, instance_id=instance_id)
                targets[key] = fresh
                await self._tell(group, f"set server {{}}/{fresh.spare} state ready")
                await self._tell(group, f"set server {{}}/{fresh.server} health up")
            else:
                self._last_number += 1
                fresh = Target(address, port, self._last_number, instance_id=instance_id)
                await self._finish_leaving(group, fresh.server)
                targets[key] = fresh
                await self._add(group, fresh)
        self._record(group.arn)

    async def deregister(self, group: TargetGroup, address: str, port: int) -> None:
        """Idempotent. A group that is not in use has nothing to drain."""
        async with self._turn:
            targets = self._targets.get(group.arn, {})
            target = targets.get(f"{address}:{port}")
            if target is None or target.phase == "draining":
                return
            if not self.is_in_use(group.arn):
                del targets[target.server]
                return
            delay = self._timers.capped("deregistration_delay_s", group.deregistration_delay_s)
            targets[target.server] = replace(
                target,
                phase="draining",
                reason=DRAINING[0],
                description=DRAINING[1],
                drained_by=self._monotonic() + delay,
            )
            for name in (target.server, target.spare):
                # A client with a cookie would still be sent to a server that only drains.
                state = "maint" if group.is_sticky else "drain"
                await self._tell(group, f"set server {{}}/{name} state {state}")
        self._record(group.arn)

    async def _add(self, group: TargetGroup, target: Target) -> None:
        if self._current is None or not self.is_in_use(group.arn):
            return
        check = check_of(group, self._timers)
        line = server_line(target, check, group)
        await self._tell(group, f"add server {{}}/{target.server} {line}", "registered")
        await self._tell(
            group, f"add server {{}}/{target.spare} {spare_line(target)}", "registered"
        )
        if group.health_check.is_enabled:
            # Full health, but no share of the traffic until the first check has passed.
            for command in ("state drain", "health up"):
                await self._tell(group, f"set server {{}}/{target.server} {command}")
            await self._tell(group, f"enable health {{}}/{target.server}")
        else:
            await self._tell(group, f"set server {{}}/{target.server} state ready")
        await self._tell(group, f"set server {{}}/{target.spare} state ready")

    async def _tell(self, group: TargetGroup, command: str, wanted: str = "") -> None:
        """To the current process, if there is one; `{}` is the group's backend. A process that has
        died is replaced by the watch, with all that it was to be told."""
        if self._current is None or not self.is_in_use(group.arn):
            return
        try:
            answer = await self._current.ask(command.format(group.backend))
        except (OSError, HikkoshiError) as error:
            _log.warning("HAProxy could not be told %r: %s", command, error)
            return
        if (wanted and wanted not in answer) or (not wanted and answer):
            _log.warning("HAProxy, told %r, says %r", command, answer)

    # Watching

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self._read_lines()
            try:
                async with self._turn:
                    await self._look()
            except Exception:
                _log.exception("the load balancer could not be looked at")

    async def _look(self) -> None:
        if self._current is None:
            return
        if not self._current.is_alive:
            _log.error("HAProxy ended by itself; a new one is started")
            await self._replace_process(self._holdings)
        rows = await self._current.statistics()
        older = await self._look_at_stopping()
        changed = set()
        for arn, targets in self._targets.items():
            group = self._holdings.target_groups.get(arn)
            if group is None or not self.is_in_use(arn):
                continue
            for target in list(targets.values()):
                if await self._step(group, target, rows, older):
                    changed.add(arn)
        await self._remove_the_left()
        is_due = self._monotonic() - self._recorded_at >= _RECORD_EVERY_S
        if is_due:
            self._recorded_at = self._monotonic()
            self._record_counters([rows, *older.values()])
        for arn in self._targets if is_due else changed:
            self._record(arn)

    async def request_count(self, group: TargetGroup) -> int | None:
        """Requests answered by the group since HAProxy was last started anew; None: not in use."""
        if self._current is None or not self.is_in_use(group.arn):
            return None
        row = (await self._current.statistics()).get((group.backend, "BACKEND"))
        return row.responses if row is not None else None

    async def _step(
        self, group: TargetGroup, target: Target, rows: Rows, older: Mapping[Process, Rows]
    ) -> bool:
        """Carry one target on by what was seen; whether anything changed."""
        targets = self._targets[group.arn]
        if target.phase == "draining":
            sessions = sum(
                seen[group.backend, name].sessions
                for seen in (rows, *older.values())
                for name in (target.server, target.spare)
                if (group.backend, name) in seen
            )
            is_clear = not sessions and await self._end_quiet_processes(older)
            if not is_clear and self._monotonic() < (target.drained_by or 0):
                return False
            del targets[target.server]
            for name in (target.server, target.spare):
                await self._tell(group, f"set server {{}}/{name} state maint")
                await self._tell(group, f"shutdown sessions server {{}}/{name}")
                self._leaving.add((group.backend, name))
            return True
        if not group.health_check.is_enabled:
            healthy = replace(target, phase="healthy", reason=None, description=None)
        else:
            healthy = judge(target, rows.get((group.backend, target.server)))
        if healthy == target:
            return False
        targets[target.server] = healthy
        if target.phase == "initial":
            await self._tell(group, f"set server {{}}/{target.server} state ready")
        return healthy.phase != target.phase

    async def _end_quiet_processes(self, older: Mapping[Process, Rows]) -> bool:
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

    async def _look_at_stopping(self) -> dict[Process, Rows]:
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

    async def _remove_the_left(self) -> None:
        """A server can be deleted once its idle connections are gone, which takes a moment."""
        if self._current is None:
            return
        for backend, name in list(self._leaving):
            answer = await self._current.ask(f"del server {backend}/{name}")
            if "deleted" in answer or "No such" in answer or "not found" in answer:
                self._leaving.discard((backend, name))

    async def _finish_leaving(self, group: TargetGroup, server: str) -> None:
        """Before a name is given again, its last bearer has to be gone."""
        names = {(group.backend, server), (group.backend, f"{server}-open")}
        if not names & self._leaving:
            return
        await self._remove_the_left()
        if names & self._leaving:
            # It still holds connections: a new process starts without it.
            await self._replace_process(self._holdings)
            self._leaving.clear()

    def _read_lines(self) -> None:
        """Whatever HAProxy has written since; it never waits for us, but loses what finds no room
        (1 MiB, some 5,000 requests in a tenth of a second)."""
        now = int(time.time())
        groups = {group.backend: arn for arn, group in self._holdings.target_groups.items()}
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._lines_in, 1 << 20):
                for line in self.meter.take(data, now):
                    if (request := request_of(line, groups)) is not None:
                        self._recorder.record("balanced", **request)

    def _record(self, group_arn: str) -> None:
        counts = dict.fromkeys(("healthy", "unhealthy", "initial", "draining"), 0)
        for target in self._targets.get(group_arn, {}).values():
            counts[target.phase] += 1
        now = time.time()
        self._recorder.record("targets", t=now, target_group=group_arn, **counts)
        if group_arn in self._holdings.target_groups and self.is_in_use(group_arn):
            backend = self._holdings.target_groups[group_arn].backend
            self.meter.see_hosts(backend, int(now), counts["healthy"], counts["unhealthy"])

    def _record_counters(self, processes: Sequence[Rows]) -> None:
        """Of the process that serves and those that are stopping, as one."""
        now = time.time()
        for arn, targets in self._targets.items():
            group = self._holdings.target_groups.get(arn)
            if group is None or not self.is_in_use(arn):
                continue
            named = {t.server: (t.server, t.spare) for t in targets.values()}
            for target, names in (*named.items(), (None, ("BACKEND",))):
                counters = counters_of(processes, group.backend, names)
                if counters is not None:
                    self._recorder.record(
                        "balancer", t=now, target_group=arn, target=target, **counters
                    )

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        for process in (*self._stopping, *([self._current] if self._current else [])):
            await process.kill()
        self._stopping, self._current = [], None
        if self._lines_in >= 0:
            os.close(self._lines_in)
            os.close(self._lines_out)
            self._lines_in = self._lines_out = -1


def open_pipe() -> tuple[int, int]:
    """(read end, write end), as large as an ordinary user may have one, neither ever blocking."""
    reading, writing = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 20)
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    return reading, writing


def as_just_registered(targets: Mapping[str, Target]) -> dict[str, Target]:
    """The targets of a group that gets into use: checked from the beginning."""
    return {
        key: replace(target, phase="initial", reason=INITIAL[0], description=INITIAL[1])
        for key, target in targets.items()
        if target.phase != "draining"
    }
