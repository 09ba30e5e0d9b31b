"""Application Auto Scaling for ECS services: the API's operations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hikkoshi.base.clock import Clock
from hikkoshi.model.timers import Timers
from hikkoshi.region.autoscaling import shapes
from hikkoshi.region.autoscaling.holdings import Holdings
from hikkoshi.region.autoscaling.metrics import METRICS, REQUESTS, Metrics
from hikkoshi.region.autoscaling.records import ActionRecord, PolicyRecord, TargetRecord
from hikkoshi.region.autoscaling.scaler import Scaler
from hikkoshi.region.autoscaling.schedule import BadSchedule, read_schedule
from hikkoshi.region.front.port import AwsError, Caller, NotImplementedByRegion, Operation
from hikkoshi.region.journal import Journal, Ledger
from hikkoshi.region.ports import ScalableServices, TaskUse

DIMENSION = "ecs:service:DesiredCount"


class AutoscalingService:
    """`Service` "application-autoscaling". On the region's loop. journal: a file; `start` brings
    back what a killed region left in it, and closing in order removes it."""

    name = "application-autoscaling"

    def __init__(
        self,
        *,
        services: ScalableServices,
        use: Callable[[str], TaskUse | None],
        request_count: Callable[[str], Awaitable[int | None]],
        clock: Clock,
        timers: Timers | None = None,
        account_id: str = "123456789012",
        region: str = "ap-northeast-1",
        journal: Path | None = None,
    ) -> None:
        self._services = services
        self._clock = clock
        self._place = (region, account_id)
        self._metrics = Metrics(services, use, request_count)
        ledger = Ledger(Journal(journal), clock.now) if journal is not None else None
        self._held = Holdings(ledger)
        self._scaler = Scaler(
            self._held, services, self._metrics, clock, timers or Timers.as_aws(), self._place
        )

    def operations(self) -> Mapping[str, Operation]:
        return {
            "RegisterScalableTarget": self._register,
            "DeregisterScalableTarget": self._deregister,
            "DescribeScalableTargets": self._describe_targets,
            "PutScalingPolicy": self._put_policy,
            "DeleteScalingPolicy": self._delete_policy,
            "DescribeScalingPolicies": self._describe_policies,
            "PutScheduledAction": self._put_action,
            "DeleteScheduledAction": self._delete_action,
            "DescribeScheduledActions": self._describe_actions,
            "DescribeScalingActivities": self._describe_activities,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
        }

    async def start(self) -> None:
        """After ECS: a target whose service is gone is forgotten at the first look."""
        self._held.restore(self._clock.now())
        self._scaler.start()

    async def close(self) -> None:
        await self._scaler.close()
        self._held.close()

    async def look_once(self) -> None:
        """As the scaler does in each interval."""
        await self._scaler.look_once()

    # -- operations

    def _found(self, parameters: Mapping[str, Any]) -> TargetRecord:
        _check_namespace(parameters)
        target = self._held.targets.get(parameters["ResourceId"])
        if target is None:
            raise AwsError(
                "ObjectNotFoundException",
                f"No scalable target found for service namespace: ecs, resource ID: "
                f"{parameters['ResourceId']}, scalable dimension: {DIMENSION}",
            )
        return target

    async def _register(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        _check_namespace(parameters)
        resource_id = parameters["ResourceId"]
        old = self._held.targets.get(resource_id)
        minimum = parameters.get("MinCapacity", old.minimum if old else None)
        maximum = parameters.get("MaxCapacity", old.maximum if old else None)
        if minimum is None or maximum is None:
            raise _invalid(
                "MinCapacity and MaxCapacity must be specified when registering a scalable target"
            )
        if not 0 <= minimum <= maximum:
            raise _invalid("Maximum capacity cannot be less than minimum capacity")
        parts = resource_id.split("/")
        if len(parts) != 3 or parts[0] != "service":
            raise _invalid("Unsupported service namespace, resource type or scalable dimension")
        if self._services.desired_count(parts[1], parts[2]) is None:
            raise _invalid(f"ECS service doesn't exist: {resource_id}")
        suspended = {**shapes.NOT_SUSPENDED, **(old.suspended if old else {})}
        suspended |= parameters.get("SuspendedState") or {}
        if old is None:
            region, account = self._place
            old = TargetRecord(
                resource_id=resource_id,
                arn=shapes.target_arn(region, account),
                minimum=minimum,
                maximum=maximum,
                role_arn=parameters.get("RoleARN") or shapes.role_arn(account),
                created_at=self._clock.now(),
                suspended=suspended,
                tags=tuple((parameters.get("Tags") or {}).items()),
            )
        self._held.put(replace(old, minimum=minimum, maximum=maximum, suspended=suspended))
        return {"ScalableTargetARN": old.arn}

    async def _deregister(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target = self._found(parameters)
        self._held.remove(target.resource_id)
        self._metrics.forget(target.cluster, target.service)
        return {}

    async def _describe_targets(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        _check_namespace(parameters)
        wanted = parameters.get("ResourceIds")
        found = [
            shapes.target_shape(target)
            for target in self._held.targets.values()
            if not wanted or target.resource_id in wanted
        ]
        return shapes.paged("ScalableTargets", found, parameters)

    async def _put_policy(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target = self._found(parameters)
        kind = parameters.get("PolicyType") or "StepScaling"
        if kind != "TargetTrackingScaling":
            raise NotImplementedByRegion(f"PutScalingPolicy of type {kind}")
        configuration = parameters.get("TargetTrackingScalingPolicyConfiguration") or {}
        _check_tracking(configuration)
        name = parameters["PolicyName"]
        old = next((p for p in target.policies if p.name == name), None)
        region, account = self._place
        policy = PolicyRecord(
            name=name,
            arn=old.arn if old else shapes.policy_arn(region, account, target.resource_id, name),
            configuration=configuration,
            created_at=old.created_at if old else self._clock.now(),
        )
        others = tuple(p for p in target.policies if p.name != name)
        self._held.change(target.resource_id, policies=(*others, policy))
        return {
            "PolicyARN": policy.arn,
            "Alarms": shapes.alarms(target.resource_id, policy, region, account),
        }

    async def _delete_policy(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target, name = self._found(parameters), parameters["PolicyName"]
        rest = tuple(p for p in target.policies if p.name != name)
        if len(rest) == len(target.policies):
            raise AwsError("ObjectNotFoundException", f"No scaling policy found: {name}")
        self._held.change(target.resource_id, policies=rest)
        return {}

    async def _describe_policies(
        self, parameters: dict[str, Any], caller: Caller
    ) -> dict[str, Any]:
        _check_namespace(parameters)
        names, resource = parameters.get("PolicyNames"), parameters.get("ResourceId")
        found = [
            shapes.policy_shape(target.resource_id, policy, *self._place)
            for target in self._held.targets.values()
            for policy in target.policies
            if resource in (None, target.resource_id) and (not names or policy.name in names)
        ]
        return shapes.paged("ScalingPolicies", found, parameters)

    async def _put_action(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target = self._found(parameters)
        name, text = parameters["ScheduledActionName"], parameters.get("Schedule")
        old = next((a for a in target.actions if a.name == name), None)
        text = text or (old.text if old else None)
        if text is None:
            raise _invalid("Schedule must be specified for a new scheduled action")
        timezone = parameters.get("Timezone") or (old.timezone if old else None)
        try:
            read_schedule(text, timezone)
        except BadSchedule as error:
            raise _invalid(str(error)) from error
        bounds = parameters.get("ScalableTargetAction") or {}
        now = self._clock.now()
        region, account = self._place
        action = ActionRecord(
            name=name,
            arn=old.arn if old else shapes.action_arn(region, account, target.resource_id, name),
            text=text,
            timezone=timezone,
            minimum=bounds.get("MinCapacity", old.minimum if old else None),
            maximum=bounds.get("MaxCapacity", old.maximum if old else None),
            created_at=now,
            start=shapes.seconds(parameters.get("StartTime")),
            end=shapes.seconds(parameters.get("EndTime")),
            looked_at=now,
        )
        others = tuple(a for a in target.actions if a.name != name)
        self._held.change(target.resource_id, actions=(*others, action))
        return {}

    async def _delete_action(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target, name = self._found(parameters), parameters["ScheduledActionName"]
        rest = tuple(a for a in target.actions if a.name != name)
        if len(rest) == len(target.actions):
            raise AwsError("ObjectNotFoundException", f"No scheduled action found: {name}")
        self._held.change(target.resource_id, actions=rest)
        return {}

    async def _describe_actions(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        _check_namespace(parameters)
        names, resource = parameters.get("ScheduledActionNames"), parameters.get("ResourceId")
        found = [
            shapes.action_shape(target.resource_id, action)
            for target in self._held.targets.values()
            for action in target.actions
            if resource in (None, target.resource_id) and (not names or action.name in names)
        ]
        return shapes.paged("ScheduledActions", found, parameters)

    async def _describe_activities(
        self, parameters: dict[str, Any], caller: Caller
    ) -> dict[str, Any]:
        """The newest first."""
        _check_namespace(parameters)
        resource = parameters.get("ResourceId")
        found = [
            shapes.activity_shape(activity)
            for activity in self._held.activities
            if resource in (None, activity.resource_id)
        ]
        return shapes.paged("ScalingActivities", found, parameters)

    async def _tag(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target = self._held.by_arn(parameters["ResourceARN"])
        tags = {**dict(target.tags), **parameters["Tags"]}
        self._held.change(target.resource_id, tags=tuple(tags.items()))
        return {}

    async def _untag(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target = self._held.by_arn(parameters["ResourceARN"])
        tags = tuple((k, v) for k, v in target.tags if k not in parameters["TagKeys"])
        self._held.change(target.resource_id, tags=tags)
        return {}

    async def _list_tags(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        return {"Tags": dict(self._held.by_arn(parameters["ResourceARN"]).tags)}


def _check_namespace(parameters: Mapping[str, Any]) -> None:
    namespace = parameters.get("ServiceNamespace")
    if namespace != "ecs":
        raise NotImplementedByRegion(f"application-autoscaling of {namespace}")
    if parameters.get("ScalableDimension") not in (None, DIMENSION):
        raise _invalid("Unsupported service namespace, resource type or scalable dimension")


def _check_tracking(configuration: Mapping[str, Any]) -> None:
    if configuration.get("CustomizedMetricSpecification"):
        raise NotImplementedByRegion("CustomizedMetricSpecification of a scaling policy")
    metric = configuration.get("PredefinedMetricSpecification") or {}
    kind = metric.get("PredefinedMetricType")
    if kind not in METRICS:
        raise _invalid(f"PredefinedMetricType must be one of {', '.join(METRICS)} for ECS services")
    if not configuration.get("TargetValue", 0) > 0:
        raise _invalid("TargetValue must be greater than 0")
    if (kind == REQUESTS) != bool(metric.get("ResourceLabel")):
        raise _invalid(f"ResourceLabel goes with {REQUESTS}, and only with it")
    if kind == REQUESTS and not shapes.is_label(metric["ResourceLabel"]):
        raise _invalid(
            "ResourceLabel must be app/NAME/ID/targetgroup/NAME/ID, not " + metric["ResourceLabel"]
        )


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)
