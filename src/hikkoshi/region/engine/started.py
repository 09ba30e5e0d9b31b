"""What the start of a container found out, and what enters it later needs."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from hikkoshi.region.engine.cgroups import Group
from hikkoshi.region.engine.limits import Pair
from hikkoshi.region.engine.port import ContainerSpec
from hikkoshi.region.engine.space import Space
from hikkoshi.region.engine.users import User


@dataclass(frozen=True, slots=True)
class Started:
    """process_fd is a pidfd of the command itself."""

    spec: ContainerSpec
    space: Space
    user: User
    pid: int
    process_fd: int
    group: Group | None
    limits: Mapping[str, Pair]
    nsenter: str
    spawner: Executor
