"""From a task's record to AWS's `Task` shape. Pure; members that AWS leaves out are left out."""

from __future__ import annotations

import uuid
from typing import Any

from hikkoshi.region.ecs.records import TaskRecord
from hikkoshi.region.ecs.shapes import given, tag_list, when
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.ports import ContainerState


def task_shape(task: TaskRecord, store: Store, include: list[str]) -> dict[str, Any]:
    state = task.state
    request = task.stop_request
    shape = given(
        taskArn=task.arn,
        clusterArn=task.cluster_arn,
        taskDefinitionArn=task.definition_arn,
        group=task.group,
        launchType=None if task.capacity_provider else task.launch_type,
        capacityProviderName=task.capacity_provider,
        platformVersion=task.platform_version,
        platformFamily="Linux",
        availabilityZone=task.zone,
        cpu=task.cpu,
        memory=task.memory,
        createdAt=when(task.created_at),
        startedBy=task.started_by,
        lastStatus=task.last_status,
        desiredStatus=task.desired_status,
        healthStatus=state.health if state else "UNKNOWN",
        enableExecuteCommand=task.enable_execute_command,
        overrides=_overrides(task, store),
        containers=_containers(task, store),
        attachments=[_attachment(task)],
        attributes=[{"name": "ecs.cpu-architecture", "value": _architecture(task, store)}],
        inferenceAccelerators=[],
        tags=tag_list(store.tags.get(task.arn, {})) if "TAGS" in include else [],
        version=task.version,
        ephemeralStorage={"sizeInGiB": _storage(task, store)},
        fargateEphemeralStorage={"sizeInGiB": _storage(task, store)},
        stopCode=request.code if request else None,
        stoppedReason=request.reason if request else None,
        stoppingAt=when(request.at) if request else None,
    )
    if state is not None:
        shape.update(_times(task))
    return shape


def _times(task: TaskRecord) -> dict[str, Any]:
    state = task.state
    assert state is not None
    return given(
        connectivity="CONNECTED" if state.connectivity_at else None,
        connectivityAt=state.connectivity_at,
        pullStartedAt=state.pull_started_at,
        pullStoppedAt=state.pull_stopped_at,
        startedAt=state.started_at,
        stoppingAt=state.stopping_at,
        executionStoppedAt=state.execution_stopped_at,
        stoppedAt=state.stopped_at,
        stopCode=state.stop_code,
        stoppedReason=state.stopped_reason,
    )


def _architecture(task: TaskRecord, store: Store) -> str:
    """What the task definition asks for, whatever this machine is."""
    definition = store.definitions.get(task.definition_arn)
    platform = (definition.document.get("runtimePlatform") if definition else None) or {}
    return "arm64" if platform.get("cpuArchitecture") == "ARM64" else "x86_64"


def _storage(task: TaskRecord, store: Store) -> int:
    definition = store.definitions.get(task.definition_arn)
    document = definition.document if definition else {}
    asked = task.overrides.get("ephemeralStorage") or document.get("ephemeralStorage") or {}
    return int(asked.get("sizeInGiB", 20))


def _overrides(task: TaskRecord, store: Store) -> dict[str, Any]:
    """AWS lists every container, also those without an override."""
    definition = store.definitions.get(task.definition_arn)
    names = [c["name"] for c in definition.document["containerDefinitions"]] if definition else []
    by_name = {
        override["name"]: override for override in task.overrides.get("containerOverrides") or []
    }
    return {
        "inferenceAcceleratorOverrides": [],
        **task.overrides,
        "containerOverrides": [by_name.get(name, {"name": name}) for name in names],
    }


def _containers(task: TaskRecord, store: Store) -> list[dict[str, Any]]:
    states = {state.name: state for state in (task.state.containers if task.state else ())}
    definition = store.definitions.get(task.definition_arn)
    documents = definition.document["containerDefinitions"] if definition else []
    return [_container(task, document, states.get(document["name"])) for document in documents]


def _container(
    task: TaskRecord, document: dict[str, Any], state: ContainerState | None
) -> dict[str, Any]:
    shape = given(
        containerArn=container_arn(task, document["name"]),
        taskArn=task.arn,
        name=document["name"],
        image=document["image"],
        lastStatus=state.last_status if state else "PENDING",
        healthStatus=state.health if state else "UNKNOWN",
        networkInterfaces=_interfaces(task),
        networkBindings=[],
        managedAgents=_managed_agents(task, state),
        cpu=str(document.get("cpu", 0)),
        memory=str(document["memory"]) if document.get("memory") else None,
        memoryReservation=_text(document.get("memoryReservation")),
    )
    if state is not None:
        shape.update(
            given(
                runtimeId=state.runtime_id or None,
                imageDigest=state.image_digest,
                exitCode=state.exit_code,
                reason=state.reason,
            )
        )
    return shape


def container_arn(task: TaskRecord, name: str) -> str:
    prefix = task.arn.replace(":task/", ":container/", 1)
    # The metadata endpoint tells the same one (task/specification.py).
    return f"{prefix}/{uuid.uuid5(uuid.NAMESPACE_URL, f'{task.arn}/{name}')}"


def _managed_agents(task: TaskRecord, state: ContainerState | None) -> list[dict[str, Any]] | None:
    """ECS Exec's agent lives as long as its container does."""
    if not task.enable_execute_command:
        return None
    status = state.last_status if state else "PENDING"
    agent: dict[str, Any] = {"name": "ExecuteCommandAgent", "lastStatus": status}
    if status == "RUNNING" and task.state is not None and task.state.started_at is not None:
        agent["lastStartedAt"] = task.state.started_at
    return [agent]


def _interfaces(task: TaskRecord) -> list[dict[str, Any]]:
    if task.state is None or task.state.address is None:
        return []
    return [{"attachmentId": task.attachment_id, "privateIpv4Address": task.state.address}]


def _attachment(task: TaskRecord) -> dict[str, Any]:
    address = task.state.address if task.state else None
    if task.is_stopped:
        status = "DELETED"
    else:
        status = "ATTACHED" if address else "PRECREATED"
    details = {"subnetId": task.subnet}
    if address:
        details["networkInterfaceId"] = f"eni-{uuid.UUID(task.attachment_id).hex[:17]}"
        details["privateDnsName"] = f"ip-{address.replace('.', '-')}.ec2.internal"
        details["privateIPv4Address"] = address
    return {
        "id": task.attachment_id,
        "type": "ElasticNetworkInterface",
        "status": status,
        "details": [{"name": name, "value": value} for name, value in details.items() if value],
    }


def _text(value: Any) -> str | None:
    return str(value) if value is not None else None
