"""What Fargate has not, and the ranges of what it has: kernel settings, ports, restarts, files.

Where AWS's own words were published (errors that people quote) they are used; the others follow
their pattern. Source of the rules: Amazon ECS Developer Guide, "Task definition differences for
Fargate", and botocore's model of ECS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hikkoshi.fargate import limits
from hikkoshi.fargate.problem import Path, Problem

Document = Mapping[str, Any]

_PORT_NAME = re.compile(r"^[a-z0-9_][a-z0-9_-]{0,63}$")
_PORT_RANGE = re.compile(r"^(\d{1,5})-(\d{1,5})$")
_S3_OBJECT = re.compile(r"^arn:aws[\w-]*:s3:::[^/]+/.+")
_WINDOWS = re.compile(r"^WINDOWS_SERVER_20(?:19|22|25)_(?:FULL|CORE)$")


def check_platform(document: Document) -> Iterator[Problem]:
    """Every reason of this file to refuse the task definition for Fargate."""
    yield from _check_runtime(document)
    if document.get("inferenceAccelerators"):
        yield _not_on_fargate(("inferenceAccelerators",), "inferenceAccelerators")
    for index, volume in enumerate(document.get("volumes") or []):
        if volume.get("fsxWindowsFileServerVolumeConfiguration"):
            key = "fsxWindowsFileServerVolumeConfiguration"
            yield _not_on_fargate(("volumes", index, key), key)
    port_names: set[str] = set()
    for index, container in enumerate(document.get("containerDefinitions") or []):
        if isinstance(container, Mapping):
            for check in _CHECKS:
                yield from check(("containerDefinitions", index), container)
            yield from _check_port_names(("containerDefinitions", index), container, port_names)


def _not_on_fargate(path: Path, name: str) -> Problem:
    return Problem(path, f"Fargate compatible task definitions do not support {name}.")


def _setting(container: Document) -> str:
    return f"Invalid setting for container '{container.get('name')}'."


def _check_runtime(document: Document) -> Iterator[Problem]:
    platform = document.get("runtimePlatform") or {}
    system = platform.get("operatingSystemFamily") or "LINUX"
    if system != "LINUX" and not _WINDOWS.match(system):
        yield Problem(
            ("runtimePlatform", "operatingSystemFamily"),
            f"Fargate does not support the operating system family '{system}'.",
        )
    if system != "LINUX" and platform.get("cpuArchitecture") == "ARM64":
        yield Problem(
            ("runtimePlatform", "cpuArchitecture"),
            f"The CPU architecture ARM64 is not supported with '{system}'.",
        )


def _check_kernel(where: Path, container: Document) -> Iterator[Problem]:
    linux = container.get("linuxParameters") or {}
    for key in ("devices", "sharedMemorySize", "maxSwap", "swappiness"):
        if linux.get(key) not in (None, []):
            yield _not_on_fargate((*where, "linuxParameters", key), f"linuxParameters.{key}")
    for index, mount in enumerate(linux.get("tmpfs") or []):
        path = (*where, "linuxParameters", "tmpfs", index)
        if not str(mount.get("containerPath") or "").startswith("/"):
            yield Problem(
                (*path, "containerPath"),
                f"{_setting(container)} A tmpfs mount needs an absolute 'containerPath'.",
            )
        if int(mount.get("size") or 0) < 1:
            yield Problem(
                (*path, "size"),
                f"{_setting(container)} The 'size' of a tmpfs mount must be at least 1 MiB.",
            )
    if container.get("disableNetworking"):
        yield _not_on_fargate((*where, "disableNetworking"), "disableNetworking")
    for index, needed in enumerate(container.get("resourceRequirements") or []):
        yield _not_on_fargate(
            (*where, "resourceRequirements", index, "type"),
            f"resourceRequirements of type {needed.get('type')}",
        )


def _check_memory(where: Path, container: Document) -> Iterator[Problem]:
    for key, least in (("cpu", 0), ("memory", 4), ("memoryReservation", 4)):
        value = container.get(key)
        if value is not None and int(value) < least and (key == "cpu" or int(value) != 0):
            yield Problem((*where, key), f"{_setting(container)} '{key}' must be at least {least}.")
    hard, soft = container.get("memory"), container.get("memoryReservation")
    if hard and soft and int(soft) > int(hard):
        yield Problem(
            (*where, "memoryReservation"),
            f"{_setting(container)} 'memoryReservation' must not be greater than 'memory'.",
        )


def _check_restarts(where: Path, container: Document) -> Iterator[Problem]:
    policy = container.get("restartPolicy")
    if not isinstance(policy, Mapping):
        return
    low, high = limits.RESTART_PERIOD_RANGE_S
    period = policy.get("restartAttemptPeriod")
    if period is not None and not low <= int(period) <= high:
        yield Problem(
            (*where, "restartPolicy", "restartAttemptPeriod"),
            f"{_setting(container)} 'restartAttemptPeriod' must be between {low} and {high} "
            "seconds.",
        )
    if len(policy.get("ignoredExitCodes") or []) > limits.MAX_IGNORED_EXIT_CODES:
        yield Problem(
            (*where, "restartPolicy", "ignoredExitCodes"),
            f"{_setting(container)} At most {limits.MAX_IGNORED_EXIT_CODES} exit codes can be "
            "ignored.",
        )


def _check_files(where: Path, container: Document) -> Iterator[Problem]:
    files = container.get("environmentFiles") or []
    if len(files) > limits.MAX_ENVIRONMENT_FILES:
        yield Problem(
            (*where, "environmentFiles"),
            f"{_setting(container)} At most {limits.MAX_ENVIRONMENT_FILES} environment files can "
            "be given.",
        )
    for index, file in enumerate(files):
        value = str(file.get("value") or "")
        if not _S3_OBJECT.match(value):
            told = f"{_setting(container)} The environment file '{value}' is not an S3 object ARN."
        elif not value.endswith(".env"):
            told = f"{_setting(container)} The environment file '{value}' must end in .env."
        else:
            continue
        yield Problem((*where, "environmentFiles", index, "value"), told)


def _check_port_numbers(where: Path, container: Document) -> Iterator[Problem]:
    for index, port in enumerate(container.get("portMappings") or []):
        path = (*where, "portMappings", index)
        number, span = port.get("containerPort"), port.get("containerPortRange")
        if number is not None and not 1 <= int(number) <= 65535:
            yield Problem(
                (*path, "containerPort"), "Container port must be between 1 and 65535, inclusive."
            )
        if span is not None:
            yield from _check_range(path, container, str(span), has_other_port=number is not None)


def _check_range(
    path: Path, container: Document, span: str, *, has_other_port: bool
) -> Iterator[Problem]:
    found = _PORT_RANGE.match(span)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= first < last <= 65535:
        yield Problem(
            (*path, "containerPortRange"),
            f"{_setting(container)} 'containerPortRange' must be like 8000-8100, not '{span}'.",
        )
    elif has_other_port:
        yield Problem(
            (*path, "containerPortRange"),
            f"{_setting(container)} A port mapping has either a 'containerPort' or a "
            "'containerPortRange'.",
        )


def _check_port_names(where: Path, container: Document, seen: set[str]) -> Iterator[Problem]:
    for index, port in enumerate(container.get("portMappings") or []):
        name = port.get("name")
        if not name:
            continue
        path = (*where, "portMappings", index, "name")
        if not _PORT_NAME.match(str(name)):
            yield Problem(
                path,
                f"{_setting(container)} The port mapping name '{name}' has at most 64 lowercase "
                "letters, digits, underscores and hyphens, and does not start with a hyphen.",
            )
        if name in seen:
            yield Problem(
                path, f"{_setting(container)} The port mapping name '{name}' is used already."
            )
        seen.add(str(name))


_CHECKS: tuple[Callable[[Path, Document], Iterator[Problem]], ...] = (
    _check_kernel,
    _check_memory,
    _check_restarts,
    _check_files,
    _check_port_numbers,
)
