"""What running containers use, read at a steady pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import Recorder
from hikkoshi.region.engine.port import SandboxUsage, Usage
from hikkoshi.region.ports import UsageSample
from hikkoshi.region.task import machine
from hikkoshi.region.task.containers import ContainerLife
from hikkoshi.region.task.life import TaskLife
from hikkoshi.region.task.proc import listening_of, opens_of, tcp_in_use

MAX_SHARE = 0.03
"""Of one core, for sampling: with many tasks it is done less often."""


class Sampler:
    """Rows for `machine`, `usage` and `task_usage`, and the samples that the metadata endpoint
    tells."""

    def __init__(
        self,
        tasks: Callable[[], Iterable[TaskLife]],
        recorder: Recorder,
        clock: Clock,
        every_s: float,
    ) -> None:
        self._tasks = tasks
        self._recorder = recorder
        self._clock = clock
        self._every_s = every_s
        self._listening: dict[str, set[tuple[str, int]]] = {}
        self._in_use: dict[str, tuple[int, ...]] = {}
        self._ticks = machine.read()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.sample_machine()
            tasks = tuple(self._tasks())
            spent_s = 0.0
            for task in tasks:
                begun = time.thread_time()
                self._try_to_sample(task)
                spent_s += time.thread_time() - begun
                await asyncio.sleep(0)  # Whoever asks the API need not wait for all of them.
            self._forget_others({task.order.task_id for task in tasks})
            await asyncio.sleep(max(self._every_s, spent_s / MAX_SHARE))

    def _forget_others(self, alive: set[str]) -> None:
        for task_id in self._listening.keys() - alive:
            del self._listening[task_id]
            self._in_use.pop(task_id, None)

    def _try_to_sample(self, task: TaskLife) -> None:
        try:
            self.sample(task)
        except Exception as error:  # one task's fault must not end the sampling of all
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"task {task.order.task_id} was not sampled", "exception": error}
            )

    def sample_machine(self) -> None:
        ticks = machine.read()
        share = machine.busy_share(self._ticks, ticks)
        self._ticks = ticks
        if share is not None:
            self._recorder.record(
                "machine", t=self._clock.now(), processors=ticks.processors, busy_share=share
            )

    def sample(self, task: TaskLife) -> None:
        usages: list[Usage] = []
        now = self._clock.now()
        for life in task.lives():
            usage = _read(life)
            if usage is None:
                continue
            usages.append(usage)
            life.samples = (*life.samples, UsageSample(now, usage))[-2:]
            self._recorder.record(
                "usage",
                t=now,
                task=task.order.task_id,
                family=task.definition.family,
                container=life.definition.name,
                cpu_s=usage.cpu_s,
                memory_bytes=usage.memory_bytes,
                processes=usage.processes,
                open_files=usage.open_files,
                open_files_limit=usage.open_files_limit,
                sockets=usage.sockets,
                container_cpu_units=life.definition.cpu_units,
            )
        if usages:
            self._sample_task(task, usages, now)
            self._sample_network(task, now)

    def _sample_network(self, task: TaskLife, now: float) -> None:
        """The containers of a task share one network namespace: any of them shows it."""
        running = next((life.running for life in task.lives() if life.running), None)
        if running is None:
            return
        task_id, family = task.order.task_id, task.definition.family
        known = self._listening.setdefault(task_id, set())
        in_use = tcp_in_use(running.process)
        if in_use != self._in_use.get(task_id, (0, 0)):
            # Only a namespace whose sockets have become more or fewer can listen anew.
            self._in_use[task_id] = in_use
            found = listening_of(running.process)
            for address, port in sorted(found - known):
                self._recorder.record(
                    "listening", t=now, task=task_id, family=family, address=address, port=port
                )
            known |= found
        if opens := opens_of(running.process):
            self._recorder.record(
                "network", t=now, task=task_id, family=family, opened=opens.opened,
                failed=opens.failed,
            )  # fmt: skip

    def _sample_task(self, task: TaskLife, usages: list[Usage], now: float) -> None:
        sandbox = task.sandbox
        if sandbox is None:
            return
        total = sandbox.usage() or SandboxUsage(
            cpu_s=sum(u.cpu_s for u in usages),
            memory_bytes=sum(u.memory_bytes for u in usages),
            periods=None,
            throttled_periods=None,
            throttled_s=None,
        )
        self._recorder.record(
            "task_usage",
            t=now,
            task=task.order.task_id,
            family=task.definition.family,
            cpu_s=total.cpu_s,
            cpu_limit_vcpu=task.definition.cpu_vcpu,
            cpu_is_enforced=sandbox.cpu_is_enforced,
            periods=total.periods,
            throttled_periods=total.throttled_periods,
            throttled_s=total.throttled_s,
            memory_bytes=total.memory_bytes,
            memory_limit_bytes=task.definition.memory_mib * 1024 * 1024,
            memory_is_enforced=sandbox.memory_is_enforced,
        )


def _read(life: ContainerLife) -> Usage | None:
    try:
        return life.usage()
    except OSError:
        return None  # it ended while its /proc or its cgroup was read
