"""Tags and account settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hikkoshi.fargate import limits
from hikkoshi.region.ecs import errors, shapes
from hikkoshi.region.ecs.arns import resource_type
from hikkoshi.region.ecs.pages import page
from hikkoshi.region.ecs.plane import ControlPlane
from hikkoshi.region.front.port import AwsError, Caller, Operation

# Defaults of a new account: Amazon ECS Developer Guide, "Account settings".
_SETTINGS = {
    "serviceLongArnFormat": "enabled",
    "taskLongArnFormat": "enabled",
    "containerInstanceLongArnFormat": "enabled",
    "awsvpcTrunking": "disabled",
    "containerInsights": "disabled",
    "fargateFIPSMode": "disabled",
    "tagResourceAuthorization": "on",
    "fargateTaskRetirementWaitPeriod": "7",
    "guardDutyActivate": "off",
    "defaultLogDriverMode": "non-blocking",
    "fargateEventWindows": "disabled",
}


_ON = ("enabled", "disabled", "on", "off")
_VALUES = {
    "containerInsights": ("enabled", "disabled", "enhanced"),
    "fargateTaskRetirementWaitPeriod": ("0", "7", "14"),
    "tagResourceAuthorization": ("on", "off"),
    "guardDutyActivate": ("on", "off"),
    "defaultLogDriverMode": ("blocking", "non-blocking"),
}
"""Of PutAccountSettingRequest in the model; the others are enabled or disabled (or on, off)."""


def check_tags(tags: list[dict[str, Any]]) -> dict[str, str]:
    """AWS's list of tags as a dict; InvalidParameterException for what AWS refuses."""
    if len(tags) > limits.MAX_TAGS:
        raise errors.invalid_parameter("The maximum number of tags that can be applied is 50.")
    result: dict[str, str] = {}
    for tag in tags:
        key, value = tag.get("key") or "", tag.get("value") or ""
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise errors.invalid_parameter(
                "A tag's key has 1 to 128 characters and its value at most 256."
            )
        if key.lower().startswith("aws:"):
            raise errors.invalid_parameter("Tag keys that start with aws: are reserved.")
        if key in result:
            raise errors.invalid_parameter("Duplicate tag keys found.")
        result[key] = value
    return result


class TagOperations:
    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._store = plane.store

    def table(self) -> Mapping[str, Operation]:
        return {
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list_tags,
            "ListAccountSettings": self.list_settings,
            "PutAccountSetting": self.put_setting,
            "PutAccountSettingDefault": self.put_setting,
            "DeleteAccountSetting": self.delete_setting,
        }

    async def tag(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        arn = self._existing(parameters["resourceArn"])
        merged = {**self._store.tags.get(arn, {}), **check_tags(parameters["tags"])}
        if len(merged) > limits.MAX_TAGS:
            raise errors.invalid_parameter("The maximum number of tags that can be applied is 50.")
        self._store.put_tags(arn, merged)
        return {}

    async def untag(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        arn = self._existing(parameters["resourceArn"])
        gone = set(parameters["tagKeys"])
        kept = {k: v for k, v in self._store.tags.get(arn, {}).items() if k not in gone}
        self._store.put_tags(arn, kept)
        return {}

    async def list_tags(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        arn = self._existing(parameters["resourceArn"])
        return {"tags": shapes.tag_list(self._store.tags.get(arn, {}))}

    async def list_settings(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        is_effective = parameters.get("effectiveSettings")
        values = {**_SETTINGS, **self._store.settings} if is_effective else self._store.settings
        wanted, value = parameters.get("name"), parameters.get("value")
        rows = [
            self._setting(name, held)
            for name, held in sorted(values.items())
            if wanted in (None, name) and value in (None, held)
        ]
        items, token = page(rows, parameters, usual=10)
        return {"settings": items, **({"nextToken": token} if token else {})}

    async def put_setting(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name, value = parameters["name"], parameters["value"]
        if name not in _SETTINGS:
            raise errors.invalid_parameter(
                f"unknown should be one of [{','.join(_SETTINGS)}], not {name}"
            )
        allowed = _VALUES.get(name, _ON)
        if value not in allowed:
            raise errors.invalid_parameter(
                f"Invalid value {value} for setting {name}: it is one of [{','.join(allowed)}]"
            )
        self._store.put_setting(name, value)
        return {"setting": self._setting(name, value)}

    async def delete_setting(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name = parameters["name"]
        self._store.drop_setting(name)
        return {"setting": self._setting(name, _SETTINGS.get(name, ""))}

    def _setting(self, name: str, value: str) -> dict[str, Any]:
        principal = f"arn:aws:iam::{self._plane.names.account_id}:root"
        return {"name": name, "value": value, "principalArn": principal, "type": "user"}

    def _existing(self, arn: str) -> str:
        """The ARN, if there is such a resource to be tagged."""
        kind = resource_type(arn)
        if kind is None:
            raise errors.invalid_parameter("The ARN provided is invalid.")
        store = self._store
        is_known = {
            "cluster": lambda: any(cluster.arn == arn for cluster in store.clusters.values()),
            "service": lambda: arn in store.services,
            "task": lambda: arn in store.tasks,
            "task-definition": lambda: arn in store.definitions,
        }.get(kind)
        if is_known is None:
            raise errors.invalid_parameter(f"Resources of type {kind} cannot be tagged here.")
        if not is_known():
            raise AwsError("ResourceNotFoundException", "The specified resource was not found.")
        return arn
