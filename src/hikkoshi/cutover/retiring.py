"""What is left of the old side after a cutover, and can be retired. Listed; never deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import AwsRefused
from hikkoshi.cutover.actions import name_of
from hikkoshi.cutover.place import Place


@dataclass(frozen=True, slots=True)
class Leftover:
    """command: what would remove it, for a person to read and type."""

    what: str
    command: str


def leftovers(access: Access, place: Place) -> tuple[Leftover, ...]:
    """Raises AwsRefused if ELBv2 does not answer; what others would not say is said instead."""
    elb = access.client("elbv2")
    group = calling(
        "elbv2:DescribeTargetGroups", elb.describe_target_groups, TargetGroupArns=[place.old]
    )["TargetGroups"][0]
    targets = calling(
        "elbv2:DescribeTargetHealth", elb.describe_target_health, TargetGroupArn=place.old
    )["TargetHealthDescriptions"]
    ids = sorted({each["Target"]["Id"] for each in targets})
    found = [
        Leftover(
            f"target group {name_of(place.old)}, with {len(ids)} targets",
            f"aws elbv2 delete-target-group --target-group-arn {place.old}",
        )
    ]
    if group["TargetType"] == "instance" and ids:
        found += _instances(access, ids)
    else:
        found += [Leftover(f"whatever has the address {each}", "") for each in ids]
    found.append(Leftover("what deployed to it: scripts, keys, CI jobs, agents on the hosts", ""))
    return tuple(found)


def _instances(access: Access, ids: list[str]) -> Iterator[Leftover]:
    scaling = access.client("autoscaling")
    try:
        answer = calling(
            "autoscaling:DescribeAutoScalingInstances",
            scaling.describe_auto_scaling_instances,
            InstanceIds=ids,
        )["AutoScalingInstances"]
        groups = {each["InstanceId"]: each["AutoScalingGroupName"] for each in answer}
    except AwsRefused as error:
        yield Leftover(f"Auto Scaling was not asked: {error.what}", "")
        groups = {}
    for name in sorted(set(groups.values())):
        yield Leftover(
            f"Auto Scaling group {name} (first, or it starts the instances anew)",
            f"aws autoscaling update-auto-scaling-group --auto-scaling-group-name {name} "
            "--min-size 0 --desired-capacity 0",
        )
    for each in ids:
        if each not in groups:
            yield Leftover(f"instance {each}", f"aws ec2 terminate-instances --instance-ids {each}")
