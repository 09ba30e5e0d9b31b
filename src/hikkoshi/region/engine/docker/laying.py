"""From a container's layout to what Docker is asked for: pure.

Images that lie on the machine's own root become an image of links only, with the machine's
directories bound read-only into it. Where a layer lies over such a directory, or something has to
be added to it, an overlay is mounted by a volume of Docker's `local` driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.engine.layout import Bind, Layout, Overlay, Step, Tmpfs

NETWORK_FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


@dataclass(frozen=True, slots=True)
class Places:
    """Directories that the region sees elsewhere than Docker does: inside → on the machine.
    dockers_own: where Docker keeps what is its own; None where it did not say. is_podmans: it is
    Podman that mounts, which copies into a tmpfs what lies beneath it unless told not to."""

    outside: Mapping[Path, Path] = field(default_factory=dict)
    dockers_own: Path | None = None
    is_podmans: bool = False

    def of(self, path: Path) -> Path:
        for inside, outside in self.outside.items():
            if path.is_relative_to(inside):
                return outside / path.relative_to(inside)
        return path

    def has_of_dockers(self, path: Path) -> bool:
        """Whether what is Docker's own lies in that directory of the machine, or it in that."""
        own = self.dockers_own
        return own is not None and (own.is_relative_to(path) or path.is_relative_to(own))


@dataclass(frozen=True, slots=True)
class Volume:
    """Options of the `local` driver, by which it mounts an overlay or a directory."""

    name: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Laid:
    """mounts and tmpfs as HostConfig has them; volumes have to be made first."""

    mounts: tuple[Mapping[str, Any], ...]
    tmpfs: Mapping[str, str]
    volumes: tuple[Volume, ...]

    def without_volumes(self) -> Laid:
        mounts = tuple(one for one in self.mounts if one["Type"] != "volume")
        return Laid(mounts, self.tmpfs, ())


def lay(layout: Layout, places: Places, name: str) -> Laid:
    """name: what the volumes' names begin with. Raises CannotRun for a path that the kernel's
    overlay options cannot hold."""
    mounts: list[Mapping[str, Any]] = []
    tmpfs: dict[str, str] = {}
    volumes: list[Volume] = []
    steps = (*layout.steps, *layout.mounts)
    # Docker takes one mount for a place: what lies on top.
    topmost = {step.target: number for number, step in enumerate(steps)}
    for number, step in enumerate(steps):
        if topmost[step.target] != number:
            continue
        match step:
            case Bind(source, target, is_read_only) if places.has_of_dockers(places.of(source)):
                volume = directory(places.of(source), f"{name}-{len(volumes)}")
                volumes.append(volume)
                mounts.append(mount_of(volume, target, is_read_only=is_read_only))
            case Bind():
                mounts.append(bind(step, places, is_of_machine=step in layout.steps))
            case Tmpfs(target, mode, is_mask, size_mib, options):
                is_asked = step in layout.mounts
                is_read_only = is_mask or (layout.is_read_only and not is_asked)
                tmpfs[target] = f"mode={mode}" + (",ro" if is_read_only else "")
                # One that the task definition asks for has Docker's own defaults (noexec).
                tmpfs[target] += ",exec" if not is_read_only and not is_asked else ""
                tmpfs[target] += f",size={size_mib}m" if size_mib else ""
                tmpfs[target] += "".join(f",{one}" for one in options)
                tmpfs[target] += ",notmpcopyup" if places.is_podmans else ""
            case Overlay():
                volume = overlay(step, places, f"{name}-{len(volumes)}")
                volumes.append(volume)
                mounts.append(mount_of(volume, step.target, is_read_only=layout.is_read_only))
    return Laid(tuple(mounts), tmpfs, tuple(volumes))


def bind(step: Bind, places: Places, *, is_of_machine: bool) -> Mapping[str, Any]:
    """What is mounted beneath a directory of the machine stays away: Docker before 25 would let
    the container write to it."""
    return {
        "Type": "bind",
        "Source": str(places.of(step.source)),
        "Target": step.target,
        "ReadOnly": step.is_read_only,
        "BindOptions": {"Propagation": "rprivate", "NonRecursive": is_of_machine},
    }


def mount_of(volume: Volume, target: str, *, is_read_only: bool) -> Mapping[str, Any]:
    return {
        "Type": "volume",
        "Source": volume.name,
        "Target": target,
        "ReadOnly": is_read_only,
        "VolumeOptions": {"NoCopy": True},
    }


def directory(path: Path, name: str) -> Volume:
    """Docker binds what holds its own directory (/var, by default) only so that what is mounted
    there later comes into the container, writable; of a volume it asks no such thing."""
    return Volume(name, {"type": "none", "device": str(path), "o": "bind,private"})


def overlay(step: Overlay, places: Places, name: str) -> Volume:
    lower = [str(places.of(one)) for one in reversed(step.sources)]
    parts = [f"lowerdir={':'.join(lower)}"]
    paths = list(lower)
    if step.upper is not None and step.work is not None:
        paths += [str(places.of(step.upper)), str(places.of(step.work))]
        parts += [f"upperdir={paths[-2]}", f"workdir={paths[-1]}"]
    for path in paths:
        if set(path) & set(":,\\"):
            raise CannotRun(f"an overlay cannot be made of {path}: a colon, comma or backslash")
    return Volume(name, {"type": "overlay", "device": "overlay", "o": ",".join(parts)})


def literal_targets(steps: tuple[Step, ...], files: Mapping[Path, str]) -> tuple[Step, ...]:
    """files: the container's own network files and their names. Docker takes them for its own by
    these names only, whatever /etc/resolv.conf is a link to."""
    return tuple(
        Bind(step.source, files[step.source], step.is_read_only)
        if isinstance(step, Bind) and step.source in files
        else step
        for step in steps
    )
