"""Which engine runs the region's containers."""

from __future__ import annotations

from pathlib import Path

from hikkoshi.model.images import ImageLibrary
from hikkoshi.region.boot.ground import EmbeddedGround
from hikkoshi.region.boot.inner import DOCKER_SOCKET, MACHINE_PROC
from hikkoshi.region.engine.docker.engine import DockerEngine
from hikkoshi.region.engine.embedded import EmbeddedEngine

RUN = Path("/run/hikkoshi")
TASKS = RUN / "t"
"""Where tasks have their own files; short, for a unix socket's path has at most 108 bytes."""


async def open_engine(
    kind: str,
    ground: EmbeddedGround,
    library: ImageLibrary,
    described: frozenset[str] = frozenset(),
) -> EmbeddedEngine | DockerEngine:
    """kind: `embedded` or `docker`. described: images that the project says how to make. Raises
    CannotRun."""
    if kind != "docker":
        return await EmbeddedEngine.create(ground, library)
    # Docker mounts what lies on the machine, and /run here is the region's own.
    outside = {TASKS: await ground.share("t", TASKS)}
    return await DockerEngine.create(
        ground,
        library,
        socket=DOCKER_SOCKET,
        proc=MACHINE_PROC,
        outside=outside,
        described=described,
    )
