"""One container's life: started, read, probed, stopped, perhaps started again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hikkoshi.base.clock import Clock
from hikkoshi.model.timers import Timers
from hikkoshi.region.engine.port import (
    CannotStartContainer,
    Container,
    ContainerSpec,
    Exit,
    Sandbox,
    Usage,
)
from hikkoshi.region.ports import ContainerState, LogDriver, UsageSample
from hikkoshi.region.task.decisions import (
    DEPENDENCY_FAILED_EXIT_CODE,
    ContainerView,
    HealthRecord,
    Phase,
    after_probe,
    may_restart,
)
from hikkoshi.region.task.definition import ContainerDefinition, HealthCheck
from hikkoshi.region.task.proc import handles

OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
_LAST_STATUS = {
    Phase.WAITING: "PENDING",
    Phase.STARTING: "PENDING",
    Phase.RUNNING: "RUNNING",
    Phase.STOPPED: "STOPPED",
}


@dataclass(frozen=True, slots=True)
class Launch:
    """What a container is started with. specify raises CannotStartContainer."""

    sandbox: Sandbox
    specify: Callable[[], ContainerSpec]
    driver: LogDriver


@dataclass(frozen=True, slots=True)
class Stop:
    """A container was asked to end. has_handler: whether its first process handles the signal;
    None where that could not be read. Times in seconds since the epoch."""

    t_signalled: float
    signal: str
    has_handler: bool | None
    asked_grace_s: float
    grace_s: float


Ended = Callable[[ContainerDefinition, Exit, Stop | None], None]
"""Told of each end of a container's process, restarts included."""


class ContainerLife:
    """Calls `on_change` whenever `view` or `state` would answer differently."""

    def __init__(
        self,
        definition: ContainerDefinition,
        runtime_id: str,
        *,
        timers: Timers,
        clock: Clock,
        log_close_s: float,
        on_change: Callable[[], None],
        on_ended: Ended,
    ) -> None:
        self.definition = definition
        self.created_at: datetime | None = None
        self.started_at: datetime | None = None
        self.finished_at: datetime | None = None
        self.samples: tuple[UsageSample, ...] = ()
        self._runtime_id = runtime_id
        self._timers = timers
        self._clock = clock
        self._log_close_s = log_close_s
        self._on_change = on_change
        self._on_ended = on_ended
        self._stop: Stop | None = None
        self._phase = Phase.WAITING
        self._started: float | None = None
        self._exit_code: int | None = None
        self._reason: str | None = None
        self._image_digest: str | None = None
        self._health = HealthRecord()
        self._container: Container | None = None
        self._work: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._kill_timer: asyncio.TimerHandle | None = None

    def view(self) -> ContainerView:
        return ContainerView(
            name=self.definition.name,
            phase=self._phase,
            is_essential=self.definition.is_essential,
            depends_on=self.definition.depends_on,
            exit_code=self._exit_code,
            health=self._health.status,
            has_health_check=self.definition.health_check is not None,
            started_at=self._started,
            start_timeout_s=self.definition.start_timeout_s,
        )

    def state(self) -> ContainerState:
        memory = self.definition.memory_mib
        return ContainerState(
            name=self.definition.name,
            runtime_id=self._runtime_id,
            image=self.definition.image,
            last_status=_LAST_STATUS[self._phase],
            exit_code=self._exit_code,
            reason=self._reason,
            health=self._health.status,
            image_digest=self._image_digest,
            cpu=str(self.definition.cpu_units),
            memory=None if memory is None else str(memory),
        )

    @property
    def running(self) -> Container | None:
        """The engine's container while it runs."""
        return self._container if self._phase is Phase.RUNNING else None

    def usage(self) -> Usage | None:
        return None if self.running is None else self.running.usage()

    # ── what the task asks ──────────────────────────────────────────────────────────────────────

    def start(self, launch: Launch) -> None:
        self._phase = Phase.STARTING
        self.created_at = self._now()
        self._work = asyncio.create_task(self._run(launch), name=f"container {self._runtime_id}")

    def give_up(self, why: str) -> None:
        """Its dependencies will never hold (C4)."""
        self._end(DEPENDENCY_FAILED_EXIT_CODE, f"CannotStartContainerError: {why}")

    def forgo(self) -> None:
        """The task stops before it was this container's turn."""
        if self._phase is Phase.WAITING:
            self._end(None, None)

    def ask_stop(self) -> None:
        """The image's stop signal, and SIGKILL after stopTimeout. Idempotent."""
        container = self._container
        if self._is_stopping or container is None:
            return
        self._is_stopping = True
        asked_s = self.definition.stop_timeout_s
        grace_s = self._timers.capped("stop_timeout_s", asked_s)
        name = container.spec.image.stop_signal
        has_handler = handles(container.process, name)
        self._stop = Stop(self._clock.now(), name, has_handler, asked_s, grace_s)
        container.send_signal(name)
        self._kill_timer = asyncio.get_running_loop().call_later(grace_s, container.kill)

    def kill(self) -> None:
        """At once, for good."""
        self._is_stopping = True
        if self._container is not None:
            self._container.kill()
        elif self._work is None:
            self.forgo()

    async def abandon(self) -> None:
        """End the watching, whatever the process does; the sandbox's removal kills that."""
        if self._work is not None and not self._work.done():
            self._work.cancel()
            await asyncio.wait([self._work])
        if self._phase is not Phase.STOPPED:
            self._end(self._exit_code, self._reason)

    # ── its life ────────────────────────────────────────────────────────────────────────────────

    async def _run(self, launch: Launch) -> None:
        code: int | None = None
        reason: str | None = None
        try:
            ended = await self._run_until_it_stays_down(launch)
        except CannotStartContainer as error:
            reason = f"CannotStartContainerError: {error}"
        except Exception as error:
            # A fault of the engine's ends this container, with its words, and nothing else.
            reason = f"InternalError: {type(error).__name__}: {error}"
        else:
            code, reason = ended.code, OUT_OF_MEMORY if ended.is_out_of_memory else None
        await self._close_log(launch.driver)
        self._end(code, reason)

    async def _run_until_it_stays_down(self, launch: Launch) -> Exit:
        attempt = 0
        while True:
            spec = launch.specify()
            self._image_digest = spec.image.digest
            if attempt:
                spec = replace(spec, container_id=f"{spec.container_id}-{attempt}")
            ended = await self._run_once(launch, spec)
            ran_for_s = self._clock.monotonic() - (self._started or 0.0)
            policy = self.definition.restart_policy
            if not may_restart(policy, ended.code, ran_for_s, is_stopping=self._is_stopping):
                return ended
            attempt += 1
            self._phase = Phase.STARTING
            self._health = HealthRecord()
            self._on_change()

    async def _run_once(self, launch: Launch, spec: ContainerSpec) -> Exit:
        container = await launch.sandbox.start(spec)
        self._container = container
        self._phase = Phase.RUNNING
        self._started = self._clock.monotonic()
        self.started_at = self._now()
        if self._is_stopping:
            container.kill()
        self._on_change()
        pumps = [
            asyncio.create_task(_pump(container.stdout, "stdout", launch.driver)),
            asyncio.create_task(_pump(container.stderr, "stderr", launch.driver)),
        ]
        watch = asyncio.create_task(self._watch_health(container))
        try:
            ended = await container.wait()
            self._on_ended(self.definition, ended, self._stop)
            watch.cancel()
            await asyncio.wait(pumps, timeout=self._log_close_s)
            return ended
        finally:
            if self._kill_timer is not None:
                self._kill_timer.cancel()
            for job in (watch, *pumps):
                job.cancel()
            await asyncio.gather(watch, *pumps, return_exceptions=True)

    async def _watch_health(self, container: Container) -> None:
        """As Docker does: the first probe after an interval, the next an interval after its end."""
        check = self.definition.health_check
        if check is None:
            return
        interval_s = self._timers.capped("container_health_interval_s", check.interval_s)
        begun = self._clock.monotonic()
        while True:
            await asyncio.sleep(interval_s)
            asked = self._clock.monotonic()
            has_passed = await _probe(container, check)
            before = self._health
            self._health = after_probe(
                before, check, has_passed=has_passed, since_start_s=asked - begun
            )
            if self._health.status != before.status:
                self._on_change()

    async def _close_log(self, driver: LogDriver) -> None:
        """A slow destination delays the container's end by log_close_s at most."""
        with suppress(Exception):
            async with asyncio.timeout(self._log_close_s * 1.5):
                await driver.close(self._log_close_s)

    def _end(self, code: int | None, reason: str | None) -> None:
        self._phase = Phase.STOPPED
        self._exit_code = code
        self._reason = reason
        self._container = None
        self.finished_at = self._now()
        self._on_change()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)


async def _pump(stream: asyncio.StreamReader, name: str, driver: LogDriver) -> None:
    """Read to the end, whatever becomes of the lines: an unread pipe would block the writer."""
    while data := await stream.read(65536):
        with suppress(Exception):
            driver.write(name, data)


async def _probe(container: Container, check: HealthCheck) -> bool:
    """A probe that cannot be run has failed, as with Docker."""
    try:
        result = await container.execute(check.argv, container.spec.environment, check.timeout_s)
    except Exception:
        return False
    return result.code == 0 and not result.is_timed_out
