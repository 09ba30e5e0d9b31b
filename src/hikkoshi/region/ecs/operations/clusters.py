"""Clusters, capacity providers and container instances (of which Fargate has none)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hikkoshi.region.ecs import errors, lookups, shapes
from hikkoshi.region.ecs.arns import last_part
from hikkoshi.region.ecs.operations.tags import check_tags
from hikkoshi.region.ecs.pages import page, paged
from hikkoshi.region.ecs.plane import ControlPlane
from hikkoshi.region.ecs.providers import PROVIDERS, check_providers
from hikkoshi.region.ecs.records import Cluster
from hikkoshi.region.front.port import AwsError, Caller, Operation

_NAME = re.compile(r"^[A-Za-z0-9_-]{1,255}$")
INSIGHTS = ("enabled", "disabled", "enhanced")
_DEFAULT_SETTINGS = ({"name": "containerInsights", "value": "disabled"},)


class ClusterOperations:
    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._store = plane.store

    def table(self) -> Mapping[str, Operation]:
        return {
            "CreateCluster": self.create,
            "DescribeClusters": self.describe,
            "ListClusters": self.list_clusters,
            "UpdateCluster": self.update,
            "UpdateClusterSettings": self.update_settings,
            "DeleteCluster": self.delete,
            "PutClusterCapacityProviders": self.put_capacity_providers,
            "DescribeCapacityProviders": self.describe_capacity_providers,
            "ListContainerInstances": self.list_container_instances,
        }

    async def create(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """An ACTIVE cluster of that name is answered as it is, as AWS does."""
        name = parameters.get("clusterName") or "default"
        if not _NAME.match(name):
            raise errors.invalid_parameter("Invalid cluster name.")
        existing = self._store.clusters.get(name)
        if existing is None or existing.status != "ACTIVE":
            providers = tuple(parameters.get("capacityProviders") or ())
            strategy = tuple(parameters.get("defaultCapacityProviderStrategy") or ())
            check_providers(providers, strategy)
            tags = check_tags(parameters.get("tags") or [])
            existing = self._store.put_cluster(
                Cluster(
                    arn=self._plane.names.cluster(name),
                    name=name,
                    settings=_merged(_DEFAULT_SETTINGS, parameters.get("settings") or []),
                    configuration=parameters.get("configuration"),
                    capacity_providers=providers,
                    default_strategy=strategy,
                    service_connect_defaults=parameters.get("serviceConnectDefaults"),
                )
            )
            self._store.put_tags(existing.arn, tags)
        return self._answer(existing, ["SETTINGS", "CONFIGURATIONS", "TAGS"])

    async def describe(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        include = parameters.get("include") or []
        found, failures = [], []
        for identifier in parameters.get("clusters") or ["default"]:
            cluster = lookups.find_cluster(self._store, identifier)
            if cluster is None:
                is_arn = identifier.startswith("arn:")
                arn = identifier if is_arn else self._plane.names.cluster(identifier)
                failures.append(shapes.failure(arn, "MISSING"))
            else:
                found.append(shapes.cluster_shape(cluster, self._store, include))
        return {"clusters": found, "failures": failures}

    async def list_clusters(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        arns = [c.arn for c in self._store.clusters.values() if c.status == "ACTIVE"]
        items, token = page(arns, parameters)
        return paged("clusterArns", items, token)

    async def update(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = lookups.active_cluster(self._store, parameters["cluster"])
        changed = replace(
            cluster,
            settings=_merged(cluster.settings, parameters.get("settings") or []),
            configuration=parameters.get("configuration", cluster.configuration),
            service_connect_defaults=parameters.get(
                "serviceConnectDefaults", cluster.service_connect_defaults
            ),
        )
        return self._answer(self._store.put_cluster(changed), ["SETTINGS", "CONFIGURATIONS"])

    async def update_settings(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        return await self.update(
            {"cluster": parameters["cluster"], "settings": parameters["settings"]}, caller
        )

    async def delete(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = lookups.active_cluster(self._store, parameters["cluster"])
        services = (s for s in self._store.services.values() if s.cluster_arn == cluster.arn)
        if any(service.status != "INACTIVE" for service in services):
            raise AwsError(
                "ClusterContainsServicesException",
                "The Cluster cannot be deleted while Services are active.",
            )
        if any(not task.is_stopped for task in self._store.tasks_of(cluster.name)):
            raise AwsError(
                "ClusterContainsTasksException",
                "The Cluster cannot be deleted while Tasks are active.",
            )
        return self._answer(self._store.put_cluster(replace(cluster, status="INACTIVE")), [])

    async def put_capacity_providers(
        self, parameters: dict[str, Any], caller: Caller
    ) -> dict[str, Any]:
        cluster = lookups.active_cluster(self._store, parameters["cluster"])
        providers = tuple(parameters["capacityProviders"])
        strategy = tuple(parameters["defaultCapacityProviderStrategy"])
        check_providers(providers, strategy)
        changed = replace(cluster, capacity_providers=providers, default_strategy=strategy)
        return self._answer(self._store.put_cluster(changed), ["SETTINGS"])

    async def describe_capacity_providers(
        self, parameters: dict[str, Any], caller: Caller
    ) -> dict[str, Any]:
        wanted = [last_part(name) for name in parameters.get("capacityProviders") or PROVIDERS]
        names = self._plane.names
        known = [name for name in wanted if name in PROVIDERS]
        items, token = page(known, parameters, usual=10, most=10)
        answer = paged("capacityProviders", [self._provider(name) for name in items], token)
        answer["failures"] = [
            shapes.failure(names.capacity_provider(name), "MISSING")
            for name in wanted
            if name not in PROVIDERS
        ]
        return answer

    async def list_container_instances(
        self, parameters: dict[str, Any], caller: Caller
    ) -> dict[str, Any]:
        lookups.active_cluster(self._store, parameters.get("cluster"))
        return {"containerInstanceArns": []}

    def _provider(self, name: str) -> dict[str, Any]:
        return {
            "capacityProviderArn": self._plane.names.capacity_provider(name),
            "name": name,
            "status": "ACTIVE",
            "type": name,
            "tags": [],
        }

    def _answer(self, cluster: Cluster, include: list[str]) -> dict[str, Any]:
        return {"cluster": shapes.cluster_shape(cluster, self._store, include)}


def _merged(
    old: tuple[dict[str, Any], ...], new: list[dict[str, Any]]
) -> tuple[dict[str, Any], ...]:
    if not all(setting.get("name") for setting in new):
        raise errors.invalid_parameter("A cluster setting must have a name.")
    for setting in new:
        if setting.get("value") not in INSIGHTS:
            raise errors.invalid_parameter(
                f"The cluster setting {setting['name']} is one of [{','.join(INSIGHTS)}]."
            )
    by_name = {setting["name"]: setting for setting in (*old, *new)}
    return tuple(by_name.values())
