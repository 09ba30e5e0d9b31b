"""`Ground` and `Instance` (region/engine/instances.py) where the ground is a namespace."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from hikkoshi.base.errors import CannotRun, DeadlinePassed
from hikkoshi.region.boot import linux
from hikkoshi.region.boot.doors import DoorClient
from hikkoshi.region.boot.impairing import Impairing
from hikkoshi.region.boot.network import GATEWAY, RESOLVER, Network, Space
from hikkoshi.region.boot.processes import SpawnedProcess
from hikkoshi.region.engine.port import Impairment

_BASE_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/",
    "LANG": "C.UTF-8",
}
T = TypeVar("T")


class EmbeddedInstance:
    """Processes in one network namespace. Made by `EmbeddedGround`, used on its loop."""

    def __init__(
        self, ground: EmbeddedGround, name: str, address: str, space: Space | None
    ) -> None:
        self.name = name
        self.address = address
        self._ground = ground
        self._space = space
        self._processes: set[SpawnedProcess] = set()
        self._impairing = None if space is None else Impairing(ground.network, space)

    def popen(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a process in this namespace; environment is added to a bare one. Its
        parent is the calling thread. Raises OSError."""
        with contextlib.ExitStack() as stack:
            if self._space is not None:
                stack.enter_context(self._ground.network.inside(self._space.fd))
            return subprocess.Popen(
                list(argv),
                env=None if environment is None else {**_BASE_ENVIRONMENT, **environment},
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        uid: int | None = None,
        writable: Sequence[Path] = (),
        log: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> asyncio.subprocess.Process:
        """As the port says; without `log` the output goes to the region's own log. Raises
        CannotRun if the program cannot be started. What still runs at `remove` is killed."""
        command = self._as_user(argv, uid, writable)
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(log.open("ab")) if log is not None else None
            try:
                popen = self.popen(
                    command,
                    environment=environment,
                    stdout=output,
                    stderr=subprocess.STDOUT if output is not None else None,
                    pass_fds=pass_fds,
                )
            except OSError as error:
                raise CannotRun(f"cannot start {argv[0]}: {error.strerror}") from error
        process = SpawnedProcess(popen)
        self._processes = {one for one in self._processes if one.returncode is None}
        self._processes.add(process)
        return process

    async def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        uid: int | None = None,
        writable: Sequence[Path] = (),
        input: bytes = b"",
        timeout_s: float = 60.0,
    ) -> tuple[int, bytes]:
        """Raises DeadlinePassed (and kills it) after timeout_s, CannotRun if it cannot start."""
        try:
            popen = self.popen(
                self._as_user(argv, uid, writable),
                environment=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise CannotRun(f"cannot start {argv[0]}: {error.strerror}") from error

        def finish() -> tuple[int, bytes]:
            try:
                output, _ = popen.communicate(input, timeout=timeout_s)
            except subprocess.TimeoutExpired as error:
                popen.kill()
                popen.communicate()
                raise DeadlinePassed(f"{argv[0]} did not end within {timeout_s:g} s") from error
            code = popen.returncode
            return (128 - code if code < 0 else code), output

        try:
            return await self._ground.in_thread(finish)
        except asyncio.CancelledError:
            popen.kill()
            raise

    def _as_user(self, argv: Sequence[str], uid: int | None, writable: Sequence[Path]) -> list[str]:
        for path in writable:
            path.mkdir(parents=True, exist_ok=True)
        if uid is None:
            return list(argv)
        # Our own uid appears as `uid` in a user namespace of the process's own. unshare(1) becomes
        # the command (it does not fork), so that signals and the exit code are the command's.
        unshare = self._ground.unshare_program
        return [unshare, "--user", f"--map-user={uid}", f"--map-group={uid}", "--", *argv]

    async def remove(self) -> None:
        """Kill what was spawned and still runs, and give back namespace and address."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for process in self._processes:
            await process.wait()
        self._processes.clear()
        if self._impairing is not None:
            await self._ground.in_thread(self._impairing.close)
        if self._space is not None:
            await self._ground.in_thread(lambda: self._ground.network.remove(self._space_or_fail()))

    async def impair(self, impairments: Sequence[Impairment]) -> None:
        """As engine/port.py's Impairable: these and no others are in force. Raises OSError."""
        if self._impairing is None:
            raise OSError(errno.EOPNOTSUPP, "the region's own network is never impaired")
        impairing = self._impairing
        await self._ground.in_thread(lambda: impairing.apply(tuple(impairments)))

    def impairments(self) -> tuple[Impairment, ...]:
        return () if self._impairing is None else self._impairing.in_force()

    async def tune(self, values: Mapping[str, str]) -> None:
        """As engine/port.py's Tunable: parameters of this network. Raises OSError."""
        space = self._space_or_fail()
        await self._ground.in_thread(lambda: self._ground.network.tune(space, values))

    def _space_or_fail(self) -> Space:
        assert self._space is not None
        return self._space


class EmbeddedGround:
    """Made by the region's process in its own namespaces; `network` is already laid.

    cgroups: directories (one a hierarchy) that this region may make and that are removed with it.
    """

    gateway = GATEWAY
    resolver = RESOLVER

    def __init__(
        self,
        state: Path,
        region_id: str,
        network: Network,
        doors: DoorClient,
        cgroups: Sequence[Path],
    ) -> None:
        self.state = state
        self.region_id = region_id
        self.network = network
        self.cgroups = tuple(cgroups)
        self._doors = doors
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="ground")
        self._home = EmbeddedInstance(self, "region", GATEWAY, None)

    @property
    def unshare_program(self) -> str:
        found = shutil.which("unshare", path=_BASE_ENVIRONMENT["PATH"])
        if found is None:
            raise CannotRun("the program unshare is missing", fix="install util-linux")
        return found

    async def in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def create_instance(self, name: str) -> EmbeddedInstance:
        """Raises CannotRun when the network is full or the kernel refuses."""
        try:
            space = await self.in_thread(lambda: self.network.create(name))
        except OSError as error:
            raise CannotRun(f"cannot make a network namespace for {name}: {error}") from error
        return EmbeddedInstance(self, name, space.address, space)

    async def take_address(self) -> str:
        """For `connect`; raises CannotRun when there is none left."""
        return await self.in_thread(self.network.take_address)

    async def give_back(self, address: str) -> None:
        await self.in_thread(lambda: self.network.give_back(address))

    async def connect(self, name: str, address: str, namespace: Path) -> EmbeddedInstance:
        """Give an existing network namespace that address in the region's network. Raises
        CannotRun, and the address is given back."""

        def open_it() -> int:
            return os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)

        try:
            space = await self.in_thread(lambda: self.network.connect(name, address, open_it))
        except OSError as error:
            raise CannotRun(f"cannot lay the network of {name}: {error}") from error
        return EmbeddedInstance(self, name, space.address, space)

    async def share(self, name: str, place: Path) -> Path:
        """A directory of the state directory, seen at `place` in the region; its path on the
        machine."""

        def bind() -> Path:
            outside = self.state.absolute() / name
            for directory in (outside, place):
                directory.mkdir(parents=True, exist_ok=True)
            linux.mount(str(outside), str(place), None, linux.MS_BIND)
            return outside

        return await self.in_thread(bind)

    async def kill_outside(self, pid: int, start: int) -> None:
        """SIGKILL to a process that is not below us, by its pid and start time on the machine."""
        await self.in_thread(lambda: self._doors.kill(pid, start))

    def region_instance(self) -> EmbeddedInstance:
        return self._home

    async def open_door(self, wanted_port: int | None) -> tuple[int, int]:
        return await self.in_thread(lambda: self._doors.open(wanted_port))

    async def close_door(self, fd: int) -> None:
        os.close(fd)

    async def add_address(self, address: str) -> None:
        await self.in_thread(lambda: self.network.add_address(address))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
