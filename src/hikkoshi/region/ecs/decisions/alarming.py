"""Deployments that CloudWatch alarms fail (deploymentConfiguration.alarms)."""

from __future__ import annotations

from hikkoshi.region.ecs.decisions.snapshot import ServiceSnapshot
from hikkoshi.region.ecs.decisions.steps import FailDeployment

ALARMED = "ECS deployment failed: alarm detected: {}."


def alarmed(service: ServiceSnapshot) -> FailDeployment | None:
    """An alarm in ALARM fails the deployment at once, also while it bakes; with `rollback` it goes
    back to the last that completed."""
    primary, watch = service.primary, service.alarms
    if primary is None or watch is None or not watch.ringing:
        return None
    names = ", ".join(watch.ringing)
    back = service.last_good if watch.is_rolling_back else None
    return FailDeployment(
        primary.deployment_id,
        back.deployment_id if back else None,
        f"{names} in ALARM",
        ALARMED.format(names),
        watch.ringing,
        is_left=not watch.is_rolling_back,
    )
