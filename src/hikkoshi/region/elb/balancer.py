"""The running HAProxy: what ELBv2 holds made true, and the targets' health read back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from hikkoshi.model.evidence import Recorder
from hikkoshi.model.timers import Timers
from hikkoshi.region.elb.backend import check_of, server_line, spare_line, weight_of
from hikkoshi.region.elb.config import render
from hikkoshi.region.elb.control import Process
from hikkoshi.region.elb.delivery import Delivery
from hikkoshi.region.elb.generations import Generations, Rows
from hikkoshi.region.elb.model import Holdings, TargetGroup
from hikkoshi.region.elb.tally import Tally
from hikkoshi.region.elb.target import (
    DRAINING,
    STATE_HEADER,
    Target,
    begins_slowly,
    judge,
    share_at,
    state_lines,
)
from hikkoshi.region.engine.instances import Instance

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.1
_RECORD_EVERY_S = 0.5


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
        delivery: Delivery,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._processes = Generations(
            instance=instance,
            binary=binary,
            directory=directory,
            sockets=sockets,
            monotonic=monotonic,
        )
        self._timers = timers
        self._monotonic = monotonic
        self._holdings = Holdings()
        self._targets: dict[str, dict[str, Target]] = {}
        self._leaving: set[tuple[str, str]] = set()
        self._lingering: set[tuple[str, str]] = set()
        self._last_number = 0
        self._recorded_at = 0.0
        self._turn = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self.tally = Tally(recorder, delivery)

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
            await self._processes.end_serving()
            return
        fds = [
            fd
            for listener in holdings.listeners.values()
            for fd in (listener.door_fd, listener.inside_fd)
        ]

        def text(control: Path, state: Path) -> str:
            return render(
                holdings, self._targets, control_socket=control, state_file=state,
                log_fd=self.tally.log_fd, timers=self._timers,
            )  # fmt: skip

        await self._processes.replace(text, self._state(holdings), [*fds, self.tally.log_fd])

    def _state(self, holdings: Holdings) -> str:
        lines = []
        for arn, group in holdings.target_groups.items():
            check = check_of(group, self._timers)
            targets = self._targets.get(arn, {})
            weights = {key: weight_of(each, group) for key, each in targets.items()}
            lines += state_lines(
                group.backend, group.number, targets, check.rise, check.fall,
                has_cookies=group.has_cookies, is_encrypted=group.is_encrypted, weights=weights,
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
                await self._share(group, fresh)
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
                state = "maint" if group.has_cookies else "drain"
                await self._tell(group, f"set server {{}}/{name} state {state}")
        self._record(group.arn)

    async def _add(self, group: TargetGroup, target: Target) -> None:
        if self._processes.current is None or not self.is_in_use(group.arn):
            return
        check = check_of(group, self._timers)
        line = server_line(target, check, group)
        await self._tell(group, f"add server {{}}/{target.server} {line}", "registered")
        await self._tell(
            group, f"add server {{}}/{target.spare} {spare_line(target, group)}", "registered"
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
        """`{}` in the command is the group's backend, which HAProxy has only if it is in use."""
        if self.is_in_use(group.arn):
            await self._processes.tell(command.format(group.backend), wanted)

    # Watching

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self.tally.read_lines(self._holdings)
            try:
                async with self._turn:
                    await self._look()
            except Exception:
                _log.exception("the load balancer could not be looked at")

    async def _look(self) -> None:
        if self._processes.current is None:
            return
        if not self._processes.current.is_alive:
            _log.error("HAProxy ended by itself; a new one is started")
            await self._replace_process(self._holdings)
        rows = await self._processes.current.statistics()
        older = await self._processes.look_at_stopping()
        changed = set()
        for arn, targets in self._targets.items():
            group = self._holdings.target_groups.get(arn)
            if group is None or not self.is_in_use(arn):
                continue
            for target in list(targets.values()):
                if await self._step(group, target, rows, older):
                    changed.add(arn)
            await self._share_slowly(group)
        await self._release_the_lingering(rows)
        await self._remove_the_left()
        self.tally.count_flows(self._holdings, {self._processes.current: rows, **older})
        is_due = self._monotonic() - self._recorded_at >= _RECORD_EVERY_S
        if is_due:
            self._recorded_at = self._monotonic()
            self.tally.record_counters(self._holdings, self._targets, [rows, *older.values()])
        for arn in self._targets if is_due else changed:
            self._record(arn)

    async def request_count(self, group: TargetGroup) -> int | None:
        """Requests answered by the group since HAProxy was last started anew; None: not in use."""
        if self._processes.current is None or not self.is_in_use(group.arn):
            return None
        row = (await self._processes.current.statistics()).get((group.backend, "BACKEND"))
        return row.responses if row is not None else None

    async def _step(
        self, group: TargetGroup, target: Target, rows: Rows, older: Mapping[Process, Rows]
    ) -> bool:
        """Carry one target on by what was seen; whether anything changed."""
        targets = self._targets[group.arn]
        if target.phase == "draining":
            if not await self._is_over(group, target, rows, older):
                return False
            del targets[target.server]
            for name in (target.server, target.spare):
                if cuts_when_drained(group):
                    await self._tell(group, f"set server {{}}/{name} state maint")
                    await self._processes.cut(group.backend, name)
                    self._leaving.add((group.backend, name))
                else:
                    self._lingering.add((group.backend, name))
            return True
        if not group.health_check.is_enabled:
            healthy = replace(target, phase="healthy", reason=None, description=None)
        else:
            healthy = judge(target, rows.get((group.backend, target.server)))
        if healthy == target:
            return False
        targets[target.server] = healthy
        if target.phase == "initial" and healthy.phase == "healthy":
            await self._begin_slowly(group, healthy)
        if target.phase == "initial":
            await self._tell(group, f"set server {{}}/{target.server} state ready")
        if healthy.phase == "unhealthy" and healthy.slow_since is not None:
            await self._share(group, replace(healthy, slow_since=None, share=None))
        if target.phase == "healthy" and healthy.phase == "unhealthy" and cuts_unhealthy(group):
            await self._processes.cut(group.backend, target.server)
        return healthy.phase != target.phase

    async def _is_over(
        self, group: TargetGroup, target: Target, rows: Rows, older: Mapping[Process, Rows]
    ) -> bool:
        """Whether a draining target's time is up. An application load balancer does not wait
        where nothing is under way; of a network load balancer AWS says only that it waits for the
        delay."""
        if self._monotonic() >= (target.drained_by or 0):
            return True
        if not group.is_http:
            return False
        sessions = sum(
            seen[group.backend, name].sessions
            for seen in (rows, *older.values())
            for name in (target.server, target.spare)
            if (group.backend, name) in seen
        )
        return not sessions and await self._processes.end_the_quiet(older)

    async def _begin_slowly(self, group: TargetGroup, target: Target) -> None:
        if begins_slowly(target, self._targets[group.arn], group.slow_start_s):
            await self._share(group, replace(target, slow_since=self._monotonic(), share=0.0))

    async def _share_slowly(self, group: TargetGroup) -> None:
        for target in list(self._targets[group.arn].values()):
            if target.slow_since is not None:
                share = share_at(target.slow_since, group.slow_start_s, self._monotonic())
                since = target.slow_since if share is not None else None
                await self._share(group, replace(target, slow_since=since, share=share))

    async def _share(self, group: TargetGroup, target: Target) -> None:
        self._targets[group.arn][target.server] = target
        weight = weight_of(target, group)
        await self._tell(group, f"set server {{}}/{target.server} weight {weight}")

    async def _release_the_lingering(self, rows: Rows) -> None:
        """A server whose target is deregistered, and whose connections were left to go on."""
        for backend, name in list(self._lingering):
            row = rows.get((backend, name))
            if row is not None and row.sessions:
                continue
            self._lingering.discard((backend, name))
            if row is not None:
                await self._processes.tell(f"set server {backend}/{name} state maint")
                self._leaving.add((backend, name))

    async def _remove_the_left(self) -> None:
        """A server can be deleted once its idle connections are gone, which takes a moment."""
        if self._processes.current is None:
            return
        for backend, name in list(self._leaving):
            answer = await self._processes.current.ask(f"del server {backend}/{name}")
            if "deleted" in answer or "No such" in answer or "not found" in answer:
                self._leaving.discard((backend, name))

    async def _finish_leaving(self, group: TargetGroup, server: str) -> None:
        """Before a name is given again, its last bearer has to be gone."""
        names = {(group.backend, server), (group.backend, f"{server}-open")}
        if not names & (self._leaving | self._lingering):
            return
        await self._remove_the_left()
        if names & (self._leaving | self._lingering):
            # It still holds connections: a new process starts without it.
            await self._replace_process(self._holdings)
            self._leaving.clear()
            self._lingering.clear()

    def _record(self, group_arn: str) -> None:
        targets = self._targets.get(group_arn, {})
        self.tally.record_targets(self._holdings, group_arn, targets)

    async def flush(self) -> None:
        """Write to S3 what access logs have not been given yet."""
        self.tally.read_lines(self._holdings)
        await self.tally.delivery.flush(time.time())

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        await self._processes.close()
        await self.flush()
        self.tally.close()


def as_just_registered(targets: Mapping[str, Target]) -> dict[str, Target]:
    """The targets of a group that gets into use: checked from the beginning."""
    return {
        key: Target(target.address, target.port, target.number, instance_id=target.instance_id)
        for key, target in targets.items()
        if target.phase != "draining"
    }


def cuts_when_drained(group: TargetGroup) -> bool:
    """Whether a target's connections end with its deregistration delay."""
    key = "deregistration_delay.connection_termination.enabled"
    return group.attributes.get(key, "true") == "true"


def cuts_unhealthy(group: TargetGroup) -> bool:
    """Whether connections end when their target becomes unhealthy; requests never do."""
    key = "target_health_state.unhealthy.connection_termination.enabled"
    return group.attributes.get(key, "false") == "true"
