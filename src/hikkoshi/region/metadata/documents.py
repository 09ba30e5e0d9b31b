"""The documents of the task metadata endpoint v4 on Fargate, and of its credentials: pure.

Shapes from AWS's guide (Amazon ECS task metadata endpoint version 4 for Fargate) and facts C13:
`Revision` is a string, `Limits.CPU` of a task a float in vCPU, of a container CPU units.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from hikkoshi.region.ports import ContainerFacts, TaskFacts, UsageSample

# Fargate's ephemeral storage without a setting; how much of it is used is not measured here.
_EPHEMERAL_STORAGE_GIB = 20
_CREDENTIALS_LAST = timedelta(hours=6)


def task_document(task: TaskFacts, now: datetime) -> dict[str, Any]:
    """`/v4/<id>/task`."""
    order, state = task.order, task.state()
    storage = order.definition.get("ephemeralStorage") or {}
    storage_gib = int(storage.get("sizeInGiB") or _EPHEMERAL_STORAGE_GIB)
    document: dict[str, Any] = {
        "Cluster": order.cluster_arn,
        "TaskARN": order.task_arn,
        "Family": order.definition.get("family", ""),
        "Revision": str(order.definition.get("revision", "1")),
        "DesiredStatus": state.desired_status,
        "KnownStatus": state.last_status,
        "Limits": _task_limits(order.definition),
        "AvailabilityZone": order.availability_zone,
        "LaunchType": "FARGATE",
        "Containers": [container_document(task, c) for c in task.containers()],
        "ClockDrift": {
            "ClockErrorBound": 0.0,
            "ReferenceTimestamp": timestamp(now),
            "ClockSynchronizationStatus": "SYNCHRONIZED",
        },
        "EphemeralStorageMetrics": {"Utilized": 0, "Reserved": storage_gib * 1024},
        "FaultInjectionEnabled": order.definition.get("enableFaultInjection") is True,
    }
    if order.group.startswith("service:"):
        document["ServiceName"] = order.group.removeprefix("service:")
    for key, moment in (
        ("PullStartedAt", state.pull_started_at),
        ("PullStoppedAt", state.pull_stopped_at),
        ("ExecutionStoppedAt", state.execution_stopped_at),
    ):
        if moment is not None:
            document[key] = timestamp(moment)
    return document


def container_document(task: TaskFacts, container: ContainerFacts) -> dict[str, Any]:
    """`/v4/<id>`."""
    state = container.state
    limits: dict[str, Any] = {"CPU": container.cpu_units}
    if container.memory_mib is not None:
        limits["Memory"] = container.memory_mib
    document: dict[str, Any] = {
        "DockerId": state.runtime_id,
        "Name": state.name,
        "DockerName": state.name,
        "Image": state.image,
        "ImageID": state.image_digest or "",
        "Labels": dict(container.labels),
        "DesiredStatus": task.state().desired_status,
        "KnownStatus": state.last_status,
        "Limits": limits,
        "Type": "NORMAL",
        "Networks": [_network(task)],
        "ContainerARN": container.container_arn,
        "LogDriver": container.log_driver,
        "Snapshotter": "overlayfs",
    }
    if container.log_options:
        document["LogOptions"] = dict(container.log_options)
    if state.exit_code is not None:
        document["ExitCode"] = state.exit_code
    for key, moment in (
        ("CreatedAt", container.created_at),
        ("StartedAt", container.started_at),
        ("FinishedAt", container.finished_at),
    ):
        if moment is not None:
            document[key] = timestamp(moment)
    if state.health != "UNKNOWN":
        document["Health"] = {"status": state.health}
    return document


def stats_document(container: ContainerFacts) -> dict[str, Any] | None:
    """`/v4/<id>/stats`, in the shape of Docker's ContainerStats; None before the first sample.

    Only what is measured: no blkio, network or kernel/user split."""
    if not container.samples:
        return None
    newest = container.samples[-1]
    before = container.samples[0] if len(container.samples) > 1 else None
    memory: dict[str, Any] = {"usage": newest.usage.memory_bytes, "stats": {}}
    if container.memory_mib is not None:
        memory["limit"] = container.memory_mib * 1024 * 1024
    return {
        "read": _timestamp_of(newest),
        "preread": "0001-01-01T00:00:00Z" if before is None else _timestamp_of(before),
        "pids_stats": {"current": newest.usage.processes},
        "blkio_stats": {"io_service_bytes_recursive": None, "io_serviced_recursive": None},
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu_stats(newest),
        "precpu_stats": _cpu_stats(before),
        "memory_stats": memory,
        "name": container.state.name,
        "id": container.state.runtime_id,
    }


def task_stats_document(task: TaskFacts) -> dict[str, Any]:
    """`/v4/<id>/task/stats`: by container id; null for one that has no sample."""
    return {c.state.runtime_id: stats_document(c) for c in task.containers()}


def credentials_document(task: TaskFacts, now: datetime) -> dict[str, Any]:
    """`/v2/credentials/<id>`: well formed, the same for the task's life but for Expiration.

    They open nothing: the region accepts any credentials, AWS none of these."""
    seed = hashlib.sha256(f"{task.credentials_id}/{task.order.task_arn}".encode()).digest()
    letters = base64.b32encode(seed).decode().rstrip("=")
    secret = base64.b64encode(hashlib.sha512(seed).digest()).decode()
    return {
        "RoleArn": task.order.definition.get("taskRoleArn", ""),
        "AccessKeyId": "ASIA" + letters[:16],
        "SecretAccessKey": secret[:40],
        "Token": secret,
        "Expiration": (now + _CREDENTIALS_LAST).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def timestamp(moment: datetime) -> str:
    """Go's RFC 3339 with fractions, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _timestamp_of(sample: UsageSample) -> str:
    return timestamp(datetime.fromtimestamp(sample.t, UTC))


def _cpu_stats(sample: UsageSample | None) -> dict[str, Any]:
    total = 0 if sample is None else round(sample.usage.cpu_s * 1e9)
    return {"cpu_usage": {"total_usage": total}}


def _task_limits(definition: dict[str, Any]) -> dict[str, Any]:
    """Registered definitions have cpu in units and memory in MiB, as strings."""
    limits: dict[str, Any] = {}
    if str(definition.get("cpu", "")).isdecimal():
        limits["CPU"] = int(definition["cpu"]) / 1024
    if str(definition.get("memory", "")).isdecimal():
        limits["Memory"] = int(definition["memory"])
    return limits


def _network(task: TaskFacts) -> dict[str, Any]:
    address = task.address
    return {
        "NetworkMode": "awsvpc",
        "IPv4Addresses": [address],
        "AttachmentIndex": 0,
        "PrivateDNSName": (f"ip-{address.replace('.', '-')}.{task.order.region}.compute.internal"),
    }
