"""A registered task definition, read from AWS's shape into frozen values."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from hikkoshi.region.engine.port import TmpfsMount, Ulimit
from hikkoshi.region.task.gaps import not_implemented

# Fargate's default since platform 1.4.0's later builds; older ones had 1024:4096 (facts, C9).
DEFAULT_NOFILE = Ulimit("nofile", 65535, 65535)
AWSFIRELENS = "awsfirelens"


class DefinitionError(Exception):
    """The definition asks for what cannot be run here; the text names the container and key."""


class Condition(StrEnum):
    START = "START"
    COMPLETE = "COMPLETE"
    SUCCESS = "SUCCESS"
    HEALTHY = "HEALTHY"


@dataclass(frozen=True, slots=True)
class Dependency:
    container: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class HealthCheck:
    argv: tuple[str, ...]
    interval_s: float = 30.0
    timeout_s: float = 5.0
    retries: int = 3
    start_period_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    ignored_exit_codes: frozenset[int] = frozenset()
    attempt_period_s: float = 300.0


@dataclass(frozen=True, slots=True)
class MountPoint:
    volume: str
    path: str
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class VolumesFrom:
    container: str
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class NamedSecret:
    name: str
    value_from: str


@dataclass(frozen=True, slots=True)
class LogConfiguration:
    driver: str
    options: Mapping[str, str]
    secret_options: tuple[NamedSecret, ...] = ()


@dataclass(frozen=True, slots=True)
class Firelens:
    kind: str
    """`fluentbit` or `fluentd`."""
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ContainerDefinition:
    name: str
    image: str
    is_essential: bool = True
    entry_point: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: tuple[tuple[str, str], ...] = ()
    secrets: tuple[NamedSecret, ...] = ()
    registry_credentials: str | None = None
    user: str | None = None
    working_directory: str | None = None
    depends_on: tuple[Dependency, ...] = ()
    start_timeout_s: float | None = None
    stop_timeout_s: float = 30.0
    health_check: HealthCheck | None = None
    restart_policy: RestartPolicy | None = None
    log: LogConfiguration | None = None
    firelens: Firelens | None = None
    mount_points: tuple[MountPoint, ...] = ()
    volumes_from: tuple[VolumesFrom, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    has_read_only_root: bool = False
    cpu_units: int = 0
    memory_mib: int | None = None
    memory_reservation_mib: int | None = None
    labels: tuple[tuple[str, str], ...] = ()
    environment_files: tuple[str, ...] = ()
    """ARNs of objects in S3; of a name that is in several, the first counts."""
    tmpfs: tuple[TmpfsMount, ...] = ()
    added_capabilities: tuple[str, ...] = ()
    dropped_capabilities: tuple[str, ...] = ()
    system_controls: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    family: str
    revision: str
    cpu_vcpu: float
    memory_mib: int
    containers: tuple[ContainerDefinition, ...]
    volumes: tuple[str, ...] = ()
    file_systems: tuple[tuple[str, str], ...] = ()
    """Volumes of EFS: name → where, beneath what the tasks of the region share."""
    task_role_arn: str | None = None

    def container(self, name: str) -> ContainerDefinition:
        """KeyError if there is none of that name."""
        for container in self.containers:
            if container.name == name:
                return container
        raise KeyError(name)

    @property
    def router(self) -> ContainerDefinition | None:
        """The FireLens log router, if the task has one."""
        return next((c for c in self.containers if c.firelens is not None), None)


def read_definition(document: Mapping[str, Any]) -> TaskDefinition:
    """AWS's shape → values. Raises DefinitionError for what this region does not do."""
    missing = not_implemented(document)
    if missing:
        raise DefinitionError(f"{missing[0]} is not implemented by the local region")
    containers = tuple(_container(c) for c in document.get("containerDefinitions", ()))
    if not containers:
        raise DefinitionError("the task definition has no containerDefinitions")
    return TaskDefinition(
        family=str(document.get("family", "")),
        revision=str(document.get("revision", "1")),
        cpu_vcpu=_vcpu(document.get("cpu", "256")),
        memory_mib=_mib(document.get("memory", "512")),
        containers=_with_router_first(containers),
        volumes=tuple(_volume(v) for v in document.get("volumes") or ()),
        file_systems=tuple(
            (str(v["name"]), _place_of_file_system(v))
            for v in document.get("volumes") or ()
            if v.get("efsVolumeConfiguration")
        ),
        task_role_arn=document.get("taskRoleArn") or None,
    )


def _vcpu(text: object) -> float:
    """`256` (units) or `1 vCPU` → vCPU."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(vcpu)?\s*", str(text), re.IGNORECASE)
    if match is None:
        raise DefinitionError(f"cpu: {text!r} is neither CPU units nor vCPU")
    return float(match[1]) if match[2] else float(match[1]) / 1024


def _mib(text: object) -> int:
    """`512` (MiB) or `2 GB` → MiB."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(gb)?\s*", str(text), re.IGNORECASE)
    if match is None:
        raise DefinitionError(f"memory: {text!r} is neither MiB nor GB")
    return round(float(match[1]) * (1024 if match[2] else 1))


def _volume(document: Mapping[str, Any]) -> str:
    name = str(document["name"])
    for key in (
        "fsxWindowsFileServerVolumeConfiguration",
        "dockerVolumeConfiguration",
        "s3filesVolumeConfiguration",
    ):
        if document.get(key):
            raise DefinitionError(f"volume {name}: {key} is not implemented by the local region")
    if document.get("configuredAtLaunch"):
        raise DefinitionError(
            f"volume {name}: configuredAtLaunch (EBS) is not implemented by the local region"
        )
    if (document.get("host") or {}).get("sourcePath"):
        raise DefinitionError(f"volume {name}: host.sourcePath is not supported on Fargate")
    return name


def _place_of_file_system(document: Mapping[str, Any]) -> str:
    """`fs-1/data`: one directory for each file system, or access point of one, and beneath it the
    rootDirectory."""
    given = document["efsVolumeConfiguration"]
    access_point = (given.get("authorizationConfig") or {}).get("accessPointId")
    parts = [str(given.get("fileSystemId") or ""), *([str(access_point)] if access_point else [])]
    for part in parts:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", part):
            raise DefinitionError(
                f"volume {document['name']}: {part!r} is no file system or access point of EFS"
            )
    root = posixpath.normpath("/" + str(given.get("rootDirectory") or "").lstrip("/"))
    return "-".join(parts) + (root if root != "/" else "")


def _container(document: Mapping[str, Any]) -> ContainerDefinition:
    name = str(document["name"])
    ulimits = {u["name"]: _ulimit(u) for u in document.get("ulimits") or ()}
    ulimits.setdefault(DEFAULT_NOFILE.name, DEFAULT_NOFILE)
    credentials = document.get("repositoryCredentials") or {}
    linux = document.get("linuxParameters") or {}
    capabilities = linux.get("capabilities") or {}
    return ContainerDefinition(
        name=name,
        image=str(document["image"]),
        is_essential=bool(document.get("essential", True)),
        entry_point=_words(document.get("entryPoint")),
        command=_words(document.get("command")),
        environment=tuple(
            (str(e["name"]), str(e.get("value") or "")) for e in document.get("environment") or ()
        ),
        secrets=_secrets(document.get("secrets")),
        registry_credentials=credentials.get("credentialsParameter"),
        user=document.get("user") or None,
        working_directory=document.get("workingDirectory") or None,
        depends_on=tuple(
            Dependency(str(d["containerName"]), Condition(d["condition"]))
            for d in document.get("dependsOn") or ()
        ),
        start_timeout_s=_seconds(document.get("startTimeout")),
        stop_timeout_s=_seconds(document.get("stopTimeout")) or 30.0,
        health_check=_health_check(name, document.get("healthCheck")),
        restart_policy=_restart_policy(document.get("restartPolicy")),
        log=_log(document.get("logConfiguration")),
        firelens=_firelens(document.get("firelensConfiguration")),
        mount_points=tuple(
            MountPoint(
                str(m["sourceVolume"]), str(m["containerPath"]), bool(m.get("readOnly", False))
            )
            for m in document.get("mountPoints") or ()
        ),
        volumes_from=tuple(
            VolumesFrom(str(v["sourceContainer"]), bool(v.get("readOnly", False)))
            for v in document.get("volumesFrom") or ()
        ),
        ulimits=tuple(ulimits.values()),
        has_read_only_root=bool(document.get("readonlyRootFilesystem", False)),
        cpu_units=int(document.get("cpu") or 0),
        memory_mib=int(document["memory"]) if document.get("memory") else None,
        memory_reservation_mib=(
            int(document["memoryReservation"]) if document.get("memoryReservation") else None
        ),
        labels=tuple((document.get("dockerLabels") or {}).items()),
        environment_files=tuple(str(f["value"]) for f in document.get("environmentFiles") or ()),
        tmpfs=tuple(
            TmpfsMount(str(t["containerPath"]), int(t["size"]), tuple(t.get("mountOptions") or ()))
            for t in linux.get("tmpfs") or ()
        ),
        added_capabilities=tuple(capabilities.get("add") or ()),
        dropped_capabilities=tuple(capabilities.get("drop") or ()),
        system_controls=tuple(
            (str(c["namespace"]), str(c.get("value") or ""))
            for c in document.get("systemControls") or ()
        ),
    )


def _words(value: Any) -> tuple[str, ...] | None:
    """A missing or empty list is no override at all, as in ECS."""
    return tuple(str(word) for word in value) if value else None


def _seconds(value: Any) -> float | None:
    return float(value) if value else None


def _ulimit(document: Mapping[str, Any]) -> Ulimit:
    return Ulimit(str(document["name"]), int(document["softLimit"]), int(document["hardLimit"]))


def _secrets(documents: Any) -> tuple[NamedSecret, ...]:
    return tuple(NamedSecret(str(s["name"]), str(s["valueFrom"])) for s in documents or ())


def _health_check(container: str, document: Any) -> HealthCheck | None:
    if not document:
        return None
    command = [str(word) for word in document.get("command") or ()]
    match command[:1]:
        case ["NONE"]:
            return None
        case ["CMD"] if len(command) > 1:
            argv = tuple(command[1:])
        case ["CMD-SHELL"] if len(command) > 1:
            argv = ("/bin/sh", "-c", " ".join(command[1:]))
        case ["CMD"] | ["CMD-SHELL"] | []:
            raise DefinitionError(
                f"container {container}: healthCheck.command must start with CMD or CMD-SHELL "
                f"and then have a command, not {command!r}"
            )
        case _:
            # Docker knows no such kind of check and makes none; health stays UNKNOWN.
            return None
    return HealthCheck(
        argv=argv,
        interval_s=float(document.get("interval") or 30),
        timeout_s=float(document.get("timeout") or 5),
        retries=int(document.get("retries") or 3),
        start_period_s=float(document.get("startPeriod") or 0),
    )


def _restart_policy(document: Any) -> RestartPolicy | None:
    if not document or not document.get("enabled"):
        return None
    return RestartPolicy(
        frozenset(int(code) for code in document.get("ignoredExitCodes") or ()),
        float(document.get("restartAttemptPeriod") or 300),
    )


def _log(document: Any) -> LogConfiguration | None:
    if not document:
        return None
    return LogConfiguration(
        str(document["logDriver"]),
        {str(k): str(v) for k, v in (document.get("options") or {}).items()},
        _secrets(document.get("secretOptions")),
    )


def _firelens(document: Any) -> Firelens | None:
    if not document:
        return None
    return Firelens(
        str(document["type"]),
        {str(k): str(v) for k, v in (document.get("options") or {}).items()},
    )


def _with_router_first(
    containers: tuple[ContainerDefinition, ...],
) -> tuple[ContainerDefinition, ...]:
    """Users of awsfirelens get a START dependency on the router.

    Not when the router depends on anything itself: the agent leaves it out then, lest there be a
    circle (ecs-agent, addFirelensContainerDependency)."""
    router = next((c for c in containers if c.firelens is not None), None)
    if router is None or router.depends_on:
        return containers
    implied = Dependency(router.name, Condition.START)
    return tuple(
        replace(c, depends_on=(*c.depends_on, implied))
        if c.log is not None
        and c.log.driver == AWSFIRELENS
        and c.name != router.name
        and all(d.container != router.name for d in c.depends_on)
        else c
        for c in containers
    )


def read_outline(document: Mapping[str, Any]) -> TaskDefinition:
    """Only names, images and what is essential: enough to tell the end of a task that
    `read_definition` refused."""
    return TaskDefinition(
        family=str(document.get("family", "")),
        revision=str(document.get("revision", "1")),
        cpu_vcpu=0.0,
        memory_mib=0,
        containers=tuple(
            ContainerDefinition(
                str(c.get("name")), str(c.get("image")), bool(c.get("essential", True))
            )
            for c in document.get("containerDefinitions") or ()
        ),
    )
