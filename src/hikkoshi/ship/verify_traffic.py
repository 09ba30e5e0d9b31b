"""Verifying what ECS needs to shift a service's traffic: two target groups, rules, a role."""

from __future__ import annotations

import json
import urllib.parse
from functools import partial
from typing import Any

from hikkoshi.aws.access import Access, calling
from hikkoshi.ship import blue_green
from hikkoshi.ship.checks import Check, asking, branch, ok, wrong
from hikkoshi.ship.verify_service import Network
from hikkoshi.ship.verify_task import trusts

Document = dict[str, Any]
_KINDS = ("productionListenerRule", "testListenerRule")


def check_traffic(access: Access, network: Network, service: Document) -> list[Check]:
    """One branch for each load balancer; none for a service that rolls."""
    if not blue_green.shifts_traffic(service):
        return []
    strategy = blue_green.strategy_of(service)
    return [_check_balancer(access, network, strategy, balancer) for balancer in network.balancers]


def _check_balancer(access: Access, network: Network, strategy: str, balancer: Document) -> Check:
    advanced = balancer["advancedConfiguration"]
    alternate = {**balancer, "targetGroupArn": advanced["alternateTargetGroupArn"]}
    seen: dict[str, set[str]] = {}
    rules = [
        asking(kind, partial(_rule, access, kind, advanced[kind], seen), ("RuleNotFound",))
        for kind in _KINDS
        if advanced.get(kind)
    ]
    role = advanced["roleArn"]
    return branch(
        strategy,
        network.check_balancer(alternate),
        *rules,
        _both(balancer, seen),
        asking(f"roleArn {role}", partial(_role, access, role), ("NoSuchEntity",)),
    )


def _rule(access: Access, kind: str, arn: str, seen: dict[str, set[str]]) -> Check:
    elb = access.client("elbv2")
    rule = calling("elasticloadbalancing:DescribeRules", elb.describe_rules, RuleArns=[arn])[
        "Rules"
    ][0]
    others = [a["Type"] for a in rule["Actions"] if a["Type"] != "forward"]
    if others:
        return wrong(kind, f"it has the action {others[0]}, and ECS shifts only what is forwarded")
    seen[kind] = groups_of(rule["Actions"])
    kept_s = stickiness_of(rule["Actions"])
    if kept_s is not None:
        return wrong(
            kind,
            f"it keeps a client at one target group for {kept_s} s: those of the old one are not "
            "shifted, and get 503 from the moment its tasks have ended until their cookie is over",
            "turn the rule's target group stickiness off; that of the target groups "
            "(stickiness.enabled) keeps a client at one task, and does no harm to a shift",
        )
    return ok(kind, f"forwards to {len(seen[kind])} target groups")


def groups_of(actions: list[Document]) -> set[str]:
    """ARNs of the target groups of forward actions. Pure."""
    found = set()
    for action in actions:
        forward = action.get("ForwardConfig") or {}
        found |= {str(group["TargetGroupArn"]) for group in forward.get("TargetGroups") or []}
        if action.get("TargetGroupArn"):
            found.add(str(action["TargetGroupArn"]))
    return found


def stickiness_of(actions: list[Document]) -> int | None:
    """Seconds for which a client stays at one target group; None: it does not. Pure."""
    for action in actions:
        sticky = (action.get("ForwardConfig") or {}).get("TargetGroupStickinessConfig") or {}
        if sticky.get("Enabled"):
            return int(sticky.get("DurationSeconds") or 0)
    return None


def _both(balancer: Document, seen: dict[str, set[str]]) -> Check:
    name = "both target groups are in the rules"
    associated = set().union(*seen.values())
    missing = [g for g in blue_green.target_groups([balancer]) if g not in associated]
    if missing and seen:
        return wrong(
            name, f"no rule forwards to {missing[0].rpartition(':targetgroup/')[2]}, and ECS rolls "
            "a deployment back for that",
            "let the production rule forward to both, with the weights 1 and 0",
        )  # fmt: skip
    return ok(name) if seen else wrong(name, "there is no rule")


def _role(access: Access, arn: str) -> Check:
    name = f"roleArn {arn}"
    iam = access.client("iam")
    role = calling("iam:GetRole", iam.get_role, RoleName=arn.rsplit("/", 1)[-1])["Role"]
    trust = role["AssumeRolePolicyDocument"]
    if isinstance(trust, str):
        trust = json.loads(urllib.parse.unquote(trust))
    if not trusts(trust, "ecs.amazonaws.com"):
        return wrong(
            name, "its trust policy does not let ECS take it",
            'allow sts:AssumeRole to {"Service": "ecs.amazonaws.com"} there, with the policy '
            "AmazonECSInfrastructureRolePolicyForLoadBalancers",
        )  # fmt: skip
    return ok(name, "exists; ECS may take it")
