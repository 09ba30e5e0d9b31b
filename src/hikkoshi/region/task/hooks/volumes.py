"""Volumes that the containers of a task share, and who mounts them where."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from hikkoshi.region.engine.port import Mount
from hikkoshi.region.task.definition import TaskDefinition
from hikkoshi.region.task.setup import Setup, StartFailedError

FILE_SYSTEMS = "efs"
"""No task's directory has a name that short."""


async def prepare(setup: Setup, undo: AsyncExitStack) -> None:
    """The directories lie in the task's own, and go with it; those that stand for EFS lie beside
    the tasks', for all of them, and go with the region."""
    places = {
        name: setup.directory / "v" / str(index)
        for index, name in enumerate(setup.definition.volumes)
    }
    shared = setup.parts.run_directory / FILE_SYSTEMS
    places |= {name: shared / place for name, place in setup.definition.file_systems}
    setup.mounts = mounts(setup.definition, places)
    for place in places.values():
        if place.exists():
            continue
        place.mkdir(parents=True, exist_ok=True)
        # Any user of any container writes here. Docker would give the directory the owner and
        # mode that the image has at that path; images are the engine's, out of reach here.
        place.chmod(0o1777)


def mounts(definition: TaskDefinition, places: Mapping[str, Path]) -> dict[str, tuple[Mount, ...]]:
    """Each container's mounts, by its name: its mountPoints, then those of its volumesFrom.

    Raises StartFailedError for a volume or container that is not in the definition."""
    own: dict[str, tuple[Mount, ...]] = {}
    for container in definition.containers:
        for point in container.mount_points:
            if point.volume not in places:
                raise StartFailedError(
                    f"CannotStartContainerError: container {container.name} mounts volume "
                    f"{point.volume}, which the task definition does not have"
                )
        own[container.name] = tuple(
            Mount(places[p.volume], p.path, p.is_read_only) for p in container.mount_points
        )
    result = {}
    for container in definition.containers:
        by_target = {mount.target: mount for mount in own[container.name]}
        for source in container.volumes_from:
            if source.container not in own:
                raise StartFailedError(
                    f"CannotStartContainerError: container {container.name} takes volumesFrom "
                    f"{source.container}, which is not in the task"
                )
            for mount in own[source.container]:
                is_read_only = mount.is_read_only or source.is_read_only
                by_target.setdefault(mount.target, Mount(mount.source, mount.target, is_read_only))
        result[container.name] = tuple(by_target.values())
    return result
