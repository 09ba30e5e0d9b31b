"""What kind of file a file is: by its name, else by what is in it."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Any

_FLUENT_BIT = re.compile(
    r"^\s*\[(SERVICE|INPUT|FILTER|OUTPUT|PARSER|MULTILINE_PARSER)\]\s*$"
    r"|^@(INCLUDE|SET)\b",
    re.MULTILINE | re.IGNORECASE,
)
_TASK_KEYS = {"containerDefinitions", "family", "requiresCompatibilities", "taskRoleArn"}
_SERVICE_KEYS = {
    "serviceName", "desiredCount", "launchType", "deploymentConfiguration", "loadBalancers",
    "networkConfiguration", "schedulingStrategy", "healthCheckGracePeriodSeconds",
    "capacityProviderStrategy", "deploymentController", "serviceRegistries",
}  # fmt: skip
_FLUENT_BIT_KEYS = {"service", "parsers", "multiline_parsers", "env"}
_CONTAINER_KEYS = {"image", "logConfiguration", "firelensConfiguration", "essential"}


class Kind(StrEnum):
    TASK_DEFINITION = "task definition"
    SERVICE_DEFINITION = "service definition"
    PROJECT = "hikkoshi.yaml"
    FLUENT_BIT = "Fluent Bit configuration"


def kind_of_text(path: Path, text: str) -> Kind | None:
    """Known without reading it as JSON or YAML; None: see `kind_of_data`."""
    if path.name in ("hikkoshi.yaml", "hikkoshi.yml"):
        return Kind.PROJECT
    is_structured = path.suffix in (".json", ".yaml", ".yml")
    return Kind.FLUENT_BIT if not is_structured and _FLUENT_BIT.search(text) else None


def kind_of_data(data: Any) -> Kind | None:
    if isinstance(data, list):
        is_containers = data and all(is_container(item) for item in data)
        return Kind.TASK_DEFINITION if is_containers else None
    if not isinstance(data, dict):
        return None
    keys = set(data)
    if keys == {"taskDefinition"} and isinstance(data["taskDefinition"], dict):
        return Kind.TASK_DEFINITION
    if keys == {"service"} and isinstance(data["service"], dict):
        is_ours = bool(set(data["service"]) & _SERVICE_KEYS)
        return Kind.SERVICE_DEFINITION if is_ours else Kind.FLUENT_BIT
    if "pipeline" in keys or (keys and keys <= _FLUENT_BIT_KEYS):
        return Kind.FLUENT_BIT
    if "containerDefinitions" in keys:
        return Kind.TASK_DEFINITION
    if is_container(data):
        return Kind.TASK_DEFINITION
    if keys & _SERVICE_KEYS:
        return Kind.SERVICE_DEFINITION
    return Kind.TASK_DEFINITION if keys & _TASK_KEYS else None


def is_container(data: Any) -> bool:
    """One container definition by itself, as examples show them."""
    return isinstance(data, dict) and "name" in data and bool(set(data) & _CONTAINER_KEYS)
