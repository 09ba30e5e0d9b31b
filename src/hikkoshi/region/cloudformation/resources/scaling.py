"""AWS::ApplicationAutoScaling, over the region's own, which scales ECS services."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from hikkoshi.region.cloudformation.adapter import Adapter, is_gone

_SERVICE = "application-autoscaling"
_KEY = ("ResourceId", "ScalableDimension", "ServiceNamespace")


class ScalableTarget(Adapter):
    """Ref gives `RESOURCE|DIMENSION|NAMESPACE`, which policies name as ScalingTargetId."""

    TYPE = "AWS::ApplicationAutoScaling::ScalableTarget"
    REPLACING = frozenset(_KEY)

    def make(self, properties: dict[str, Any]) -> None:
        self._register(properties)
        self.identity = "|".join(str(properties[key]) for key in _KEY)
        self.attributes = {"Id": self.identity}

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        self._register(properties)
        kept = {action["ScheduledActionName"] for action in properties.get("ScheduledActions", [])}
        for action in before.get("ScheduledActions", []):
            if action["ScheduledActionName"] not in kept:
                named = {key: properties[key] for key in _KEY}
                named["ScheduledActionName"] = action["ScheduledActionName"]
                self.call(_SERVICE, "DeleteScheduledAction", named)

    def _register(self, properties: dict[str, Any]) -> None:
        given = dict(properties)
        actions = given.pop("ScheduledActions", [])
        self.call(_SERVICE, "RegisterScalableTarget", given)
        for action in actions:
            named = {key: properties[key] for key in _KEY}
            self.call(_SERVICE, "PutScheduledAction", {**named, **action})

    def remove(self) -> None:
        if not self.attributes:
            return
        named = dict(zip(_KEY, self.identity.split("|"), strict=True))
        try:
            self.call(_SERVICE, "DeregisterScalableTarget", named)
        except ClientError as error:
            if not is_gone(error):
                raise


class ScalingPolicy(Adapter):
    TYPE = "AWS::ApplicationAutoScaling::ScalingPolicy"
    REPLACING = frozenset({"PolicyName", "ScalingTargetId", *_KEY})

    def make(self, properties: dict[str, Any]) -> None:
        self.identity = self.call(_SERVICE, "PutScalingPolicy", _whole(properties))["PolicyARN"]
        self.attributes = {"Arn": self.identity}

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        self.call(_SERVICE, "PutScalingPolicy", _whole(properties))

    def remove(self) -> None:
        if not self.attributes:
            return
        whole = _whole(self.properties)
        named = {key: whole[key] for key in ("PolicyName", *_KEY)}
        try:
            self.call(_SERVICE, "DeleteScalingPolicy", named)
        except ClientError as error:
            if not is_gone(error):
                raise


def _whole(properties: dict[str, Any]) -> dict[str, Any]:
    """With the target in the API's words."""
    given = dict(properties)
    target = given.pop("ScalingTargetId", None)
    if target:
        given |= dict(zip(_KEY, str(target).split("|"), strict=True))
    return given


ADAPTERS: tuple[type[Adapter], ...] = (ScalableTarget, ScalingPolicy)
