"""What RunTask and CreateService ask of a place: capacity, network, platform version."""

from __future__ import annotations

from typing import Any

from hikkoshi.region.ecs import errors
from hikkoshi.region.ecs.launch import LATEST_PLATFORM
from hikkoshi.region.ecs.operations.clusters import PROVIDERS
from hikkoshi.region.ecs.records import Cluster
from hikkoshi.region.front.port import AwsError, NotImplementedByRegion

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
        _check_strategy(strategy)
        return None, strategy
    if launch_type != "FARGATE":
        raise NotImplementedByRegion(f"Launch type {launch_type}")
    return launch_type, ()


def _check_strategy(strategy: Strategy) -> None:
    for item in strategy:
        if item["capacityProvider"] not in PROVIDERS:
            raise errors.invalid_parameter(
                f"The specified capacity provider '{item['capacityProvider']}' was not found. "
                "Specify a valid name or ARN and try again."
            )
    if len(strategy) > 1:
        raise NotImplementedByRegion("A capacity provider strategy of more than one provider")


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
