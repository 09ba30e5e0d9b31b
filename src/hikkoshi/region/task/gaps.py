"""What Fargate would do with a task definition and this region does not: pure.

What would change how the service behaves is refused; what only makes it a little different is
played without, and told in the report."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from typing import Any

_ARCHITECTURES = {"X86_64": "x86_64", "ARM64": "aarch64"}
_TASK_KEYS = ("pidMode", "proxyConfiguration")
_TMPFS_OPTIONS = ("ro", "rw", "mode=", "size=", "nosuid", "nodev", "defaults")
_CONTAINER_KEYS = ("credentialSpecs",)


def not_implemented(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys that cannot be left out in silence, as `container NAME: KEY`."""
    return tuple(_each_missing(document))


def _each_missing(document: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in _TASK_KEYS if document.get(key))
    system = (document.get("runtimePlatform") or {}).get("operatingSystemFamily") or "LINUX"
    if system != "LINUX":
        yield f"runtimePlatform {system}"
    for container in document.get("containerDefinitions") or ():
        where = f"container {container.get('name')}: "
        yield from (where + key for key in _CONTAINER_KEYS if container.get(key))
        for control in container.get("systemControls") or ():
            if not str(control.get("namespace")).startswith("net."):
                yield f"{where}systemControls {control.get('namespace')} (of IPC)"


def not_imitated(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences for the report."""
    return tuple(_each_difference(document))


def _each_difference(document: Mapping[str, Any]) -> Iterator[str]:
    architecture = (document.get("runtimePlatform") or {}).get("cpuArchitecture")
    if architecture and _ARCHITECTURES.get(architecture) != platform.machine():
        yield f"runtimePlatform {architecture}: images are run as they are on {platform.machine()}"
    for volume in document.get("volumes") or ():
        if efs := volume.get("efsVolumeConfiguration"):
            yield (
                f"EFS {efs.get('fileSystemId')} is played by a directory of the region, which goes "
                "with it; its own users, access points' roots and IAM are not looked at"
            )
    if document.get("ephemeralStorage"):
        yield "ephemeralStorage is not limited"
    for container in document.get("containerDefinitions") or ():
        where = f"container {container.get('name')}: "
        linux = container.get("linuxParameters") or {}
        if linux.get("initProcessEnabled"):
            yield (
                f"{where}initProcessEnabled is not played: its own process is PID 1, so it must "
                "handle SIGTERM itself here and its orphans are not reaped"
            )
        for mount in linux.get("tmpfs") or ():
            for option in mount.get("mountOptions") or ():
                if not option.startswith(_TMPFS_OPTIONS):
                    yield f"{where}the embedded engine leaves out tmpfs option {option}"
        if container.get("pseudoTerminal") or container.get("interactive"):
            yield f"{where}pseudoTerminal and interactive are not played: its output is a pipe"
