"""What Fargate would do with a task definition and this region does not: pure.

What would change how the service behaves is refused; what only makes it a little different is
played without, and told in the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_TASK_KEYS = ("pidMode", "proxyConfiguration")
_CONTAINER_KEYS = ("environmentFiles", "systemControls", "credentialSpecs")
_LINUX_KEYS = ("tmpfs", "sharedMemorySize")


def not_implemented(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys that cannot be left out in silence, as `container NAME: KEY`."""
    return tuple(_each_missing(document))


def _each_missing(document: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in _TASK_KEYS if document.get(key))
    for container in document.get("containerDefinitions") or ():
        where = f"container {container.get('name')}: "
        linux = container.get("linuxParameters") or {}
        yield from (where + key for key in _CONTAINER_KEYS if container.get(key))
        yield from (f"{where}linuxParameters.{key}" for key in _LINUX_KEYS if linux.get(key))
        if (linux.get("capabilities") or {}).get("add"):
            yield f"{where}linuxParameters.capabilities.add"


def not_imitated(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences for the report."""
    return tuple(_each_difference(document))


def _each_difference(document: Mapping[str, Any]) -> Iterator[str]:
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
        if (linux.get("capabilities") or {}).get("drop"):
            yield f"{where}linuxParameters.capabilities.drop is not played"
        if container.get("pseudoTerminal") or container.get("interactive"):
            yield f"{where}pseudoTerminal and interactive are not played: its output is a pipe"
