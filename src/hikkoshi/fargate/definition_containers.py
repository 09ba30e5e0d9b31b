"""What is refused in one container definition on Fargate, whatever its neighbours are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hikkoshi.fargate import limits
from hikkoshi.fargate.problem import Path, Problem

Document = Mapping[str, Any]
NAME = re.compile(r"^[A-Za-z0-9_-]{1,255}$")
"""Of task definition families and of containers."""


@dataclass(frozen=True, slots=True)
class Container:
    """One entry of containerDefinitions and where it stands."""

    path: Path
    document: Document

    @property
    def name(self) -> str:
        return str(self.document.get("name") or "")


def check_container(container: Container) -> Iterator[Problem]:
    for check in _CHECKS:
        yield from check(container)


def _check_required(container: Container) -> Iterator[Problem]:
    for key in ("name", "image"):
        if not container.document.get(key):
            yield Problem((*container.path, key), f"Container.{key} should not be null or empty.")
    if container.name and not NAME.match(container.name):
        yield Problem(
            (*container.path, "name"),
            f"Container name '{container.name}' contains invalid characters: use letters, digits, "
            "hyphens and underscores, at most 255.",
        )


def _check_timeouts(container: Container) -> Iterator[Problem]:
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


def _check_ports(container: Container) -> Iterator[Problem]:
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


def _check_health(container: Container) -> Iterator[Problem]:
    check = container.document.get("healthCheck")
    if check is None:
        return
    where = (*container.path, "healthCheck")
    command = check.get("command") or []
    # AWS takes one that does not begin with CMD or CMD-SHELL, and never runs it: decision 0196.
    if not command:
        yield Problem(
            (*where, "command"),
            f"Invalid setting for container '{container.name}'. 'healthCheck.command' must not be "
            "empty; it begins with CMD or CMD-SHELL.",
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


def _check_ulimits(container: Container) -> Iterator[Problem]:
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


def _check_log_driver(container: Container) -> Iterator[Problem]:
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
        unknown = sorted(set(options) - set(limits.AWSLOGS_OPTIONS))
        if unknown:
            yield Problem(
                (*where, "options", unknown[0]),
                f"Log driver awslogs disallows options: {', '.join(unknown)}",
            )
        if str(options.get("awslogs-create-group", "true")).lower() != "true":
            yield Problem(
                (*where, "options", "awslogs-create-group"),
                "Log driver awslogs option 'awslogs-create-group' should only be set to 'true', "
                "else omit option.",
            )


def _check_forbidden(container: Container) -> Iterator[Problem]:
    """Container settings that Fargate does not have."""
    document = container.document
    if document.get("privileged"):
        yield Problem(
            (*container.path, "privileged"), "Fargate does not support privileged containers."
        )
    for key in ("hostname", "links", "extraHosts", "dnsServers", "dnsSearchDomains"):
        if document.get(key):
            yield Problem(
                (*container.path, key),
                f"{key} is not supported on container when networkMode=awsvpc.",
                f"leave it out of container '{container.name}'",
            )
    if document.get("dockerSecurityOptions"):
        yield Problem(
            (*container.path, "dockerSecurityOptions"),
            "Fargate compatible task definitions do not support dockerSecurityOptions.",
        )
    added = ((document.get("linuxParameters") or {}).get("capabilities") or {}).get("add") or []
    for capability in added:
        if capability != "SYS_PTRACE":
            yield Problem(
                (*container.path, "linuxParameters", "capabilities", "add"),
                f"Fargate allows only SYS_PTRACE to be added, not '{capability}'.",
            )


def _check_repeated_names(container: Container) -> Iterator[Problem]:
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


_CHECKS: tuple[Callable[[Container], Iterator[Problem]], ...] = (
    _check_required,
    _check_timeouts,
    _check_ports,
    _check_health,
    _check_ulimits,
    _check_log_driver,
    _check_forbidden,
    _check_repeated_names,
)
