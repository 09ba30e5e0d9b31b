"""What runs containers: the protocol that the embedded and the Docker engine both keep."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable


class CannotPullContainer(Exception):
    """No such image here, or it could not be fetched; the text follows AWS's
    `CannotPullContainerError: ` prefix."""


class CannotStartContainer(Exception):
    """The image was there, but its process could not be started."""


@dataclass(frozen=True, slots=True)
class Mount:
    source: Path
    target: str
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class TmpfsMount:
    """Memory at a place of the container. options: mount(8)'s (`ro`, `mode=0700`, `noexec`)."""

    target: str
    size_mib: int
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ulimit:
    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is here. `stand_in` names the program that plays it, if one does."""

    name: str
    digest: str
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    working_directory: str | None = None
    user: str | None = None
    stop_signal: str = "SIGTERM"
    stand_in: str | None = None


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to start. `argv`, `environment`, `user` and `working_directory` are final: image
    defaults and overrides are already merged. memory_mib None: only the task's limit holds."""

    container_id: str
    name: str
    image: Image
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    working_directory: str = "/"
    user: str | None = None
    hostname: str = ""
    mounts: tuple[Mount, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    cpu_units: int = 0
    memory_mib: int | None = None
    has_read_only_root: bool = False
    tmpfs: tuple[TmpfsMount, ...] = ()
    added_capabilities: tuple[str, ...] = ()
    dropped_capabilities: tuple[str, ...] = ()
    """Without `CAP_`; `ALL` is all that a container has unasked."""


@dataclass(frozen=True, slots=True)
class Exit:
    """code as a shell counts it: 128 + signal for a killed process (137 for SIGKILL)."""

    code: int
    is_out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class ExecResult:
    code: int
    output: bytes
    is_timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """cpu_s is cumulative; sockets is the part of open_files that are sockets.
    open_files is that of the process that has the most, with that process's own soft limit."""

    cpu_s: float
    memory_bytes: int
    processes: int
    open_files: int
    open_files_limit: int
    sockets: int


@dataclass(frozen=True, slots=True)
class SandboxUsage:
    """periods, throttled_* are cumulative, None where there is no cgroup to ask."""

    cpu_s: float
    memory_bytes: int
    periods: int | None
    throttled_periods: int | None
    throttled_s: float | None


class Container(Protocol):
    spec: ContainerSpec
    process: Path
    """Its first process, in the /proc that knows it; gone when it has ended."""
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    async def wait(self) -> Exit: ...

    def send_signal(self, signal_name: str) -> None:
        """To the container's first process ("SIGTERM"); nothing if it has ended."""
        ...

    def kill(self) -> None:
        """SIGKILL to every process of the container."""
        ...

    async def execute(
        self, argv: Sequence[str], environment: Mapping[str, str], timeout_s: float
    ) -> ExecResult:
        """Run argv inside the container, as `docker exec` does."""
        ...

    def usage(self) -> Usage | None: ...


class Terminal(Protocol):
    """A command at a terminal of its own inside a container."""

    async def read(self) -> bytes:
        """The next output; b"" when there is no more."""
        ...

    async def write(self, data: bytes) -> None: ...

    def resize(self, columns: int, rows: int) -> None: ...

    async def close(self) -> int:
        """End the command if it still runs; its exit code."""
        ...


@runtime_checkable
class ReadiesContainers(Protocol):
    """A sandbox that can do all of a start but the running, for a container that has to wait."""

    async def make_ready(self, spec: ContainerSpec) -> None:
        """A later `start` of an equal spec is quick. What cannot be made ready is told by that
        start; what is never started goes with the sandbox."""
        ...


@runtime_checkable
class Interactive(Protocol):
    """What a Container is, too, where its engine can give a terminal (ECS Exec needs it)."""

    async def open_terminal(self, argv: Sequence[str], environment: Mapping[str, str]) -> Terminal:
        """environment is added to the container's. Raises CannotStartContainer."""
        ...


@dataclass(frozen=True, slots=True)
class Impairment:
    """What befalls some of a task's packets. direction, as the task sees it: egress or ingress.
    targets: networks (CIDR) of destinations; spared: those left alone. protocol (tcp, udp) and
    port (the destination's): None for any. loss: a probability; 1 is a black hole."""

    direction: str
    targets: tuple[str, ...]
    spared: tuple[str, ...] = ()
    protocol: str | None = None
    port: int | None = None
    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0


@runtime_checkable
class Impairable(Protocol):
    """What a Sandbox is, too, where its engine can spoil a task's network."""

    async def impair(self, impairments: Sequence[Impairment]) -> None:
        """These and no others from now on; in force when it returns. OSError: it cannot be done.
        What is in force ends with the sandbox."""
        ...

    def impairments(self) -> tuple[Impairment, ...]:
        """What is in force now."""
        ...


@runtime_checkable
class Tunable(Protocol):
    """What a Sandbox is, too, where its engine can set the kernel parameters of its network."""

    async def tune(self, values: Mapping[str, str]) -> None:
        """sysctl(8)'s names (`net.core.somaxconn`) → value. OSError: one cannot be set."""
        ...


class Sandbox(Protocol):
    """What the containers of one task share: a network namespace with one address, and limits."""

    task_id: str
    address: str
    cpu_is_enforced: bool
    memory_is_enforced: bool

    async def start(self, spec: ContainerSpec) -> Container:
        """Raises CannotStartContainer."""
        ...

    def usage(self) -> SandboxUsage | None: ...

    async def remove(self) -> None:
        """Kill what is left and give back namespace, address and cgroup. Never raises."""
        ...


class Engine(Protocol):
    name: str

    async def pull(self, image: str) -> Image:
        """Raises CannotPullContainer."""
        ...

    async def create_sandbox(
        self, task_id: str, *, cpu_vcpu: float, memory_mib: int, labels: Mapping[str, str]
    ) -> Sandbox: ...

    async def close(self) -> None:
        """Remove everything this engine made."""
        ...
