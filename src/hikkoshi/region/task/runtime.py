"""The task runtime: many task lives over one engine (ports.TaskRuntime)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hikkoshi.base.clock import Clock, SystemClock
from hikkoshi.model.evidence import NoRecorder, Recorder
from hikkoshi.model.timers import Timers
from hikkoshi.region.engine.port import CannotStartContainer, Engine, Interactive, Mount, Terminal
from hikkoshi.region.ports import (
    LogDrivers,
    MetadataEndpoint,
    SecretStore,
    TaskOrder,
    TaskState,
    TaskUse,
)
from hikkoshi.region.task.gaps import not_imitated
from hikkoshi.region.task.life import TaskLife
from hikkoshi.region.task.sampling import Sampler
from hikkoshi.region.task.setup import Parts

# What a command that outlived its time answers, as timeout(1) does.
TIMED_OUT_CODE = 124


class EcsTaskRuntime:
    """Runs tasks as ECS runs them on Fargate.

    extra_environment: for every container, weaker than its definition (AWS_ENDPOINT_URL, …).
    extra_mounts: for every container (the region's own certificate authority).
    sample_every_s: the pace of usage samples. log_close_s: how long a container's end may wait for
    its last lines. close_s: how long `close` waits for each task's remains to be given back."""

    def __init__(
        self,
        *,
        engine: Engine,
        logs: LogDrivers,
        secrets: SecretStore,
        metadata: MetadataEndpoint,
        recorder: Recorder | None = None,
        timers: Timers | None = None,
        clock: Clock | None = None,
        run_directory: Path = Path("/run/hikkoshi/t"),
        extra_environment: Mapping[str, str] | None = None,
        extra_mounts: Sequence[Mount] = (),
        sample_every_s: float = 0.5,
        log_close_s: float = 1.0,
        close_s: float = 10.0,
    ) -> None:
        self._parts = Parts(
            engine=engine,
            logs=logs,
            secrets=secrets,
            metadata=metadata,
            recorder=recorder or NoRecorder(),
            timers=timers or Timers.as_aws(),
            clock=clock or SystemClock(),
            run_directory=run_directory,
            extra_environment=dict(extra_environment or {}),
            extra_mounts=tuple(extra_mounts),
            log_close_s=log_close_s,
        )
        self._lives: dict[str, TaskLife] = {}
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._close_s = close_s
        self._differences: set[str] = set()
        self._sampler = Sampler(
            self._lives.values, self._parts.recorder, self._parts.clock, sample_every_s
        )
        self._sampling: asyncio.Task[None] | None = None

    def start(self, order: TaskOrder, publish: Callable[[TaskState], None]) -> None:
        """ValueError if a task of that ARN runs already."""
        if order.task_arn in self._lives:
            raise ValueError(f"task {order.task_arn} runs already")
        if self._sampling is None:
            self._sampling = asyncio.create_task(self._sampler.run(), name="usage sampler")
        self._differences.update(not_imitated(order.definition))
        life = TaskLife(order, self._parts, publish)
        self._lives[order.task_arn] = life
        job = asyncio.create_task(life.run(), name=f"task {order.task_id}")
        self._jobs[order.task_arn] = job
        job.add_done_callback(lambda _: self._forget(order.task_arn))

    def _forget(self, task_arn: str) -> None:
        del self._lives[task_arn]
        del self._jobs[task_arn]

    def stop(self, task_arn: str, *, code: str, reason: str) -> None:
        """Nothing for a task that has ended."""
        life = self._lives.get(task_arn)
        if life is not None:
            life.stop(code, reason)

    def state(self, task_arn: str) -> TaskState | None:
        """The newest snapshot of a task that has not ended."""
        life = self._lives.get(task_arn)
        return None if life is None else life.state()

    async def execute(
        self, task_arn: str, container: str | None, command: list[str], timeout_s: float
    ) -> tuple[int, bytes]:
        """(exit code, stdout and stderr); 124 when the time is over. LookupError if the task or
        the container is not there, or not running."""
        running = self._life(task_arn).running_container(container)
        result = await running.execute(command, running.spec.environment, timeout_s)
        return (TIMED_OUT_CODE if result.is_timed_out else result.code), result.output

    async def open_terminal(
        self, task_arn: str, container: str | None, command: list[str]
    ) -> Terminal:
        """As `execute`, at a terminal. CannotStartContainer where the engine has none to give."""
        running = self._life(task_arn).running_container(container)
        if not isinstance(running, Interactive):
            raise CannotStartContainer("a terminal is not implemented by this engine")
        return await running.open_terminal(command, {})

    def use(self, task_arn: str) -> TaskUse | None:
        """None for a task that does not run, or before its first sample."""
        life = self._lives.get(task_arn)
        samples = [c.samples[-1].usage for c in life.lives() if c.samples] if life else []
        if life is None or not samples:
            return None
        total = life.sandbox.usage() if life.sandbox is not None else None
        return TaskUse(
            cpu_s=total.cpu_s if total else sum(s.cpu_s for s in samples),
            cpu_vcpu=life.definition.cpu_vcpu,
            memory_bytes=total.memory_bytes if total else sum(s.memory_bytes for s in samples),
            memory_limit_bytes=life.definition.memory_mib * 1024 * 1024,
        )

    def not_imitated(self) -> list[str]:
        """What the tasks so far asked for and was played differently, for the report."""
        return sorted(self._differences)

    async def crash(self, task_arn: str, container: str) -> int:
        """SIGKILL to every process of a running container, as if it had crashed by itself: what
        follows is up to essential and restartPolicy. The exit code; LookupError as `execute`."""
        running = self._life(task_arn).running_container(container)
        running.kill()
        return (await running.wait()).code

    def _life(self, task_arn: str) -> TaskLife:
        life = self._lives.get(task_arn)
        if life is None:
            raise LookupError(f"no running task {task_arn}")
        return life

    async def close(self) -> None:
        """Kill every container and give everything back; then no task is left."""
        if self._sampling is not None:
            self._sampling.cancel()
        jobs = tuple(self._jobs.values())
        for life in tuple(self._lives.values()):
            life.stop("TerminationNotice", "The local region is shutting down")
            life.kill()
        if jobs:
            _, late = await asyncio.wait(jobs, timeout=self._close_s)
            for job in late:
                job.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._sampling is not None:
            await asyncio.gather(self._sampling, return_exceptions=True)
            self._sampling = None
