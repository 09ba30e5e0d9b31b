"""One container of a task, by Docker's API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hikkoshi.region.engine import usage
from hikkoshi.region.engine.cgroups import Group
from hikkoshi.region.engine.container import signal_number
from hikkoshi.region.engine.docker.daemon import Daemon, DockerRefused, Stream, path_of, separate
from hikkoshi.region.engine.docker.terminal import DockerTerminal
from hikkoshi.region.engine.port import (
    CannotStartContainer,
    ContainerSpec,
    ExecResult,
    Exit,
    Usage,
)

_OUTPUT_LIMIT = 1 << 20
_BUFFER = 1 << 18


class Outside(Protocol):
    """kill: by pid and start time on the machine."""

    async def kill_outside(self, pid: int, start: int) -> None: ...


class DockerContainer:
    """Keeps engine/port.py's Container. proc: the machine's /proc. ended is awaited once, before
    `wait` returns."""

    def __init__(
        self,
        daemon: Daemon,
        outside: Outside,
        spec: ContainerSpec,
        identity: str,
        proc: Path,
        ended: Callable[[DockerContainer], Coroutine[Any, Any, None]],
    ) -> None:
        self.spec = spec
        self.identity = identity
        self.stdout = asyncio.StreamReader(limit=_BUFFER)
        self.stderr = asyncio.StreamReader(limit=_BUFFER)
        self.cpu_s = 0.0
        self.pid = 0
        self.process = proc / "0"
        self.group: Group | None = None
        self._daemon = daemon
        self._outside = outside
        self._proc = proc
        self._ended = ended
        self._attached: Stream | None = None
        self._output: asyncio.Task[None] | None = None
        self._end: asyncio.Task[Exit] | None = None
        self._signals: set[asyncio.Task[None]] = set()
        self._in_order = asyncio.Lock()

    async def start(self) -> None:
        """Attach first, so that not one line is lost. Raises DockerRefused."""
        daemon = self._daemon
        self._attached = await daemon.open(
            "POST", path_of("containers", self.identity, "attach", stream=1, stdout=1, stderr=1)
        )
        waiting = await daemon.open(
            "POST", path_of("containers", self.identity, "wait", condition="next-exit")
        )
        try:
            await daemon.ask("POST", path_of("containers", self.identity, "start"))
        except DockerRefused:
            self._attached.close()
            waiting.close()
            raise
        self._output = asyncio.create_task(
            separate(self._attached.reader, self.stdout, self.stderr)
        )
        self._end = asyncio.create_task(self._see_the_end(waiting))
        state = (await daemon.ask("GET", path_of("containers", self.identity, "json")))["State"]
        self.pid = int(state["Pid"])
        self.process = self._proc / str(self.pid)

    async def _see_the_end(self, waiting: Stream) -> Exit:
        with contextlib.suppress(OSError):
            await waiting.reader.read()
        waiting.close()
        try:
            found = await self._daemon.ask("GET", path_of("containers", self.identity, "json"))
            state = found["State"]
            code = int(state["ExitCode"])
            ended = Exit(code, is_out_of_memory=bool(state["OOMKilled"]) and code == 137)
        except DockerRefused:
            ended = Exit(137)  # Somebody else removed it: that, too, kills what is in it.
        await self._ended(self)
        return ended

    @property
    def has_ended(self) -> bool:
        return self._end is None or self._end.done()

    async def wait(self) -> Exit:
        assert self._end is not None
        return await asyncio.shield(self._end)

    async def close(self) -> None:
        """Let go of its streams; it has ended."""
        if self._output is not None:
            await asyncio.wait({self._output}, timeout=1.0)
            self._output.cancel()
        if self._attached is not None:
            self._attached.close()

    def send_signal(self, signal_name: str) -> None:
        """In the order in which they are sent. Raises ValueError for what is no signal."""
        number = signal_number(signal_name)
        if not self.has_ended:
            job = asyncio.create_task(self._signal(number))
            self._signals.add(job)
            job.add_done_callback(self._signals.discard)

    async def _signal(self, number: int) -> None:
        async with self._in_order:
            # 409: it has ended meanwhile.
            with contextlib.suppress(DockerRefused):
                path = path_of("containers", self.identity, "kill", signal=str(number))
                await self._daemon.ask("POST", path)

    def kill(self) -> None:
        """The kernel ends the rest of the container with its first process."""
        self.send_signal("SIGKILL")

    async def execute(
        self, argv: Sequence[str], environment: Mapping[str, str], timeout_s: float
    ) -> ExecResult:
        """As the embedded engine's: 126 or 127 where argv cannot be run, 137 after timeout_s."""
        if self.has_ended:
            return ExecResult(137, b"the container has ended")
        try:
            identity = await self._make_exec(argv, environment, has_terminal=False)
            stream = await self._start_exec(identity, has_terminal=False)
        except DockerRefused as error:
            return ExecResult(127 if "not found" in str(error) else 126, str(error).encode())
        output, errors = asyncio.StreamReader(limit=_BUFFER), asyncio.StreamReader()
        reading = asyncio.create_task(separate(stream.reader, output, output))
        errors.feed_eof()
        kept = asyncio.create_task(_read_at_most(output, _OUTPUT_LIMIT))
        done, _ = await asyncio.wait({reading}, timeout=timeout_s)
        try:
            state = await self._daemon.ask("GET", path_of("exec", identity, "json"))
        except DockerRefused:
            state = {"ExitCode": 137, "Pid": 0}  # the container was removed
        if not done:
            await self._kill_exec(int(state["Pid"] or 0))
            await asyncio.wait({reading}, timeout=1.0)
            reading.cancel()
        await asyncio.wait({reading})
        stream.close()
        code = state["ExitCode"] if done and state["ExitCode"] is not None else 137
        return ExecResult(int(code), await kept, is_timed_out=not done)

    async def _make_exec(
        self, argv: Sequence[str], environment: Mapping[str, str], *, has_terminal: bool
    ) -> str:
        asked = {
            "Cmd": list(argv),
            "Env": [f"{k}={v}" for k, v in environment.items()],
            "AttachStdout": True,
            "AttachStderr": True,
            "AttachStdin": has_terminal,
            "Tty": has_terminal,
        }
        made = await self._daemon.ask("POST", path_of("containers", self.identity, "exec"), asked)
        return str(made["Id"])

    async def _start_exec(self, identity: str, *, has_terminal: bool) -> Stream:
        asked = {"Detach": False, "Tty": has_terminal}
        return await self._daemon.open("POST", path_of("exec", identity, "start"), asked)

    async def _kill_exec(self, pid: int) -> None:
        """Docker's API cannot: the command is killed by its pid on the machine."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            text = (self._proc / str(pid) / "stat").read_text()
            await self._outside.kill_outside(pid, int(text.rpartition(")")[2].split()[19]))

    async def open_terminal(
        self, argv: Sequence[str], environment: Mapping[str, str]
    ) -> DockerTerminal:
        """As the port's Interactive says."""
        if self.has_ended:
            raise CannotStartContainer("the container has ended")
        try:
            identity = await self._make_exec(
                argv, {"TERM": "xterm", **environment}, has_terminal=True
            )
            stream = await self._start_exec(identity, has_terminal=True)
        except DockerRefused as error:
            raise CannotStartContainer(str(error)) from error
        return DockerTerminal(self._daemon, identity, stream, self._kill_exec)

    def usage(self) -> Usage | None:
        if self.has_ended:
            return None
        pids = usage.descendants([self.pid], self._proc)
        memory: int | None = None
        cpu: float | None = None
        if self.group is not None:
            with contextlib.suppress(OSError):
                counted = self.group.cpu()
                cpu = counted.cpu_s if counted else None
                memory = self.group.memory_bytes()
        now = usage.cpu_seconds(pids, self._proc) if cpu is None else cpu
        self.cpu_s = max(self.cpu_s, now)
        files = usage.file_use(pids, self._proc)
        return Usage(
            cpu_s=self.cpu_s,
            memory_bytes=usage.memory_bytes(pids, self._proc) if memory is None else memory,
            processes=len(pids),
            open_files=files.open_files,
            open_files_limit=files.limit,
            sockets=files.sockets,
        )


async def _read_at_most(reader: asyncio.StreamReader, limit: int) -> bytes:
    kept = bytearray()
    while data := await reader.read(1 << 16):
        kept += data[: limit - len(kept)]
    return bytes(kept)
