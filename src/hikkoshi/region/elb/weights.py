"""The weights of a rule's target groups, for whoever shifts traffic inside the region (ECS)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hikkoshi.region.elb.keeper import Keeper
from hikkoshi.region.elb.listeners import default_rule_arn
from hikkoshi.region.elb.model import Document, Holdings, Listener, Rule, forwarded
from hikkoshi.region.front.port import AwsError


class RuleWeights:
    """Rules by ARN; a listener's default rule too, which ELBv2 changes by ModifyListener."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def read(self, rule_arn: str) -> Mapping[str, int] | None:
        """None: there is no such rule, or it does not forward."""
        found = _find(self._keeper.holdings, rule_arn)
        if found is None:
            return None
        return dict(forwarded(_actions(found))) or None

    async def change(self, rule_arn: str, weights: Mapping[str, int]) -> None:
        """AwsError: RuleNotFound; ValidationError where the rule does not forward."""

        def altered(held: Holdings) -> Holdings:
            found = _find(held, rule_arn)
            if found is None:
                raise AwsError("RuleNotFound", "One or more rules not found")
            actions = with_weights(_actions(found), weights)
            if isinstance(found, Listener):
                return held.having("listeners", found.arn, replace(found, default_actions=actions))
            return held.having("rules", found.arn, replace(found, actions=actions))

        await self._keeper.change(altered)


def _find(held: Holdings, rule_arn: str) -> Rule | Listener | None:
    if rule_arn in held.rules:
        return held.rules[rule_arn]
    if rule_arn in held.listeners and not held.listeners[rule_arn].is_http:
        # A network load balancer has no rules: ECS is given the listener itself.
        return held.listeners[rule_arn]
    return next((x for x in held.listeners.values() if default_rule_arn(x) == rule_arn), None)


def _actions(found: Rule | Listener) -> tuple[Document, ...]:
    return found.actions if isinstance(found, Rule) else found.default_actions


def with_weights(actions: tuple[Document, ...], weights: Mapping[str, int]) -> tuple[Document, ...]:
    """Pure. Groups that the action has not yet are added; AwsError where nothing is forwarded."""
    known = forwarded(actions)
    if not known:
        raise AwsError("ValidationError", "The rule has no forward action")
    merged = {**dict(known), **weights}
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in merged.items()]

    def change(action: Document) -> Document:
        if action["Type"] != "forward":
            return action
        config = {**(action.get("ForwardConfig") or {}), "TargetGroups": groups}
        # AWS shows TargetGroupArn only where there is one group.
        rest = {name: value for name, value in action.items() if name != "TargetGroupArn"}
        return {**rest, "ForwardConfig": config}

    return tuple(change(action) for action in actions)
