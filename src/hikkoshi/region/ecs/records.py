"""What the control plane remembers. Records are frozen; the store replaces them.

Documents that belong to AWS (task definitions, network configuration) stay in AWS's shape and are
never changed once they are in a record. Times are seconds since the epoch.

Services and tasks, and what is in them, which are replaced at every turn of thousands of tasks, are
structs of msgspec: made and copied (msgspec.structs.replace) in a tenth of the time of a frozen
dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from hikkoshi.region.ports import TaskState

Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Cluster:
    arn: str
    name: str
    status: str = "ACTIVE"
    settings: tuple[dict[str, Any], ...] = ()
    configuration: dict[str, Any] | None = None
    capacity_providers: tuple[str, ...] = ()
    default_strategy: tuple[dict[str, Any], ...] = ()
    service_connect_defaults: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """document is the `taskDefinition` of DescribeTaskDefinition, without status and times."""

    arn: str
    family: str
    revision: int
    document: dict[str, Any]
    registered_at: float
    status: str = "ACTIVE"
    deregistered_at: float | None = None
    delete_requested_at: float | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """A service revision: everything of a service that a deployment deploys."""

    arn: str
    definition_arn: str
    launch_type: str | None
    capacity_provider_strategy: tuple[dict[str, Any], ...]
    platform_version: str
    network_configuration: dict[str, Any] | None
    load_balancers: tuple[dict[str, Any], ...]
    service_registries: tuple[dict[str, Any], ...]
    enable_execute_command: bool
    propagate_tags: str
    created_at: float
    platform_asked: str = "LATEST"
    """What the service shows; its deployments and tasks show what that meant."""
    service_connect: dict[str, Any] | None = None
    is_alternate: bool = False
    """Its tasks are in the alternate target groups (blue/green)."""

    @property
    def resolved_load_balancers(self) -> tuple[dict[str, Any], ...]:
        """load_balancers with the target groups that this revision's own tasks are in."""
        return tuple(
            {**each, "targetGroupArn": self.group_of(each)} for each in self.load_balancers
        )

    def group_of(self, entry: dict[str, Any]) -> str | None:
        advanced = entry.get("advancedConfiguration")
        if self.is_alternate and advanced:
            return str(advanced["alternateTargetGroupArn"])
        return entry.get("targetGroupArn")


class Deployment(msgspec.Struct, frozen=True):
    """One entry of a service's `deployments`. failed_tasks is AWS's count, failures the circuit
    breaker's, start_failures the back-off's. production_weight, test_weight: the percentage of the
    traffic that ECS last gave it, where ECS shifts traffic."""

    id: str
    revision_arn: str
    service_deployment_arn: str
    created_at: float
    updated_at: float
    status: str = "PRIMARY"
    rollout: str = "IN_PROGRESS"
    rollout_reason: str = ""
    has_completed: bool = False
    is_rollback: bool = False
    failed_tasks: int = 0
    failures: int = 0
    start_failures: int = 0
    last_failure_at: float | None = None
    production_weight: float | None = None
    test_weight: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceDeployment:
    """One entry of ListServiceDeployments: an update and what became of it.

    stage: the lifecycle stage that it is in since stage_at, None for a rolling one; shifted_at:
    when production traffic was last shifted; alarms_status, triggered_alarms: as in `alarms`."""

    arn: str
    target_revision_arn: str
    source_revision_arns: tuple[str, ...]
    configuration: dict[str, Any]
    created_at: float
    updated_at: float
    status: str = "IN_PROGRESS"
    status_reason: str | None = None
    finished_at: float | None = None
    stopped_at: float | None = None
    rollback_reason: str | None = None
    rollback_started_at: float | None = None
    rollback_revision_arn: str | None = None
    failure_count: int = 0
    threshold: int = 0
    breaker_status: str = "DISABLED"
    stage: str | None = None
    stage_at: float = 0.0
    shifted_at: float | None = None
    alarms_status: str = "DISABLED"
    triggered_alarms: tuple[str, ...] = ()
    bakes_since: float | None = None
    """Of a rolling one with alarms: since when it is through but for its bake time."""

    @property
    def strategy(self) -> str:
        return str(self.configuration.get("strategy", "ROLLING"))


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    at: float
    message: str


class ServiceRecord(msgspec.Struct, frozen=True):
    """deployments: the newest first. deployment_configuration is complete, with defaults."""

    arn: str
    name: str
    cluster_arn: str
    cluster_name: str
    created_at: float
    desired_count: int
    deployment_configuration: dict[str, Any]
    deployments: tuple[Deployment, ...]
    grace_s: int = 0
    status: str = "ACTIVE"
    scheduling_strategy: str = "REPLICA"
    enable_managed_tags: bool = False
    zone_rebalancing: str = "DISABLED"
    created_by: str = ""
    is_steady: bool = False
    is_impaired: bool = False
    events: tuple[Event, ...] = ()
    inactive_at: float | None = None

    @property
    def primary(self) -> Deployment | None:
        return next((d for d in self.deployments if d.status == "PRIMARY"), None)

    def deployment(self, deployment_id: str) -> Deployment | None:
        return next((d for d in self.deployments if d.id == deployment_id), None)


class Target(msgspec.Struct, frozen=True):
    """A place in a target group that a task's container port is to take, or has taken."""

    target_group_arn: str
    container: str
    port: int
    address: str | None = None
    is_deregistered: bool = False
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class StopRequest:
    code: str
    reason: str
    at: float


class TaskRecord(msgspec.Struct, frozen=True):
    """state is the runtime's newest snapshot. stop_request: an end that the scheduler or a caller
    asked for; is_handed_over: the runtime was told."""

    arn: str
    id: str
    cluster_arn: str
    cluster_name: str
    definition_arn: str
    group: str
    created_at: float
    cpu: str
    memory: str
    launch_type: str | None
    capacity_provider: str | None
    platform_version: str
    zone: str
    subnet: str | None
    attachment_id: str
    service_name: str | None = None
    deployment_id: str | None = None
    started_by: str | None = None
    overrides: dict[str, Any] = {}
    enable_execute_command: bool = False
    state: TaskState | None = None
    version: int = 1
    targets: tuple[Target, ...] = ()
    has_health_check: bool = False
    stop_request: StopRequest | None = None
    is_handed_over: bool = False
    has_been_healthy: bool = False
    is_failure_counted: bool = False
    protected_until: float | None = None
    stopped_at: float | None = None

    @property
    def last_status(self) -> str:
        status = self.state.last_status if self.state else "PROVISIONING"
        if status == "RUNNING" and self.is_draining:
            return "DEACTIVATING"
        return status

    @property
    def desired_status(self) -> str:
        if self.stop_request is not None:
            return "STOPPED"
        return self.state.desired_status if self.state else "RUNNING"

    @property
    def is_stopped(self) -> bool:
        return self.state is not None and self.state.last_status == "STOPPED"

    @property
    def is_draining(self) -> bool:
        """Its targets are let go before the runtime is told (C20)."""
        is_asked = self.stop_request is not None and not self.is_handed_over
        return is_asked and any(target.address is not None for target in self.targets)
