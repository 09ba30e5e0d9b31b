"""What is told of a task: its status, its times, and each new snapshot to its reader."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import Recorder
from hikkoshi.region.engine.port import Exit
from hikkoshi.region.ports import ContainerState, TaskOrder, TaskState
from hikkoshi.region.task.containers import Stop
from hikkoshi.region.task.decisions import StopTask
from hikkoshi.region.task.definition import ContainerDefinition


class Chronicle:
    """A task's members of AWS's shape that are its own, not its containers'.

    compose: makes the whole snapshot, by way of `snapshot`."""

    def __init__(
        self,
        order: TaskOrder,
        family: str,
        *,
        compose: Callable[[], TaskState],
        publish: Callable[[TaskState], None],
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self.status = "PROVISIONING"
        self.stop: StopTask | None = None
        self.connectivity_at: datetime | None = None
        self.pull_started_at: datetime | None = None
        self.pull_stopped_at: datetime | None = None
        self.started_at: datetime | None = None
        self.stopping_at: datetime | None = None
        self.execution_stopped_at: datetime | None = None
        self.stopped_at: datetime | None = None
        self._order = order
        self._family = family
        self._compose = compose
        self._publish = publish
        self._recorder = recorder
        self._clock = clock
        self._last: TaskState | None = None
        self._is_publishing = False

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def enter(self, status: str) -> None:
        if self.status != status:
            self.status = status
            self.publish_change()

    def snapshot(
        self, containers: tuple[ContainerState, ...], health: str, address: str
    ) -> TaskState:
        return TaskState(
            task_arn=self._order.task_arn,
            last_status=self.status,
            desired_status="RUNNING" if self.stop is None else "STOPPED",
            containers=containers,
            health=health,
            address=address or None,
            stop_code=None if self.stop is None else self.stop.code,
            stopped_reason=None if self.stop is None else self.stop.reason,
            connectivity_at=self.connectivity_at,
            pull_started_at=self.pull_started_at,
            pull_stopped_at=self.pull_stopped_at,
            started_at=self.started_at,
            stopping_at=self.stopping_at,
            execution_stopped_at=self.execution_stopped_at,
            stopped_at=self.stopped_at,
        )

    def publish_change(self) -> None:
        """A reader that asks for a stop while it reads gets the next snapshot after this one."""
        if self._is_publishing:
            return
        self._is_publishing = True
        try:
            while (state := self._compose()) != self._last:
                self._last = state
                self._record(state)
                self._tell(state)
        finally:
            self._is_publishing = False

    def _tell(self, state: TaskState) -> None:
        try:
            self._publish(state)
        except Exception as error:  # the reader's fault must not end the task
            report(f"task {self._order.task_id}: its state was not taken", error)

    def _record(self, state: TaskState) -> None:
        exits = {c.name: c.exit_code for c in state.containers if c.last_status == "STOPPED"}
        self._recorder.record(
            "task_events",
            t=self._clock.now(),
            task=self._order.task_id,
            family=self._family,
            group_name=self._order.group,
            deployment=self._order.deployment,
            last_status=state.last_status,
            desired_status=state.desired_status,
            health=state.health,
            stop_code=state.stop_code,
            stopped_reason=state.stopped_reason,
            container_exits=json.dumps(exits) if exits else None,
            address=state.address,
        )

    def record_end(self, definition: ContainerDefinition, ended: Exit, stop: Stop | None) -> None:
        """One row for the end of a container's process."""
        now = self._clock.now()
        self._recorder.record(
            "container_ends",
            t=now,
            task=self._order.task_id,
            family=self._family,
            container=definition.name,
            is_essential=definition.is_essential,
            exit_code=ended.code,
            is_out_of_memory=ended.is_out_of_memory,
            t_signalled=stop.t_signalled if stop else None,
            signal=stop.signal if stop else None,
            has_handler=stop.has_handler if stop else None,
            was_killed=stop is not None and _had_its_time(ended, stop, now),
            asked_grace_s=stop.asked_grace_s if stop else None,
            grace_s=stop.grace_s if stop else None,
        )


def _had_its_time(ended: Exit, stop: Stop, now: float) -> bool:
    """Killed after its stopTimeout, and not by a region that ended meanwhile."""
    return ended.code == int(signal.SIGKILL) + 128 and now - stop.t_signalled >= 0.9 * stop.grace_s


def report(message: str, error: Exception) -> None:
    """To the loop's exception handler, which the region writes to its log."""
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
