"""Documents of AWS in one form, so that only what means something is left to differ.

Both sides go through the same function: what the files say, and what AWS shows with its defaults
filled in. Defaults: API_RegisterTaskDefinition, API_CreateService (AWS's reference).
"""

from __future__ import annotations

import copy
from typing import Any

from hikkoshi.fargate.definition import normalised
from hikkoshi.project.aws_shapes import input_shape

Document = dict[str, Any]

# Lists whose order has no meaning, and what their items are sorted by.
_SORTED_BY = {
    "environment": "name",
    "secrets": "name",
    "secretOptions": "name",
    "portMappings": "containerPort",
    "mountPoints": "containerPath",
    "ulimits": "name",
    "tags": "key",
    "volumes": "name",
    "loadBalancers": "targetGroupArn",
    "environmentFiles": "value",
    "dependsOn": "containerName",
    "systemControls": "namespace",
}
_UNORDERED = ("subnets", "securityGroups", "requiresCompatibilities")
# Maps of the user's own keys: an empty text in them is a value.
_OWN_KEYS = ("options", "dockerLabels", "driverOpts", "labels")
# False or 0 there is not what AWS takes when it is left out.
_MEANS_SOMETHING = ("essential", "value")
_SERVICE_DEFAULTS: Document = {
    "deploymentConfiguration": {
        "maximumPercent": 200,
        "minimumHealthyPercent": 100,
        "strategy": "ROLLING",
        "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    },
    "platformVersion": "LATEST",
    "schedulingStrategy": "REPLICA",
    "propagateTags": "NONE",
    "deploymentController": {"type": "ECS"},
    "healthCheckGracePeriodSeconds": 0,
    "enableECSManagedTags": False,
    "enableExecuteCommand": False,
    "availabilityZoneRebalancing": "DISABLED",
}
# What a file that is silent about them leaves as it is in AWS.
_UNMANAGED_WHEN_ABSENT = (
    "desiredCount", "launchType", "capacityProviderStrategy", "networkConfiguration", "role",
    "availabilityZoneRebalancing", "platformVersion", "deploymentController", "schedulingStrategy",
    "tags",
)  # fmt: skip
_NOT_COMPARED = ("serviceName", "cluster", "taskDefinition", "clientToken")
# 1.4.0 is what LATEST has meant since 2020; AWS shows now the one, now the other.
_LATEST = ("1.4.0", "LATEST")


def task_definition(document: Document) -> Document:
    """What RegisterTaskDefinition would take, with defaults, sorted, without emptiness and tags."""
    taken = input_shape("ecs", "RegisterTaskDefinition").members
    kept = {name: value for name, value in document.items() if name in taken and name != "tags"}
    filled = normalised(copy.deepcopy(kept))
    if not filled.get("requiresCompatibilities"):
        filled["requiresCompatibilities"] = ["FARGATE"]
    for volume in filled.get("volumes", []):
        efs = volume.get("efsVolumeConfiguration")
        if efs and "accessPointId" not in efs.get("authorizationConfig", {}):
            efs.setdefault("rootDirectory", "/")
    result: Document = _tidy(filled)
    return result


def service(document: Document, beside: Document | None = None) -> Document:
    """The members of CreateService that a deploy compares. beside: the other side; what neither
    manages is left out: members that a file leaves to AWS, and nested ones it does not name."""
    taken = input_shape("ecs", "CreateService").members
    kept = {
        name: copy.deepcopy(value)
        for name, value in document.items()
        if name in taken and name not in _NOT_COMPARED and value is not None
    }
    if kept.get("role") or "role" in kept:
        kept.pop("role")
    filled = _merged(_SERVICE_DEFAULTS, kept)
    if filled["deploymentController"].get("type") == "CODE_DEPLOY":
        # CodeDeploy changes the target group with each deployment: which of the two is its affair.
        for balancer in filled.get("loadBalancers", []):
            balancer.pop("targetGroupArn", None)
    if filled["platformVersion"] in _LATEST:
        filled["platformVersion"] = "LATEST"
    if filled.get("capacityProviderStrategy"):
        filled.pop("launchType", None)
        for item in filled["capacityProviderStrategy"]:
            item.setdefault("base", 0)
            item.setdefault("weight", 0)
    vpc = (filled.get("networkConfiguration") or {}).get("awsvpcConfiguration")
    if vpc is not None:
        vpc.setdefault("assignPublicIp", "DISABLED")
    if beside is not None:
        filled = _managed(filled, beside)
    result: Document = _tidy(filled)
    return result


def _managed(filled: Document, files: Document) -> Document:
    """Of a live service, what the files decide."""
    result = {
        name: value
        for name, value in filled.items()
        if name in files or name not in _UNMANAGED_WHEN_ABSENT
    }
    given = _merged(_SERVICE_DEFAULTS, files).get("deploymentConfiguration", {})
    if "deploymentConfiguration" in result:
        result["deploymentConfiguration"] = _projected(result["deploymentConfiguration"], given)
    return result


def for_files(files: Document) -> Document:
    """The files' own side: defaults only where silence means the default."""
    whole = service(files)
    return {k: v for k, v in whole.items() if k in files or k not in _UNMANAGED_WHEN_ABSENT}


def tags(document: Document) -> dict[str, str]:
    """Without AWS's own."""
    found = {str(t["key"]): str(t.get("value", "")) for t in document.get("tags") or []}
    return {k: v for k, v in sorted(found.items()) if not k.startswith("aws:")}


def _projected(value: Any, onto: Any) -> Any:
    """Of nested settings only those that the other side names: AWS adds new ones by and by."""
    if isinstance(value, dict) and isinstance(onto, dict):
        return {k: _projected(v, onto[k]) for k, v in value.items() if k in onto}
    return value


def _merged(defaults: Document, given: Document) -> Document:
    result = copy.deepcopy(defaults)
    for name, value in given.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = _merged(result[name], value)
        else:
            result[name] = value
    return result


def _tidy(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        if key in _OWN_KEYS:
            return {name: str(item) for name, item in sorted(value.items())}
        tidied = {name: _tidy(item, name) for name, item in value.items()}
        return {n: v for n, v in tidied.items() if not _is_empty(n, v)}
    if isinstance(value, list):
        items = [_tidy(item) for item in value]
        if key in _SORTED_BY:
            return sorted(items, key=lambda item: str(item.get(_SORTED_BY[key], "")))
        return sorted(items) if key in _UNORDERED else items
    return value


def _is_empty(name: str, value: Any) -> bool:
    if value is None or value == [] or value == {}:
        return True
    return name not in _MEANS_SOMETHING and (value is False or value == "" or value == 0)
