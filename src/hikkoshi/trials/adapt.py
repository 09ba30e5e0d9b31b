"""AWS's documents, made to fit the region: the names in them lead to what exists there.

Pure functions; each change comes back as a sentence, and the report lists them all.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from hikkoshi.fargate.references import secret_name
from hikkoshi.model.project import HealthCheck


def adapt_task_definition(
    definition: dict[str, Any], secret_arns: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """`valueFrom` of each secret becomes the ARN that the region gave it."""
    adapted = copy.deepcopy(definition)
    notes: set[str] = set()
    for container in adapted["containerDefinitions"]:
        secrets = [
            *container.get("secrets", []),
            *container.get("logConfiguration", {}).get("secretOptions", []),
        ]
        for secret in secrets:
            asked = secret["valueFrom"]
            name = secret_name(asked)
            arn = secret_arns[name]
            # `:json-key:stage:version` after the name is kept.
            rest = asked.split(":secret:", 1)[-1].partition(":")[2]
            secret["valueFrom"] = f"{arn}:{rest}" if ":secretsmanager:" in asked and rest else arn
            notes.add(f"secret {name}: a rehearsal value in the region's own store")
    return adapted, sorted(notes)


def adapt_service_definition(
    definition: dict[str, Any],
    *,
    target_group_arn: str | None,
    subnets: list[str],
    security_groups: list[str],
) -> tuple[dict[str, Any], list[str]]:
    """Target group, subnets and security groups become the region's own."""
    adapted = copy.deepcopy(definition)
    notes = []
    for balancer in adapted.get("loadBalancers", []):
        if target_group_arn is not None:
            balancer["targetGroupArn"] = target_group_arn
            notes.append("target group: one of the same name in the region")
    network = adapted.setdefault("networkConfiguration", {}).setdefault("awsvpcConfiguration", {})
    network["subnets"] = subnets
    network["securityGroups"] = security_groups
    notes.append("subnets and security groups: those of the region's default VPC")
    if adapted.pop("serviceRegistries", None):
        notes.append("serviceRegistries left out: your Cloud Map service is not in the region")
    return adapted, notes


def lengthen_grace(definition: dict[str, Any], check: HealthCheck) -> tuple[dict[str, Any], str]:
    """A task that starts slowly gets as long as AWS would give it, and the note that says so.

    ECS replaces a task when its target is unhealthy and the grace period is over. AWS's checks take
    `interval` times `unhealthy_threshold` to find it unhealthy; the region's are quicker than that.
    """
    own = int(definition.get("healthCheckGracePeriodSeconds") or 0)
    grace_s = max(own, math.ceil(check.interval * check.unhealthy_threshold))
    note = (
        f"healthCheckGracePeriodSeconds {grace_s} (yours: {own}): as long as the target group's "
        "own health checks, which the region shortens, would take to find a task unhealthy"
    )
    changed = {**definition, "healthCheckGracePeriodSeconds": grace_s}
    return changed, note if grace_s != own else ""


def lay_over(
    definition: dict[str, Any],
    container: str,
    *,
    environment: Mapping[str, str],
    command: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """The definition with environment (and command) laid over one container."""
    changed = copy.deepcopy(definition)
    for each in changed["containerDefinitions"]:
        if each["name"] != container:
            continue
        kept = [v for v in each.get("environment", []) if v["name"] not in environment]
        each["environment"] = kept + [{"name": n, "value": v} for n, v in environment.items()]
        if command is not None:
            each["command"] = list(command)
    return changed


def application_container(definition: dict[str, Any], service: dict[str, Any]) -> str:
    """The container behind the load balancer; without one, the first essential container."""
    for balancer in service.get("loadBalancers", []):
        return str(balancer["containerName"])
    for container in definition["containerDefinitions"]:
        if container.get("essential", True):
            return str(container["name"])
    return str(definition["containerDefinitions"][0]["name"])
