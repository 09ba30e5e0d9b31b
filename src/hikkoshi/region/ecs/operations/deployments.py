"""Service deployments and service revisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from hikkoshi.region.ecs import lookups, shapes
from hikkoshi.region.ecs.errors import invalid_parameter
from hikkoshi.region.ecs.pages import page, paged
from hikkoshi.region.ecs.plane import ControlPlane
from hikkoshi.region.ecs.records import ServiceDeployment, ServiceRecord
from hikkoshi.region.ecs.rollouts import stop_on_request
from hikkoshi.region.front.port import AwsError, Caller, Operation


class DeploymentOperations:
    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._store = plane.store

    def table(self) -> Mapping[str, Operation]:
        return {
            "ListServiceDeployments": self.list_deployments,
            "DescribeServiceDeployments": self.describe,
            "DescribeServiceRevisions": self.describe_revisions,
            "StopServiceDeployment": self.stop,
        }

    async def list_deployments(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """The newest first."""
        cluster = lookups.active_cluster(self._store, parameters.get("cluster"))
        service = lookups.find_service(
            self._store, self._plane.names, cluster, parameters["service"]
        )
        if service is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        records = reversed(self._store.service_deployments.get(service.arn, {}).values())
        wanted = parameters.get("status") or []
        created = parameters.get("createdAt") or {}
        found = [
            shapes.service_deployment_brief(record, service)
            for record in records
            if (not wanted or record.status in wanted) and _is_between(record, created)
        ]
        items, token = page(found, parameters, usual=20)
        return paged("serviceDeployments", items, token)

    async def describe(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        wanted = parameters["serviceDeploymentArns"]
        if not 1 <= len(wanted) <= 20:
            raise invalid_parameter("Between 1 and 20 service deployments can be described.")
        by_arn = {record.arn: (record, service) for record, service in self._all()}
        found, failures = [], []
        for arn in dict.fromkeys(wanted):
            if arn in by_arn:
                record, service = by_arn[arn]
                found.append(shapes.service_deployment_shape(record, service, self._store))
            else:
                failures.append(shapes.failure(arn, "MISSING"))
        return {"serviceDeployments": found, "failures": failures}

    async def describe_revisions(
        self, parameters: dict[str, Any], caller: Caller
    ) -> dict[str, Any]:
        wanted = parameters["serviceRevisionArns"]
        if not 1 <= len(wanted) <= 20:
            raise invalid_parameter("Between 1 and 20 service revisions can be described.")
        services = {record.target_revision_arn: service for record, service in self._all()}
        found, failures = [], []
        for arn in dict.fromkeys(wanted):
            revision, owner = self._store.revisions.get(arn), services.get(arn)
            if revision is None or owner is None:
                failures.append(shapes.failure(arn, "MISSING"))
            else:
                found.append(shapes.revision_shape(revision, owner, self._store))
        return {"serviceRevisions": found, "failures": failures}

    async def stop(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Roll the running deployment back, as the circuit breaker would; or leave it (ABORT)."""
        aborts = parameters.get("stopType") == "ABORT"
        arn = parameters["serviceDeploymentArn"]
        match = next((pair for pair in self._all() if pair[0].arn == arn), None)
        if match is None:
            raise AwsError(
                "ServiceDeploymentNotFoundException", "The service deployment was not found."
            )
        record, service = match
        if record.status not in ("IN_PROGRESS", "PENDING"):
            raise AwsError(
                "ConflictException",
                f"The service deployment is {record.status} and cannot be stopped.",
            )
        stop_on_request(self._store, self._plane.clock.now(), service, record, aborts=aborts)
        self._plane.wake()
        return {"serviceDeploymentArn": arn}

    def _all(self) -> Iterator[tuple[ServiceDeployment, ServiceRecord]]:
        for service_arn, records in self._store.service_deployments.items():
            service = self._store.services.get(service_arn)
            if service is not None:
                for record in records.values():
                    yield record, service


def _is_between(record: ServiceDeployment, bounds: dict[str, Any]) -> bool:
    before, after = _seconds(bounds.get("before")), _seconds(bounds.get("after"))
    is_early = before is None or record.created_at < before
    return is_early and (after is None or record.created_at > after)


def _seconds(value: Any) -> float | None:
    """A timestamp as a front may hand it over: datetime, seconds, or ISO 8601."""
    if value is None or isinstance(value, (int, float)):
        return value
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment.timestamp()
