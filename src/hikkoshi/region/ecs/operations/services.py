"""Services: create, update, delete, describe, list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from hikkoshi.region.ecs import errors, lookups, shapes, tokens
from hikkoshi.region.ecs.alarms import check_alarms
from hikkoshi.region.ecs.operations import service_settings as settings
from hikkoshi.region.ecs.operations.strategy import check_shiftable
from hikkoshi.region.ecs.operations.tags import check_tags
from hikkoshi.region.ecs.pages import page, paged
from hikkoshi.region.ecs.plane import ControlPlane
from hikkoshi.region.ecs.records import ServiceRecord
from hikkoshi.region.ecs.rollouts import begin_deployment
from hikkoshi.region.front.port import Caller, Operation

_NAME = re.compile(r"^[A-Za-z0-9_-]{1,255}$")


class ServiceOperations:
    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._store = plane.store

    def table(self) -> Mapping[str, Operation]:
        return {
            "CreateService": self.create,
            "UpdateService": self.update,
            "DeleteService": self.delete,
            "DescribeServices": self.describe,
            "ListServices": self.list_services,
        }

    async def create(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        known = tokens.remembered(self._store, "CreateService", parameters)
        if known is not None and known[0] in self._store.services:
            return self._answer(self._store.services[known[0]])
        cluster = lookups.active_cluster(self._store, parameters.get("cluster"))
        name = parameters["serviceName"]
        if not _NAME.match(name):
            raise errors.invalid_parameter("Invalid service name.")
        arn = self._plane.names.service(cluster.name, name)
        self._refuse_existing(arn)
        settings.refuse_what_is_not_here(parameters)
        if parameters.get("desiredCount") is None:
            raise errors.invalid_parameter("The desired count must be specified.")
        tags = check_tags(parameters.get("tags") or [])
        configuration = settings.deployment_configuration(
            parameters.get("deploymentConfiguration"), None
        )
        alarms_status = await check_alarms(configuration, self._plane.alarms)
        self._refuse_existing(arn)
        desired = settings.check_desired_count(parameters["desiredCount"])
        revision = settings.make_revision(self._plane, cluster, name, parameters)
        check_shiftable(configuration, revision)
        grace_s = settings.check_grace(
            parameters.get("healthCheckGracePeriodSeconds"), revision.load_balancers
        )
        now = self._plane.clock.now()
        service = ServiceRecord(
            arn=arn,
            name=name,
            cluster_arn=cluster.arn,
            cluster_name=cluster.name,
            created_at=now,
            desired_count=desired,
            deployment_configuration=configuration,
            deployments=(),
            grace_s=grace_s,
            enable_managed_tags=bool(parameters.get("enableECSManagedTags")),
            zone_rebalancing=parameters.get("availabilityZoneRebalancing") or "DISABLED",
            created_by=f"arn:aws:iam::{self._plane.names.account_id}:root",
        )
        self._store.forget_service(arn)
        begin_deployment(self._store, self._plane.names, now, service, revision, alarms_status)
        self._store.put_tags(arn, tags)
        tokens.remember(self._store, "CreateService", parameters, (arn,))
        self._plane.wake()
        return self._answer(self._store.services[arn])

    def _refuse_existing(self, arn: str) -> None:
        existing = self._store.services.get(arn)
        if existing is not None and existing.status == "ACTIVE":
            raise errors.invalid_parameter("Creation of service was not idempotent.")
        if existing is not None and existing.status == "DRAINING":
            raise errors.invalid_parameter("Unable to Start a service that is still Draining.")

    async def update(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = lookups.active_cluster(self._store, parameters.get("cluster"))
        service = lookups.active_service(
            self._store, self._plane.names, cluster, parameters["service"]
        )
        settings.refuse_what_is_not_here(parameters)
        alarms_status = await check_alarms(
            settings.deployment_configuration(
                parameters.get("deploymentConfiguration"), service.deployment_configuration
            ),
            self._plane.alarms,
        )
        # Another caller may have changed it while CloudWatch was asked.
        service = lookups.active_service(
            self._store, self._plane.names, cluster, parameters["service"]
        )
        primary = service.primary
        assert primary is not None, "an ACTIVE service has a primary deployment"
        current = self._store.revisions[primary.revision_arn]
        revision = settings.next_revision(self._plane, cluster, service.name, current, parameters)
        changed = self._with_settings(service, parameters, revision.load_balancers)
        check_shiftable(changed.deployment_configuration, revision)
        now = self._plane.clock.now()
        is_same = settings.deploys_the_same(revision, current)
        if is_same and not parameters.get("forceNewDeployment"):
            self._store.put_service(changed)
        else:
            begin_deployment(self._store, self._plane.names, now, changed, revision, alarms_status)
        self._plane.wake()
        return self._answer(self._store.services[service.arn])

    def _with_settings(
        self,
        service: ServiceRecord,
        parameters: dict[str, Any],
        load_balancers: tuple[dict[str, Any], ...],
    ) -> ServiceRecord:
        """The service with everything that needs no deployment."""
        changes: dict[str, Any] = {
            "deployment_configuration": settings.deployment_configuration(
                parameters.get("deploymentConfiguration"), service.deployment_configuration
            )
        }
        if parameters.get("desiredCount") is not None:
            changes["desired_count"] = settings.check_desired_count(parameters["desiredCount"])
            if changes["desired_count"] != service.desired_count:
                changes["is_steady"] = False
        if parameters.get("healthCheckGracePeriodSeconds") is not None:
            changes["grace_s"] = settings.check_grace(
                parameters["healthCheckGracePeriodSeconds"], load_balancers
            )
        if parameters.get("enableECSManagedTags") is not None:
            changes["enable_managed_tags"] = parameters["enableECSManagedTags"]
        if parameters.get("availabilityZoneRebalancing"):
            changes["zone_rebalancing"] = parameters["availabilityZoneRebalancing"]
        return structs.replace(service, **changes)

    async def delete(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = lookups.active_cluster(self._store, parameters.get("cluster"))
        service = lookups.active_service(
            self._store, self._plane.names, cluster, parameters["service"]
        )
        if service.desired_count > 0 and not parameters.get("force"):
            raise errors.invalid_parameter(
                "The service cannot be stopped while it is scaled above 0."
            )
        changed = self._store.change_service(service.arn, status="DRAINING", desired_count=0)
        self._plane.wake()
        return self._answer(changed)

    async def describe(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = lookups.active_cluster(self._store, parameters.get("cluster"))
        identifiers = parameters["services"]
        if not identifiers:
            raise errors.invalid_parameter("Services cannot be empty.")
        if len(identifiers) > 10:
            raise errors.invalid_parameter("At most 10 services can be described at once.")
        include = parameters.get("include") or []
        found, failures = [], []
        for identifier in dict.fromkeys(identifiers):
            service = lookups.find_service(self._store, self._plane.names, cluster, identifier)
            if service is None:
                name = identifier.rsplit("/", 1)[-1]
                arn = self._plane.names.service(cluster.name, name)
                failures.append(shapes.failure(arn, "MISSING"))
            else:
                found.append(shapes.service_shape(service, self._store, include))
        return {"services": found, "failures": failures}

    async def list_services(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = lookups.active_cluster(self._store, parameters.get("cluster"))
        launch_type = parameters.get("launchType")
        strategy = parameters.get("schedulingStrategy")
        manager = parameters.get("resourceManagementType")
        found = [
            service.arn
            for service in self._store.services.values()
            if service.cluster_arn == cluster.arn
            and service.status != "INACTIVE"
            and strategy in (None, service.scheduling_strategy)
            # ECS manages none by itself (Express Mode would be such).
            and manager in (None, "CUSTOMER")
            and (launch_type is None or self._launch_type(service) == launch_type)
        ]
        items, token = page(found, parameters, usual=10)
        return paged("serviceArns", items, token)

    def _launch_type(self, service: ServiceRecord) -> str | None:
        primary = service.primary
        revision = self._store.revisions.get(primary.revision_arn) if primary else None
        return revision.launch_type if revision else None

    def _answer(self, service: ServiceRecord) -> dict[str, Any]:
        return {"service": shapes.service_shape(service, self._store, ["TAGS"])}
