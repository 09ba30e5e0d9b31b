"""What the strategies in which ECS shifts traffic ask of a request (API_DeploymentConfiguration,
API_AdvancedConfiguration)."""

from __future__ import annotations

from typing import Any

from hikkoshi.region.ecs import errors
from hikkoshi.region.ecs.records import Revision
from hikkoshi.region.ecs.traffic import ROLLING
from hikkoshi.region.front.port import NotImplementedByRegion
from hikkoshi.region.ports import LoadBalancers

_DAY_MINUTES = 1440
_OF_STRATEGY = {"linearConfiguration": "LINEAR", "canaryConfiguration": "CANARY"}


def check_strategy(given: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """The configuration without what belongs to a strategy that it has no more.

    given: of this request; result: with what was before and the defaults."""
    strategy = result["strategy"]
    if strategy == ROLLING:
        if given.get("bakeTimeInMinutes"):
            raise NotImplementedByRegion("deploymentConfiguration.bakeTimeInMinutes of ROLLING")
        result.pop("bakeTimeInMinutes", None)
    elif strategy == "BLUE_GREEN" and "bakeTimeInMinutes" not in result:
        raise errors.invalid_parameter(
            "bakeTimeInMinutes must be provided for the BLUE_GREEN deployment strategy."
        )
    for name, owner in _OF_STRATEGY.items():
        if strategy == owner:
            continue
        if given.get(name):
            raise errors.invalid_parameter(
                f"{name} is only valid when the deployment strategy is {owner}."
            )
        result.pop(name, None)
    canary = result.get("canaryConfiguration") or {}
    linear = result.get("linearConfiguration") or {}
    _check_range("bakeTimeInMinutes", result, 0, _DAY_MINUTES)
    _check_range("canaryBakeTimeInMinutes", canary, 0, _DAY_MINUTES)
    _check_range("stepBakeTimeInMinutes", linear, 0, _DAY_MINUTES)
    _check_range("canaryPercent", canary, 0.1, 100.0)
    _check_range("stepPercent", linear, 3.0, 100.0)
    return result


def _check_range(name: str, holder: dict[str, Any], low: float, high: float) -> None:
    if name in holder and not low <= holder[name] <= high:
        raise errors.invalid_parameter(f"{name} must be between {low} and {high}.")


def check_advanced(entry: dict[str, Any], balancers: LoadBalancers) -> None:
    advanced = entry.get("advancedConfiguration")
    if not advanced:
        return
    for name in ("alternateTargetGroupArn", "productionListenerRule", "roleArn"):
        if not advanced.get(name):
            raise errors.invalid_parameter(f"advancedConfiguration.{name} must be specified.")
    alternate = advanced["alternateTargetGroupArn"]
    if not balancers.has_target_group(alternate):
        raise errors.invalid_parameter(
            f"The target group with targetGroupArn {alternate} does not exist."
        )
    if alternate == entry["targetGroupArn"]:
        raise errors.invalid_parameter("The alternate target group must be another one.")
    if advanced.get("testListenerRule") == advanced["productionListenerRule"]:
        raise errors.invalid_parameter("The test listener rule must be another one.")
    for name in ("productionListenerRule", "testListenerRule"):
        rule = advanced.get(name)
        if rule and balancers.weights(rule) is None:
            raise errors.invalid_parameter(
                f"The {name} {rule} does not exist, or has no forward action."
            )


def check_shiftable(configuration: dict[str, Any], revision: Revision) -> None:
    """A service without a load balancer may be BLUE_GREEN; its traffic is nobody's to shift."""
    strategy = configuration["strategy"]
    if strategy == ROLLING:
        return
    if not revision.load_balancers and strategy != "BLUE_GREEN":
        raise errors.invalid_parameter(f"The deployment strategy {strategy} needs a load balancer.")
    if revision.service_connect and revision.service_connect.get("enabled"):
        raise NotImplementedByRegion(f"Deployment strategy {strategy} with Service Connect")
    if any(not entry.get("advancedConfiguration") for entry in revision.load_balancers):
        raise errors.invalid_parameter(
            "The advancedConfiguration field is required for all loadBalancers when using a "
            "non-ROLLING deployment strategy."
        )
