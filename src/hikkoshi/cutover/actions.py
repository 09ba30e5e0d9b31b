"""A rule's actions in AWS's shape: with weights, as they were, and compared. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

Actions = list[dict[str, Any]]


def forward_of(actions: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The forward action; None if the rule does something else (redirect, fixed response)."""
    return next((action for action in actions if action["Type"] == "forward"), None)


def weights_of(actions: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Target group's ARN → weight; empty if nothing is forwarded."""
    forward = forward_of(actions)
    if forward is None:
        return {}
    groups = (forward.get("ForwardConfig") or {}).get("TargetGroups") or []
    if not groups:
        return {forward["TargetGroupArn"]: 1}
    if len(groups) == 1:
        # A weight alone means nothing.
        return {groups[0]["TargetGroupArn"]: 1}
    return {group["TargetGroupArn"]: int(group.get("Weight", 1)) for group in groups}


def shared_by(actions: Sequence[Mapping[str, Any]]) -> set[str]:
    """The target groups that get any of what is forwarded."""
    return {group for group, weight in weights_of(actions).items() if weight}


def stickiness_of(actions: Sequence[Mapping[str, Any]]) -> int | None:
    """Seconds for which a client stays with a target group; None: it does not."""
    forward = forward_of(actions) or {}
    sticky = (forward.get("ForwardConfig") or {}).get("TargetGroupStickinessConfig") or {}
    return int(sticky.get("DurationSeconds") or 0) if sticky.get("Enabled") else None


def with_weights(
    original: Sequence[Mapping[str, Any]], old: str, new: str, percent: int
) -> Actions:
    """The original actions with `percent` of what is forwarded for the new group and the rest for
    the old one. Group stickiness, what comes before (authentication) and groups that get nothing
    (ECS wants both of a blue/green service's in its rule) stay."""
    if not 0 <= percent <= 100:
        raise ValueError(f"{percent} %")
    changed = to_ask(original)
    for action in changed:
        if action["Type"] == "forward":
            config = dict(action.get("ForwardConfig") or {})
            config["TargetGroups"] = [
                {"TargetGroupArn": old, "Weight": 100 - percent},
                {"TargetGroupArn": new, "Weight": percent},
                *_idle_beside(action, old, new),
            ]
            action["ForwardConfig"] = config
            action.pop("TargetGroupArn", None)
    return changed


def only_to(original: Sequence[Mapping[str, Any]], old: str, new: str) -> Actions:
    """The original actions with all that is forwarded for the new group, and without the old."""
    changed = to_ask(original)
    for action in changed:
        if action["Type"] == "forward":
            config = dict(action.get("ForwardConfig") or {})
            config["TargetGroups"] = [
                {"TargetGroupArn": new, "Weight": 1},
                *_idle_beside(action, old, new),
            ]
            action["ForwardConfig"] = config
            action.pop("TargetGroupArn", None)
    return changed


def _idle_beside(action: Mapping[str, Any], old: str, new: str) -> list[dict[str, Any]]:
    groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
    return [
        {"TargetGroupArn": each["TargetGroupArn"], "Weight": 0}
        for each in groups
        if each["TargetGroupArn"] not in (old, new)
    ]


def to_ask(described: Sequence[Mapping[str, Any]]) -> Actions:
    """Described actions in the form in which they can be given back: AWS never describes the
    client secret of an authentication, so it is told to keep it."""
    changed = copy.deepcopy([dict(action) for action in described])
    for action in changed:
        if action["Type"] == "authenticate-oidc":
            action["AuthenticateOidcConfig"]["UseExistingClientSecret"] = True
        groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
        if len(groups) > 1:
            action.pop("TargetGroupArn", None)
    return changed


def are_same(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Whether they do the same with a request, in whichever of AWS's spellings."""
    return _normal(one) == _normal(other)


def _normal(actions: Sequence[Mapping[str, Any]]) -> list[Any]:
    normal: list[Any] = []
    for action in sorted(actions, key=lambda each: each.get("Order", 1)):
        if action["Type"] == "forward":
            normal.append(("forward", weights_of([action]), stickiness_of([action])))
            continue
        plain = {k: v for k, v in to_ask([action])[0].items() if k != "Order"}
        normal.append(plain)
    return normal


def say(actions: Sequence[Mapping[str, Any]]) -> str:
    """`forward web-old 75, web-new 25`; in one line."""
    parts = []
    for action in actions:
        if action["Type"] != "forward":
            parts.append(action["Type"])
            continue
        weights = weights_of([action])
        groups = [f"{name_of(arn)} {weight}" for arn, weight in weights.items()]
        sticky = stickiness_of([action])
        kept = f", clients kept for {sticky} s" if sticky is not None else ""
        parts.append(f"forward {', '.join(groups)}{kept}")
    return " then ".join(parts)


def name_of(arn: str) -> str:
    """The name in a target group's, load balancer's or listener's ARN; else what was given."""
    parts = arn.rpartition(":")[2].split("/")
    if len(parts) < 3:
        return arn
    return parts[1] if parts[0] == "targetgroup" else parts[2]
