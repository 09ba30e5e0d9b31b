"""The second target group, and the rules that ECS shifts traffic by, of a service whose definition
has advancedConfiguration: made in the region beside its load balancer, under names of our own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import AwsRefused
from hikkoshi.model.project import LoadBalancer
from hikkoshi.trials.balancer import create_listener, create_target_group

Document = dict[str, Any]


@dataclass(frozen=True)
class Alternate:
    """ARNs. test_rule: the default rule of a listener one port above the service's own."""

    target_group: str
    production_rule: str
    test_rule: str


def has_alternate(service: Document) -> bool:
    return any(each.get("advancedConfiguration") for each in service.get("loadBalancers") or [])


def find_alternate(access: Access, settings: LoadBalancer) -> Alternate | None:
    """None: it was not made yet."""
    elb = access.client("elbv2")
    try:
        groups = calling("elbv2:DescribeTargetGroups", elb.describe_target_groups,
                         Names=[_name(settings)])["TargetGroups"]  # fmt: skip
        balancers = calling("elbv2:DescribeLoadBalancers", elb.describe_load_balancers,
                            Names=[settings.target_group])["LoadBalancers"]  # fmt: skip
    except AwsRefused as error:
        if "NotFound" in error.what:
            return None
        raise
    listeners = calling("elbv2:DescribeListeners", elb.describe_listeners,
                        LoadBalancerArn=balancers[0]["LoadBalancerArn"])["Listeners"]  # fmt: skip
    by_port = {each["Port"]: each["ListenerArn"] for each in listeners}
    ports = (settings.listener_port, settings.listener_port + 1)
    if any(port not in by_port for port in ports):
        return None
    rules = [_default_rule(access, by_port[port]) for port in ports]
    return Alternate(groups[0]["TargetGroupArn"], *rules)


def create_alternate(access: Access, settings: LoadBalancer, group: str) -> Alternate:
    """group: the first target group's ARN, to which the listener forwards."""
    elb = access.client("elbv2")
    other = create_target_group(access, settings, _name(settings))
    balancer = calling("elbv2:DescribeLoadBalancers", elb.describe_load_balancers,
                       Names=[settings.target_group])["LoadBalancers"][0]  # fmt: skip
    arn = balancer["LoadBalancerArn"]
    port = settings.listener_port + 1
    create_listener(access, arn, port, group)
    for each in calling("elbv2:DescribeListeners", elb.describe_listeners, LoadBalancerArn=arn)[
        "Listeners"
    ]:
        if each["Port"] in (settings.listener_port, port):
            _forward_to_both(access, each["ListenerArn"], group, other)
    made = find_alternate(access, settings)
    assert made is not None, "it was made just now"
    return made


def with_alternate(service: Document, alternate: Alternate) -> Document:
    """The service definition with the region's ARNs where its own were."""
    balancers = []
    for balancer in service.get("loadBalancers") or []:
        advanced = dict(balancer.get("advancedConfiguration") or {})
        if advanced:
            advanced["alternateTargetGroupArn"] = alternate.target_group
            advanced["productionListenerRule"] = alternate.production_rule
            if "testListenerRule" in advanced:
                advanced["testListenerRule"] = alternate.test_rule
            balancer = {**balancer, "advancedConfiguration": advanced}
        balancers.append(balancer)
    return {**service, "loadBalancers": balancers}


def _name(settings: LoadBalancer) -> str:
    """Names of target groups have at most 32 characters."""
    return f"{settings.target_group[:22].rstrip('-')}-alternate"


def _forward_to_both(access: Access, listener: str, group: str, other: str) -> None:
    elb = access.client("elbv2")
    groups = [{"TargetGroupArn": group, "Weight": 1}, {"TargetGroupArn": other, "Weight": 0}]
    action = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
    calling("elbv2:ModifyListener", elb.modify_listener, ListenerArn=listener,
            DefaultActions=[action])  # fmt: skip


def _default_rule(access: Access, listener: str) -> str:
    elb = access.client("elbv2")
    rules = calling("elbv2:DescribeRules", elb.describe_rules, ListenerArn=listener)["Rules"]
    return str(next(rule["RuleArn"] for rule in rules if rule["IsDefault"]))
