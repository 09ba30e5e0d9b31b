"""AWS::ElasticLoadBalancingV2, over the region's own, whose load balancer is a real HAProxy."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from hikkoshi.region.cloudformation.adapter import Adapter, is_gone

_NOT_IMPLEMENTED = "NotImplementedException"


class _Elb(Adapter):
    ARN_NAME = ""
    DELETE = ""

    def remove(self) -> None:
        if not self.identity.startswith("arn:"):
            return
        try:
            self.call("elbv2", self.DELETE, {self.ARN_NAME: self.identity})
        except ClientError as error:
            if not is_gone(error):
                raise


class LoadBalancer(_Elb):
    TYPE = "AWS::ElasticLoadBalancingV2::LoadBalancer"
    REPLACING = frozenset({"Name", "Scheme", "Type"})
    ARN_NAME, DELETE = "LoadBalancerArn", "DeleteLoadBalancer"

    def make(self, properties: dict[str, Any]) -> None:
        named = {"Name": self.name, **properties}
        attributes = named.pop("LoadBalancerAttributes", [])
        found = self.call("elbv2", "CreateLoadBalancer", named)["LoadBalancers"][0]
        self.identity = found["LoadBalancerArn"]
        self.attributes = {
            "DNSName": found["DNSName"],
            "CanonicalHostedZoneID": found.get("CanonicalHostedZoneId", ""),
            "LoadBalancerArn": self.identity,
            "LoadBalancerName": found["LoadBalancerName"],
            "LoadBalancerFullName": self.identity.partition(":loadbalancer/")[2],
            "SecurityGroups": found.get("SecurityGroups", []),
        }
        self._set(attributes)

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        if properties.get("SecurityGroups") != before.get("SecurityGroups"):
            groups = properties.get("SecurityGroups", [])
            self.call(
                "elbv2",
                "SetSecurityGroups",
                {"LoadBalancerArn": self.identity, "SecurityGroups": groups},
            )
        for key in ("Subnets", "SubnetMappings"):
            if properties.get(key) != before.get(key) and properties.get(key):
                given = {"LoadBalancerArn": self.identity, key: properties[key]}
                self.call("elbv2", "SetSubnets", given)
        self._set(properties.get("LoadBalancerAttributes", []))

    def _set(self, attributes: list[dict[str, Any]]) -> None:
        """One by one: those that the local region's load balancer cannot play are told."""
        for each in attributes:
            given = {"LoadBalancerArn": self.identity, "Attributes": [each]}
            try:
                self.call("elbv2", "ModifyLoadBalancerAttributes", given)
            except ClientError as error:
                if error.response["Error"]["Code"] != _NOT_IMPLEMENTED:
                    raise
                self.lacks.add(str(each["Key"]))


class TargetGroup(_Elb):
    TYPE = "AWS::ElasticLoadBalancingV2::TargetGroup"
    REPLACING = frozenset({"Name", "Port", "Protocol", "ProtocolVersion", "TargetType", "VpcId"})
    ARN_NAME, DELETE = "TargetGroupArn", "DeleteTargetGroup"

    def make(self, properties: dict[str, Any]) -> None:
        named = {"Name": self.name, **properties}
        attributes = named.pop("TargetGroupAttributes", [])
        targets = named.pop("Targets", [])
        found = self.call("elbv2", "CreateTargetGroup", named)["TargetGroups"][0]
        self.identity = found["TargetGroupArn"]
        self.attributes = {
            "TargetGroupArn": self.identity,
            "TargetGroupName": found["TargetGroupName"],
            "TargetGroupFullName": self.identity.rpartition(":")[2],
            "LoadBalancerArns": found.get("LoadBalancerArns", []),
        }
        self._set(attributes)
        if targets:
            self._targets("RegisterTargets", targets)

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        fixed = self.REPLACING | {"TargetGroupAttributes", "Targets", "Tags", "IpAddressType"}
        wanted = {k: v for k, v in properties.items() if k not in fixed}
        self.call("elbv2", "ModifyTargetGroup", {**wanted, "TargetGroupArn": self.identity})
        self._set(properties.get("TargetGroupAttributes", []))
        new, old = properties.get("Targets", []), before.get("Targets", [])
        if added := [each for each in new if each not in old]:
            self._targets("RegisterTargets", added)
        if gone := [each for each in old if each not in new]:
            self._targets("DeregisterTargets", gone)

    def _set(self, attributes: list[dict[str, Any]]) -> None:
        if attributes:
            given = {"TargetGroupArn": self.identity, "Attributes": attributes}
            self.call("elbv2", "ModifyTargetGroupAttributes", given)

    def _targets(self, operation: str, targets: list[dict[str, Any]]) -> None:
        self.call("elbv2", operation, {"TargetGroupArn": self.identity, "Targets": targets})


class Listener(_Elb):
    TYPE = "AWS::ElasticLoadBalancingV2::Listener"
    REPLACING = frozenset({"LoadBalancerArn"})
    ARN_NAME, DELETE = "ListenerArn", "DeleteListener"

    def make(self, properties: dict[str, Any]) -> None:
        given = dict(properties)
        attributes = given.pop("ListenerAttributes", [])
        found = self.call("elbv2", "CreateListener", given)["Listeners"][0]
        self.identity = found["ListenerArn"]
        self.attributes = {"ListenerArn": self.identity}
        self._set(attributes)

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        fixed = ("LoadBalancerArn", "ListenerAttributes", "Tags")
        wanted = {k: v for k, v in properties.items() if k not in fixed}
        self.call("elbv2", "ModifyListener", {**wanted, "ListenerArn": self.identity})
        self._set(properties.get("ListenerAttributes", []))

    def _set(self, attributes: list[dict[str, Any]]) -> None:
        if attributes:
            given = {"ListenerArn": self.identity, "Attributes": attributes}
            self.call("elbv2", "ModifyListenerAttributes", given)


class ListenerCertificate(_Elb):
    """Certificates beside a listener's default one; Ref gives the listener here."""

    TYPE = "AWS::ElasticLoadBalancingV2::ListenerCertificate"
    REPLACING = frozenset({"ListenerArn"})
    ARN_NAME, DELETE = "ListenerArn", "RemoveListenerCertificates"

    def make(self, properties: dict[str, Any]) -> None:
        self.call("elbv2", "AddListenerCertificates", properties)
        self.identity = str(properties["ListenerArn"])

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        self.call("elbv2", "AddListenerCertificates", properties)
        gone = [each for each in before["Certificates"] if each not in properties["Certificates"]]
        if gone:
            given = {"ListenerArn": self.identity, "Certificates": gone}
            self.call("elbv2", self.DELETE, given)

    def remove(self) -> None:
        if not self.identity.startswith("arn:"):
            return
        given = {"ListenerArn": self.identity, "Certificates": self.properties["Certificates"]}
        try:
            self.call("elbv2", self.DELETE, given)
        except ClientError as error:
            if not is_gone(error):
                raise


class ListenerRule(_Elb):
    TYPE = "AWS::ElasticLoadBalancingV2::ListenerRule"
    REPLACING = frozenset({"ListenerArn"})
    ARN_NAME, DELETE = "RuleArn", "DeleteRule"

    def make(self, properties: dict[str, Any]) -> None:
        found = self.call("elbv2", "CreateRule", properties)["Rules"][0]
        self.identity = found["RuleArn"]
        self.attributes = {"RuleArn": self.identity, "IsDefault": False}

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        wanted: dict[str, Any] = {
            k: properties[k] for k in ("Actions", "Conditions") if k in properties
        }
        self.call("elbv2", "ModifyRule", {**wanted, "RuleArn": self.identity})
        if properties.get("Priority") != before.get("Priority"):
            priority = {"RuleArn": self.identity, "Priority": properties["Priority"]}
            self.call("elbv2", "SetRulePriorities", {"RulePriorities": [priority]})


ADAPTERS: tuple[type[Adapter], ...] = (
    LoadBalancer, TargetGroup, Listener, ListenerCertificate, ListenerRule,
)  # fmt: skip
