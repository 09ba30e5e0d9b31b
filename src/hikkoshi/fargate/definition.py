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
from dataclasses import dataclass
from typing import Any

from hikkoshi.fargate import limits, sizes
from hikkoshi.fargate.definition_dependencies import check_dependencies
from hikkoshi.fargate.definition_firelens import check_firelens
from hikkoshi.fargate.problem import Path, Problem

__all__ = ["Path", "Problem", "check_task_definition", "normalised"]

Document = Mapping[str, Any]
_FAMILY = re.compile(r"^[A-Za-z0-9_-]{1,255}$")
_ECR = re.compile(r"^\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/")


@dataclass(frozen=True, slots=True)
class _Container:
    """One entry of containerDefinitions and where it stands."""

    path: Path
    document: Document

    @property
    def name(self) -> str:
        return str(self.document.get("name") or "")


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
        for check_container in _CONTAINER_CHECKS:
            problems.extend(check_container(container))
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


def _containers(document: Document) -> list[_Container]:
    entries = document.get("containerDefinitions") or []
    return [
        _Container(("containerDefinitions", index), entry)
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
    elif not _FAMILY.match(str(family)):
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


def _check_required(container: _Container) -> Iterator[Problem]:
    for key in ("name", "image"):
        if not container.document.get(key):
            yield Problem((*container.path, key), f"Container.{key} should not be null or empty.")
    if container.name and not _FAMILY.match(container.name):
        yield Problem(
            (*container.path, "name"),
            f"Container name '{container.name}' contains invalid characters: use letters, digits, "
            "hyphens and underscores, at most 255.",
        )


def _check_timeouts(container: _Container) -> Iterator[Problem]:
    for key in ("startTimeout", "stopTimeout"):
        value = container.document.get(key)
        if value is None:
            continue
        if not limits.MIN_TIMEOUT_S <= int(value) <= limits.MAX_TIMEOUT_S:
            yield Problem(
                (*container.path, key),
                f"Invalid setting for container '{container.name}'. '{key}' must be between "
                f"{limits.MIN_TIMEOUT_S} and {limits.MAX_TIMEOUT_S} seconds on Fargate.",
            )


def _check_ports(container: _Container) -> Iterator[Problem]:
    seen: set[tuple[Any, str]] = set()
    for index, port in enumerate(container.document.get("portMappings") or []):
        inside, outside = port.get("containerPort"), port.get("hostPort")
        where = (*container.path, "portMappings", index)
        if outside not in (None, 0) and inside is not None and outside != inside:
            yield Problem(
                (*where, "hostPort"),
                "When networkMode=awsvpc, the host ports and container ports in port mappings "
                "must match.",
                f"leave hostPort out, or write {inside}",
            )
        key = (inside, str(port.get("protocol", "tcp")))
        if inside is not None and key in seen:
            yield Problem(
                (*where, "containerPort"),
                f"Container port {inside} is mapped more than once in '{container.name}'.",
            )
        seen.add(key)


def _check_health(container: _Container) -> Iterator[Problem]:
    check = container.document.get("healthCheck")
    if check is None:
        return
    where = (*container.path, "healthCheck")
    command = check.get("command") or []
    if not command or command[0] not in ("CMD", "CMD-SHELL", "NONE"):
        yield Problem(
            (*where, "command"),
            f"Invalid setting for container '{container.name}'. 'healthCheck.command' must start "
            "with CMD or CMD-SHELL.",
        )
    ranges = {
        "interval": limits.HEALTH_INTERVAL_RANGE_S,
        "timeout": limits.HEALTH_TIMEOUT_RANGE_S,
        "retries": limits.HEALTH_RETRIES_RANGE,
        "startPeriod": limits.HEALTH_START_PERIOD_RANGE_S,
    }
    for key, (low, high) in ranges.items():
        value = check.get(key)
        if value is not None and not low <= int(value) <= high:
            yield Problem(
                (*where, key),
                f"Invalid setting for container '{container.name}'. 'healthCheck.{key}' must be "
                f"between {low} and {high}.",
            )


def _check_ulimits(container: _Container) -> Iterator[Problem]:
    for index, ulimit in enumerate(container.document.get("ulimits") or []):
        where = (*container.path, "ulimits", index)
        if ulimit.get("name") not in limits.ULIMITS:
            yield Problem(
                (*where, "name"),
                f"Fargate supports only the nofile ulimit, not '{ulimit.get('name')}'.",
            )
        elif int(ulimit.get("softLimit", 0)) > int(ulimit.get("hardLimit", 0)):
            yield Problem(
                (*where, "softLimit"), "The soft limit of a ulimit must not exceed the hard limit."
            )


def _check_log_driver(container: _Container) -> Iterator[Problem]:
    log = container.document.get("logConfiguration")
    if not isinstance(log, Mapping):
        return
    driver = log.get("logDriver")
    where = (*container.path, "logConfiguration")
    if driver not in limits.LOG_DRIVERS:
        yield Problem(
            (*where, "logDriver"),
            f"Log driver '{driver}' is not supported on Fargate: use "
            f"{', '.join(limits.LOG_DRIVERS)}.",
        )
    options = log.get("options") or {}
    if driver == "awslogs":
        for option in ("awslogs-group", "awslogs-region", "awslogs-stream-prefix"):
            if not options.get(option):
                yield Problem(
                    (*where, "options"),
                    f"Log driver awslogs requires options: {option} (container "
                    f"'{container.name}').",
                )


def _check_forbidden(container: _Container) -> Iterator[Problem]:
    """Container settings that Fargate does not have."""
    document = container.document
    if document.get("privileged"):
        yield Problem(
            (*container.path, "privileged"), "Fargate does not support privileged containers."
        )
    for key in ("links", "extraHosts", "dnsServers", "dnsSearchDomains", "dockerSecurityOptions"):
        if document.get(key):
            yield Problem(
                (*container.path, key),
                f"'{key}' is not supported on container '{container.name}' when "
                "networkMode=awsvpc on Fargate.",
            )
    added = ((document.get("linuxParameters") or {}).get("capabilities") or {}).get("add") or []
    for capability in added:
        if capability != "SYS_PTRACE":
            yield Problem(
                (*container.path, "linuxParameters", "capabilities", "add"),
                f"Fargate allows only SYS_PTRACE to be added, not '{capability}'.",
            )


def _check_repeated_names(container: _Container) -> Iterator[Problem]:
    seen = {str(entry.get("name")) for entry in container.document.get("environment") or []}
    for index, secret in enumerate(container.document.get("secrets") or []):
        name = str(secret.get("name"))
        if name in seen:
            yield Problem(
                (*container.path, "secrets", index, "name"),
                "The secret name must be unique and not shared with any new or existing "
                f"environment variables set on the container, such as '{name}'.",
            )
        seen.add(name)


def _check_roles(document: Document, containers: list[_Container]) -> Iterator[Problem]:
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


def _check_volumes(document: Document, containers: list[_Container]) -> Iterator[Problem]:
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
_CONTAINER_CHECKS: tuple[Callable[[_Container], Iterator[Problem]], ...] = (
    _check_required,
    _check_timeouts,
    _check_ports,
    _check_health,
    _check_ulimits,
    _check_log_driver,
    _check_forbidden,
    _check_repeated_names,
)
