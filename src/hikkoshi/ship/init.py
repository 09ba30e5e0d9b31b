"""Files from a live service: the project that `deploy` would find nothing to change in."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import yaml

from hikkoshi.aws.access import calling
from hikkoshi.fargate.references import secret_name, target_group_name
from hikkoshi.project.aws_shapes import input_shape
from hikkoshi.ship.calls import Calls, primary

Document = dict[str, Any]
_SECRET = re.compile(r"password|passwd|secret|token|api_?key|private_?key|credential", re.I)
_NOT_WRITTEN = ("cluster", "taskDefinition", "clientToken", "role")


@dataclass(frozen=True)
class Written:
    """files: name → text. warnings: what a person should look at."""

    files: dict[str, str]
    warnings: tuple[str, ...] = ()


def from_live(calls: Calls, *, as_ecspresso: bool) -> Written:
    """BadInput: no such cluster or service."""
    service = calls.must_describe()
    task = calls.definition(primary(service)["taskDefinition"]) or {}
    task_file = _kept(task, "RegisterTaskDefinition")
    service_file = _kept(service, "CreateService")
    for name in _NOT_WRITTEN:
        service_file.pop(name, None)
    if service_file.get("capacityProviderStrategy"):
        service_file.pop("launchType", None)
    files = {
        "ecs-task-def.json": _json(task_file),
        "ecs-service-def.json": _json(service_file),
    }
    names = {"task_definition": "ecs-task-def.json", "service_definition": "ecs-service-def.json"}
    head = {"region": calls.access.region, "cluster": calls.cluster.rsplit("/", 1)[-1]}
    if as_ecspresso:
        config = {**head, "service": calls.service, **names, "timeout": "10m0s"}
        files["ecspresso.yml"] = _yaml(config)
    else:
        config = {**names, **head, "service": calls.service}
        config |= _balancer(calls, service_file) | _secrets(task_file)
        files["hikkoshi.yaml"] = _yaml(config)
    return Written(files, tuple(_warnings(task_file)))


def _kept(shown: Document, operation: str) -> Document:
    """The members that the operation takes, without what is empty."""
    members = input_shape("ecs", operation).members
    return {
        name: _without_empty(value)
        for name, value in shown.items()
        if name in members and value not in (None, "", [], {})
    }


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items() if v not in (None, [], {})}
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value


def _balancer(calls: Calls, service: Document) -> Document:
    """hikkoshi.yaml's `load_balancer`, from the target group as it is."""
    arns = [b["targetGroupArn"] for b in service.get("loadBalancers", []) if "targetGroupArn" in b]
    if not arns:
        return {}
    elb = calls.access.client("elbv2")
    group = calling(
        "elasticloadbalancing:DescribeTargetGroups", elb.describe_target_groups,
        TargetGroupArns=arns[:1],
    )["TargetGroups"][0]  # fmt: skip
    attributes = {
        each["Key"]: each["Value"]
        for each in calling(
            "elasticloadbalancing:DescribeTargetGroupAttributes",
            elb.describe_target_group_attributes, TargetGroupArn=arns[0],
        )["Attributes"]
    }  # fmt: skip
    check = {
        "path": group.get("HealthCheckPath", "/"),
        "interval": f"{group['HealthCheckIntervalSeconds']}s",
        "timeout": f"{group['HealthCheckTimeoutSeconds']}s",
        "healthy_threshold": group["HealthyThresholdCount"],
        "unhealthy_threshold": group["UnhealthyThresholdCount"],
        "matcher": group.get("Matcher", {}).get("HttpCode", "200"),
    }
    delay = attributes.get("deregistration_delay.timeout_seconds", "300")
    return {
        "load_balancer": {
            "target_group": target_group_name(arns[0]),
            "health_check": check,
            "deregistration_delay": f"{delay}s",
        }
    }


def _secrets(task: Document) -> Document:
    """A made-up value for a rehearsal, never the true one."""
    names = {
        secret_name(secret["valueFrom"])
        for container in task["containerDefinitions"]
        for secret in [
            *container.get("secrets", []),
            *(container.get("logConfiguration") or {}).get("secretOptions", []),
        ]
    }
    return {"secrets": dict.fromkeys(sorted(names), "{generated}")} if names else {}


def _warnings(task: Document) -> list[str]:
    return [
        f"{container['name']}: the environment variable {each['name']} looks like a secret and is "
        "now in ecs-task-def.json; move it to `secrets`"
        for container in task["containerDefinitions"]
        for each in container.get("environment", [])
        if _SECRET.search(each["name"]) and each.get("value")
    ]


def _json(document: Document) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"


def _yaml(document: Document) -> str:
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
