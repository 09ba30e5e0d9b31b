"""Starting one task: its record, the order to the runtime, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hikkoshi.base.clock import Clock
from hikkoshi.region.ecs import arns
from hikkoshi.region.ecs.overrides import apply_overrides
from hikkoshi.region.ecs.records import Cluster, Definition, Target, TaskRecord
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.ports import TaskOrder, TaskRuntime, TaskState

LATEST_PLATFORM = "1.4.0"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a task is to be, whoever asks for it (RunTask or the scheduler)."""

    cluster: Cluster
    definition: Definition
    group: str
    started_by: str | None = None
    service_name: str | None = None
    deployment_id: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    launch_type: str | None = "FARGATE"
    capacity_provider: str | None = None
    platform_version: str = LATEST_PLATFORM
    network_configuration: dict[str, Any] | None = None
    load_balancers: tuple[dict[str, Any], ...] = ()
    enable_execute_command: bool = False
    tags: tuple[tuple[str, str], ...] = ()


class Launcher:
    """Starts tasks and keeps their records in step with what the runtime publishes."""

    def __init__(
        self, *, store: Store, runtime: TaskRuntime, clock: Clock, names: arns.Arns,
        wake: Callable[[], None],
    ) -> None:  # fmt: skip
        self._store = store
        self._runtime = runtime
        self._clock = clock
        self._names = names
        self._wake = wake
        self._launched = 0

    def launch(self, wish: Wish) -> TaskRecord:
        task_id = arns.new_task_id()
        document = apply_overrides(wish.definition.document, wish.overrides)
        zone, subnet = self._place(wish.network_configuration)
        task = TaskRecord(
            arn=self._names.task(wish.cluster.name, task_id),
            id=task_id,
            cluster_arn=wish.cluster.arn,
            cluster_name=wish.cluster.name,
            definition_arn=wish.definition.arn,
            group=wish.group,
            created_at=self._clock.now(),
            cpu=document["cpu"],
            memory=document["memory"],
            launch_type=wish.launch_type,
            capacity_provider=wish.capacity_provider,
            platform_version=wish.platform_version,
            zone=zone,
            subnet=subnet,
            attachment_id=arns.new_uuid(),
            service_name=wish.service_name,
            deployment_id=wish.deployment_id,
            started_by=wish.started_by,
            overrides=wish.overrides,
            enable_execute_command=wish.enable_execute_command,
            targets=_targets(wish.load_balancers),
            has_health_check=_has_health_check(document),
        )
        self._store.put_task(task)
        self._store.put_tags(task.arn, dict(wish.tags))
        self._runtime.start(self._order(task, document, wish), self._publisher(task.arn))
        return self._store.tasks[task.arn]

    def _order(self, task: TaskRecord, document: dict[str, Any], wish: Wish) -> TaskOrder:
        return TaskOrder(
            task_arn=task.arn,
            task_id=task.id,
            cluster_arn=task.cluster_arn,
            cluster_name=task.cluster_name,
            definition={
                **document,
                "taskDefinitionArn": wish.definition.arn,
                "family": wish.definition.family,
                "revision": wish.definition.revision,
            },
            group=task.group,
            deployment=task.deployment_id,
            availability_zone=task.zone,
            region=self._names.region,
            account_id=self._names.account_id,
            platform_version=task.platform_version,
            enable_execute_command=task.enable_execute_command,
            tags=wish.tags,
        )

    def _publisher(self, task_arn: str) -> Callable[[TaskState], None]:
        def publish(state: TaskState) -> None:
            task = self._store.tasks.get(task_arn)
            if task is None or task.is_stopped:
                return
            changes: dict[str, Any] = {"state": state}
            if state.last_status == "STOPPED":
                changes["stopped_at"] = self._clock.now()
            self._store.change_task(task_arn, **changes)
            self._wake()

        return publish

    def _place(self, network: dict[str, Any] | None) -> tuple[str, str | None]:
        """Zone and subnet, in turn over the subnets that were given. Which zone a subnet is in is
        known to EC2's stand-in only, so zones are told apart by the subnet's place in the list."""
        subnets = ((network or {}).get("awsvpcConfiguration") or {}).get("subnets") or []
        turn, self._launched = self._launched, self._launched + 1
        letters = "acd" if self._names.region == "ap-northeast-1" else "abc"
        place = turn % len(subnets) if subnets else 0
        zone = f"{self._names.region}{letters[place % len(letters)]}"
        return zone, subnets[place] if subnets else None


def _targets(load_balancers: tuple[dict[str, Any], ...]) -> tuple[Target, ...]:
    return tuple(
        Target(entry["targetGroupArn"], entry["containerName"], entry["containerPort"])
        for entry in load_balancers
        if entry.get("targetGroupArn")
    )


def _has_health_check(document: dict[str, Any]) -> bool:
    """C8: only essential containers count."""
    return any(
        container.get("healthCheck") and container.get("essential", True)
        for container in document["containerDefinitions"]
    )
