"""What RunTask and CreateService ask of a place: capacity, network, platform version."""

from __future__ import annotations

from typing import Any

from hikkoshi.region.ecs import errors
from hikkoshi.region.ecs.launch import LATEST_PLATFORM
from hikkoshi.region.ecs.providers import check_providers
from hikkoshi.region.ecs.records import Cluster
from hikkoshi.region.front.port import AwsError, NotImplementedByRegion

MAX_STRATEGY_ITEMS = 20
Strategy = tuple[dict[str, Any], ...]
_PLATFORMS = ("LATEST", LATEST_PLATFORM)


def choose_capacity(parameters: dict[str, Any], cluster: Cluster) -> tuple[str | None, Strategy]:
    """(launch type, strategy): one of them is set. Without either, the cluster's default
    strategy holds; without that AWS means EC2, which this region has not."""
    launch_type = parameters.get("launchType")
    strategy: Strategy = tuple(parameters.get("capacityProviderStrategy") or ())
    if launch_type and strategy:
        raise errors.invalid_parameter(
            "Specify either Launch Type or Capacity Provider Strategy, but not both."
        )
    if launch_type is None:
        strategy = strategy or cluster.default_strategy
        if not strategy:
            raise errors.invalid_parameter(
                "No Container Instances were found in your cluster. (Without launchType FARGATE "
                "or a capacity provider strategy ECS means EC2, which the local region has not.)"
            )
        _check_strategy(strategy, cluster)
        return None, strategy
    if launch_type != "FARGATE":
        raise NotImplementedByRegion(f"Launch type {launch_type}")
    return launch_type, ()


def _check_strategy(strategy: Strategy, cluster: Cluster) -> None:
    """In the words of botocore's model: one base, weights, and providers of the cluster's."""
    if len(strategy) > MAX_STRATEGY_ITEMS:
        raise errors.invalid_parameter(
            f"A capacity provider strategy can have at most {MAX_STRATEGY_ITEMS} items."
        )
    check_providers(cluster.capacity_providers, strategy)
    names = [item["capacityProvider"] for item in strategy]
    if len(set(names)) < len(names):
        raise errors.invalid_parameter(
            "A capacity provider strategy cannot contain a capacity provider more than once."
        )
    for name, most in (("base", 100_000), ("weight", 1000)):
        if not all(0 <= item.get(name, 0) <= most for item in strategy):
            raise errors.invalid_parameter(f"{name} must be between 0 and {most}.")
    if sum(item.get("base", 0) > 0 for item in strategy) > 1:
        raise errors.invalid_parameter(
            "Only one capacity provider in a capacity provider strategy can have a base defined."
        )
    if len(strategy) > 1 and not any(item.get("weight", 0) for item in strategy):
        raise errors.invalid_parameter(
            "At least one of the capacity providers must have a weight value greater than zero."
        )


def refuse_placement(parameters: dict[str, Any]) -> None:
    """Where a task is put is Fargate's own affair."""
    for name, told in (
        ("placementConstraints", "Placement constraints"),
        ("placementStrategy", "Placement strategies"),
    ):
        if parameters.get(name):
            raise errors.invalid_parameter(f"{told} are not supported with FARGATE launch type.")


def check_network(configuration: dict[str, Any] | None) -> dict[str, Any]:
    vpc = (configuration or {}).get("awsvpcConfiguration")
    if configuration is None or vpc is None:
        raise errors.invalid_parameter(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    subnets, groups = vpc.get("subnets") or [], vpc.get("securityGroups") or []
    if not subnets:
        raise errors.invalid_parameter("subnets can not be empty.")
    if len(subnets) > 16:
        raise errors.invalid_parameter("There can be at most 16 subnets in awsvpcConfiguration.")
    if len(groups) > 5:
        raise errors.invalid_parameter(
            "There can be at most 5 security groups in awsvpcConfiguration."
        )
    filled = {"assignPublicIp": "DISABLED", "securityGroups": [], **vpc}
    return {"awsvpcConfiguration": filled}


def check_platform(version: str | None) -> str:
    """The version that runs; LATEST is 1.4.0. Older ones differ in ways that are not played."""
    if version in (None, *_PLATFORMS):
        return LATEST_PLATFORM
    if version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0"):
        raise NotImplementedByRegion(f"Platform version {version}")
    raise AwsError("PlatformUnknownException", "The specified platform version does not exist.")
