"""A ground without namespaces: instances are addresses of 127.0.0.0/8. Doubles the region's own
ground, which needs a process of its own; PostgreSQL is the real one, under the same uid."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from loopback_blocks import own_block

_next = itertools.count(1)
_block = own_block()


class LoopbackInstance:
    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.processes: list[asyncio.subprocess.Process] = []

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
        with (log or Path(os.devnull)).open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *self._as_user(argv, uid),
                env=dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
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
        process = await asyncio.create_subprocess_exec(
            *self._as_user(argv, uid),
            env=dict(environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(input), timeout_s)
        return process.returncode or 0, output

    def _as_user(self, argv: Sequence[str], uid: int | None) -> list[str]:
        if uid is None:
            return list(argv)
        user = [f"--map-user={uid}", f"--map-group={uid}"]
        return ["/usr/bin/unshare", "--user", *user, "--", *argv]

    async def remove(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


class LoopbackGround:
    gateway = "127.0.0.1"
    resolver = "127.0.0.2"

    def __init__(self, state: Path) -> None:
        self.state = state
        self.instances: list[LoopbackInstance] = []
        self.doors: dict[int, socket.socket] = {}
        self.slow: dict[str, asyncio.Event] = {}
        """Instances whose address comes only when their event is set."""

    async def create_instance(self, name: str) -> LoopbackInstance:
        if (slow := self.slow.get(name)) is not None:
            await slow.wait()
        number = next(_next)
        address = f"{_block}.{number % 250 + 1}"
        instance = LoopbackInstance(name, address)
        self.instances.append(instance)
        return instance

    def region_instance(self) -> LoopbackInstance:
        return LoopbackInstance("region", self.gateway)

    async def open_door(self, wanted_port: int | None) -> tuple[int, int]:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        self.doors[listening.fileno()] = listening
        return listening.fileno(), listening.getsockname()[1]

    async def close_door(self, fd: int) -> None:
        self.doors.pop(fd).close()

    async def add_address(self, address: str) -> None:
        return None
