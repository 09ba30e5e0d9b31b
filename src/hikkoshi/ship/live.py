"""What is there now, and what the files would change of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from hikkoshi.aws.access import calling
from hikkoshi.base.errors import AwsRefused, BadInput
from hikkoshi.ship import changes as changing
from hikkoshi.ship import normal
from hikkoshi.ship.calls import Calls, primary, short
from hikkoshi.ship.changes import Changes
from hikkoshi.ship.home import Home

Document = dict[str, Any]


@dataclass(frozen=True)
class Live:
    """What is there now: service, its task definition, and what the files would change."""

    service: Document | None
    task: Document | None
    changes: Changes
    notes: tuple[str, ...] = ()

    def wanted(self, home: Home) -> Document:
        """What says how it is deployed: the file, or what is live where there is none."""
        return home.service_definition or self.service or {}

    @property
    def going(self) -> Document | None:
        """The deployment that is in progress."""
        if self.service is None:
            return None
        front = primary(self.service)
        return front if front.get("rolloutState") == "IN_PROGRESS" else None


def look(calls: Calls, home: Home) -> Live:
    """Two calls, and a third where the count differs."""
    service = calls.describe()
    task = calls.definition(primary(service)["taskDefinition"]) if service else None
    if service is None and home.service_definition is None:
        raise BadInput(
            f"there is no service {home.service!r}, and {home.configuration.name} names no "
            "service definition to make it from"
        )
    found = changing.compare(home, service, task)
    notes: tuple[str, ...] = ()
    if service is not None and found.service and "desiredCount" in found.service:
        scaled = _autoscaling(calls)
        if scaled is not None:
            notes = (scaled,)
            rest = dict(home.service_definition or {})
            rest.pop("desiredCount", None)
            quiet = replace(home, service_definition=rest)
            found = changing.compare(quiet, service, task)
    return Live(service, task, found, notes)


def _autoscaling(calls: Calls) -> str | None:
    """Why desiredCount is left alone, if autoscaling decides it."""
    scaling = calls.access.client("application-autoscaling")
    name = f"service/{calls.cluster.rsplit('/', 1)[-1]}/{calls.service}"
    try:
        found = calling(
            "application-autoscaling:DescribeScalableTargets", scaling.describe_scalable_targets,
            ServiceNamespace="ecs", ResourceIds=[name],
        )["ScalableTargets"]  # fmt: skip
    except AwsRefused:
        # Whoever may deploy need not be allowed to look at autoscaling: then the files decide.
        return None
    if not found:
        return None
    target = found[0]
    return (
        f"desiredCount is left as it is: autoscaling keeps it between {target['MinCapacity']} and "
        f"{target['MaxCapacity']}"
    )


def fingerprint(service: Document | None) -> str:
    """Differs when someone else has changed the service meanwhile."""
    if service is None:
        return "no service"
    front = primary(service)
    return json.dumps(
        {
            "deployment": front["id"],
            "taskDefinition": short(front["taskDefinition"]),
            "tags": normal.tags(service),
            **normal.service(service),
        },
        indent=1, sort_keys=True, default=str,
    )  # fmt: skip
