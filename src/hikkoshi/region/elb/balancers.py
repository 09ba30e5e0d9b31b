"""ELBv2's operations on load balancers and tags."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hikkoshi.region.elb.attributes import defaults_of, merge_attributes, table_of_balancer
from hikkoshi.region.elb.facts import QUOTAS, SSL_POLICIES, tls_versions
from hikkoshi.region.elb.frontend import has_access_logs
from hikkoshi.region.elb.keeper import ApiCall, Keeper, arn, new_id, page, tags_of
from hikkoshi.region.elb.model import Holdings, LoadBalancer
from hikkoshi.region.elb.terms import check_name, refuse
from hikkoshi.region.front.port import AwsError, Caller, NotImplementedByRegion

FindSubnet = Callable[[str, str], tuple[str | None, str] | None]
"""(Subnet's id, AWS's region) → (VPC's id, availability zone), of which either may be unknown;
None if there is no such subnet."""

_HOSTED_ZONES = {"application": "Z14GRHDCWA56QT", "network": "Z31USIVHYNEOWT"}
"""AWS's Route 53 zones of load balancers in ap-northeast-1."""

_UNPLAYED = ("CustomerOwnedIpv4Pool", "IpamPools", "EnablePrefixForIpv6SourceNat")
_PATHS = {"application": "app", "network": "net"}


class LoadBalancerCalls:
    def __init__(self, keeper: Keeper, find_subnet: FindSubnet | None) -> None:
        self._keeper = keeper
        self._find_subnet = find_subnet

    def operations(self) -> Mapping[str, ApiCall]:
        return {
            "CreateLoadBalancer": self._create,
            "DescribeLoadBalancers": self._describe,
            "DeleteLoadBalancer": self._delete,
            "DescribeLoadBalancerAttributes": self._describe_attributes,
            "ModifyLoadBalancerAttributes": self._modify_attributes,
            "SetSecurityGroups": self._set_security_groups,
            "SetSubnets": self._set_subnets,
            "SetIpAddressType": self._set_ip_address_type,
            "DescribeSSLPolicies": self._describe_ssl_policies,
            "DescribeAccountLimits": self._describe_account_limits,
            "DescribeTags": self._describe_tags,
            "AddTags": self._add_tags,
            "RemoveTags": self._remove_tags,
        }

    async def _create(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name = check_name("load balancer", parameters["Name"])
        kind = parameters.get("Type", "application")
        if kind not in _PATHS:
            raise NotImplementedByRegion(f"elbv2: load balancers of type {kind}")
        if parameters.get("IpAddressType", "ipv4") != "ipv4":
            raise NotImplementedByRegion("elbv2: IPv6")
        vpc_id, zones = self._place(parameters, kind, caller.region)
        scheme = parameters.get("Scheme", "internet-facing")
        for member in _UNPLAYED:
            if parameters.get(member) not in (None, "off"):
                raise NotImplementedByRegion(f"elbv2: {member} of a load balancer")
        for known in self._keeper.holdings.load_balancers.values():
            if known.name == name:
                if (known.kind, known.scheme, known.zones) != (kind, scheme, zones):
                    what = f"A load balancer with the same name '{name}' exists, but with different"
                    raise AwsError("DuplicateLoadBalancerName", f"{what} settings")
                return {"LoadBalancers": [_describe_one(known)]}
        prefix, own_id = "internal-" if scheme == "internal" else "", new_id()
        number = secrets.randbelow(9 * 10**8) + 10**8
        dns_name = f"{prefix}{name}-{number}.{caller.region}.elb.amazonaws.com"
        if kind == "network":
            # Their names have the id of the ARN, and the region after `elb`.
            dns_name = f"{prefix}{name}-{own_id}.elb.{caller.region}.amazonaws.com"
        balancer = LoadBalancer(
            arn=arn(caller, f"loadbalancer/{_PATHS[kind]}/{name}/{own_id}"),
            name=name,
            dns_name=dns_name,
            scheme=scheme,
            created_at=datetime.now(UTC),
            address=await self._keeper.give_address(dns_name),
            zones=zones,
            vpc_id=vpc_id,
            security_groups=tuple(parameters.get("SecurityGroups") or ()),
            ip_address_type="ipv4",
            attributes=defaults_of(table_of_balancer(kind)),
            kind=kind,
        )
        tags = tags_of(parameters)
        await self._keeper.change(
            lambda held: held.having("load_balancers", balancer.arn, balancer).having(
                "tags", balancer.arn, tags
            )
        )
        return {"LoadBalancers": [_describe_one(balancer)]}

    def _place(
        self, parameters: Mapping[str, Any], kind: str, region: str
    ) -> tuple[str | None, tuple[tuple[str, str], ...]]:
        subnets = list(parameters.get("Subnets") or [])
        for mapping in parameters.get("SubnetMappings") or []:
            if mapping.keys() - {"SubnetId"}:
                raise NotImplementedByRegion(f"elbv2: {sorted(mapping.keys() - {'SubnetId'})[0]}")
            subnets.append(mapping["SubnetId"])
        if not subnets:
            raise refuse("You must specify subnets")
        if len(subnets) < (1 if kind == "network" else 2):
            what = "At least two subnets in two different Availability Zones must be specified"
            raise refuse(what)
        vpc_id, zones = None, []
        for subnet in subnets:
            if self._find_subnet is None:
                zones.append(("", subnet))
                continue
            found = self._find_subnet(subnet, region)
            if found is None:
                raise AwsError("SubnetNotFound", f"The subnet ID '{subnet[:64]}' does not exist")
            vpc_id = found[0] or vpc_id
            zones.append((found[1], subnet))
        known = [zone for zone, _ in zones if zone]
        if len(set(known)) < len(known):
            raise refuse("A load balancer cannot be attached to multiple subnets in the same zone",
                         "InvalidConfigurationRequest")  # fmt: skip
        return vpc_id, tuple(sorted(zones))

    async def _describe(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        held = self._keeper.holdings.load_balancers
        found = sorted(held.values(), key=lambda balancer: balancer.created_at)
        if wanted := parameters.get("LoadBalancerArns"):
            found = [self._keeper.balancer_of(item) for item in wanted]
        if wanted := parameters.get("Names"):
            found = [balancer for balancer in found if balancer.name in wanted]
            missing = sorted(set(wanted) - {balancer.name for balancer in found})
            if missing:
                what = f"Load balancers '[{', '.join(missing)}]' not found"
                raise AwsError("LoadBalancerNotFound", what)
        return page([_describe_one(item) for item in found], parameters, "LoadBalancers")

    async def _delete(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """With its listeners and rules; idempotent, as at AWS."""
        wanted = parameters["LoadBalancerArn"]
        balancer = self._keeper.holdings.load_balancers.get(wanted)
        if balancer is None:
            return {}
        if balancer.attributes["deletion_protection.enabled"] == "true":
            what = f"Load balancer '{wanted}' cannot be deleted because deletion protection is"
            raise AwsError("OperationNotPermitted", f"{what} enabled")
        listeners = self._keeper.holdings.listeners_of(wanted)

        def without(held: Holdings) -> Holdings:
            for listener in listeners:
                for rule in held.rules_of(listener.arn):
                    held = held.having("rules", rule.arn, None)
                held = held.having("listeners", listener.arn, None)
            return held.having("load_balancers", wanted, None)

        await self._keeper.change(without)
        for listener in listeners:
            await self._keeper.close_sockets(listener.door_fd, listener.inside_fd)
        self._keeper.forget_name(balancer.dns_name)
        return {}

    async def _describe_attributes(self, parameters: dict[str, Any], _: Caller) -> dict[str, Any]:
        return _attributes(self._keeper.balancer_of(parameters["LoadBalancerArn"]).attributes)

    async def _modify_attributes(self, parameters: dict[str, Any], _: Caller) -> dict[str, Any]:
        balancer = self._keeper.balancer_of(parameters["LoadBalancerArn"])
        table = table_of_balancer(balancer.kind)
        merged = merge_attributes(balancer.attributes, parameters["Attributes"], table)
        altered = replace(balancer, attributes=merged)
        if has_access_logs(altered) and logs_of(balancer) != logs_of(altered):
            await self._keeper.balancer.tally.delivery.check(altered)
        await self._keeper.change(lambda held: held.having("load_balancers", altered.arn, altered))
        return _attributes(merged)

    async def _set_security_groups(self, parameters: dict[str, Any], _: Caller) -> dict[str, Any]:
        """Stored; the local region has no packet filter."""
        balancer = self._keeper.balancer_of(parameters["LoadBalancerArn"])
        altered = replace(balancer, security_groups=tuple(parameters["SecurityGroups"]))
        await self._keeper.change(lambda held: held.having("load_balancers", altered.arn, altered))
        return {"SecurityGroupIds": list(altered.security_groups)}

    async def _set_subnets(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Its address stays: the local region has one network."""
        balancer = self._keeper.balancer_of(parameters["LoadBalancerArn"])
        if parameters.get("IpAddressType", "ipv4") != "ipv4":
            raise NotImplementedByRegion("elbv2: IPv6")
        vpc_id, zones = self._place(parameters, balancer.kind, caller.region)
        altered = replace(balancer, zones=zones, vpc_id=vpc_id or balancer.vpc_id)
        await self._keeper.change(lambda held: held.having("load_balancers", altered.arn, altered))
        return {"AvailabilityZones": _zones(altered), "IpAddressType": altered.ip_address_type}

    async def _set_ip_address_type(self, parameters: dict[str, Any], _: Caller) -> dict[str, Any]:
        balancer = self._keeper.balancer_of(parameters["LoadBalancerArn"])
        if parameters["IpAddressType"] != "ipv4":
            raise NotImplementedByRegion("elbv2: IPv6")
        return {"IpAddressType": balancer.ip_address_type}

    async def _describe_ssl_policies(self, parameters: dict[str, Any], _: Caller) -> dict[str, Any]:
        """Without their ciphers, which HAProxy does not take from them."""
        kind = parameters.get("LoadBalancerType")
        names = list(dict.fromkeys(parameters.get("Names") or SSL_POLICIES))
        missing = [name for name in names if tls_versions(name) is None]
        if missing:
            raise AwsError("SSLPolicyNotFound", f"SSL policy '{missing[0][:80]}' not found")
        described = [
            {
                "Name": name,
                "SslProtocols": list(tls_versions(name) or ()),
                "Ciphers": [],
                "SupportedLoadBalancerTypes": ["application", "network"],
            }
            for name in names
            if kind in (None, "application", "network")
        ]
        return page(described, parameters, "SslPolicies")

    async def _describe_account_limits(
        self, parameters: dict[str, Any], _: Caller
    ) -> dict[str, Any]:
        limits = [{"Name": name, "Max": str(most)} for name, most in QUOTAS.items()]
        return page(limits, parameters, "Limits")

    async def _describe_tags(self, parameters: dict[str, Any], _: Caller) -> dict[str, Any]:
        return {
            "TagDescriptions": [
                {
                    "ResourceArn": item,
                    "Tags": [{"Key": k, "Value": v} for k, v in self._tags(item).items()],
                }
                for item in parameters["ResourceArns"]
            ]
        }

    async def _add_tags(self, parameters: dict[str, Any], _: Caller) -> dict[str, Any]:
        for item in parameters["ResourceArns"]:
            await self._set_tags(item, self._tags(item) | tags_of(parameters))
        return {}

    async def _remove_tags(self, parameters: dict[str, Any], _: Caller) -> dict[str, Any]:
        for item in parameters["ResourceArns"]:
            kept = {k: v for k, v in self._tags(item).items() if k not in parameters["TagKeys"]}
            await self._set_tags(item, kept)
        return {}

    def _tags(self, item: str) -> dict[str, str]:
        for marker, kind in (
            (":loadbalancer/", "load_balancers"),
            (":targetgroup/", "target_groups"),
            (":listener/", "listeners"),
            (":listener-rule/", "rules"),
        ):
            if marker in item:
                self._keeper.find(kind, item)
                return dict(self._keeper.holdings.tags.get(item, {}))
        raise refuse(f"'{item[:200]}' is not a valid resource ARN")

    async def _set_tags(self, item: str, tags: Mapping[str, str]) -> None:
        await self._keeper.change(lambda held: held.having("tags", item, tags))


def logs_of(balancer: LoadBalancer) -> tuple[str, ...]:
    """Where access logs go, if they do."""
    return tuple(
        balancer.attributes[f"access_logs.s3.{x}"] for x in ("enabled", "bucket", "prefix")
    )


def _describe_one(balancer: LoadBalancer) -> dict[str, Any]:
    return {
        "LoadBalancerArn": balancer.arn,
        "DNSName": balancer.dns_name,
        "CanonicalHostedZoneId": _HOSTED_ZONES[balancer.kind],
        "CreatedTime": balancer.created_at,
        "LoadBalancerName": balancer.name,
        "Scheme": balancer.scheme,
        "VpcId": balancer.vpc_id,
        "State": {"Code": "active"},
        "Type": balancer.kind,
        "AvailabilityZones": _zones(balancer),
        "SecurityGroups": list(balancer.security_groups),
        "IpAddressType": balancer.ip_address_type,
    }


def _zones(balancer: LoadBalancer) -> list[dict[str, Any]]:
    return [{"ZoneName": zone or None, "SubnetId": subnet} for zone, subnet in balancer.zones]


def _attributes(attributes: Mapping[str, str]) -> dict[str, Any]:
    return {"Attributes": [{"Key": key, "Value": value} for key, value in attributes.items()]}
