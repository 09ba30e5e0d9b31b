"""One container: bwrap outside, its command as PID 1 inside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hikkoshi.base.ending import Ended, Ending
from hikkoshi.region.engine import usage
from hikkoshi.region.engine.command import container_environment
from hikkoshi.region.engine.limits import prlimit_options, set_limits
from hikkoshi.region.engine.port import CannotStartContainer, ExecResult, Exit, Usage
from hikkoshi.region.engine.spawner import spawn
from hikkoshi.region.engine.started import Started
from hikkoshi.region.engine.terminal import EmbeddedTerminal, open_terminal

_OUTPUT_LIMIT = 1 << 20


class EmbeddedContainer:
    """Keeps engine/port.py's Container. `ended` is called once, on the loop, with the cpu time of
    all that ran in it."""

    def __init__(
        self,
        started: Started,
        ending: Ending,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader,
        ended: Callable[[EmbeddedContainer], None],
    ) -> None:
        self.spec = started.spec
        self.pid = started.pid
        self.process = Path("/proc") / str(started.pid)
        self.stdout = stdout
        self.stderr = stderr
        self.cpu_s = 0.0
        self._started = started
        self._ending = ending
        self._entered: set[int] = set()
        self._ended = ended
        self._watch = asyncio.ensure_future(self._see_the_end())

    async def _see_the_end(self) -> Exit:
        end: Ended = await self._ending.wait()
        self._note_cpu(end.cpu_s)
        kills = 0
        if self._started.group is not None:
            with contextlib.suppress(OSError):
                kills = self._started.group.out_of_memory_kills()
                counted = self._started.group.cpu()
                self._note_cpu(counted.cpu_s if counted else 0.0)
        os.close(self._started.process_fd)
        self._ended(self)
        return Exit(end.code, is_out_of_memory=kills > 0)

    def _note_cpu(self, seconds: float) -> None:
        """What a process that nobody waited for had used is lost to /proc: never go down."""
        self.cpu_s = max(self.cpu_s, seconds)

    @property
    def has_ended(self) -> bool:
        return self._ending.value is not None or self._watch.done()

    async def wait(self) -> Exit:
        return await asyncio.shield(self._watch)

    def send_signal(self, signal_name: str) -> None:
        """ "SIGTERM", "TERM" or "15". Raises ValueError for what is no signal. The kernel gives
        PID 1 no signal for which it has no handler, here as in Docker."""
        number = signal_number(signal_name)
        if not self.has_ended:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._started.process_fd, number)

    def kill(self) -> None:
        self.send_signal("SIGKILL")

    async def execute(
        self, argv: Sequence[str], environment: Mapping[str, str], timeout_s: float
    ) -> ExecResult:
        """126 or 127 where argv cannot be run, as a shell counts; 137 for one that was killed after
        timeout_s, or because the container ended. At most 1 MiB of output is kept."""
        if self.has_ended:
            return ExecResult(137, b"the container has ended")
        started = self._started
        command = self._enter()
        full = self._environment(environment)
        read_end, write_end = os.pipe()
        try:
            popen, is_inside = await spawn(
                started.spawner,
                started.group,
                lambda: started.space.popen(
                    [*command, "--", *argv], environment=full, stdout=write_end, stderr=write_end
                ),
            )
        except (OSError, ValueError) as error:
            os.close(read_end)
            return ExecResult(126, str(error).encode())
        finally:
            os.close(write_end)
        with contextlib.suppress(OSError):
            set_limits(popen.pid, dict(started.limits))
            if started.group is not None and not is_inside:
                started.group.add(popen.pid)
        return await self._finish(popen, read_end, timeout_s)

    async def open_terminal(
        self, argv: Sequence[str], environment: Mapping[str, str]
    ) -> EmbeddedTerminal:
        """As the port's Interactive says."""
        if self.has_ended:
            raise CannotStartContainer("the container has ended")
        return await open_terminal(
            self._started, self._enter(), argv, self._environment({"TERM": "xterm", **environment})
        )

    def _enter(self) -> list[str]:
        nsenter = self._started.nsenter
        # Before it enters: set from outside, they would come too late for what nsenter forks.
        command = [str(Path(nsenter).with_name("prlimit")), *prlimit_options(self._started.limits)]
        command += ["--", nsenter, "--target", str(self.pid)]
        command += ["--mount", "--uts", "--ipc", "--pid", "--root", "--wd"]
        if not self._started.user.is_root:
            # Our own uid is the container's user there; becoming any other is not allowed.
            command += ["--user", "--preserve-credentials"]
        return command

    def _environment(self, added: Mapping[str, str]) -> dict[str, str]:
        return container_environment(
            {**self.spec.environment, **added}, self._started.user, self.spec.hostname
        )

    async def _finish(
        self, popen: subprocess.Popen[bytes], read_end: int, timeout_s: float
    ) -> ExecResult:
        ending = Ending(popen)
        self._entered.add(popen.pid)
        reader, transport = await connect(read_end)
        output = asyncio.ensure_future(_read_at_most(reader, _OUTPUT_LIMIT))
        is_timed_out = False
        try:
            done, _ = await asyncio.wait({asyncio.ensure_future(ending.wait())}, timeout=timeout_s)
            is_timed_out = not done
        finally:
            if ending.value is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(popen.pid, signal.SIGKILL)
            end = await ending.wait()
            self._entered.discard(popen.pid)
            # What it left in the background may hold its output open; `docker exec` goes too.
            await asyncio.wait({output}, timeout=0.1)
            transport.close()
        return ExecResult(137 if is_timed_out else end.code, await output, is_timed_out)

    def usage(self) -> Usage | None:
        """None once it has ended."""
        if self.has_ended:
            return None
        group = self._started.group
        outside = self._ending.pid
        pids = [pid for pid in group.pids() if pid != outside] if group is not None else []
        pids = pids or usage.descendants([self.pid, *self._entered])
        memory: int | None = None
        cpu: float | None = None
        if group is not None:
            with contextlib.suppress(OSError):
                counted = group.cpu()
                cpu = counted.cpu_s if counted else None
                memory = group.memory_bytes()
        self._note_cpu(usage.cpu_seconds(pids) if cpu is None else cpu)
        files = usage.file_use(pids)
        return Usage(
            cpu_s=self.cpu_s,
            memory_bytes=usage.memory_bytes(pids) if memory is None else memory,
            processes=len(pids),
            open_files=files.open_files,
            open_files_limit=files.limit,
            sockets=files.sockets,
        )


def signal_number(name: str) -> int:
    """Raises ValueError."""
    if name.isdigit():
        return int(signal.Signals(int(name)))
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    try:
        return int(signal.Signals[full])
    except KeyError:
        raise ValueError(f"{name!r} is not a signal") from None


async def connect(fd: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    """A stream over the read end of a pipe, which is closed with it."""
    reader = asyncio.StreamReader(limit=1 << 18)
    protocol = asyncio.StreamReaderProtocol(reader)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(fd, "rb", 0))
    return reader, transport


async def _read_at_most(reader: asyncio.StreamReader, limit: int) -> bytes:
    """Reads to the end, so that the writer never blocks; keeps the first `limit` bytes."""
    kept = bytearray()
    while data := await reader.read(1 << 16):
        kept += data[: limit - len(kept)]
    return bytes(kept)
