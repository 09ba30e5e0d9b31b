"""What the sandboxes of a Docker engine share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from hikkoshi.region.engine.docker.daemon import Daemon
from hikkoshi.region.engine.docker.images import LABEL, Runnable
from hikkoshi.region.engine.docker.laying import Places
from hikkoshi.region.engine.layout import HostTree
from hikkoshi.region.engine.limits import Clipped, Pair
from hikkoshi.region.engine.port import CannotStartContainer, Image
from hikkoshi.region.engine.space import Space

T = TypeVar("T")


class DockerGround(Protocol):
    state: Path
    resolver: str
    region_id: str
    cgroups: tuple[Path, ...]

    async def in_thread(self, work: Callable[[], T]) -> T: ...

    async def take_address(self) -> str: ...

    async def give_back(self, address: str) -> None: ...

    async def connect(self, name: str, address: str, namespace: Path) -> Space: ...

    async def kill_outside(self, pid: int, start: int) -> None: ...


@dataclass(slots=True)
class Kit:
    """proc: the machine's /proc. base: the image of links only. ceiling: the hard limits that
    Docker may give, once it was found that it may not give every one."""

    ground: DockerGround
    daemon: Daemon
    proc: Path
    places: Places
    host: HostTree
    sleep: str
    base: str = ""
    ceiling: dict[str, Pair] | None = None
    clipped: dict[tuple[str, int, int], Clipped] = field(default_factory=dict)
    pulled: dict[str, Runnable] = field(default_factory=dict)

    def runnable(self, image: Image) -> Runnable:
        if image.digest not in self.pulled:
            raise CannotStartContainer(f"image {image.name} was not pulled by this engine")
        return self.pulled[image.digest]

    def labels(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**more, LABEL: self.ground.region_id}

    def prefix(self, name: str) -> str:
        return f"hikkoshi-{self.ground.region_id}-{name}"

    def group_path(self, name: str) -> str:
        return f"/hikkoshi-{self.ground.region_id}/{name}"

    def group_name(self, identity: str) -> str:
        """Of a container, beneath its task's group."""
        return f"libpod-{identity}" if self.places.is_podmans else identity
