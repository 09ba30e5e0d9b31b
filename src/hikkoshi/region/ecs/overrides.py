"""RunTask's overrides, applied to a task definition."""

from __future__ import annotations

import copy
from typing import Any

from hikkoshi.fargate import sizes
from hikkoshi.region.ecs.errors import client_error, invalid_parameter

_TASK_KEYS = ("executionRoleArn", "taskRoleArn", "ephemeralStorage")
_CONTAINER_KEYS = (
    "command",
    "cpu",
    "memory",
    "memoryReservation",
    "environmentFiles",
    "resourceRequirements",
)


def check_overrides(document: dict[str, Any], overrides: dict[str, Any]) -> None:
    """Raises AWS's errors for unknown containers and for sizes that Fargate does not have."""
    names = {container["name"] for container in document["containerDefinitions"]}
    for override in overrides.get("containerOverrides") or []:
        name = override.get("name")
        if not name:
            raise invalid_parameter("Override for container has no container name.")
        if name not in names:
            raise invalid_parameter(
                f"Override for container named {name} is not a container in the TaskDefinition."
            )
    if overrides.get("cpu") or overrides.get("memory"):
        try:
            cpu = sizes.parse_cpu(overrides.get("cpu") or document["cpu"])
            memory = sizes.parse_memory(overrides.get("memory") or document["memory"])
        except ValueError as error:
            raise client_error(f"{error}.") from error
        refusal = sizes.check_size(cpu, memory)
        if refusal is not None:
            raise client_error(refusal)


def apply_overrides(document: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """The document with the overrides in it: environment is merged by name, everything else is
    replaced. The given one is not changed."""
    if not overrides:
        return document
    result = copy.deepcopy(document)
    for key in _TASK_KEYS:
        if overrides.get(key) is not None:
            result[key] = copy.deepcopy(overrides[key])
    if overrides.get("cpu"):
        result["cpu"] = str(sizes.parse_cpu(overrides["cpu"]))
    if overrides.get("memory"):
        result["memory"] = str(sizes.parse_memory(overrides["memory"]))
    by_name = {container["name"]: container for container in result["containerDefinitions"]}
    for override in overrides.get("containerOverrides") or []:
        container = by_name[override["name"]]
        for key in _CONTAINER_KEYS:
            if override.get(key) is not None:
                container[key] = copy.deepcopy(override[key])
        if override.get("environment"):
            merged = {entry["name"]: entry for entry in container.get("environment") or []}
            merged.update({entry["name"]: dict(entry) for entry in override["environment"]})
            container["environment"] = list(merged.values())
    return result
