"""What RegisterTaskDefinition refuses for a task on Fargate, as a pure function.

The document is in AWS's shape (camelCase, as `aws ecs register-task-definition --cli-input-json`
takes it). Types are not judged here beyond what is needed not to stumble: botocore's model does
that before. Wording follows AWS's own where it is known from published errors; elsewhere it says
the same in our words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hikkoshi.fargate import limits, sizes
from hikkoshi.fargate.definition_containers import NAME, Container, check_container
from hikkoshi.fargate.definition_dependencies import check_dependencies
from hikkoshi.fargate.definition_firelens import check_firelens
from hikkoshi.fargate.definition_platform import check_platform
from hikkoshi.fargate.problem import Path, Problem

__all__ = ["Path", "Problem", "check_task_definition", "normalised"]

Document = Mapping[str, Any]
_ECR = re.compile(r"^\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/")


def check_task_definition(document: Document) -> list[Problem]:
    """Every reason to refuse the document, in the order in which a reader meets them; [] if none.

    Rules that hold on Fargate only are applied where requiresCompatibilities has FARGATE, or is
    left out: this region runs nothing else.
    """
    containers = _containers(document)
    problems: list[Problem] = []
    for check in _TASK_CHECKS:
        problems.extend(check(document))
    for container in containers:
        problems.extend(check_container(container))
    problems.extend(check_platform(document))
    problems.extend(_check_roles(document, containers))
    problems.extend(_check_volumes(document, containers))
    problems.extend(check_dependencies(document))
    problems.extend(check_firelens(document))
    return problems


def normalised(document: Document) -> dict[str, Any]:
    """The document as AWS stores it: cpu and memory as plain numbers in strings, and the
    defaults that DescribeTaskDefinition shows. Call it on a document without problems."""
    result = dict(document)
    if document.get("cpu") is not None:
        result["cpu"] = str(sizes.parse_cpu(document["cpu"]))
    if document.get("memory") is not None:
        result["memory"] = str(sizes.parse_memory(document["memory"]))
    result["containerDefinitions"] = [
        _with_defaults(dict(container)) for container in document["containerDefinitions"]
    ]
    result.setdefault("volumes", [])
    result.setdefault("placementConstraints", [])
    return result


def _with_defaults(container: dict[str, Any]) -> dict[str, Any]:
    container.setdefault("cpu", 0)
    container.setdefault("essential", True)
    for key in ("environment", "mountPoints", "volumesFrom", "portMappings", "systemControls"):
        container.setdefault(key, [])
    container["portMappings"] = [_port_with_defaults(port) for port in container["portMappings"]]
    check = container.get("healthCheck")
    if check is not None:
        container["healthCheck"] = {
            "interval": limits.HEALTH_INTERVAL_S,
            "timeout": limits.HEALTH_TIMEOUT_S,
            "retries": limits.HEALTH_RETRIES,
            **check,
        }
    return container


def _port_with_defaults(port: Document) -> dict[str, Any]:
    filled = {"protocol": "tcp", **port}
    if "containerPort" in filled and not filled.get("hostPort"):
        filled["hostPort"] = filled["containerPort"]
    return filled


def _containers(document: Document) -> list[Container]:
    entries = document.get("containerDefinitions") or []
    return [
        Container(("containerDefinitions", index), entry)
        for index, entry in enumerate(entries)
        if isinstance(entry, Mapping)
    ]


def _check_length(document: Document) -> Iterator[Problem]:
    length = len(json.dumps(document, default=str, ensure_ascii=False).encode())
    if length > limits.MAX_DEFINITION_BYTES:
        yield Problem(
            (),
            f"Actual length: '{length}'. Max allowed length is "
            f"'{limits.MAX_DEFINITION_BYTES}' bytes.",
        )


def _check_family(document: Document) -> Iterator[Problem]:
    family = document.get("family")
    if not family:
        yield Problem(("family",), "Family should not be null or empty.")
    elif not NAME.match(str(family)):
        yield Problem(
            ("family",),
            "Family contains invalid characters: use letters, digits, hyphens and underscores, "
            "at most 255.",
        )


def _check_compatibility(document: Document) -> Iterator[Problem]:
    wanted = document.get("requiresCompatibilities") or ["FARGATE"]
    if "FARGATE" not in wanted:
        yield Problem(
            ("requiresCompatibilities",),
            "Only FARGATE is run here: requiresCompatibilities must contain FARGATE.",
        )
    if document.get("networkMode") != limits.NETWORK_MODE:
        yield Problem(("networkMode",), "Fargate only supports network mode ‘awsvpc’.")


def _check_size(document: Document) -> Iterator[Problem]:
    for key in ("cpu", "memory"):
        if document.get(key) in (None, ""):
            yield Problem((key,), f"Fargate requires that '{key}' be defined at the task level.")
    if document.get("cpu") in (None, "") or document.get("memory") in (None, ""):
        return
    try:
        cpu = sizes.parse_cpu(document["cpu"])
    except ValueError as error:
        yield Problem(("cpu",), f"Invalid 'cpu' setting for task. {error}.")
        return
    try:
        memory = sizes.parse_memory(document["memory"])
    except ValueError as error:
        yield Problem(("memory",), f"Invalid 'memory' setting for task. {error}.")
        return
    refusal = sizes.check_size(cpu, memory)
    if refusal is not None:
        fix = (
            f"with cpu {cpu}: {sizes.describe_sizes(cpu)}"
            if cpu in sizes.VALID_CPUS
            else "the nearest that is enough is cpu {}, memory {}".format(
                *sizes.nearest_size(cpu, memory)
            )
        )
        yield Problem(("memory",) if cpu in sizes.VALID_CPUS else ("cpu",), refusal, fix)


def _check_container_list(document: Document) -> Iterator[Problem]:
    entries = document.get("containerDefinitions")
    where: Path = ("containerDefinitions",)
    if not isinstance(entries, list) or not entries:
        yield Problem(where, "Container list cannot be empty.")
        return
    if len(entries) > limits.MAX_CONTAINERS:
        yield Problem(
            where,
            f"Task definition has {len(entries)} containers; at most {limits.MAX_CONTAINERS} "
            "are allowed.",
        )
    if not any(entry.get("essential", True) for entry in entries if isinstance(entry, Mapping)):
        yield Problem(where, "Task definition does not have any essential container.")
    yield from _check_names(entries)
    yield from _check_shares(document, entries)


def _check_names(entries: list[Any]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if not name:
            continue
        if name in seen:
            yield Problem(
                ("containerDefinitions", index, "name"),
                f"Container name '{name}' is used more than once in the task definition.",
            )
        seen.add(name)


def _check_shares(document: Document, entries: list[Any]) -> Iterator[Problem]:
    """What the containers reserve must fit in the task."""
    try:
        cpu = sizes.parse_cpu(document.get("cpu") or "")
        memory = sizes.parse_memory(document.get("memory") or "")
    except ValueError:
        return
    containers = [entry for entry in entries if isinstance(entry, Mapping)]
    cpu_sum = sum(int(entry.get("cpu") or 0) for entry in containers)
    reserved = sum(
        int(entry.get("memoryReservation") or entry.get("memory") or 0) for entry in containers
    )
    if cpu_sum > cpu:
        yield Problem(
            ("cpu",),
            f"The sum of the containers' 'cpu' ({cpu_sum}) is greater than the task's ({cpu}).",
        )
    if reserved > memory:
        yield Problem(
            ("memory",),
            f"The sum of the containers' reserved memory ({reserved} MiB) is greater than the "
            f"task's ({memory} MiB).",
        )
    for index, entry in enumerate(entries):
        if isinstance(entry, Mapping) and int(entry.get("memory") or 0) > memory:
            yield Problem(
                ("containerDefinitions", index, "memory"),
                f"Invalid setting for container '{entry.get('name')}'. 'memory' must not be "
                f"greater than the task's ({memory} MiB).",
            )


def _check_storage(document: Document) -> Iterator[Problem]:
    storage = document.get("ephemeralStorage")
    if storage is None:
        return
    low, high = limits.EPHEMERAL_STORAGE_RANGE_GIB
    size = storage.get("sizeInGiB")
    if not isinstance(size, int) or not low <= size <= high:
        yield Problem(
            ("ephemeralStorage", "sizeInGiB"),
            f"Ephemeral storage size must be between {low} and {high} GiB.",
        )


def _check_unsupported(document: Document) -> Iterator[Problem]:
    if document.get("placementConstraints"):
        yield Problem(
            ("placementConstraints",), "Fargate does not support task placement constraints."
        )
    if document.get("ipcMode"):
        yield Problem(("ipcMode",), "Fargate does not support 'ipcMode'.")
    if document.get("pidMode") == "host":
        yield Problem(
            ("pidMode",),
            "Tasks using the Fargate launch type do not support pidMode 'host'. "
            "The supported value for pidMode is 'task'.",
        )


def _check_roles(document: Document, containers: list[Container]) -> Iterator[Problem]:
    if document.get("executionRoleArn"):
        return
    wording = "Fargate requires task definition to have execution role ARN to support "
    for container in containers:
        log = container.document.get("logConfiguration")
        driver = log.get("logDriver") if isinstance(log, Mapping) else None
        if container.document.get("secrets"):
            needed = "secrets."
        elif isinstance(log, Mapping) and log.get("secretOptions"):
            needed = "log driver secretOptions."
        elif driver == "awslogs":
            needed = "log driver awslogs."
        elif _ECR.match(str(container.document.get("image") or "")):
            needed = "ECR images."
        else:
            continue
        fix = f"container '{container.name}' needs it; name a role that the account has"
        yield Problem(("executionRoleArn",), wording + needed, fix)
        return


def _check_volumes(document: Document, containers: list[Container]) -> Iterator[Problem]:
    names: set[str] = set()
    for index, volume in enumerate(document.get("volumes") or []):
        names.add(str(volume.get("name")))
        if (volume.get("host") or {}).get("sourcePath"):
            yield Problem(
                ("volumes", index, "host", "sourcePath"),
                "host.sourcePath should not be set for volumes in Fargate.",
            )
        if volume.get("dockerVolumeConfiguration"):
            yield Problem(
                ("volumes", index, "dockerVolumeConfiguration"),
                "Fargate does not support dockerVolumeConfiguration.",
            )
    known = {container.name for container in containers}
    for container in containers:
        for index, mount in enumerate(container.document.get("mountPoints") or []):
            if mount.get("sourceVolume") not in names:
                yield Problem(
                    (*container.path, "mountPoints", index, "sourceVolume"),
                    f"Unknown volume '{mount.get('sourceVolume')}'.",
                )
        for index, source in enumerate(container.document.get("volumesFrom") or []):
            if source.get("sourceContainer") not in known:
                yield Problem(
                    (*container.path, "volumesFrom", index, "sourceContainer"),
                    f"Unknown container '{source.get('sourceContainer')}' in volumesFrom.",
                )


_TASK_CHECKS: tuple[Callable[[Document], Iterator[Problem]], ...] = (
    _check_length,
    _check_family,
    _check_compatibility,
    _check_container_list,
    _check_size,
    _check_storage,
    _check_unsupported,
)
