"""From records to AWS's output shapes. Pure; members that AWS leaves out are left out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hikkoshi.region.ecs.alarms import names_of
from hikkoshi.region.ecs.decisions.blue_green import wanted_count
from hikkoshi.region.ecs.records import (
    Cluster,
    Definition,
    Deployment,
    Revision,
    ServiceDeployment,
    ServiceRecord,
    TaskRecord,
)
from hikkoshi.region.ecs.rollouts import last_good
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.ecs.traffic import ROLLING, is_managed, record_of


def when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def given(**members: Any) -> dict[str, Any]:
    """The members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def failure(arn: str, reason: str, detail: str | None = None) -> dict[str, Any]:
    return given(arn=arn, reason=reason, detail=detail)


def is_pending(task: TaskRecord) -> bool:
    return task.desired_status == "RUNNING" and task.last_status not in ("RUNNING", "STOPPED")


def is_counted_running(task: TaskRecord) -> bool:
    """AWS counts a task as running until it leaves RUNNING; a draining one is counted no more."""
    return task.last_status == "RUNNING" and task.desired_status == "RUNNING"


def cluster_shape(cluster: Cluster, store: Store, include: list[str]) -> dict[str, Any]:
    tasks = list(store.tasks_of(cluster.name))
    services = [s for s in store.services.values() if s.cluster_arn == cluster.arn]
    active = sum(service.status == "ACTIVE" for service in services)
    running, pending = sum(map(is_counted_running, tasks)), sum(map(is_pending, tasks))
    shape = given(
        clusterArn=cluster.arn,
        clusterName=cluster.name,
        status=cluster.status,
        registeredContainerInstancesCount=0,
        runningTasksCount=running,
        pendingTasksCount=pending,
        activeServicesCount=active,
        statistics=[],
        tags=[],
        settings=list(cluster.settings) if "SETTINGS" in include else [],
        capacityProviders=list(cluster.capacity_providers),
        defaultCapacityProviderStrategy=list(cluster.default_strategy),
        serviceConnectDefaults=cluster.service_connect_defaults,
    )
    if "CONFIGURATIONS" in include and cluster.configuration is not None:
        shape["configuration"] = cluster.configuration
    if "TAGS" in include:
        shape["tags"] = tag_list(store.tags.get(cluster.arn, {}))
    if "STATISTICS" in include:
        draining = sum(service.status == "DRAINING" for service in services)
        counts = {
            "runningFargateTasksCount": running,
            "pendingFargateTasksCount": pending,
            "activeFargateServiceCount": active,
            "drainingFargateServiceCount": draining,
        }
        for name in list(counts):
            counts[name.replace("Fargate", "EC2")] = 0
        shape["statistics"] = [{"name": k, "value": str(v)} for k, v in counts.items()]
    return shape


def definition_shape(definition: Definition) -> dict[str, Any]:
    return {
        **definition.document,
        **given(
            taskDefinitionArn=definition.arn,
            family=definition.family,
            revision=definition.revision,
            status=definition.status,
            registeredAt=when(definition.registered_at),
            deregisteredAt=_when(definition.deregistered_at),
            deleteRequestedAt=_when(definition.delete_requested_at),
        ),
    }


def service_shape(service: ServiceRecord, store: Store, include: list[str]) -> dict[str, Any]:
    tasks = store.service_tasks(service)
    primary = service.primary
    revision = store.revisions.get(primary.revision_arn) if primary else None
    shape = given(
        serviceArn=service.arn,
        serviceName=service.name,
        clusterArn=service.cluster_arn,
        status=service.status,
        desiredCount=service.desired_count,
        runningCount=sum(map(is_counted_running, tasks)),
        pendingCount=sum(map(is_pending, tasks)),
        deploymentConfiguration=service.deployment_configuration,
        deployments=[
            deployment_shape(deployment, service, store) for deployment in service.deployments
        ],
        events=[
            {"id": event.id, "createdAt": when(event.at), "message": event.message}
            for event in service.events
        ],
        createdAt=when(service.created_at),
        placementConstraints=[],
        placementStrategy=[],
        healthCheckGracePeriodSeconds=service.grace_s,
        schedulingStrategy=service.scheduling_strategy,
        deploymentController={"type": "ECS"},
        createdBy=service.created_by or None,
        enableECSManagedTags=service.enable_managed_tags,
        availabilityZoneRebalancing=service.zone_rebalancing,
    )
    if revision is not None:
        shape.update(_revision_members(revision))
        shape["platformVersion"] = revision.platform_asked
        shape["enableExecuteCommand"] = revision.enable_execute_command
        shape["propagateTags"] = revision.propagate_tags
        shape["loadBalancers"] = list(revision.load_balancers)
        shape["serviceRegistries"] = list(revision.service_registries)
    if primary is not None and primary.rollout == "IN_PROGRESS":
        shape["currentServiceDeployment"] = primary.service_deployment_arn
    shape["currentServiceRevisions"] = [
        _revision_summary(deployment, service, store) for deployment in service.deployments
    ]
    if "TAGS" in include:
        shape["tags"] = tag_list(store.tags.get(service.arn, {}))
    return shape


def _revision_members(revision: Revision) -> dict[str, Any]:
    return given(
        taskDefinition=revision.definition_arn,
        launchType=revision.launch_type,
        capacityProviderStrategy=list(revision.capacity_provider_strategy) or None,
        platformVersion=revision.platform_version,
        platformFamily="Linux",
        networkConfiguration=revision.network_configuration,
    )


def _counts(deployment: Deployment, service: ServiceRecord, store: Store) -> tuple[int, int]:
    tasks = [t for t in store.service_tasks(service) if t.deployment_id == deployment.id]
    return sum(map(is_counted_running, tasks)), sum(map(is_pending, tasks))


def _revision_summary(
    deployment: Deployment, service: ServiceRecord, store: Store
) -> dict[str, Any]:
    running, pending = _counts(deployment, service, store)
    return given(
        arn=deployment.revision_arn,
        requestedTaskCount=_wanted(deployment, service, store),
        runningTaskCount=running,
        pendingTaskCount=pending,
    )


def _wanted(deployment: Deployment, service: ServiceRecord, store: Store) -> int:
    is_primary = deployment.status == "PRIMARY"
    primary, record = service.primary, record_of(service, store)
    is_over = primary is None or primary.rollout == "COMPLETED"
    if is_over or record is None or record.strategy == ROLLING:
        return service.desired_count if is_primary else 0
    return wanted_count(
        service.desired_count,
        record.stage,
        is_primary=is_primary,
        is_blue=deployment is last_good(service, primary),
        is_rollback=record.rollback_started_at is not None,
    )


def deployment_shape(
    deployment: Deployment, service: ServiceRecord, store: Store
) -> dict[str, Any]:
    revision = store.revisions[deployment.revision_arn]
    running, pending = _counts(deployment, service, store)
    return {
        "id": deployment.id,
        "status": deployment.status,
        "desiredCount": _wanted(deployment, service, store),
        "runningCount": running,
        "pendingCount": pending,
        "failedTasks": deployment.failed_tasks,
        "createdAt": when(deployment.created_at),
        "updatedAt": when(deployment.updated_at),
        "rolloutState": deployment.rollout,
        "rolloutStateReason": deployment.rollout_reason,
        **_revision_members(revision),
        **given(serviceConnectConfiguration=revision.service_connect),
    }


def service_deployment_shape(
    record: ServiceDeployment, service: ServiceRecord, store: Store
) -> dict[str, Any]:
    shape = given(
        serviceDeploymentArn=record.arn,
        serviceArn=service.arn,
        clusterArn=service.cluster_arn,
        createdAt=when(record.created_at),
        startedAt=when(record.created_at),
        finishedAt=_when(record.finished_at),
        stoppedAt=_when(record.stopped_at),
        updatedAt=when(record.updated_at),
        sourceServiceRevisions=[
            _summary_of(arn, service, store) for arn in record.source_revision_arns
        ],
        targetServiceRevision=_summary_of(record.target_revision_arn, service, store),
        status=record.status,
        statusReason=record.status_reason,
        lifecycleStage=record.stage,
        deploymentConfiguration=record.configuration,
        deploymentCircuitBreaker={
            "status": record.breaker_status,
            "failureCount": record.failure_count,
            "threshold": record.threshold,
        },
        alarms={
            "status": record.alarms_status,
            "alarmNames": list(names_of(record.configuration)),
            "triggeredAlarmNames": list(record.triggered_alarms),
        },
    )
    if record.rollback_started_at is not None:
        shape["rollback"] = given(
            reason=record.rollback_reason,
            startedAt=when(record.rollback_started_at),
            serviceRevisionArn=record.rollback_revision_arn,
        )
    return shape


def _summary_of(revision_arn: str, service: ServiceRecord, store: Store) -> dict[str, Any]:
    found = next((d for d in service.deployments if d.revision_arn == revision_arn), None)
    if found is None:
        return {"arn": revision_arn}
    weights = given(
        requestedTestTrafficWeight=found.test_weight,
        requestedProductionTrafficWeight=found.production_weight,
    )
    return _revision_summary(found, service, store) | weights


def service_deployment_brief(record: ServiceDeployment, service: ServiceRecord) -> dict[str, Any]:
    return given(
        serviceDeploymentArn=record.arn,
        serviceArn=service.arn,
        clusterArn=service.cluster_arn,
        startedAt=when(record.created_at),
        createdAt=when(record.created_at),
        finishedAt=_when(record.finished_at),
        targetServiceRevisionArn=record.target_revision_arn,
        status=record.status,
        statusReason=record.status_reason,
    )


def revision_shape(revision: Revision, service: ServiceRecord, store: Store) -> dict[str, Any]:
    definition = store.definitions[revision.definition_arn]
    return given(
        serviceRevisionArn=revision.arn,
        serviceArn=service.arn,
        clusterArn=service.cluster_arn,
        loadBalancers=list(revision.load_balancers),
        serviceRegistries=list(revision.service_registries),
        serviceConnectConfiguration=revision.service_connect,
        containerImages=[
            {"containerName": container["name"], "image": container["image"]}
            for container in definition.document["containerDefinitions"]
        ],
        guardDutyEnabled=False,
        resolvedConfiguration=_resolved(revision),
        createdAt=when(revision.created_at),
        **_revision_members(revision),
    )


def _resolved(revision: Revision) -> dict[str, Any] | None:
    """Which of the two target groups a revision has, where a load balancer has two."""
    if not is_managed(revision):
        return None
    return {
        "loadBalancers": [
            given(
                targetGroupArn=revision.group_of(entry),
                productionListenerRule=entry["advancedConfiguration"]["productionListenerRule"],
            )
            for entry in revision.load_balancers
            if entry.get("advancedConfiguration")
        ]
    }


def _when(seconds: float | None) -> datetime | None:
    return None if seconds is None else when(seconds)
