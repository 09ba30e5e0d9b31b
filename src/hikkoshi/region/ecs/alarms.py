"""The CloudWatch alarms that a service's deployments are watched by.

Developer Guide, "How CloudWatch alarms detect Amazon ECS deployment failures". Not published there,
and decided here (decision 0186): how long a rolling deployment bakes (the longest time that one of
its alarms looks back), and in which words an alarm that does not exist is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hikkoshi.model.timers import Timers
from hikkoshi.region.ecs import errors
from hikkoshi.region.ecs.decisions.snapshot import AlarmWatch
from hikkoshi.region.ecs.records import ServiceRecord
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.ecs.traffic import ROLLING, record_of
from hikkoshi.region.front.port import NotImplementedByRegion
from hikkoshi.region.ports import Alarm, Alarms

MOST = 10
WATCHED = "MONITORING"


def names_of(configuration: Mapping[str, Any]) -> tuple[str, ...]:
    """Empty where alarms are not enabled."""
    alarms = configuration.get("alarms") or {}
    return tuple(dict.fromkeys(alarms.get("alarmNames") or ())) if alarms.get("enable") else ()


async def check_alarms(configuration: Mapping[str, Any], alarms: Alarms | None) -> str:
    """The status with which a deployment begins. InvalidParameterException for alarms that do not
    exist. One that is in ALARM already keeps the deployment from being watched at all, so that
    what is to end the alarm can be deployed."""
    given = configuration.get("alarms") or {}
    if given.get("enable") and not given.get("alarmNames"):
        raise errors.invalid_parameter("alarmNames must have at least one alarm.")
    names = names_of(configuration)
    if not names:
        return "DISABLED"
    if alarms is None:
        raise NotImplementedByRegion("deploymentConfiguration.alarms")
    if len(names) > MOST:
        raise errors.invalid_parameter(f"alarmNames can have at most {MOST} items.")
    found = await alarms.find(names)
    missing = [name for name in names if name not in found]
    if missing:
        raise errors.invalid_parameter(
            f"The following CloudWatch alarms do not exist: {', '.join(missing)}."
        )
    return "DISABLED" if any(alarm.is_in_alarm for alarm in found.values()) else WATCHED


def watch_alarms(
    service: ServiceRecord, store: Store, alarms: Alarms | None, timers: Timers
) -> AlarmWatch | None:
    """None unless the deployment in progress is watched; a rollback is not."""
    primary, record = service.primary, record_of(service, store)
    if primary is None or record is None or alarms is None:
        return None
    if record.alarms_status != WATCHED or primary.rollout != "IN_PROGRESS" or primary.is_rollback:
        return None
    found = alarms.now(names_of(record.configuration))
    bake_s = 0.0
    if record.strategy == ROLLING:
        bake_s = timers.capped("bake_time_s", _longest(found))
    return AlarmWatch(
        tuple(name for name, alarm in found.items() if alarm.is_in_alarm),
        bool((record.configuration.get("alarms") or {}).get("rollback")),
        bake_s,
        record.bakes_since,
    )


def _longest(alarms: Mapping[str, Alarm]) -> float:
    return max((alarm.looks_back_s for alarm in alarms.values()), default=0.0)
