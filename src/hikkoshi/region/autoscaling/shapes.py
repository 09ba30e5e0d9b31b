"""From records to AWS's output shapes, and its ARNs. Pure."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hikkoshi.region.autoscaling.records import ActionRecord, Activity, PolicyRecord, TargetRecord
from hikkoshi.region.front.port import AwsError

NOT_SUSPENDED = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": False,
    "ScheduledScalingSuspended": False,
}
_WHERE = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}
_LABEL = re.compile(r"app/[\w-]+/[0-9a-f]+/(targetgroup/[\w-]+/[0-9a-f]+)")


def is_label(label: str) -> bool:
    return _LABEL.fullmatch(label) is not None


def group_of_label(label: str, region: str, account: str) -> str:
    """The target group's ARN, of a ResourceLabel."""
    found = _LABEL.fullmatch(label)
    if found is None:
        raise ValueError(f"{label} is no resource label")
    return f"arn:aws:elasticloadbalancing:{region}:{account}:{found[1]}"


def target_arn(region: str, account: str) -> str:
    identity = uuid.uuid4().hex
    return f"arn:aws:application-autoscaling:{region}:{account}:scalable-target/{identity}"


def role_arn(account: str) -> str:
    return (
        f"arn:aws:iam::{account}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/"
        "AWSServiceRoleForApplicationAutoScaling_ECSService"
    )


def policy_arn(region: str, account: str, resource_id: str, name: str) -> str:
    return (
        f"arn:aws:autoscaling:{region}:{account}:scalingPolicy:{uuid.uuid4()}:resource/ecs/"
        f"{resource_id}:policyName/{name}"
    )


def action_arn(region: str, account: str, resource_id: str, name: str) -> str:
    return (
        f"arn:aws:autoscaling:{region}:{account}:scheduledAction:{uuid.uuid4()}:resource/ecs/"
        f"{resource_id}:scheduledActionName/{name}"
    )


def alarms(
    resource_id: str, policy: PolicyRecord, region: str, account: str
) -> list[dict[str, str]]:
    """AWS makes two CloudWatch alarms for each policy; here they are names only."""
    sides = ["AlarmHigh"]
    if not policy.configuration.get("DisableScaleIn"):
        sides.append("AlarmLow")
    names = [f"TargetTracking-{resource_id}-{side}-{policy.name}" for side in sides]
    prefix = f"arn:aws:cloudwatch:{region}:{account}:alarm:"
    return [{"AlarmName": name, "AlarmARN": prefix + name} for name in names]


def target_shape(target: TargetRecord) -> dict[str, Any]:
    return {
        **_WHERE,
        "ResourceId": target.resource_id,
        "MinCapacity": target.minimum,
        "MaxCapacity": target.maximum,
        "RoleARN": target.role_arn,
        "CreationTime": when(target.created_at),
        "SuspendedState": target.suspended,
        "ScalableTargetARN": target.arn,
    }


def policy_shape(
    resource_id: str, policy: PolicyRecord, region: str, account: str
) -> dict[str, Any]:
    return {
        **_WHERE,
        "ResourceId": resource_id,
        "PolicyARN": policy.arn,
        "PolicyName": policy.name,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": policy.configuration,
        "Alarms": alarms(resource_id, policy, region, account),
        "CreationTime": when(policy.created_at),
    }


def action_shape(resource_id: str, action: ActionRecord) -> dict[str, Any]:
    bounds = {"MinCapacity": action.minimum, "MaxCapacity": action.maximum}
    shape = {
        **_WHERE,
        "ResourceId": resource_id,
        "ScheduledActionName": action.name,
        "ScheduledActionARN": action.arn,
        "Schedule": action.text,
        "Timezone": action.timezone,
        "StartTime": when(action.start) if action.start is not None else None,
        "EndTime": when(action.end) if action.end is not None else None,
        "ScalableTargetAction": {k: v for k, v in bounds.items() if v is not None},
        "CreationTime": when(action.created_at),
    }
    return {name: value for name, value in shape.items() if value is not None}


def activity_shape(activity: Activity) -> dict[str, Any]:
    return {
        **_WHERE,
        "ActivityId": activity.id,
        "ResourceId": activity.resource_id,
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": when(activity.at),
        "EndTime": when(activity.at),
        "StatusCode": activity.status,
        "StatusMessage": activity.message,
    }


def paged(name: str, rows: Sequence[Any], parameters: dict[str, Any]) -> dict[str, Any]:
    token, size = parameters.get("NextToken") or "0", parameters.get("MaxResults") or 50
    if not (token.isascii() and token.isdigit() and len(token) < 9):
        raise AwsError("InvalidNextTokenException", "The next token supplied was invalid.")
    start = int(token)
    answer: dict[str, Any] = {name: list(rows[start : start + size])}
    if start + size < len(rows):
        answer["NextToken"] = str(start + size)
    return answer


def when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def seconds(value: Any) -> float | None:
    """A timestamp as the front hands it over: datetime, seconds, or ISO 8601."""
    if value is None or isinstance(value, (int, float)):
        return value
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment.timestamp()
