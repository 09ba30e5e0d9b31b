"""The loop that scales: measures each target, runs its schedules, and acts on what is decided."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from dataclasses import replace

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
from hikkoshi.region.autoscaling.holdings import Holdings
from hikkoshi.region.autoscaling.metrics import Metrics
from hikkoshi.region.autoscaling.records import Activity, PolicyRecord, TargetRecord
from hikkoshi.region.front.port import AwsError
from hikkoshi.region.ports import ScalableServices

DEFAULT_COOLDOWN_S = 300

_log = logging.getLogger(__name__)


class Scaler:
    """place: (AWS's region, account)."""

    def __init__(
        self,
        held: Holdings,
        services: ScalableServices,
        metrics: Metrics,
        clock: Clock,
        timers: Timers,
        place: tuple[str, str],
    ) -> None:
        self._held = held
        self._services = services
        self._metrics = metrics
        self._clock = clock
        self._timers = timers
        self._place = place
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
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
        for resource_id in list(self._held.targets):
            try:
                await self._look(resource_id)
            except Exception:
                _log.exception("scaling of %s failed; it is tried again", resource_id)

    async def _look(self, resource_id: str) -> None:
        now = self._clock.now()
        target = self._held.targets[resource_id]
        desired = self._services.desired_count(target.cluster, target.service)
        if desired is None:
            # AWS forgets the scalable target of a service that was deleted.
            self._held.remove(resource_id)
            self._metrics.forget(target.cluster, target.service)
            return
        self._run_schedule(target, now)
        policies = [await self._measured(target, policy, now) for policy in target.policies]
        # Measuring may wait, and a caller may have changed the target meanwhile.
        current = self._held.targets.get(resource_id)
        if current is None:
            return
        points = {policy.name: policy.points for policy in policies}
        current = replace(
            current,
            policies=tuple(
                replace(p, points=points.get(p.name, p.points)) for p in current.policies
            ),
        )
        self._held.put(current)
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
            self._held.activities.appendleft(replace(done, status="Failed", message=failed))
            return
        self._held.activities.appendleft(done)
        moment = "scaled_out_at" if scaling.desired > desired else "scaled_in_at"
        self._held.change(target.resource_id, **{moment: now})

    def _run_schedule(self, target: TargetRecord, now: float) -> None:
        """A due action sets the bounds; what lies outside them is scaled in the same look."""
        for action in target.actions:
            after = max(action.looked_at, action.start or 0.0)
            is_open = action.end is None or now <= action.end
            is_due = is_open and action.schedule.is_due(
                after, now, action.start or action.created_at
            )
            self._held.change_action(target.resource_id, action.name, looked_at=now)
            if not is_due or target.suspended["ScheduledScalingSuspended"]:
                continue
            held = self._held.targets[target.resource_id]
            minimum = held.minimum if action.minimum is None else action.minimum
            maximum = held.maximum if action.maximum is None else action.maximum
            self._held.change(
                target.resource_id, minimum=min(minimum, maximum), maximum=max(minimum, maximum)
            )
            self._held.activities.appendleft(
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
                    a
                    for a in self._held.targets[target.resource_id].actions
                    if a.name != action.name
                )
                self._held.change(target.resource_id, actions=actions)
