"""The traffic of a service whose deployments ECS shifts: what its listener rules give to whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hikkoshi.model.timers import Timers
from hikkoshi.region.ecs.decisions.blue_green import shifts_of
from hikkoshi.region.ecs.decisions.snapshot import BlueGreen, Shift
from hikkoshi.region.ecs.records import Revision, ServiceDeployment, ServiceRecord
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.front.port import AwsError
from hikkoshi.region.ports import LoadBalancers

ROLLING = "ROLLING"
NOT_ASSOCIATED = (
    "Both targetGroup and alternateTargetGroup must be associated with the productionListenerRule "
    "or testListenerRule."
)
"""AWS's words, as users report them."""
_MAX_WEIGHT = 999
Document = Mapping[str, Any]


def view_traffic(
    service: ServiceRecord, store: Store, balancers: LoadBalancers, timers: Timers
) -> BlueGreen | None:
    """None unless the PRIMARY is such a deployment and has not completed."""
    primary = service.primary
    if primary is None or primary.rollout == "COMPLETED":
        return None
    record = record_of(service, store)
    if record is None or record.strategy == ROLLING:
        return None
    rules = managed_entries(store.revisions[primary.revision_arn])
    groups = {d.id: set(_groups(store.revisions[d.revision_arn])) for d in service.deployments}

    def shares(kind: str) -> dict[str, float] | None:
        named = [entry[kind] for entry in rules if entry.get(kind)]
        if not named:
            return None
        nothing: Mapping[str, int] = {}
        found = [balancers.weights(rule) or nothing for rule in named]
        return {name: min(share_of(w, own) for w in found) for name, own in groups.items()}

    def capped(shift: Shift) -> Shift:
        return Shift(shift.percent, timers.capped("bake_time_s", shift.hold_s))

    bake_s = 60.0 * record.configuration.get("bakeTimeInMinutes", 0)
    return BlueGreen(
        stage=record.stage,
        stage_at=record.stage_at,
        shifted_at=record.shifted_at,
        bake_s=timers.capped("bake_time_s", bake_s),
        shifts=tuple(map(capped, shifts_of(record.configuration))),
        production=shares("productionListenerRule"),
        test=shares("testListenerRule"),
        problem=_problem(store.revisions[primary.revision_arn], balancers),
    )


def record_of(service: ServiceRecord, store: Store) -> ServiceDeployment | None:
    """The service deployment that the PRIMARY belongs to."""
    primary = service.primary
    if primary is None:
        return None
    records = store.service_deployments.get(service.arn)
    return records.get(primary.service_deployment_arn) if records else None


def managed_entries(revision: Revision) -> list[Document]:
    """The advancedConfiguration of each load balancer that has one."""
    found = (entry.get("advancedConfiguration") for entry in revision.load_balancers)
    return [advanced for advanced in found if advanced]


def share_of(weights: Mapping[str, int], groups: Iterable[str]) -> float:
    """Percentage of a rule's traffic that goes to these target groups."""
    total = sum(weights.values())
    return 100.0 * sum(weights.get(group, 0) for group in set(groups)) / total if total else 0.0


def takes_alternate(revision: Revision, before: Revision | None, *, shifts: bool) -> bool:
    """Whether the revision's tasks go to the alternate target groups: where ECS shifts traffic, if
    the tasks that serve now are in the others; in a rolling deployment, if these are in them."""
    entries = [e for e in revision.load_balancers if e.get("advancedConfiguration")]
    if before is None or not entries:
        return False
    occupied = set(_groups(before))
    if shifts:
        return any(entry.get("targetGroupArn") in occupied for entry in entries)
    return any(e["advancedConfiguration"]["alternateTargetGroupArn"] in occupied for e in entries)


async def shift(
    balancers: LoadBalancers, revision: Revision, percent: float, *, is_test: bool
) -> None:
    """Give the revision's target groups so much, and their counterparts the rest. AwsError."""
    kind = "testListenerRule" if is_test else "productionListenerRule"
    for entry in revision.load_balancers:
        advanced = entry.get("advancedConfiguration") or {}
        if not advanced.get(kind):
            continue
        own = revision.group_of(entry)
        pair = {str(entry["targetGroupArn"]), str(advanced["alternateTargetGroupArn"])}
        if own is None or len(pair) != 2:
            raise AwsError("InvalidParameterException", NOT_ASSOCIATED)
        (other,) = pair - {own}
        await balancers.set_weights(advanced[kind], weights_of(own, other, percent))


def weights_of(own: str, other: str, percent: float) -> dict[str, int]:
    """Whole numbers of at most 999, exact to a tenth of a percent."""
    if percent >= 100.0:
        return {own: 100, other: 0}
    tenths = round(percent * 10)
    return {own: min(tenths, _MAX_WEIGHT), other: min(1000 - tenths, _MAX_WEIGHT)}


def _groups(revision: Revision) -> list[str]:
    return [str(entry["targetGroupArn"]) for entry in revision.resolved_load_balancers]


def _problem(revision: Revision, balancers: LoadBalancers) -> str | None:
    """AWS looks when a deployment begins, not when the service is made."""
    for entry in revision.load_balancers:
        advanced = entry.get("advancedConfiguration")
        if not advanced:
            continue
        associated: set[str] = set()
        for kind in ("productionListenerRule", "testListenerRule"):
            if not advanced.get(kind):
                continue
            weights = balancers.weights(advanced[kind])
            if weights is None:
                return f"The {kind} {advanced[kind]} does not exist, or does not forward."
            associated |= weights.keys()
        if not {entry["targetGroupArn"], advanced["alternateTargetGroupArn"]} <= associated:
            return NOT_ASSOCIATED
    return None
