"""The traffic of a service whose deployments ECS shifts: what its listener rules give to whom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from hikkoshi.model.timers import Timers
from hikkoshi.region.ecs.decisions.blue_green import shifts_of
from hikkoshi.region.ecs.decisions.snapshot import BlueGreen, Shift
from hikkoshi.region.ecs.records import Revision, ServiceDeployment, ServiceRecord
from hikkoshi.region.ecs.store import Store
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
    entries = _managed(store.revisions[primary.revision_arn])
    groups = {d.id: set(_groups(store.revisions[d.revision_arn])) for d in service.deployments}

    def shares(kind: str) -> dict[str, float] | None:
        named = [entry for entry in entries if entry["advancedConfiguration"].get(kind)]
        if not named:
            return None
        nothing: Mapping[str, int] = {}
        found = [
            (balancers.weights(entry["advancedConfiguration"][kind]) or nothing, pair_of(entry))
            for entry in named
        ]
        return {
            name: min(share_of(weights, own, pair) for weights, pair in found)
            for name, own in groups.items()
        }

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


def is_managed(revision: Revision) -> bool:
    """Whether ECS has rules by which it could shift the revision's traffic."""
    return bool(_managed(revision))


def _managed(revision: Revision) -> list[Document]:
    return [entry for entry in revision.load_balancers if entry.get("advancedConfiguration")]


def pair_of(entry: Document) -> tuple[str, str]:
    """The two target groups of a load balancer of a service."""
    advanced = entry["advancedConfiguration"]
    return str(entry["targetGroupArn"]), str(advanced["alternateTargetGroupArn"])


def share_of(weights: Mapping[str, int], own: Iterable[str], pair: Iterable[str]) -> float:
    """Percentage of what the pair of target groups gets that goes to these groups of it.

    Others of the rule are not ECS's affair (a cutover's old side); where they get everything there
    is nothing to shift, and every share is whole."""
    both = set(pair)
    total = sum(weights.get(group, 0) for group in both)
    if not total:
        return 100.0 if any(weights.values()) else 0.0
    return 100.0 * sum(weights.get(group, 0) for group in both & set(own)) / total


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
    for entry in _managed(revision):
        rule = entry["advancedConfiguration"].get(kind)
        if not rule:
            continue
        own = str(revision.group_of(dict(entry)))
        (other,) = set(pair_of(entry)) - {own}
        known = balancers.weights(rule) or {}
        await balancers.set_weights(rule, shifted(known, own, other, percent))


def shifted(weights: Mapping[str, int], own: str, other: str, percent: float) -> dict[str, int]:
    """The rule's weights, whole numbers of at most 999, after this much of the pair's traffic went
    to `own`, rounded up. What other groups of the rule get stays (AWS does not say what becomes of
    them)."""
    rest = {group: w for group, w in weights.items() if group not in (own, other)}
    total = weights.get(own, 0) + weights.get(other, 0)
    if not any(rest.values()):
        if percent >= 100.0:
            return {**rest, own: 100, other: 0}
        total = 1000
    elif percent < 100.0:
        # Finer, so that a few percent of a small share are not lost.
        finer = max(1, _MAX_WEIGHT // max(*rest.values(), total))
        rest = {group: weight * finer for group, weight in rest.items()}
        total *= finer
    part = min(total, math.ceil(round(total * percent / 100.0, 6)))
    return {**rest, own: min(part, _MAX_WEIGHT), other: min(total - part, _MAX_WEIGHT)}


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
