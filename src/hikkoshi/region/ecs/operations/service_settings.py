"""What CreateService and UpdateService accept, and what a deployment is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hikkoshi.fargate import limits
from hikkoshi.region.ecs import arns, errors, lookups
from hikkoshi.region.ecs.operations.naming import check_registries, check_service_connect
from hikkoshi.region.ecs.operations.placement import (
    check_network,
    check_platform,
    choose_capacity,
    refuse_placement,
)
from hikkoshi.region.ecs.operations.strategy import check_advanced, check_strategy
from hikkoshi.region.ecs.plane import ControlPlane
from hikkoshi.region.ecs.records import Cluster, Definition, Revision
from hikkoshi.region.ecs.traffic import ROLLING
from hikkoshi.region.front.port import NotImplementedByRegion
from hikkoshi.region.ports import LoadBalancers

_NOT_HERE = (
    "volumeConfigurations",
    "vpcLatticeConfigurations",
    "gatewayConnectors",
    "monitoring",
)
# Members of a request whose change makes a new deployment (API_UpdateService).
DEPLOYING = (
    "taskDefinition",
    "capacityProviderStrategy",
    "networkConfiguration",
    "platformVersion",
    "loadBalancers",
    "enableExecuteCommand",
    "propagateTags",
    "serviceRegistries",
    "serviceConnectConfiguration",
)


def refuse_what_is_not_here(parameters: dict[str, Any]) -> None:
    """NotImplementedException for what would otherwise be a silent success."""
    for name in _NOT_HERE:
        if parameters.get(name):
            raise NotImplementedByRegion(f"{name} of a service")
    refuse_placement(parameters)
    if parameters.get("role"):
        raise errors.invalid_parameter(
            "You cannot specify an IAM role for services that require a service linked role."
        )
    controller = (parameters.get("deploymentController") or {}).get("type", "ECS")
    if controller != "ECS":
        raise NotImplementedByRegion(f"deploymentController {controller}")
    if parameters.get("schedulingStrategy", "REPLICA") != "REPLICA":
        raise errors.invalid_parameter(
            "The scheduling strategy DAEMON is not supported for tasks using the Fargate launch "
            "type."
        )


def deployment_configuration(
    given: dict[str, Any] | None, current: dict[str, Any] | None
) -> dict[str, Any]:
    """The whole configuration: what is given over what was, over AWS's defaults."""
    given = {name: value for name, value in (given or {}).items() if value is not None}
    for name in ("lifecycleHooks", "earlySuccessCriteria"):
        if given.get(name):
            raise NotImplementedByRegion(f"deploymentConfiguration.{name}")
    result = {
        "deploymentCircuitBreaker": {"enable": False, "rollback": False},
        "maximumPercent": limits.DEFAULT_MAXIMUM_PERCENT,
        "minimumHealthyPercent": limits.DEFAULT_MINIMUM_HEALTHY_PERCENT,
        "strategy": ROLLING,
        **(current or {}),
        **given,
    }
    low, high = result["minimumHealthyPercent"], result["maximumPercent"]
    if not 0 <= low <= 100:
        raise errors.invalid_parameter("minimumHealthyPercent must be between 0 and 100.")
    if not 100 <= high <= 100_000:
        raise errors.invalid_parameter("maximumPercent must be at least 100.")
    _check_threshold(result["deploymentCircuitBreaker"])
    return check_strategy(given, result)


def _check_threshold(breaker: dict[str, Any]) -> None:
    threshold = breaker.get("thresholdConfiguration")
    if threshold is not None and threshold["value"] < 1:
        raise errors.invalid_parameter("thresholdConfiguration.value must be at least 1.")


def check_desired_count(count: int) -> int:
    if not 0 <= count <= limits.MAX_DESIRED_COUNT:
        raise errors.invalid_parameter(
            f"desiredCount must be between 0 and {limits.MAX_DESIRED_COUNT}."
        )
    return count


def check_grace(seconds: int | None, load_balancers: tuple[dict[str, Any], ...]) -> int:
    if seconds is None:
        return 0
    if not load_balancers and seconds:
        raise errors.invalid_parameter(
            "Health check grace period is only valid for services configured to use load balancers"
        )
    if not 0 <= seconds <= 2_147_483_647:
        raise errors.invalid_parameter("healthCheckGracePeriodSeconds is out of range.")
    return seconds


def check_load_balancers(
    entries: list[dict[str, Any]], definition: Definition, balancers: LoadBalancers
) -> tuple[dict[str, Any], ...]:
    if len(entries) > limits.MAX_TARGET_GROUPS_A_SERVICE:
        raise errors.invalid_parameter("load balancers can have at most 5 items.")
    containers = {c["name"]: c for c in definition.document["containerDefinitions"]}
    for entry in entries:
        if entry.get("loadBalancerName"):
            raise NotImplementedByRegion("A Classic Load Balancer of a service")
        group = entry.get("targetGroupArn")
        if not group or not balancers.has_target_group(group):
            raise errors.invalid_parameter(
                f"The target group with targetGroupArn {group} does not exist."
            )
        name, port = entry.get("containerName"), entry.get("containerPort")
        container = containers.get(str(name))
        if container is None:
            raise errors.invalid_parameter(
                f"The container {name} does not exist in the task definition."
            )
        if port not in {m.get("containerPort") for m in container.get("portMappings") or []}:
            raise errors.invalid_parameter(
                f"The container {name} did not have a container port {port} defined."
            )
        check_advanced(entry, balancers)
    return tuple(entries)


def make_revision(
    plane: ControlPlane, cluster: Cluster, service_name: str, parameters: dict[str, Any]
) -> Revision:
    """A new service's first revision."""
    if not parameters.get("taskDefinition"):
        raise errors.invalid_parameter("TaskDefinition can not be blank.")
    definition = lookups.fargate_definition(plane.store, parameters["taskDefinition"])
    launch_type, strategy = choose_capacity(parameters, cluster)
    return Revision(
        arn=plane.names.service_revision(cluster.name, service_name, arns.new_revision_key()),
        definition_arn=definition.arn,
        launch_type=launch_type,
        capacity_provider_strategy=strategy,
        platform_version=check_platform(parameters.get("platformVersion")),
        network_configuration=check_network(parameters.get("networkConfiguration")),
        load_balancers=check_load_balancers(
            parameters.get("loadBalancers") or [], definition, plane.balancers
        ),
        service_registries=check_registries(
            parameters.get("serviceRegistries") or [], definition, plane.registries
        ),
        service_connect=check_service_connect(
            parameters.get("serviceConnectConfiguration"), definition, cluster
        ),
        enable_execute_command=bool(parameters.get("enableExecuteCommand")),
        propagate_tags=parameters.get("propagateTags") or "NONE",
        created_at=plane.clock.now(),
        platform_asked=parameters.get("platformVersion") or "LATEST",
    )


def next_revision(
    plane: ControlPlane, cluster: Cluster, service_name: str, current: Revision,
    parameters: dict[str, Any],
) -> Revision:  # fmt: skip
    """The revision that an update asks for; equal to `current` but for arn and created_at where
    nothing that is deployed changes."""
    definition = plane.store.definitions[current.definition_arn]
    if parameters.get("taskDefinition"):
        named = lookups.find_definition(plane.store, parameters["taskDefinition"])
        if named is None or named.arn != definition.arn:
            definition = lookups.fargate_definition(plane.store, parameters["taskDefinition"])
    changes: dict[str, Any] = {"definition_arn": definition.arn}
    if parameters.get("capacityProviderStrategy") is not None:
        # An empty one takes the service back to its launch type.
        asked = {"capacityProviderStrategy": parameters["capacityProviderStrategy"]}
        if not parameters["capacityProviderStrategy"]:
            asked = {"launchType": "FARGATE"}
        launch_type, strategy = choose_capacity(asked, cluster)
        changes |= {"launch_type": launch_type, "capacity_provider_strategy": strategy}
    if parameters.get("networkConfiguration"):
        changes["network_configuration"] = check_network(parameters["networkConfiguration"])
    if parameters.get("platformVersion"):
        changes["platform_version"] = check_platform(parameters["platformVersion"])
        changes["platform_asked"] = parameters["platformVersion"]
    entries = parameters.get("loadBalancers")
    if entries is not None or definition.arn != current.definition_arn:
        # A new task definition must still have the container and port that is balanced to.
        changes["load_balancers"] = check_load_balancers(
            list(current.load_balancers) if entries is None else entries,
            definition,
            plane.balancers,
        )
    if parameters.get("serviceRegistries") is not None:
        changes["service_registries"] = check_registries(
            parameters["serviceRegistries"], definition, plane.registries
        )
    connect = parameters.get("serviceConnectConfiguration") or current.service_connect
    changes["service_connect"] = check_service_connect(connect, definition, cluster)
    if parameters.get("enableExecuteCommand") is not None:
        changes["enable_execute_command"] = parameters["enableExecuteCommand"]
    if parameters.get("propagateTags"):
        changes["propagate_tags"] = parameters["propagateTags"]
    return replace(
        current,
        arn=plane.names.service_revision(cluster.name, service_name, arns.new_revision_key()),
        created_at=plane.clock.now(),
        **changes,
    )


def deploys_the_same(one: Revision, other: Revision) -> bool:
    return replace(one, arn=other.arn, created_at=other.created_at) == other
