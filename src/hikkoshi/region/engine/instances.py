"""Processes of the region's own (PostgreSQL, HAProxy), each with an address if it wants one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Instance(Protocol):
    """A network namespace with an address in the region's network; processes start inside it."""

    name: str
    address: str

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
        """uid None: as the region itself (root in its namespace). With a uid the process sees the
        machine's files, owns `writable`, and is that uid (PostgreSQL refuses to be 0).
        stdout and stderr go to `log` (appended)."""
        ...

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
        """Run to the end; (exit code, stdout and stderr together)."""
        ...

    async def remove(self) -> None: ...


class Ground(Protocol):
    """What the region stands on: its network, its doors to the host, its directories.

    The embedded engine's ground is a namespace; the Docker engine's is the host's Docker network.
    """

    state: Path
    """The region's directory; gone after `hikkoshi down`."""

    gateway: str
    """The region's own address in its network (10.0.0.1): the front and the intakes listen here."""

    resolver: str
    """Where the DNS server is to listen (10.0.0.2)."""

    async def create_instance(self, name: str) -> Instance: ...

    def region_instance(self) -> Instance:
        """The region's own namespace, at `gateway`."""
        ...

    async def open_door(self, wanted_port: int | None) -> tuple[int, int]:
        """A listening TCP socket on the host's loopback: (its file descriptor, its port).
        A wanted port that is taken or privileged is replaced by a free one."""
        ...

    async def close_door(self, fd: int) -> None: ...

    async def add_address(self, address: str) -> None:
        """Give the region's namespace one more address (169.254.170.2, 10.0.0.3)."""
        ...
