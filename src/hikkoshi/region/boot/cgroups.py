"""Where a region may keep its control groups: one directory in each hierarchy.

v1: beneath the group this process is in, for cpu, cpuacct and memory. v2: beneath the nearest
ancestor that hands out the cpu and memory controllers. Nothing is made here; whether the places can
be written is tried by the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_V1 = ("cpu", "cpuacct", "memory")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted cgroup file system. controllers is empty for v2."""

    mount: Path
    root: str
    controllers: frozenset[str]


def parse_hierarchies(mountinfo: str) -> list[Hierarchy]:
    """From /proc/PID/mountinfo."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if not kind or kind[0] not in ("cgroup", "cgroup2"):
            continue
        options = frozenset(kind[2].split(",")) if kind[0] == "cgroup" else frozenset()
        found.append(Hierarchy(Path(fields[4]), fields[3], options))
    return found


def parse_membership(text: str) -> dict[str, str]:
    """/proc/PID/cgroup → path by controller; "" is v2."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def own_directory(hierarchy: Hierarchy, path: str) -> Path:
    """The directory of the group `path`, seen through a mount that may show only a part."""
    if hierarchy.root != "/" and (path == hierarchy.root or path.startswith(hierarchy.root + "/")):
        path = path[len(hierarchy.root) :]
    return hierarchy.mount / path.strip("/")


def places(mountinfo: str, membership: str) -> list[tuple[str, list[Path]]]:
    """(controller or "" for v2, directories to try in order) for this process."""
    paths = parse_membership(membership)
    found: list[tuple[str, list[Path]]] = []
    for hierarchy in parse_hierarchies(mountinfo):
        if hierarchy.controllers:
            for controller in sorted(hierarchy.controllers & set(_V1)):
                own = own_directory(hierarchy, paths.get(controller, "/"))
                found.append((controller, [own]))
        else:
            own = own_directory(hierarchy, paths.get("", "/"))
            ancestors = [own, *own.parents]
            limit = ancestors.index(hierarchy.mount) if hierarchy.mount in ancestors else 0
            found.append(("", ancestors[: limit + 1]))
    return found


def planned_directories(region_id: str, *, is_dockers: bool = False) -> list[Path]:
    """Every directory that this region might make; written to the journal before it does.
    is_dockers: at the top of every hierarchy, since Docker takes one path for all of them."""
    mountinfo = Path("/proc/self/mountinfo").read_text()
    if is_dockers:
        found = parse_hierarchies(mountinfo)
        mounts = dict.fromkeys(h.mount.resolve() for h in found if h.mount.is_dir())
        return [mount / f"hikkoshi-{region_id}" for mount in mounts]
    membership = Path("/proc/self/cgroup").read_text()
    tried = [path for _, paths in places(mountinfo, membership) for path in paths]
    unique = dict.fromkeys(path.resolve() for path in tried if path.is_dir())
    return [path / f"hikkoshi-{region_id}" for path in unique]
