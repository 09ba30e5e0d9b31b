"""What the engine needs of the ground: instances in which it can start processes itself.

Wider than `instances.py`, because a container's output has to come by pipes; the embedded ground
keeps both."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, TypeVar

from hikkoshi.region.engine.port import Impairment

T = TypeVar("T")


class Space(Protocol):
    name: str
    address: str

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
        """The calling thread must last as long as the region: it is the parent that bwrap follows
        into death."""
        ...

    async def impair(self, impairments: Sequence[Impairment]) -> None:
        """As engine/port.py's Impairable."""
        ...

    def impairments(self) -> tuple[Impairment, ...]: ...

    async def tune(self, values: Mapping[str, str]) -> None:
        """As engine/port.py's Tunable."""
        ...

    async def remove(self) -> None: ...


class SpaceGround(Protocol):
    state: Path
    resolver: str
    cgroups: tuple[Path, ...]

    async def create_instance(self, name: str) -> Space: ...

    async def in_thread(self, work: Callable[[], T]) -> T: ...
