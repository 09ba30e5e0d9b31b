"""ELBv2's operations on target groups and targets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from hikkoshi.region.elb.attributes import (
    check_stickiness,
    defaults_of,
    merge_attributes,
    table_of_group,
)
from hikkoshi.region.elb.keeper import ApiCall, Keeper, arn, new_id, page, tags_of
from hikkoshi.region.elb.model import HealthCheck, TargetGroup
from hikkoshi.region.elb.target import NOT_IN_USE, NOT_REGISTERED
from hikkoshi.region.elb.terms import check_group_name, check_health_path, check_matcher, refuse
from hikkoshi.region.front.port import AwsError, Caller, NotImplementedByRegion
from hikkoshi.region.ports import TargetHealth

FindInstance = Callable[[str, str], Awaitable[str | None]]
"""(EC2 instance's id, AWS's region) → its private address; None if no such instance runs."""


class TargetGroupCalls:
    def __init__(self, keeper: Keeper, find_instance: FindInstance | None = None) -> None:
        self._keeper = keeper
        self._find_instance = find_instance

    def operations(self) -> Mapping[str, ApiCall]:
        return {
            "CreateTargetGroup": self._create,
            "DescribeTargetGroups": self._describe,
            "ModifyTargetGroup": self._modify,
            "DeleteTargetGroup": self._delete,
            "DescribeTargetGroupAttributes": self._describe_attributes,
            "ModifyTargetGroupAttributes": self._modify_attributes,
            "RegisterTargets": self._register,
            "DeregisterTargets": self._deregister,
            "DescribeTargetHealth": self._describe_health,
        }

    def health(self, group: TargetGroup, address: str, port: int) -> TargetHealth:
        target = self._keeper.balancer.targets(group.arn).get(f"{address}:{port}")
        if target is None:
            return NOT_REGISTERED
        if not self._keeper.balancer.is_in_use(group.arn):
            return NOT_IN_USE
        return target.health

    async def _create(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name = check_group_name(parameters["Name"])
        kind = parameters.get("TargetType", "instance")
        if kind not in ("ip", "instance"):
            raise NotImplementedByRegion(f"elbv2: the target type {kind} (give ip or instance)")
        protocol = parameters.get("Protocol")
        if protocol is None:
            raise refuse("A protocol must be specified")
        if "Port" not in parameters:
            raise refuse("A port must be specified")
        if protocol not in _PROTOCOLS:
            raise NotImplementedByRegion(f"elbv2: target groups of protocol {protocol}")
        if parameters.get("TargetControlPort"):
            raise NotImplementedByRegion("elbv2: TargetControlPort of a target group")
        is_http = protocol in ("HTTP", "HTTPS")
        version = parameters.get("ProtocolVersion")
        if version is not None and not is_http:
            raise refuse(f"ProtocolVersion is not supported for protocol {protocol}")
        if is_http and version not in (None, "HTTP1"):
            raise NotImplementedByRegion(f"elbv2: the protocol version {version}")
        if parameters.get("IpAddressType", "ipv4") != "ipv4":
            raise NotImplementedByRegion("elbv2: IPv6")
        for known in self._keeper.holdings.target_groups.values():
            if known.name == name:
                asked = (protocol, parameters["Port"], parameters.get("VpcId"))
                same = (known.protocol, known.port, known.vpc_id) == asked
                if not same:
                    what = f"A target group with the same name '{name}' exists, but with different"
                    raise AwsError("DuplicateTargetGroupName", f"{what} settings")
                return {"TargetGroups": [self._describe_one(known)]}
        group = TargetGroup(
            arn=arn(caller, f"targetgroup/{name}/{new_id()}"),
            name=name,
            number=self._keeper.next_group_number(),
            protocol=protocol,
            protocol_version="HTTP1" if is_http else None,
            port=parameters["Port"],
            vpc_id=parameters.get("VpcId"),
            target_type=kind,
            health_check=health_check(default_check(protocol, parameters), parameters, protocol),
            attributes=_default_attributes(protocol, kind),
        )
        tags = tags_of(parameters)
        await self._keeper.change(
            lambda held: held.having("target_groups", group.arn, group).having(
                "tags", group.arn, tags
            )
        )
        return {"TargetGroups": [self._describe_one(group)]}

    async def _describe(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        held = self._keeper.holdings
        groups = sorted(held.target_groups.values(), key=lambda group: group.name)
        if wanted := parameters.get("TargetGroupArns"):
            groups = [self._keeper.group(item) for item in wanted]
        if wanted := parameters.get("Names"):
            groups = [group for group in groups if group.name in wanted]
            if len(groups) < len(set(wanted)):
                raise AwsError("TargetGroupNotFound", "One or more target groups not found")
        if balancer := parameters.get("LoadBalancerArn"):
            used = held.groups_used_by(self._keeper.balancer_of(balancer).arn)
            groups = [group for group in groups if group.arn in used]
        return page([self._describe_one(group) for group in groups], parameters, "TargetGroups")

    async def _modify(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        group = self._keeper.group(parameters["TargetGroupArn"])
        altered = replace(
            group, health_check=health_check(group.health_check, parameters, group.protocol)
        )
        await self._keeper.change(lambda held: held.having("target_groups", group.arn, altered))
        return {"TargetGroups": [self._describe_one(altered)]}

    async def _delete(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        wanted = parameters["TargetGroupArn"]
        if self._keeper.holdings.balancers_of(wanted):
            what = f"The target group '{wanted}' is currently in use by a listener or a rule"
            raise AwsError("ResourceInUse", what)
        await self._keeper.change(lambda held: held.having("target_groups", wanted, None))
        return {}

    async def _describe_attributes(self, parameters: dict[str, Any], _: Caller) -> dict[str, Any]:
        return _attributes(self._keeper.group(parameters["TargetGroupArn"]).attributes)

    async def _modify_attributes(self, parameters: dict[str, Any], _: Caller) -> dict[str, Any]:
        group = self._keeper.group(parameters["TargetGroupArn"])
        table = table_of_group(group.protocol)
        check_stickiness(group.protocol, parameters["Attributes"])
        merged = merge_attributes(group.attributes, parameters["Attributes"], table)
        altered = replace(group, attributes=merged)
        await self._keeper.change(lambda held: held.having("target_groups", group.arn, altered))
        return _attributes(merged)

    async def _register(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        group = self._keeper.group(parameters["TargetGroupArn"])
        found = [
            (await self._place(group, document, caller), document.get("Port", group.port))
            for document in parameters["Targets"]
        ]
        for (address, instance_id), port in found:
            await self._keeper.balancer.register(group, address, port, instance_id)
        return {}

    async def _place(
        self, group: TargetGroup, document: Mapping[str, Any], caller: Caller
    ) -> tuple[str, str | None]:
        """(address, instance's id if the group's targets are instances)."""
        asked = str(document["Id"])
        if group.target_type == "ip":
            return _address(asked), None
        if not _INSTANCE.fullmatch(asked):
            raise refuse(f"The instance ID '{asked[:64]}' is not valid", "InvalidTarget")
        if self._find_instance is None:
            raise NotImplementedByRegion("elbv2: instances as targets, without EC2")
        address = await self._find_instance(asked, caller.region)
        if address is None:
            what = f"The following targets are not in a running state: '{asked}'"
            raise AwsError("InvalidTarget", what)
        return address, asked

    async def _deregister(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        group = self._keeper.group(parameters["TargetGroupArn"])
        known = self._keeper.balancer.targets(group.arn)
        for document in parameters["Targets"]:
            # Without a port, every registration of the address is meant.
            for target in list(known.values()):
                if target.id == document["Id"] and document.get("Port") in (None, target.port):
                    await self._keeper.balancer.deregister(group, target.address, target.port)
        return {}

    async def _describe_health(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        group = self._keeper.group(parameters["TargetGroupArn"])
        known = self._keeper.balancer.targets(group.arn).values()
        wanted = [(target.id, target.port) for target in known]
        if asked := parameters.get("Targets"):
            for document in asked if group.target_type == "ip" else ():
                _address(document["Id"])
            wanted = [(item["Id"], item.get("Port", group.port)) for item in asked]
        addresses = {target.id: target.address for target in known}
        return {
            "TargetHealthDescriptions": [
                self._health_of(group, item, addresses.get(item, item), port)
                for item, port in wanted
            ]
        }

    def _health_of(self, group: TargetGroup, item: str, address: str, port: int) -> dict[str, Any]:
        health = self.health(group, address, port)
        check_port = group.health_check.port
        target: dict[str, Any] = {"Id": item, "Port": port}
        if group.target_type == "ip":
            target["AvailabilityZone"] = "all"
        return {
            "Target": target,
            "HealthCheckPort": str(port) if check_port == "traffic-port" else check_port,
            "TargetHealth": {
                "State": health.state,
                "Reason": health.reason,
                "Description": health.description,
            },
        }

    def _describe_one(self, group: TargetGroup) -> dict[str, Any]:
        check = group.health_check
        by_http = {}
        if check.protocol != "TCP":
            by_http = {"HealthCheckPath": check.path, "Matcher": {"HttpCode": check.matcher}}
        return {
            "TargetGroupArn": group.arn,
            "TargetGroupName": group.name,
            "Protocol": group.protocol,
            "ProtocolVersion": group.protocol_version,
            "Port": group.port,
            "VpcId": group.vpc_id,
            "TargetType": group.target_type,
            "IpAddressType": "ipv4",
            "HealthCheckEnabled": check.is_enabled,
            "HealthCheckProtocol": check.protocol,
            "HealthCheckPort": check.port,
            "HealthCheckIntervalSeconds": check.interval_s,
            "HealthCheckTimeoutSeconds": check.timeout_s,
            "HealthyThresholdCount": check.healthy_threshold,
            "UnhealthyThresholdCount": check.unhealthy_threshold,
            "LoadBalancerArns": self._keeper.holdings.balancers_of(group.arn),
            **by_http,
        }


_INSTANCE = re.compile(r"i-[0-9a-f]{8}(?:[0-9a-f]{9})?")
_PROTOCOLS = ("HTTP", "HTTPS", "TCP", "TLS")


def _default_attributes(protocol: str, target_type: str) -> dict[str, str]:
    own = defaults_of(table_of_group(protocol))
    if "preserve_client_ip.enabled" in own and target_type == "instance":
        # AWS's default, which the local region does not do; its status says so.
        own["preserve_client_ip.enabled"] = "true"
    return own


def default_check(protocol: str, parameters: Mapping[str, Any]) -> HealthCheck:
    """What AWS does where the caller says nothing."""
    if protocol in ("HTTP", "HTTPS"):
        return HealthCheck("HTTP", "traffic-port", "/", 30, 5, 5, 2, "200")
    asked = parameters.get("HealthCheckProtocol", "TCP")
    if asked == "TCP":
        return HealthCheck("TCP", "traffic-port", "", 30, 10, 5, 2, "")
    timeout_s = 6 if asked == "HTTP" else 10
    return HealthCheck(asked, "traffic-port", "/", 30, timeout_s, 5, 2, "200-399")


def health_check(known: HealthCheck, parameters: Mapping[str, Any], protocol: str) -> HealthCheck:
    """The check after a Create or Modify; AwsError if it makes no sense. protocol: the group's."""
    asked = parameters.get("HealthCheckProtocol", known.protocol)
    if asked not in ("HTTP", "HTTPS", "TCP"):
        raise refuse(f"Health check protocol '{asked[:20]}' must be one of [HTTP, HTTPS, TCP]")
    is_http_group = protocol in ("HTTP", "HTTPS")
    if asked == "TCP" and is_http_group:
        raise refuse(f"Health check protocol 'TCP' is not supported for protocol '{protocol}'")
    port = parameters.get("HealthCheckPort", known.port)
    if port != "traffic-port" and not (port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise refuse(f"Health check port '{port[:40]}' must be 'traffic-port' or a port")
    check = HealthCheck(
        protocol=asked,
        port=port,
        path="",
        interval_s=parameters.get("HealthCheckIntervalSeconds", known.interval_s),
        timeout_s=parameters.get("HealthCheckTimeoutSeconds", known.timeout_s),
        healthy_threshold=parameters.get("HealthyThresholdCount", known.healthy_threshold),
        unhealthy_threshold=parameters.get("UnhealthyThresholdCount", known.unhealthy_threshold),
        matcher="",
        is_enabled=parameters.get("HealthCheckEnabled", known.is_enabled),
    )
    matcher = (parameters.get("Matcher") or {}).get("HttpCode")
    if (parameters.get("Matcher") or {}).get("GrpcCode"):
        raise refuse("A GrpcCode can only be matched for the protocol version GRPC")
    if asked == "TCP":
        if matcher or parameters.get("HealthCheckPath"):
            raise refuse("Health check path and matcher need the health check protocol HTTP")
    else:
        was_http = known.protocol != "TCP"
        path = parameters.get("HealthCheckPath", known.path if was_http else "/")
        matcher = matcher or (known.matcher if was_http else "200-399")
        most = 499 if is_http_group else 599
        check = replace(check, path=check_health_path(path), matcher=check_matcher(matcher, most))
    if not check.is_enabled:
        raise refuse("Health checks must be enabled for target groups with target type 'ip'")
    if check.timeout_s >= check.interval_s + (0 if is_http_group else 1):
        raise refuse(
            f"Health check timeout '{check.timeout_s}' must be smaller than "
            f"{'' if is_http_group else 'or equal to '}the interval '{check.interval_s}'"
        )
    return check


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise refuse(f"The IP address '{text[:64]}' is not a valid IPv4 address") from error


def _attributes(attributes: Mapping[str, str]) -> dict[str, Any]:
    return {"Attributes": [{"Key": key, "Value": value} for key, value in attributes.items()]}
