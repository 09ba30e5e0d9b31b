"""Starting one container: what has to be decided, and the handshake with bwrap.

bwrap tells the command's pid, then waits; before it goes on the command is moved into its control
group and given its limits, so that not one instruction of it runs without them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from hikkoshi.base.ending import Ending
from hikkoshi.model.images import RootFs
from hikkoshi.region.engine.cgroups import Group, safe_name
from hikkoshi.region.engine.command import (
    bwrap_options,
    capabilities_of,
    container_environment,
    network_files,
)
from hikkoshi.region.engine.layout import HostTree, Layout, Scratch, bwrap_layout, lay_out
from hikkoshi.region.engine.limits import Pair, set_limits
from hikkoshi.region.engine.port import CannotStartContainer, ContainerSpec, Mount
from hikkoshi.region.engine.space import Space
from hikkoshi.region.engine.spawner import spawn
from hikkoshi.region.engine.users import UnknownUser, User, parse_user

_START_DEADLINE_S = 20.0
_WORDS = (
    "ResourceInitializationError: failed to create new container runtime task: failed to create "
    "shim task: OCI runtime create failed: runc create failed: unable to start container process: "
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A container that could be started: its files are written, its command was found."""

    layout: Layout
    user: User
    environment: Mapping[str, str]
    working_directory: str
    hostname: str
    program: str
    directory: Path
    capabilities: tuple[str, ...]


def prepare(
    spec: ContainerSpec,
    root: RootFs,
    host: HostTree,
    directory: Path,
    masked: tuple[Path, ...],
    *,
    network: Mapping[str, Path],
    can_keep_writes_on_disk: bool,
) -> Prepared:
    """Writes the container's own files into `directory`; network: from `write_network_files`.
    Raises CannotStartContainer in the words of the container runtime."""
    hostname = host_name_of(spec)
    directory.mkdir(parents=True, exist_ok=True)
    mounts = [Mount(source, path) for path, source in network.items()]
    for mount in spec.mounts:
        if not mount.source.exists():
            raise CannotStartContainer(f"{_WORDS}mount source {mount.source} does not exist")
        mounts.append(mount)
    working_directory = spec.working_directory or "/"
    scratch = Scratch(directory if can_keep_writes_on_disk else None, masked)
    layout = lay_out(
        root, host, scratch, mounts, working_directory, is_read_only=spec.has_read_only_root,
        memory=spec.tmpfs,
    )  # fmt: skip
    for needed in layout.directories:
        needed.mkdir(parents=True, exist_ok=True)
    view = layout.view
    try:
        user = parse_user(spec.user, view.read_text("/etc/passwd"), view.read_text("/etc/group"))
        environment = container_environment(spec.environment, user, hostname)
        if not spec.argv:
            raise FileNotFoundError("no command specified")
        program = view.find_program(spec.argv[0], environment["PATH"], working_directory)
    except (UnknownUser, FileNotFoundError, PermissionError) as error:
        raise CannotStartContainer(f"{_WORDS}{error}") from error
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name + value:
            raise CannotStartContainer(f"{_WORDS}invalid environment variable {name!r}")
    capabilities = capabilities_of(spec.added_capabilities, spec.dropped_capabilities)
    return Prepared(
        layout, user, environment, working_directory, hostname, program, directory, capabilities
    )


def host_name_of(spec: ContainerSpec) -> str:
    return spec.hostname or spec.container_id[:12] or "localhost"


def write_network_files(
    directory: Path, hostname: str, address: str, resolver: str
) -> dict[str, Path]:
    """The container's path → the file that is to lie there. Containers of one task that have one
    host name share them, as they share the pause container's on Fargate."""
    found = {}
    for path, text in network_files(hostname, address, resolver).items():
        source = directory / f"{safe_name(hostname)}-{Path(path).name}"
        if not source.exists():
            source.write_text(text)
        found[path] = source
    return found


@dataclass(frozen=True, slots=True)
class Running:
    pid: int
    process_fd: int
    ending: Ending
    stdout: int
    stderr: int
    early_errors: bytes


@dataclass(slots=True)
class Held:
    """A container whose root is laid and whose limits hold, just before its command runs."""

    pid: int
    process_fd: int
    ending: Ending
    stdout: int
    stderr: int
    gate: io.FileIO
    info: int
    undo: contextlib.ExitStack

    def drop(self) -> None:
        """End it; nothing is left. Not for one that was let go."""
        # Killed before the gate closes, since that would let the command run.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.process_fd, signal.SIGKILL)
        self.undo.close()


async def hold(
    prepared: Prepared,
    argv: Sequence[str],
    space: Space,
    bwrap: Path,
    group: Group | None,
    limits: Mapping[str, Pair],
    spawner: Executor,
) -> Held:
    """spawner: one thread that lasts as long as the region and is not its first. Raises
    CannotStartContainer; nothing is left then."""
    with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs:
        info_in, info_out = _pipe(undo, theirs)
        stdout_in, stdout_out = _pipe(undo, theirs)
        stderr_in, stderr_out = _pipe(undo, theirs)
        block_in, block_out = os.pipe()
        theirs.callback(os.close, block_in)
        gate = undo.enter_context(io.FileIO(block_out, "w"))
        options = bwrap_options(
            layout=bwrap_layout(prepared.layout),
            user=prepared.user,
            capabilities=prepared.capabilities,
            environment=prepared.environment,
            hostname=prepared.hostname,
            working_directory=prepared.working_directory,
            argv0=argv[0],
            info_fd=info_out,
            block_fd=block_in,
        )
        options_fd = _memory_file("\0".join(options).encode(errors="surrogateescape"))
        theirs.callback(os.close, options_fd)

        def start() -> subprocess.Popen[bytes]:
            return space.popen(
                [str(bwrap), "--args", str(options_fd), "--", prepared.program, *argv[1:]],
                environment={},
                stdout=stdout_out,
                stderr=stderr_out,
                pass_fds=(info_out, block_in, options_fd),
            )

        try:
            popen, is_inside = await spawn(spawner, group, start)
        except (OSError, ValueError) as error:
            raise CannotStartContainer(f"{_WORDS}{error}") from error
        ending = Ending(popen)
        undo.callback(_end, popen)
        theirs.close()
        pid = await _child_pid(info_in, ending)
        if pid is None:
            raise await _refused(stderr_in, ending)
        try:
            process_fd = os.pidfd_open(pid)
        except OSError:
            raise await _refused(stderr_in, ending) from None
        undo.callback(os.close, process_fd)
        _confine(pid, None if is_inside else group, limits)
        return Held(pid, process_fd, ending, stdout_in, stderr_in, gate, info_in, undo.pop_all())


async def let_go(held: Held, bwrap: Path) -> Running:
    """Run the command. Raises CannotStartContainer; nothing is left then."""
    with held.undo as undo:
        with contextlib.suppress(BrokenPipeError):
            held.gate.write(b"g")
        held.gate.close()
        await _executed(held.pid, bwrap, held.ending)
        early = b""
        if held.ending.value is not None:
            early = _read_all(held.stderr)
            if early.startswith(b"bwrap: "):
                raise CannotStartContainer(_WORDS + early.decode(errors="replace").strip())
        undo.pop_all()
        os.close(held.info)
    return Running(held.pid, held.process_fd, held.ending, held.stdout, held.stderr, early)


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    read_end, write_end = os.pipe()
    ours.callback(os.close, read_end)
    theirs.callback(os.close, write_end)
    return read_end, write_end


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("arguments")
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _end(popen: subprocess.Popen[bytes]) -> None:
    """Its Ending waits for it."""
    if popen.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(popen.pid, 9)


async def _child_pid(info: int, ending: Ending) -> int | None:
    """From what bwrap writes to --info-fd; None if it ended without."""
    loop = asyncio.get_running_loop()
    text = b""
    os.set_blocking(info, False)
    deadline = loop.time() + _START_DEADLINE_S
    while True:
        readable = asyncio.Event()
        loop.add_reader(info, readable.set)
        try:
            await asyncio.wait_for(readable.wait(), max(0.0, deadline - loop.time()))
        except TimeoutError:
            raise CannotStartContainer("bwrap did not start the container in time") from None
        finally:
            loop.remove_reader(info)
        data = os.read(info, 4096)
        text += data
        with contextlib.suppress(ValueError):
            return int(json.loads(text)["child-pid"])
        if not data:
            return None


def _confine(pid: int, group: Group | None, limits: Mapping[str, Pair]) -> None:
    """A process that has ended already is no error here; its end is seen elsewhere."""
    try:
        if group is not None:
            group.add(pid)
        set_limits(pid, dict(limits))
    except ProcessLookupError:
        return
    except (OSError, ValueError) as error:
        raise CannotStartContainer(f"{_WORDS}limits cannot be set: {error}") from error


async def _executed(pid: int, bwrap: Path, ending: Ending) -> None:
    """Return when the process is no longer bwrap but the command, or has ended."""
    program = bwrap.stat()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_DEADLINE_S
    pause = 0.0003
    while ending.value is None:
        try:
            if not os.path.samestat(Path(f"/proc/{pid}/exe").stat(), program):
                return
        except OSError:
            await ending.wait()
            return
        if loop.time() > deadline:
            raise CannotStartContainer("the container's command did not start in time")
        # An exec wakes nobody up; it is looked for, at most 2 ms late.
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.002)


async def _refused(stderr: int, ending: Ending) -> CannotStartContainer:
    await asyncio.wait_for(ending.wait(), _START_DEADLINE_S)
    return CannotStartContainer(_WORDS + _read_all(stderr).decode(errors="replace").strip())


def _read_all(fd: int) -> bytes:
    """What is in a pipe now."""
    os.set_blocking(fd, False)
    found = b""
    with contextlib.suppress(BlockingIOError):
        while data := os.read(fd, 65536):
            found += data
    return found


def find_program(name: str) -> str | None:
    return shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
