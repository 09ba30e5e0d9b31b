"""What to think of before traffic is moved: checked where it can be, and said where not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import AwsRefused
from hikkoshi.cutover.actions import Actions, name_of, stickiness_of
from hikkoshi.cutover.place import Place


class Checked(StrEnum):
    OK = "OK"
    WRONG = "WRONG"
    NOT_CHECKED = "NOT CHECKED"


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    state: Checked
    words: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What AWS says of both sides; a mapping or list is None where it would not say."""

    place: Place
    actions: Actions
    old: Mapping[str, str]
    new: Mapping[str, str]
    """Attributes of the target groups."""
    balancer: Mapping[str, str]
    dns_name: str
    healthy: Mapping[str, int]
    """Target group's ARN → how many of its targets are healthy."""
    unchecked: int
    """Targets of the new side that the load balancer does not check, since nothing leads there."""
    schedules: tuple[str, ...] | None
    """Names of EventBridge rules whose target is the new side's cluster."""
    service: str | None = None
    """The new side's, if it is known; then no deployment of it shifts traffic."""


def gather(
    access: Access, place: Place, actions: Actions, cluster_arn: str | None,
    service: str | None = None,
) -> Facts:  # fmt: skip
    """Raises AwsRefused where ELBv2 does not answer; others may refuse. service: the new side's,
    of which no deployment shifts traffic (Mover.need_alone)."""
    elb = access.client("elbv2")

    def of_group(arn: str) -> dict[str, str]:
        found = calling(
            "elbv2:DescribeTargetGroupAttributes",
            elb.describe_target_group_attributes,
            TargetGroupArn=arn,
        )
        return {each["Key"]: each["Value"] for each in found["Attributes"]}

    def count(arn: str, state: str) -> int:
        found = calling(
            "elbv2:DescribeTargetHealth", elb.describe_target_health, TargetGroupArn=arn
        )["TargetHealthDescriptions"]
        return sum(t["TargetHealth"]["State"] == state for t in found)

    attributes = calling(
        "elbv2:DescribeLoadBalancerAttributes",
        elb.describe_load_balancer_attributes,
        LoadBalancerArn=place.load_balancer,
    )["Attributes"]
    balancer = calling(
        "elbv2:DescribeLoadBalancers",
        elb.describe_load_balancers,
        LoadBalancerArns=[place.load_balancer],
    )["LoadBalancers"][0]
    return Facts(
        place,
        actions,
        of_group(place.old),
        of_group(place.new),
        {each["Key"]: each["Value"] for each in attributes},
        balancer["DNSName"],
        {arn: count(arn, "healthy") for arn in (place.old, place.new)},
        count(place.new, "unused"),
        _schedules(access, cluster_arn),
        service,
    )


def _schedules(access: Access, cluster_arn: str | None) -> tuple[str, ...] | None:
    if cluster_arn is None:
        return None
    events = access.client("events")
    try:
        found = calling(
            "events:ListRuleNamesByTarget", events.list_rule_names_by_target, TargetArn=cluster_arn
        )
    except AwsRefused:
        return None
    return tuple(found["RuleNames"])


def check(facts: Facts) -> tuple[Item, ...]:
    """Pure: every item, in the order in which it is thought of."""
    checks: tuple[tuple[str, Callable[[Facts], tuple[Checked, str]]], ...] = (
        ("healthy targets", _healthy),
        ("deployments beside it", _beside),
        ("sessions and stickiness", _sessions),
        ("connection draining", _draining),
        ("long-lived connections", _long_lived),
        ("scheduled jobs", _jobs),
        ("database migrations", _migrations),
        ("DNS", _dns),
    )
    return tuple(Item(name, *look(facts)) for name, look in checks)


def _healthy(facts: Facts) -> tuple[Checked, str]:
    old, new = facts.healthy[facts.place.old], facts.healthy[facts.place.new]
    if not new and facts.unchecked:
        return Checked.NOT_CHECKED, (
            f"{facts.unchecked} on the new side, which the load balancer will check once the rule "
            f"names them (with weight 0, before the first step); {old} healthy on the old side"
        )
    if not new:
        return Checked.WRONG, f"{name_of(facts.place.new)} has no healthy target"
    if not old:
        return Checked.WRONG, f"{name_of(facts.place.old)} has no healthy target to go back to"
    return Checked.OK, f"{new} on the new side, {old} on the old side"


def _beside(facts: Facts) -> tuple[Checked, str]:
    if facts.service is None:
        return Checked.NOT_CHECKED, (
            "no hikkoshi.yaml names the new side's service: see that no blue/green deployment of "
            "it is under way, and begin none"
        )
    return Checked.OK, f"none of {facts.service} shifts traffic"


def _sessions(facts: Facts) -> tuple[Checked, str]:
    old, new = (a.get("stickiness.enabled") == "true" for a in (facts.old, facts.new))
    kept = stickiness_of(facts.actions)
    if old != new:
        with_it, without = ("old", "new") if old else ("new", "old")
        return Checked.WRONG, (
            f"the {with_it} side keeps a client at one target (stickiness.enabled), the {without} "
            "side does not: sessions in memory would be lost"
        )
    if old and kept is None:
        return Checked.WRONG, (
            "both sides keep a client at one target, but the rule sends each request to either "
            "side: turn on the rule's target group stickiness"
        )
    if kept is not None:
        return Checked.OK, (
            f"a client stays with its side for {kept} s, so the shares follow the weights only as "
            "new clients come; going back takes the new side out of the rule, and them with it"
        )
    return Checked.OK, (
        "no stickiness: the requests of one client reach both sides, so sessions must lie outside "
        "the process (database, cache, signed cookie)"
    )


def _draining(facts: Facts) -> tuple[Checked, str]:
    key = "deregistration_delay.timeout_seconds"
    delays = {side: int(a.get(key, "300")) for side, a in (("old", facts.old), ("new", facts.new))}
    for side, delay in delays.items():
        if delay == 0:
            return Checked.WRONG, (
                f"the {side} side's {key} is 0: whatever is under way when a target leaves is cut"
            )
    return Checked.OK, (
        f"weights cut no request; a target that leaves has {delays['old']} s on the old side, "
        f"{delays['new']} s on the new one"
    )


def _long_lived(facts: Facts) -> tuple[Checked, str]:
    idle = facts.balancer.get("idle_timeout.timeout_seconds", "60")
    return Checked.NOT_CHECKED, (
        "whether there are WebSockets, event streams or long downloads: they stay on their side "
        f"until they end, and end after {idle} s of silence; their clients must connect again"
    )


def _jobs(facts: Facts) -> tuple[Checked, str]:
    if facts.schedules:
        names = ", ".join(facts.schedules[:5])
        return Checked.WRONG, (
            f"EventBridge starts tasks in the new cluster ({names}) while cron or timers on the "
            "instances may run the same jobs: disable one side, then give --despite-checklist"
        )
    found = "" if facts.schedules is None else "no EventBridge rule starts tasks there; "
    return Checked.NOT_CHECKED, (
        f"{found}cron and systemd timers on the instances, workers and schedulers inside the "
        "application: both sides run at once, and each job must run on one of them"
    )


def _migrations(facts: Facts) -> tuple[Checked, str]:
    return Checked.NOT_CHECKED, (
        "both versions use the database at once: every migration must suit both, and nothing may "
        "be dropped before `finish`"
    )


def _dns(facts: Facts) -> tuple[Checked, str]:
    return Checked.OK, (
        f"both sides are behind {facts.dns_name}: no record changes and no TTL is waited for"
    )
