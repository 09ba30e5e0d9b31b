"""What a plan asks the surveyed account: a view over resources in AWS's shape. None is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hikkoshi.model.survey import Account

Properties = Mapping[str, Any]


def of_kind(account: Account | None, kind: str) -> list[Properties]:
    """kind: as CloudFormation names it."""
    return [r.properties for r in account.resources if r.kind == kind] if account else []


def target_groups(account: Account | None) -> list[Properties]:
    return of_kind(account, "AWS::ElasticLoadBalancingV2::TargetGroup")


def health_check_path(account: Account | None, port: int) -> str:
    groups = target_groups(account)
    same = [g for g in groups if g.get("Port") == port] or groups
    paths = {str(g.get("HealthCheckPath", "")) for g in same} - {"", "None"}
    return paths.pop() if len(paths) == 1 else ""


def network(account: Account | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(subnets, security groups) of the instances; empty where the account was not surveyed."""
    subnets: list[str] = []
    groups: list[str] = []
    for instance in of_kind(account, "AWS::EC2::Instance"):
        if isinstance(instance.get("SubnetId"), str):
            subnets.append(instance["SubnetId"])
        for group in instance.get("SecurityGroups") or []:
            if isinstance(group, Mapping) and isinstance(group.get("GroupId"), str):
                groups.append(group["GroupId"])
        groups += [g for g in instance.get("SecurityGroupIds") or [] if isinstance(g, str)]
    return tuple(dict.fromkeys(subnets)), tuple(dict.fromkeys(groups))


def instance_count(account: Account | None) -> int:
    found = [
        i for i in of_kind(account, "AWS::EC2::Instance")
        if (i.get("State") or {"Name": "running"}).get("Name") == "running"
    ]  # fmt: skip
    desired = [
        int(g["DesiredCapacity"])
        for g in of_kind(account, "AWS::AutoScaling::AutoScalingGroup")
        if str(g.get("DesiredCapacity", "")).isdigit()
    ]
    return desired[0] if len(desired) == 1 else len(found)


def database_parameters(account: Account | None) -> dict[str, str]:
    """max_connections and the like, where somebody set them."""
    found: dict[str, str] = {}
    for kind in ("AWS::RDS::DBClusterParameterGroup", "AWS::RDS::DBParameterGroup"):
        for group in of_kind(account, kind):
            values = group.get("Parameters")
            if isinstance(values, Mapping) and str(values.get("max_connections", "")).isdigit():
                found["max_connections"] = str(values["max_connections"])
    return found
