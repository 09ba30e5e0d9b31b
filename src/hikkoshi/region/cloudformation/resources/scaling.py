"""AWS::ApplicationAutoScaling: bounds are applied to the service, policies are kept in words.

moto's Application Auto Scaling asks moto's own ECS whether the service is there, which it never is
here; so both are known to their stack only."""

from __future__ import annotations

import uuid
from typing import Any

from hikkoshi.region.cloudformation.adapter import Adapter, ResourceFailed


class ScalableTarget(Adapter):
    TYPE = "AWS::ApplicationAutoScaling::ScalableTarget"
    REPLACING = frozenset({"ResourceId", "ScalableDimension", "ServiceNamespace"})
    METADATA = "its bounds are applied now; the local region scales nothing by itself"

    def make(self, properties: dict[str, Any]) -> None:
        resource, dimension, space = (
            str(properties[key]) for key in ("ResourceId", "ScalableDimension", "ServiceNamespace")
        )
        if dimension != "ecs:service:DesiredCount":
            raise ResourceFailed(f"the local region has no scalable target {dimension}")
        self.identity = f"{resource}|{dimension}|{space}"
        self.attributes = {"Id": self.identity}
        self._bound(properties)

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        self._bound(properties)

    def _bound(self, properties: dict[str, Any]) -> None:
        """As AWS does: a count outside the bounds is brought to the nearer one."""
        parts = str(properties["ResourceId"]).split("/")
        if len(parts) != 3:
            raise ResourceFailed(f"{properties['ResourceId']!r} is not service/CLUSTER/SERVICE")
        cluster, name = parts[1:]
        client = self.client("ecs")
        found = client.describe_services(cluster=cluster, services=[name])["services"]
        if not found or found[0]["status"] != "ACTIVE":
            raise ResourceFailed(f"ECS service doesn't exist: {properties['ResourceId']}")
        desired = found[0]["desiredCount"]
        low, high = int(properties["MinCapacity"]), int(properties["MaxCapacity"])
        wanted = min(max(desired, low), high)
        if wanted != desired:
            client.update_service(cluster=cluster, service=name, desiredCount=wanted)

    def remove(self) -> None:
        """Nothing but the stack knows it."""


class ScalingPolicy(Adapter):
    TYPE = "AWS::ApplicationAutoScaling::ScalingPolicy"
    REPLACING = frozenset({"PolicyName", "ScalingTargetId", "ResourceId"})
    METADATA = "kept in the stack only: the local region scales nothing by itself"

    def make(self, properties: dict[str, Any]) -> None:
        target = str(properties.get("ScalingTargetId") or properties.get("ResourceId"))
        account = self.client("sts").get_caller_identity()["Account"]
        self.identity = (
            f"arn:aws:autoscaling:{self.region}:{account}:scalingPolicy:{uuid.uuid4()}:"
            f"resource/ecs/{target.partition('|')[0]}:policyName/{properties['PolicyName']}"
        )
        self.attributes = {"Arn": self.identity}

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        """New words, kept with the stack."""

    def remove(self) -> None:
        """Nothing but the stack knows it."""


ADAPTERS: tuple[type[Adapter], ...] = (ScalableTarget, ScalingPolicy)
