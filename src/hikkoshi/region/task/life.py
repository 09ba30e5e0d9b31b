"""One task's life, from PROVISIONING to STOPPED."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from hikkoshi.region.engine.port import (
    CannotStartContainer,
    Container,
    ContainerSpec,
    Exit,
    ReadiesContainers,
    Sandbox,
)
from hikkoshi.region.ports import ContainerFacts, TaskOrder, TaskState
from hikkoshi.region.task.chronicle import Chronicle, report
from hikkoshi.region.task.containers import ContainerLife, Launch, Stop
from hikkoshi.region.task.decisions import (
    ContainerView,
    GiveUp,
    Move,
    Phase,
    Start,
    StopTask,
    circle,
    has_started,
    may_be_signalled,
    moves_to_run,
    next_deadline,
    task_health,
)
from hikkoshi.region.task.definition import (
    ContainerDefinition,
    DefinitionError,
    TaskDefinition,
    read_definition,
    read_outline,
)
from hikkoshi.region.task.hooks import HOOKS
from hikkoshi.region.task.setup import Hook, Parts, Setup, StartFailedError
from hikkoshi.region.task.specification import container_arn, host_name, runtime_id


class TaskLife:
    """Everything happens on the event loop; `publish` gets each new snapshot there."""

    def __init__(
        self, order: TaskOrder, parts: Parts, publish: Callable[[TaskState], None]
    ) -> None:
        self.order = order
        self.credentials_id: str | None = None
        self._parts = parts
        self._refusal: DefinitionError | None = None
        self._definition = self._read()
        self._containers = {
            definition.name: ContainerLife(
                definition,
                runtime_id(order, definition.name),
                timers=parts.timers,
                clock=parts.clock,
                log_close_s=parts.log_close_s,
                on_change=self._wake,
                on_ended=self._record_end,
            )
            for definition in self._definition.containers
        }
        if self._definition.task_role_arn is not None:
            self.credentials_id = str(uuid.uuid4())
        self._stop_asked = asyncio.Event()
        self._changed = asyncio.Event()
        self._told = Chronicle(
            order,
            self._definition.family,
            compose=self.state,
            publish=publish,
            recorder=parts.recorder,
            clock=parts.clock,
        )
        short = hashlib.sha256(order.task_arn.encode()).hexdigest()[:12]
        self._setup = Setup(
            order, self._definition, parts, self, self._told, parts.run_directory / short
        )

    def _read(self) -> TaskDefinition:
        try:
            return read_definition(self.order.definition)
        except (DefinitionError, KeyError, ValueError) as error:
            self._refusal = DefinitionError(str(error))
            return read_outline(self.order.definition)

    # ── what others read ────────────────────────────────────────────────────────────────────────

    @property
    def definition(self) -> TaskDefinition:
        return self._definition

    @property
    def sandbox(self) -> Sandbox | None:
        return self._setup.sandbox

    @property
    def address(self) -> str:
        """The task's, or "" before it has one."""
        return "" if self._setup.sandbox is None else self._setup.sandbox.address

    def lives(self) -> Sequence[ContainerLife]:
        return tuple(self._containers.values())

    def state(self) -> TaskState:
        return self._told.snapshot(
            tuple(life.state() for life in self._containers.values()),
            task_health(self._views()),
            self.address,
        )

    def containers(self) -> Sequence[ContainerFacts]:
        """For the metadata endpoint (ports.TaskFacts)."""
        return tuple(self._facts(life) for life in self._containers.values())

    def _facts(self, life: ContainerLife) -> ContainerFacts:
        definition, log = life.definition, life.definition.log
        return ContainerFacts(
            state=life.state(),
            container_arn=container_arn(self.order, definition.name),
            labels=self._setup.container_labels(definition),
            log_driver=log.driver if log is not None else "none",
            log_options=dict(log.options) if log is not None else {},
            cpu_units=definition.cpu_units,
            memory_mib=definition.memory_mib,
            created_at=life.created_at,
            started_at=life.started_at,
            finished_at=life.finished_at,
            samples=life.samples,
        )

    def running_container(self, name: str | None) -> Container:
        """By name, or the first essential one. LookupError if it is not there or not running."""
        if name is None:
            name = next((c.name for c in self._definition.containers if c.is_essential), None)
        life = self._containers.get(name or "")
        if life is None:
            raise LookupError(f"task {self.order.task_id} has no container {name}")
        if life.running is None:
            raise LookupError(f"container {name} of task {self.order.task_id} is not running")
        return life.running

    # ── what others ask ─────────────────────────────────────────────────────────────────────────

    def stop(self, code: str, reason: str) -> None:
        """desiredStatus is STOPPED from now on; the first code and reason stay."""
        if self._told.stop is not None:
            return
        self._told.stop = StopTask(code, reason)
        self._told.stopping_at = self._told.now()
        self._told.publish_change()
        self._stop_asked.set()
        self._wake()

    def kill(self) -> None:
        """No signal, no grace."""
        for life in self._containers.values():
            life.kill()

    async def run(self) -> None:
        """The whole life; the last snapshot it publishes is STOPPED."""
        self._told.publish_change()
        try:
            async with AsyncExitStack() as undo:
                await self._live(undo)
                await self._abandon_containers()
                self._told.execution_stopped_at = self._told.now()
                self._told.enter("DEPROVISIONING")
        except Exception as error:  # an undo that failed: told, and the task is over all the same
            report(f"task {self.order.task_id}: giving back failed", error)
        finally:
            if self._told.stop is None:
                self.stop("TerminationNotice", "The local region is shutting down")
            await self._abandon_containers()
            self._told.stopped_at = self._told.now()
            self._told.enter("STOPPED")

    # ── its steps ───────────────────────────────────────────────────────────────────────────────

    async def _live(self, undo: AsyncExitStack) -> None:
        try:
            if self._refusal is not None:
                raise StartFailedError(f"CannotStartContainerError: {self._refusal}")
            for hook in HOOKS:
                if self._told.stop is None:
                    await self._prepare(hook, undo)
            if self._told.stop is None and (names := circle(self._views())):
                raise StartFailedError(f"dependsOn goes in a circle: {', '.join(names)}")
            await self._tend()
        except StartFailedError as failure:
            self.stop("TaskFailedToStart", str(failure))
        except Exception as error:
            report(f"task {self.order.task_id} failed", error)
            self.stop("TaskFailedToStart", f"InternalError: {type(error).__name__}: {error}")

    async def _prepare(self, hook: Hook, undo: AsyncExitStack) -> None:
        self._told.enter(hook.status)
        if hook.is_interruptible:
            await self._unless_stopped(hook.prepare(self._setup, undo))
        else:
            await hook.prepare(self._setup, undo)
        self._told.publish_change()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        job = asyncio.create_task(work)
        stopped = asyncio.create_task(self._stop_asked.wait())
        try:
            await asyncio.wait({job, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if job.done():
                job.result()
        finally:
            for one in (job, stopped):
                one.cancel()
            await asyncio.gather(job, stopped, return_exceptions=True)

    async def _tend(self) -> None:
        """Start what may start and stop what must, at each change, until nothing is left."""
        readying: asyncio.Task[None] | None = None
        while True:
            self._changed.clear()
            moves: tuple[Move, ...] = ()
            if self._told.stop is None:
                moves = moves_to_run(self._views(), self._parts.clock.monotonic())
                for move in moves:
                    self._act(move)
            if self._told.stop is not None:
                self._stop_containers()
            views = self._views()
            # Only a view without moves is settled: a dependent that was just given up may be one
            # that ends the task.
            is_settled = self._told.stop is None and not moves
            if is_settled and self._told.started_at is None and has_started(views):
                self._told.started_at = self._told.now()
                self._told.enter("RUNNING")
            self._told.publish_change()
            if all(view.phase is Phase.STOPPED for view in views) and self._told.stop is not None:
                return
            if readying is None:
                readying = asyncio.create_task(self._make_ready(), name="make containers ready")
            await self._next_change(views)

    async def _make_ready(self) -> None:
        """Those that wait for others, so that their own start is quick once it is their turn."""
        sandbox = self._setup.sandbox
        if not isinstance(sandbox, ReadiesContainers) or self._told.stop is not None:
            return
        waiting = [view.name for view in self._views() if view.phase is Phase.WAITING]
        for name in waiting:
            # Its start will say what is wrong with it.
            with suppress(CannotStartContainer):
                await sandbox.make_ready(self._specify(name))

    def _act(self, move: Move) -> None:
        match move:
            case Start(name):
                assert self._setup.sandbox is not None
                self._containers[name].start(
                    Launch(
                        self._setup.sandbox,
                        lambda: self._specify(name),
                        self._setup.drivers[name],
                    )
                )
            case GiveUp(name, why):
                self._containers[name].give_up(why)
            case StopTask(code, reason):
                self.stop(code, reason)

    def _specify(self, name: str) -> ContainerSpec:
        """Raises CannotStartContainer."""
        return self._setup.specify(
            self._definition.container(name), host_name(self.order, self.address)
        )

    def _stop_containers(self) -> None:
        """Dependents first; the next ones when these have ended (C6)."""
        if self._told.status == "RUNNING":
            self._told.enter("DEACTIVATING")
        self._told.enter("STOPPING")
        for life in self._containers.values():
            life.forgo()
        for name in may_be_signalled(self._views()):
            self._containers[name].ask_stop()

    async def _next_change(self, views: Sequence[ContainerView]) -> None:
        deadline = next_deadline(views) if self._told.stop is None else None
        left_s = None if deadline is None else deadline - self._parts.clock.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if left_s is None else max(0.0, left_s)):
                await self._changed.wait()

    async def _abandon_containers(self) -> None:
        for life in self._containers.values():
            await life.abandon()

    def _record_end(self, definition: ContainerDefinition, ended: Exit, stop: Stop | None) -> None:
        self._told.record_end(definition, ended, stop)

    # ── telling ─────────────────────────────────────────────────────────────────────────────────

    def _views(self) -> tuple[ContainerView, ...]:
        return tuple(life.view() for life in self._containers.values())

    def _wake(self) -> None:
        self._changed.set()
