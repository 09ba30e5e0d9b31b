"""The load balancer of a new home: created by ELBv2's API in the default VPC."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import CannotRun
from hikkoshi.model.project import LoadBalancer


@dataclass(frozen=True)
class BalancerHome:
    load_balancer_arn: str
    target_group_arn: str
    listener_arn: str
    door: str
    subnets: list[str]
    security_groups: list[str]


def default_network(access: Access) -> BalancerHome:
    ec2 = access.client("ec2")
    subnets = calling("ec2:DescribeSubnets", ec2.describe_subnets)["Subnets"]
    groups = calling("ec2:DescribeSecurityGroups", ec2.describe_security_groups)["SecurityGroups"]
    return BalancerHome(
        "",
        "",
        "",
        "",
        [s["SubnetId"] for s in subnets[:2]],
        [g["GroupId"] for g in groups if g["GroupName"] == "default"][:1],
    )


def create_balancer(access: Access, settings: LoadBalancer) -> BalancerHome:
    network = default_network(access)
    elb = access.client("elbv2")
    balancer = calling(
        "elbv2:CreateLoadBalancer",
        elb.create_load_balancer,
        Name=settings.target_group,
        Subnets=network.subnets,
        SecurityGroups=network.security_groups,
        Scheme="internal",
    )["LoadBalancers"][0]
    group = create_target_group(access, settings, settings.target_group)
    listener = create_listener(access, balancer["LoadBalancerArn"], settings.listener_port, group)
    return BalancerHome(
        balancer["LoadBalancerArn"],
        group,
        listener,
        door_of(access, listener),
        network.subnets,
        network.security_groups,
    )


def create_target_group(
    access: Access, settings: LoadBalancer, name: str, port: int = 80, target_type: str = "ip"
) -> str:
    elb = access.client("elbv2")
    check = settings.health_check
    group = calling(
        "elbv2:CreateTargetGroup",
        elb.create_target_group,
        Name=name,
        Protocol="HTTP",
        Port=port,
        VpcId=default_vpc(access),
        TargetType=target_type,
        HealthCheckPath=check.path,
        HealthCheckIntervalSeconds=round(check.interval),
        HealthCheckTimeoutSeconds=round(check.timeout),
        HealthyThresholdCount=check.healthy_threshold,
        UnhealthyThresholdCount=check.unhealthy_threshold,
        Matcher={"HttpCode": check.matcher},
    )["TargetGroups"][0]["TargetGroupArn"]
    calling(
        "elbv2:ModifyTargetGroupAttributes",
        elb.modify_target_group_attributes,
        TargetGroupArn=group,
        Attributes=[
            {
                "Key": "deregistration_delay.timeout_seconds",
                "Value": str(round(settings.deregistration_delay)),
            }
        ],
    )
    return str(group)


def create_listener(access: Access, balancer_arn: str, port: int, group_arn: str) -> str:
    elb = access.client("elbv2")
    made = calling(
        "elbv2:CreateListener",
        elb.create_listener,
        LoadBalancerArn=balancer_arn,
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group_arn}],
    )
    return str(made["Listeners"][0]["ListenerArn"])


def door_of(access: Access, listener_arn: str) -> str:
    door = access.ask("doors")["listeners"].get(listener_arn)
    if door is None:
        raise CannotRun(f"the region opened no door to listener {listener_arn}")
    return str(door)


def default_vpc(access: Access) -> str:
    ec2 = access.client("ec2")
    return str(calling("ec2:DescribeVpcs", ec2.describe_vpcs)["Vpcs"][0]["VpcId"])
