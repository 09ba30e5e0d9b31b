"""What the task tests stand on: an engine of plain processes, log drivers that keep, a watcher.

ProcessEngine keeps the protocol of region/engine/port.py with subprocesses of the machine: no
namespaces, no limits, no mounts, no users. What depends on those is tested on the embedded engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from hikkoshi.model.timers import Timers
from hikkoshi.region.engine.port import (
    CannotPullContainer,
    CannotStartContainer,
    ExecResult,
    Exit,
    Image,
    Usage,
)
from hikkoshi.region.ports import SecretNotFound, TaskOrder
from hikkoshi.region.task.runtime import EcsTaskRuntime

DEADLINE_S = 15.0
ACCOUNT = "arn:aws:ecs:ap-northeast-1:123456789012"


class ProcessContainer:
    def __init__(self, spec, process, is_out_of_memory):
        self.spec = spec
        self.pid = process.pid
        self.process = Path("/proc") / str(process.pid)
        self.stdout = process.stdout
        self.stderr = process.stderr
        self._process = process
        self._is_out_of_memory = is_out_of_memory
        self.signals = []

    async def wait(self):
        code = await self._process.wait()
        return Exit(128 - code if code < 0 else code, self._is_out_of_memory)

    def send_signal(self, signal_name):
        self.signals.append(signal_name)
        if self._process.returncode is None:
            os.kill(self.pid, signal.Signals[signal_name])

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def execute(self, argv, environment, timeout_s):
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=dict(environment),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
        except TimeoutError:
            process.kill()
            await process.wait()
            return ExecResult(137, b"", True)
        return ExecResult(process.returncode, output)

    def usage(self):
        return Usage(0.25, 1 << 20, 1, 4, 1024, 1)


class ProcessSandbox:
    cpu_is_enforced = False
    memory_is_enforced = False

    def __init__(self, engine, task_id):
        self.engine = engine
        self.task_id = task_id
        self.address = "127.0.0.1"
        self.containers = []
        self.is_removed = False

    async def start(self, spec):
        try:
            process = await asyncio.create_subprocess_exec(
                *spec.argv,
                env=dict(spec.environment),
                cwd=spec.working_directory,
                start_new_session=True,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise CannotStartContainer(str(error)) from error
        is_out_of_memory = spec.name in self.engine.dies_of_memory
        container = ProcessContainer(spec, process, is_out_of_memory)
        self.containers.append(container)
        self.engine.started.append(spec.name)
        return container

    def usage(self):
        return None

    async def remove(self):
        for container in self.containers:
            container.kill()
            await container.wait()
        self.is_removed = True


class ProcessEngine:
    name = "processes"

    def __init__(self):
        self.images = {"sh": Image("sh", "sha256:5e")}
        self.sandboxes = []
        self.started = []
        self.dies_of_memory = set()
        self.hanging_pull = None

    async def pull(self, image):
        if image == "hangs":
            await asyncio.Event().wait()
        if image not in self.images:
            raise CannotPullContainer(f"pull image manifest: {image}: not found")
        return self.images[image]

    async def create_sandbox(self, task_id, *, cpu_vcpu, memory_mib, labels):
        sandbox = ProcessSandbox(self, task_id)
        self.sandboxes.append(sandbox)
        return sandbox

    async def close(self):
        for sandbox in self.sandboxes:
            await sandbox.remove()


class KeepingDriver:
    def __init__(self, logs, target):
        self.logs = logs
        self.target = target
        self.is_closed = False

    def write(self, stream, data):
        self.logs.data[self.target.container, stream] += data

    async def close(self, timeout_s):
        assert not self.is_closed, "a driver is closed once"
        if self.logs.is_stuck:
            await asyncio.Event().wait()
        self.is_closed = True
        self.logs.closed.append(self.target.container)


class KeepingLogs:
    """LogDrivers that keep all in memory; is_stuck: their destination never answers."""

    def __init__(self):
        self.data = defaultdict(bytes)
        self.targets = {}
        self.closed = []
        self.is_stuck = False

    async def prepare(self, target):
        if target.options.get("awslogs-group") == "gone":
            raise ValueError("failed to validate logger args: the log group does not exist")

    def open(self, target):
        if target.driver == "journald":
            raise ValueError("journald is not a log driver of Fargate")
        self.targets[target.container] = target
        return KeepingDriver(self, target)

    def last_lines(self, task_id, container, count=20):
        return self.data[container, "stdout"].decode().splitlines()[-count:]


class DictSecrets:
    def __init__(self, values):
        self.values = values

    async def resolve(self, value_from, region):
        if value_from == "hangs":
            await asyncio.Event().wait()
        if value_from not in self.values:
            raise SecretNotFound(
                "execution resource retrieval failed: unable to retrieve secret from asm: "
                f"no {value_from}"
            )
        return self.values[value_from]


class OpenMetadata:
    base_url = "http://169.254.170.2"

    def __init__(self):
        self.tasks = {}

    def register(self, task):
        self.tasks[task.order.task_arn] = task

    def withdraw(self, task_arn):
        self.tasks.pop(task_arn, None)


class KeepingRecorder:
    def __init__(self):
        self.rows = defaultdict(list)

    def record(self, table, **columns):
        self.rows[table].append(columns)


class Watched:
    """The snapshots of one task, and waiting for one."""

    def __init__(self):
        self.states = []
        self._waiters = []

    def __call__(self, state):
        self.states.append(state)
        for predicate, future in self._waiters:
            if not future.done() and predicate(state):
                future.set_result(state)

    async def until(self, predicate, what):
        for state in self.states[-1:]:
            if predicate(state):
                return state
        future = asyncio.get_running_loop().create_future()
        self._waiters.append((predicate, future))
        try:
            return await asyncio.wait_for(future, DEADLINE_S)
        except TimeoutError:
            raise AssertionError(f"never {what}; last: {self.states[-1]}") from None

    async def status(self, status):
        return await self.until(lambda s: s.last_status == status, status)

    def statuses(self):
        """lastStatus, each once in a row."""
        seen = [s.last_status for s in self.states]
        return [s for i, s in enumerate(seen) if i == 0 or seen[i - 1] != s]

    def container(self, name):
        return next(c for c in self.states[-1].containers if c.name == name)


class Stage:
    """A runtime over ProcessEngine with everything to look into."""

    def __init__(self, directory, *, secrets=None, **settings):
        self.engine = ProcessEngine()
        self.logs = KeepingLogs()
        self.metadata = OpenMetadata()
        self.recorder = KeepingRecorder()
        self.directory = Path(directory)
        settings.setdefault(
            "timers",
            replace(Timers.as_aws(), container_health_interval_s=0.02, stop_timeout_s=5.0),
        )
        self.runtime = EcsTaskRuntime(
            engine=self.engine,
            logs=self.logs,
            secrets=DictSecrets(secrets or {}),
            metadata=self.metadata,
            recorder=self.recorder,
            run_directory=self.directory,
            sample_every_s=0.02,
            log_close_s=0.2,
            **settings,
        )

    def run(self, *containers, task_id="0123456789abcdef", **definition):
        watched = Watched()
        self.runtime.start(order(*containers, task_id=task_id, **definition), watched)
        return watched

    def stop(self, task_id="0123456789abcdef"):
        self.runtime.stop(arn(task_id), code="UserInitiated", reason="the test is over")

    async def said(self, container, line):
        """Wait for a line of a container's stdout."""
        await eventually(
            lambda: line in self.logs.last_lines("", container, 100), f"{container} said {line}"
        )

    def is_clean(self):
        return (
            not list(self.directory.iterdir())
            and all(s.is_removed for s in self.engine.sandboxes)
            and not self.metadata.tasks
        )


async def eventually(predicate, what):
    """Poll a condition that nothing announces."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not predicate():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


def arn(task_id):
    return f"{ACCOUNT}:task/main/{task_id}"


def order(*containers, task_id="0123456789abcdef", **definition):
    return TaskOrder(
        task_arn=arn(task_id),
        task_id=task_id,
        cluster_arn=f"{ACCOUNT}:cluster/main",
        cluster_name="main",
        definition={
            "family": "trial",
            "revision": 3,
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": list(containers),
            **definition,
        },
        group="family:trial",
    )


def container(name, script="exec sleep 60", **more):
    """One that runs a shell script."""
    return {"name": name, "image": "sh", "command": ["/bin/sh", "-c", script], **more}


def sidecar(name, script="exec sleep 60", **more):
    return container(name, script, essential=False, **more)


def on(*pairs):
    return [{"containerName": name, "condition": condition} for name, condition in pairs]


def play(scenario, directory, **settings):
    """Run a coroutine function over a stage; then nothing of the stage may be left."""

    async def all_of_it():
        stage = Stage(directory, **settings)
        faults = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        try:
            await scenario(stage)
        finally:
            await stage.runtime.close()
        assert stage.is_clean()
        assert not faults, faults
        mine = asyncio.current_task()
        assert not [t for t in asyncio.all_tasks() if t is not mine]

    asyncio.run(all_of_it())


PYTHON = sys.executable
