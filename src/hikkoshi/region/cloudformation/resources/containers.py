"""AWS::ECS: clusters, task definitions, services; over the region's own ECS."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from hikkoshi.region.cloudformation.adapter import Adapter, ResourceFailed, is_gone


class Cluster(Adapter):
    TYPE = "AWS::ECS::Cluster"
    REPLACING = frozenset({"ClusterName"})

    def make(self, properties: dict[str, Any]) -> None:
        named = {"ClusterName": self.name, **properties}
        cluster = self.call("ecs", "CreateCluster", named)["cluster"]
        self.identity = cluster["clusterName"]
        self.attributes = {"Arn": cluster["clusterArn"]}

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        wanted = {
            key: properties[key]
            for key in ("ClusterSettings", "Configuration", "ServiceConnectDefaults")
            if key in properties
        }
        renamed = {"settings" if k == "ClusterSettings" else k: v for k, v in wanted.items()}
        self.call("ecs", "UpdateCluster", {"cluster": self.identity, **renamed})
        own = ("CapacityProviders", "DefaultCapacityProviderStrategy")
        if any(properties.get(key) != before.get(key) for key in own):
            providers = {key: properties.get(key, []) for key in own}
            self.call("ecs", "PutClusterCapacityProviders", {"cluster": self.identity, **providers})
        change_tags(self, self.attributes["Arn"], properties, before)

    def remove(self) -> None:
        _unless_gone(lambda: self.client("ecs").delete_cluster(cluster=self.identity))

    def call(self, service: str, operation: str, properties: dict[str, Any]) -> dict[str, Any]:
        renamed = {
            "settings" if key == "ClusterSettings" else key: value
            for key, value in properties.items()
        }
        return super().call(service, operation, renamed)


class ClusterCapacityProviderAssociations(Adapter):
    """What the CDK writes for a cluster with Fargate's capacity providers."""

    TYPE = "AWS::ECS::ClusterCapacityProviderAssociations"
    REPLACING = frozenset({"Cluster"})

    def make(self, properties: dict[str, Any]) -> None:
        self.call("ecs", "PutClusterCapacityProviders", properties)
        self.identity = str(properties["Cluster"]).rpartition("/")[2]
        self.attributes = {"Cluster": self.identity}

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        self.call("ecs", "PutClusterCapacityProviders", properties)

    def remove(self) -> None:
        if not self.attributes:
            return
        none: dict[str, list[Any]] = {
            "capacityProviders": [],
            "defaultCapacityProviderStrategy": [],
        }
        _unless_gone(
            lambda: self.client("ecs").put_cluster_capacity_providers(cluster=self.identity, **none)
        )


class TaskDefinition(Adapter):
    """Every change is a new revision; the old one is deregistered when the update is over."""

    TYPE = "AWS::ECS::TaskDefinition"
    REPLACING = frozenset(
        {
            "ContainerDefinitions", "Cpu", "EphemeralStorage", "ExecutionRoleArn", "Family",
            "IpcMode", "Memory", "NetworkMode", "PidMode", "PlacementConstraints",
            "ProxyConfiguration", "RequiresCompatibilities", "RuntimePlatform", "TaskRoleArn",
            "Volumes", "EnableFaultInjection", "Tags",
        }
    )  # fmt: skip

    def make(self, properties: dict[str, Any]) -> None:
        named = {"Family": self.name, **properties}
        proxy = named.get("ProxyConfiguration")
        if proxy and "ProxyConfigurationProperties" in proxy:
            renamed = {k: v for k, v in proxy.items() if k != "ProxyConfigurationProperties"}
            renamed["Properties"] = proxy["ProxyConfigurationProperties"]
            named["ProxyConfiguration"] = renamed
        definition = self.call("ecs", "RegisterTaskDefinition", named)["taskDefinition"]
        self.identity = definition["taskDefinitionArn"]
        self.attributes = {"TaskDefinitionArn": self.identity}

    def remove(self) -> None:
        if self.identity.startswith("arn:"):
            self.client("ecs").deregister_task_definition(taskDefinition=self.identity)


class Service(Adapter):
    """Stable when its deployment is completed; failed when the circuit breaker said so."""

    TYPE = "AWS::ECS::Service"
    REPLACING = frozenset(
        {"ServiceName", "Cluster", "LaunchType", "SchedulingStrategy", "DeploymentController"}
    )
    _ONLY_AT_CREATION = frozenset(
        {"LaunchType", "SchedulingStrategy", "Role", "ServiceName", "Tags"}
    )

    def make(self, properties: dict[str, Any]) -> None:
        # Without a count it is 1 at first, and later left alone (AWS::ECS::Service, DesiredCount).
        named = {"ServiceName": self.name, "DesiredCount": 1, **in_words_of_the_api(properties)}
        named.pop("ForceNewDeployment", None)
        service = self.call("ecs", "CreateService", named)["service"]
        self._know(service)
        self._settle(service)

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        given = in_words_of_the_api(properties)
        wanted = {k: v for k, v in given.items() if k not in self._ONLY_AT_CREATION}
        # The nonce says anew that a deployment is wanted; the same one says nothing.
        if properties.get("ForceNewDeployment") == before.get("ForceNewDeployment"):
            wanted.pop("ForceNewDeployment", None)
        change_tags(self, self.identity, properties, before)
        service = self.call("ecs", "UpdateService", {**wanted, "Service": self.attributes["Name"]})[
            "service"
        ]
        self._settle(service)

    def remove(self) -> None:
        if "Name" not in self.attributes:
            return
        cluster, name = self.attributes["Cluster"], self.attributes["Name"]
        _unless_gone(
            lambda: self.client("ecs").delete_service(cluster=cluster, service=name, force=True)
        )
        self.wait(lambda: self._describe()["status"] == "INACTIVE", f"the end of {name}", 600)

    def _know(self, service: dict[str, Any]) -> None:
        self.identity = service["serviceArn"]
        self.attributes = {
            "Name": service["serviceName"],
            "ServiceArn": service["serviceArn"],
            "Cluster": service["clusterArn"],
        }

    def _describe(self) -> dict[str, Any]:
        answer = self.client("ecs").describe_services(
            cluster=self.attributes["Cluster"], services=[self.identity]
        )
        if not answer["services"]:
            return {"status": "INACTIVE", "deployments": []}
        service: dict[str, Any] = answer["services"][0]
        return service

    def _settle(self, service: dict[str, Any]) -> None:
        """Wait for the deployment that is the newest now, and judge by its id: another one that
        completes is the breaker's way back."""
        wanted = next(d["id"] for d in service["deployments"] if d["status"] == "PRIMARY")

        def is_steady() -> bool:
            now = self._describe()
            mine = [d for d in now["deployments"] if d["id"] == wanted]
            if not mine or mine[0].get("rolloutState") == "FAILED":
                raise ResourceFailed(self._failure(mine, now))
            return len(now["deployments"]) == 1 and mine[0].get("rolloutState") == "COMPLETED"

        self.wait(is_steady, f"the service {self.attributes['Name']}")

    def _failure(self, deployment: list[dict[str, Any]], service: dict[str, Any]) -> str:
        reason = deployment[0].get("rolloutStateReason", "") if deployment else ""
        events = [event["message"] for event in service.get("events", [])[:3]]
        return (
            "Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'. "
            f"{reason} {' '.join(events)}"
        ).strip()


def in_words_of_the_api(properties: dict[str, Any]) -> dict[str, Any]:
    """The few properties of a service that CloudFormation names or shapes in another way."""
    given = dict(properties)
    if "PlacementStrategies" in given:
        given["PlacementStrategy"] = given.pop("PlacementStrategies")
    forced = given.get("ForceNewDeployment")
    if isinstance(forced, dict):
        given["ForceNewDeployment"] = forced.get("EnableForceNewDeployment", False)
    return given


def change_tags(
    resource: Adapter, arn: str, properties: dict[str, Any], before: dict[str, Any]
) -> None:
    """The resource's own tags as the template now has them."""
    new = {str(tag["Key"]): str(tag["Value"]) for tag in properties.get("Tags") or []}
    old = {str(tag["Key"]): str(tag["Value"]) for tag in before.get("Tags") or []}
    if gone := sorted(old.keys() - new.keys()):
        resource.client("ecs").untag_resource(resourceArn=arn, tagKeys=gone)
    if changed := [{"key": k, "value": v} for k, v in new.items() if old.get(k) != v]:
        resource.client("ecs").tag_resource(resourceArn=arn, tags=changed)


def _unless_gone(call: Any) -> None:
    try:
        call()
    except ClientError as error:
        if not is_gone(error):
            raise


ADAPTERS: tuple[type[Adapter], ...] = (
    Cluster, ClusterCapacityProviderAssociations, TaskDefinition, Service,
)  # fmt: skip
