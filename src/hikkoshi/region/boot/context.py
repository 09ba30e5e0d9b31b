"""What an entry point is given beside the ground."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


def _event() -> asyncio.Event:
    """The door imports this module, and has no need of asyncio."""
    import asyncio

    return asyncio.Event()


@dataclass(slots=True)
class RegionContext:
    """api_socket: bound and listening on the host's loopback. payload: the launcher's JSON.
    kept_directory: for what is to outlive a SIGKILL (a database's data); `hikkoshi down` removes
    it, and so does a region that ends in order. It may not be there yet.

    `async def main(ground: Ground, context: RegionContext) -> None` calls `ready()` when the API
    answers, serves until `stopping` is set (SIGTERM), closes what it has, and returns. Raising
    before `ready()` is a failed start, with the error's own words at the launcher."""

    region_id: str
    api_socket: socket.socket
    api_url: str
    record_directory: Path
    kept_directory: Path
    payload: Any
    announce: Callable[[], None]
    stopping: asyncio.Event = field(default_factory=_event)

    def ready(self) -> None:
        self.announce()
