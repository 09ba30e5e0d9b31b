"""Application Auto Scaling for ECS services: the API's operations, and the loop that scales."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from hikkoshi.base.clock import Clock
from hikkoshi.model.timers import Timers
from hikkoshi.region.autoscaling import shapes
from hikkoshi.region.autoscaling.decisions import (
    POINTS_TO_SCALE_IN,
    Policy,
    Scaling,
    Target,
    decide,
)
from hikkoshi.region.autoscaling.metrics import METRICS, REQUESTS, Metrics
from hikkoshi.region.autoscaling.records import ActionRecord, Activity, PolicyRecord, TargetRecord
from hikkoshi.region.autoscaling.schedule import BadSchedule, read_schedule
from hikkoshi.region.front.port import AwsError, Caller, NotImplementedByRegion, Operation
from hikkoshi.region.ports import ScalableServices, TaskUse

DIMENSION = "ecs:service:DesiredCount"
MAX_ACTIVITIES = 500
DEFAULT_COOLDOWN_S = 300

_log = logging.getLogger(__name__)


class AutoscalingService:
    """`Service` "application-autoscaling". On the region's loop; what it holds is in memory."""

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
    ) -> None:
        self._services = services
        self._metrics = Metrics(services, use, request_count)
        self._clock = clock
        self._timers = timers or Timers.as_aws()
        self._place = (region, account_id)
        self._targets: dict[str, TargetRecord] = {}
        self._activities: deque[Activity] = deque(maxlen=MAX_ACTIVITIES)
        self._loop: asyncio.Task[None] | None = None

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
        self._loop = asyncio.create_task(self._run(), name="autoscaling")

    async def close(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
            self._loop = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._timers.scaling_interval_s)
            await self.look_once()

    async def look_once(self) -> None:
        """Measure, and scale what is to be scaled. One service's fault does not stop the others."""
        for resource_id in list(self._targets):
            try:
                await self._look(resource_id)
            except Exception:
                _log.exception("scaling of %s failed; it is tried again", resource_id)

    async def _look(self, resource_id: str) -> None:
        now = self._clock.now()
        target = self._targets[resource_id]
        desired = self._services.desired_count(target.cluster, target.service)
        if desired is None:
            # AWS forgets the scalable target of a service that was deleted.
            del self._targets[resource_id]
            self._metrics.forget(target.cluster, target.service)
            return
        self._run_schedule(target, now)
        policies = [await self._measured(target, policy, now) for policy in target.policies]
        # Measuring may wait, and a caller may have changed the target meanwhile.
        current = self._targets.get(resource_id)
        if current is None:
            return
        points = {policy.name: policy.points for policy in policies}
        current = replace(
            current,
            policies=tuple(
                replace(p, points=points.get(p.name, p.points)) for p in current.policies
            ),
        )
        self._targets[resource_id] = current
        scaling = decide(self._view(current, desired), now)
        if scaling is not None:
            await self._scale(current, desired, scaling, now)

    async def _measured(
        self, target: TargetRecord, policy: PolicyRecord, now: float
    ) -> PolicyRecord:
        group = shapes.group_of_label(policy.label, *self._place) if policy.label else None
        value = await self._metrics.measure(
            policy.metric, target.cluster, target.service, group, now
        )
        return replace(policy, points=(*policy.points, value)[-POINTS_TO_SCALE_IN:])

    def _view(self, target: TargetRecord, desired: int) -> Target:
        return Target(
            minimum=target.minimum,
            maximum=target.maximum,
            desired=desired,
            running=len(self._services.running_tasks(target.cluster, target.service)),
            policies=tuple(self._policy(policy) for policy in target.policies),
            is_scale_out_suspended=target.suspended["DynamicScalingOutSuspended"],
            is_scale_in_suspended=target.suspended["DynamicScalingInSuspended"],
            scaled_out_at=target.scaled_out_at,
            scaled_in_at=target.scaled_in_at,
        )

    def _policy(self, policy: PolicyRecord) -> Policy:
        def cooldown(name: str) -> float:
            asked = float(policy.configuration.get(name, DEFAULT_COOLDOWN_S))
            return self._timers.capped("scaling_cooldown_s", asked)

        return Policy(
            name=policy.name,
            target_value=policy.configuration["TargetValue"],
            points=policy.points,
            is_scale_in_disabled=bool(policy.configuration.get("DisableScaleIn")),
            scale_out_cooldown_s=cooldown("ScaleOutCooldown"),
            scale_in_cooldown_s=cooldown("ScaleInCooldown"),
        )

    async def _scale(
        self, target: TargetRecord, desired: int, scaling: Scaling, now: float
    ) -> None:
        cause = scaling.cause
        if scaling.policy is not None:
            side = "AlarmHigh" if scaling.is_high else "AlarmLow"
            alarm = f"TargetTracking-{target.resource_id}-{side}-{scaling.policy}"
            cause = f"monitor alarm {alarm} in state ALARM triggered policy {scaling.policy}"
        done = Activity(
            str(uuid.uuid4()),
            target.resource_id,
            f"Setting desired count to {scaling.desired}.",
            cause,
            now,
            message=f"Successfully set desired count to {scaling.desired}. Change successfully "
            "fulfilled by ecs.",
        )
        try:
            await self._services.set_desired_count(target.cluster, target.service, scaling.desired)
        except AwsError as error:
            failed = f"Failed to set desired count to {scaling.desired}. Reason: {error.message}"
            self._activities.appendleft(replace(done, status="Failed", message=failed))
            return
        self._activities.appendleft(done)
        moment = "scaled_out_at" if scaling.desired > desired else "scaled_in_at"
        self._change(target.resource_id, **{moment: now})

    def _run_schedule(self, target: TargetRecord, now: float) -> None:
        """A due action sets the bounds; what lies outside them is scaled in the same look."""
        for action in target.actions:
            after = max(action.looked_at, action.start or 0.0)
            is_open = action.end is None or now <= action.end
            is_due = is_open and action.schedule.is_due(
                after, now, action.start or action.created_at
            )
            self._change_action(target.resource_id, action.name, looked_at=now)
            if not is_due or target.suspended["ScheduledScalingSuspended"]:
                continue
            held = self._targets[target.resource_id]
            minimum = held.minimum if action.minimum is None else action.minimum
            maximum = held.maximum if action.maximum is None else action.maximum
            self._change(
                target.resource_id, minimum=min(minimum, maximum), maximum=max(minimum, maximum)
            )
            self._activities.appendleft(
                Activity(
                    str(uuid.uuid4()),
                    target.resource_id,
                    f"Setting min capacity to {minimum} and max capacity to {maximum}",
                    f"scheduled action name {action.name} was triggered",
                    now,
                    message=f"Successfully set min capacity to {minimum} and max capacity to "
                    f"{maximum}",
                )
            )
            if action.schedule.at is not None:
                actions = tuple(
                    a for a in self._targets[target.resource_id].actions if a.name != action.name
                )
                self._change(target.resource_id, actions=actions)

    def _change(self, resource_id: str, **changes: Any) -> TargetRecord:
        changed = replace(self._targets[resource_id], **changes)
        self._targets[resource_id] = changed
        return changed

    def _change_action(self, resource_id: str, name: str, **changes: Any) -> None:
        actions = self._targets[resource_id].actions
        self._change(
            resource_id,
            actions=tuple(replace(a, **changes) if a.name == name else a for a in actions),
        )

    # -- operations

    def _found(self, parameters: Mapping[str, Any]) -> TargetRecord:
        _check_namespace(parameters)
        target = self._targets.get(parameters["ResourceId"])
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
        old = self._targets.get(resource_id)
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
        self._targets[resource_id] = replace(
            old, minimum=minimum, maximum=maximum, suspended=suspended
        )
        return {"ScalableTargetARN": old.arn}

    async def _deregister(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target = self._found(parameters)
        del self._targets[target.resource_id]
        self._metrics.forget(target.cluster, target.service)
        return {}

    async def _describe_targets(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        _check_namespace(parameters)
        wanted = parameters.get("ResourceIds")
        found = [
            shapes.target_shape(target)
            for target in self._targets.values()
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
        self._change(target.resource_id, policies=(*others, policy))
        return {
            "PolicyARN": policy.arn,
            "Alarms": shapes.alarms(target.resource_id, policy, region, account),
        }

    async def _delete_policy(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target, name = self._found(parameters), parameters["PolicyName"]
        rest = tuple(p for p in target.policies if p.name != name)
        if len(rest) == len(target.policies):
            raise AwsError("ObjectNotFoundException", f"No scaling policy found: {name}")
        self._change(target.resource_id, policies=rest)
        return {}

    async def _describe_policies(
        self, parameters: dict[str, Any], caller: Caller
    ) -> dict[str, Any]:
        _check_namespace(parameters)
        names, resource = parameters.get("PolicyNames"), parameters.get("ResourceId")
        found = [
            shapes.policy_shape(target.resource_id, policy, *self._place)
            for target in self._targets.values()
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
            schedule = read_schedule(text, timezone)
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
            schedule=schedule,
            minimum=bounds.get("MinCapacity", old.minimum if old else None),
            maximum=bounds.get("MaxCapacity", old.maximum if old else None),
            created_at=now,
            start=shapes.seconds(parameters.get("StartTime")),
            end=shapes.seconds(parameters.get("EndTime")),
            looked_at=now,
        )
        others = tuple(a for a in target.actions if a.name != name)
        self._change(target.resource_id, actions=(*others, action))
        return {}

    async def _delete_action(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target, name = self._found(parameters), parameters["ScheduledActionName"]
        rest = tuple(a for a in target.actions if a.name != name)
        if len(rest) == len(target.actions):
            raise AwsError("ObjectNotFoundException", f"No scheduled action found: {name}")
        self._change(target.resource_id, actions=rest)
        return {}

    async def _describe_actions(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        _check_namespace(parameters)
        names, resource = parameters.get("ScheduledActionNames"), parameters.get("ResourceId")
        found = [
            shapes.action_shape(target.resource_id, action)
            for target in self._targets.values()
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
            for activity in self._activities
            if resource in (None, activity.resource_id)
        ]
        return shapes.paged("ScalingActivities", found, parameters)

    def _by_arn(self, arn: str) -> TargetRecord:
        for target in self._targets.values():
            if target.arn == arn:
                return target
        raise AwsError("ResourceNotFoundException", f"No scalable target found: {arn[:200]}")

    async def _tag(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target = self._by_arn(parameters["ResourceARN"])
        tags = {**dict(target.tags), **parameters["Tags"]}
        self._change(target.resource_id, tags=tuple(tags.items()))
        return {}

    async def _untag(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target = self._by_arn(parameters["ResourceARN"])
        tags = tuple((k, v) for k, v in target.tags if k not in parameters["TagKeys"])
        self._change(target.resource_id, tags=tags)
        return {}

    async def _list_tags(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        return {"Tags": dict(self._by_arn(parameters["ResourceARN"]).tags)}


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
