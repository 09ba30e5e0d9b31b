"""Where a cutover takes place: one rule of one listener, and two target groups. Found in AWS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hikkoshi.aws.access import Access, calling, urgently
from hikkoshi.base.errors import AwsRefused, BadInput
from hikkoshi.cutover.actions import Actions, name_of, say, shared_by, to_ask


@dataclass(frozen=True, slots=True)
class Place:
    """rule_arn None: the listener's default action. All else ARNs."""

    load_balancer: str
    listener: str
    rule_arn: str | None
    old: str
    new: str

    @property
    def words(self) -> str:
        what = "default action" if self.rule_arn is None else "rule " + self.rule_arn[-16:]
        return f"{what} of a listener of {name_of(self.load_balancer)}"


@dataclass(frozen=True, slots=True)
class _Rule:
    load_balancer: str
    listener: str
    port: int
    rule_arn: str | None
    actions: Actions

    @property
    def name(self) -> str:
        """As --rule has it."""
        return self.rule_arn or "default"

    @property
    def words(self) -> str:
        what = "default action" if self.rule_arn is None else self.rule_arn
        return f"{name_of(self.load_balancer)} port {self.port}, {what}"


class Rule:
    """The rule itself, read and written, within seconds or not at all. Raises AwsRefused."""

    def __init__(self, access: Access, place: Place) -> None:
        self._elb = access.client("elbv2", is_urgent=True)
        self.place = place

    def read(self) -> Actions:
        place = self.place
        if place.rule_arn is None:
            found = urgently(
                "elbv2:DescribeListeners",
                self._elb.describe_listeners,
                ListenerArns=[place.listener],
            )
            return list(found["Listeners"][0]["DefaultActions"])
        found = urgently("elbv2:DescribeRules", self._elb.describe_rules, RuleArns=[place.rule_arn])
        return list(found["Rules"][0]["Actions"])

    def write(self, actions: Actions) -> None:
        place = self.place
        if place.rule_arn is None:
            urgently(
                "elbv2:ModifyListener",
                self._elb.modify_listener,
                ListenerArn=place.listener,
                DefaultActions=to_ask(actions),
            )
            return
        urgently(
            "elbv2:ModifyRule",
            self._elb.modify_rule,
            RuleArn=place.rule_arn,
            Actions=to_ask(actions),
        )

    def command(self, actions: Actions) -> str:
        """What a person would type for `write`, if the tool cannot."""
        import json
        import shlex

        said = shlex.quote(json.dumps(to_ask(actions)))
        if self.place.rule_arn is None:
            target = f"modify-listener --listener-arn {self.place.listener} --default-actions"
        else:
            target = f"modify-rule --rule-arn {self.place.rule_arn} --actions"
        return f"aws elbv2 {target} {said}"


def find_group(access: Access, named: str) -> str:
    """The ARN of a target group that is named by it, or by its name."""
    if named.startswith("arn:"):
        return named
    elb = access.client("elbv2")
    try:
        found = calling("elbv2:DescribeTargetGroups", elb.describe_target_groups, Names=[named])
    except AwsRefused as error:
        if "TargetGroupNotFound" not in error.what:
            raise
        where = "the local region" if access.is_local else access.region
        asked = "" if access.is_local else "; are --profile and --region right?"
        raise BadInput(
            f"there is no target group {named!r} in {where}",
            fix=f"`aws elbv2 describe-target-groups` lists them{asked}",
        ) from error
    return str(found["TargetGroups"][0]["TargetGroupArn"])


def serving_group(access: Access, balancer: Mapping[str, Any]) -> str:
    """Of one of a service's `loadBalancers`: the target group that its tasks are in. ECS changes
    over between the two of a blue/green service; where neither has targets it is the first."""
    first = str(balancer["targetGroupArn"])
    other = (balancer.get("advancedConfiguration") or {}).get("alternateTargetGroupArn")
    if not other:
        return first
    elb = access.client("elbv2")

    def count(arn: str) -> int:
        found = calling(
            "elbv2:DescribeTargetHealth", elb.describe_target_health, TargetGroupArn=arn
        )["TargetHealthDescriptions"]
        return sum(each["TargetHealth"]["State"] != "draining" for each in found)

    return str(other) if count(str(other)) > count(first) else first


def find_place(
    access: Access, new: str, old: str | None, *, listener: str | None, rule: str | None
) -> Place:
    """The one rule that forwards to the old group alone (or has others beside it, at 0).

    old None: whatever the rule forwards to. BadInput if there is none, or a choice."""
    if new == old:
        raise BadInput(
            f"the old side and the new side are both {name_of(new)}",
            fix="--from names the target group that has the traffic now, --to the one that gets it",
        )
    candidates = []
    rules = [each for each in _rules(access, listener) if rule in (None, each.name)]
    for each in rules:
        shared = shared_by(each.actions)
        if len(shared) == 1 and new not in shared and (old is None or old in shared):
            candidates.append((each, next(iter(shared))))
    if len(candidates) == 1:
        found, forwards_to = candidates[0]
        return Place(found.load_balancer, found.listener, found.rule_arn, forwards_to, new)
    if not candidates:
        raise _no_place(rules, new, old, rule)
    lines = "\n".join(f"    {each.words} → {name_of(arn)}" for each, arn in candidates)
    raise BadInput(
        f"{len(candidates)} rules could be meant:\n{lines}",
        fix="choose: --from TARGET-GROUP, --listener ARN, --rule ARN (or --rule default)",
    )


def _no_place(rules: list[_Rule], new: str, old: str | None, rule: str | None) -> BadInput:
    if rule is not None and not rules:
        return BadInput(
            f"there is no rule {rule} there", where="--rule",
            fix="`aws elbv2 describe-rules --listener-arn ARN` lists them",
        )  # fmt: skip
    what = name_of(old) if old else "one other target group"
    words = f"no rule forwards to {what} alone, so none can be shared with {name_of(new)}"
    if any(shared_by(each.actions) == {new} for each in rules):
        words += "; one forwards everything to it already"
    lines = "".join(f"\n    {each.words} → {say(each.actions)}" for each in rules)
    return BadInput(
        f"{words}; the rules there:{lines or ' none'}",
        fix="name the old side: --from TARGET-GROUP, and where it is: --listener ARN",
    )


def _rules(access: Access, listener: str | None) -> Iterator[_Rule]:
    elb = access.client("elbv2")
    for found in _listeners(elb, listener):
        common = (found["LoadBalancerArn"], found["ListenerArn"], int(found["Port"]))
        for rule in _pages(elb, "describe_rules", "Rules", ListenerArn=found["ListenerArn"]):
            arn = None if rule["IsDefault"] else rule["RuleArn"]
            yield _Rule(*common, arn, list(rule["Actions"]))


def _listeners(elb: Any, listener: str | None) -> list[dict[str, Any]]:
    if listener is not None:
        try:
            found = calling(
                "elbv2:DescribeListeners", elb.describe_listeners, ListenerArns=[listener]
            )
        except AwsRefused as error:
            error.fix = error.fix or (
                "--listener wants the ARN of a listener of this account and region: `aws elbv2 "
                "describe-listeners --load-balancer-arn ARN` lists them"
            )
            raise
        return list(found["Listeners"])
    return [
        each
        for balancer in _pages(elb, "describe_load_balancers", "LoadBalancers")
        if balancer["Type"] == "application"
        for each in _pages(
            elb, "describe_listeners", "Listeners", LoadBalancerArn=balancer["LoadBalancerArn"]
        )
    ]


def _pages(elb: Any, operation: str, member: str, **asked: Any) -> Iterator[dict[str, Any]]:
    words = "".join(part.title() for part in operation.split("_"))
    marker: dict[str, str] = {}
    while True:
        found = calling(f"elbv2:{words}", getattr(elb, operation), **asked, **marker)
        yield from found[member]
        if not found.get("NextMarker"):
            return
        marker = {"Marker": found["NextMarker"]}
