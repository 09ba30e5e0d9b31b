"""Deployments in which ECS itself shifts traffic (BLUE_GREEN, LINEAR, CANARY), as a ship sees them.

Pure. They are sent and judged as rolling ones are; what is more is the stage, the second target
group and the time that they wait by design.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hikkoshi.fargate.shifting import holds_s

Document = dict[str, Any]
_WORDS = {
    "RECONCILE_SERVICE": "what an earlier deployment left is taken away",
    "PRE_SCALE_UP": "the new tasks are about to be started",
    "SCALE_UP": "the new tasks start, without traffic",
    "POST_SCALE_UP": "the new tasks run, without traffic",
    "TEST_TRAFFIC_SHIFT": "test traffic goes to the new tasks",
    "POST_TEST_TRAFFIC_SHIFT": "test traffic is on the new tasks",
    "PRODUCTION_TRAFFIC_SHIFT": "production traffic goes to the new tasks",
    "POST_PRODUCTION_TRAFFIC_SHIFT": "production traffic is on the new tasks",
    "BAKE_TIME": "both run; `hikkoshi rollback` goes back at once",
    "CLEAN_UP": "the old tasks end",
}
_WORDS_BACK = {
    "SCALE_UP": "going back: the old tasks start again",
    "PRODUCTION_TRAFFIC_SHIFT": "going back: traffic goes to the old tasks",
    "CLEAN_UP": "going back: the new tasks end",
}


def strategy_of(service: Document) -> str:
    """Of a service definition, a service or a service deployment."""
    return str((service.get("deploymentConfiguration") or {}).get("strategy", "ROLLING"))


def shifts_traffic(service: Document) -> bool:
    return strategy_of(service) != "ROLLING"


def describe_stage(record: Document) -> str | None:
    """`BAKE_TIME, 100% of production traffic (…)`, of a service deployment; None where it has no
    stage."""
    stage = record.get("lifecycleStage")
    if stage is None:
        return None
    is_back = "ROLLBACK" in str(record.get("status"))
    said = (_WORDS_BACK if is_back else {}).get(stage) or _WORDS.get(stage, "")
    weight = (record.get("targetServiceRevision") or {}).get("requestedProductionTrafficWeight")
    share = f", {weight:g}% of production traffic" if weight else ""
    return f"{stage}{share}" + (f" ({said})" if said else "")


def is_over(record: Document) -> bool:
    """Of a service deployment: it has its last status."""
    return record["status"] in ("SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED")


def waits_s(service: Document) -> float:
    """Seconds that a deployment of this definition waits by design: its steps and bake time."""
    return sum(holds_s(service.get("deploymentConfiguration") or {}))


def target_groups(balancers: Iterable[Document]) -> list[str]:
    """ARNs of all that a service's `loadBalancers` name, the alternate ones too, each once."""
    found: dict[str, None] = {}
    for balancer in balancers:
        advanced = balancer.get("advancedConfiguration") or {}
        for arn in (balancer.get("targetGroupArn"), advanced.get("alternateTargetGroupArn")):
            if arn:
                found[str(arn)] = None
    return list(found)
