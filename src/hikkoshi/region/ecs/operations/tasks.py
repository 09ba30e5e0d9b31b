"""Tasks: run, stop, describe, list, protect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hikkoshi.fargate import limits
from hikkoshi.region.ecs import errors, lookups, shapes, tokens
from hikkoshi.region.ecs.launch import Wish
from hikkoshi.region.ecs.operations.placement import (
    check_network,
    check_platform,
    choose_capacity,
    refuse_placement,
)
from hikkoshi.region.ecs.operations.tags import check_tags
from hikkoshi.region.ecs.overrides import check_overrides
from hikkoshi.region.ecs.pages import page, paged
from hikkoshi.region.ecs.plane import ControlPlane
from hikkoshi.region.ecs.providers import SPOT, providers_of
from hikkoshi.region.ecs.records import Cluster, Definition, StopRequest, TaskRecord
from hikkoshi.region.ecs.task_shapes import task_shape
from hikkoshi.region.front.port import Caller, NotImplementedByRegion, Operation


class TaskOperations:
    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._store = plane.store

    def table(self) -> Mapping[str, Operation]:
        return {
            "RunTask": self.run,
            "StartTask": self.start,
            "StopTask": self.stop,
            "DescribeTasks": self.describe,
            "ListTasks": self.list_tasks,
            "GetTaskProtection": self.get_protection,
            "UpdateTaskProtection": self.update_protection,
        }

    async def run(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        known = tokens.remembered(self._store, "RunTask", parameters)
        if known is not None:
            return self._answer(
                [self._store.tasks[arn] for arn in known if arn in self._store.tasks]
            )
        cluster = lookups.active_cluster(self._store, parameters.get("cluster"))
        definition = lookups.fargate_definition(self._store, parameters["taskDefinition"])
        count = parameters.get("count", 1)
        if not 1 <= count <= limits.MAX_TASKS_A_RUN:
            raise errors.invalid_parameter(
                f"Task count must be between 1 and {limits.MAX_TASKS_A_RUN}."
            )
        wish, strategy = self._wish(parameters, cluster, definition)
        tasks = [
            self._plane.launcher.launch(replace(wish, capacity_provider=provider))
            for provider in providers_of(strategy, count)
        ]
        tokens.remember(self._store, "RunTask", parameters, tuple(task.arn for task in tasks))
        return self._answer(tasks)

    def _wish(
        self, parameters: dict[str, Any], cluster: Cluster, definition: Definition
    ) -> tuple[Wish, tuple[dict[str, Any], ...]]:
        if parameters.get("volumeConfigurations"):
            raise NotImplementedByRegion("volumeConfigurations of RunTask")
        refuse_placement(parameters)
        group = parameters.get("group") or f"family:{definition.family}"
        if group.startswith("service:"):
            raise errors.invalid_parameter("Group name cannot start with 'service:'.")
        started_by = parameters.get("startedBy")
        if started_by is not None and len(started_by) > 128:
            raise errors.invalid_parameter("startedBy must be at most 128 characters.")
        overrides = parameters.get("overrides") or {}
        check_overrides(definition.document, overrides)
        network = check_network(parameters.get("networkConfiguration"))
        launch_type, strategy = choose_capacity(parameters, cluster)
        wish = Wish(
            cluster=cluster,
            definition=definition,
            group=group,
            started_by=started_by,
            overrides=overrides,
            launch_type=launch_type or "FARGATE",
            platform_version=check_platform(parameters.get("platformVersion")),
            network_configuration=network,
            enable_execute_command=bool(parameters.get("enableExecuteCommand")),
            tags=self._tags(parameters, cluster, definition),
        )
        return wish, strategy

    def _tags(
        self, parameters: dict[str, Any], cluster: Cluster, definition: Definition
    ) -> tuple[tuple[str, str], ...]:
        propagate = parameters.get("propagateTags")
        if propagate == "SERVICE":
            raise errors.invalid_parameter("Tags can only be propagated from SERVICE by services.")
        tags: dict[str, str] = {}
        if propagate == "TASK_DEFINITION":
            tags.update(self._store.tags.get(definition.arn, {}))
        tags.update(check_tags(parameters.get("tags") or []))
        if parameters.get("enableECSManagedTags"):
            tags["aws:ecs:clusterName"] = cluster.name
        return tuple(tags.items())

    async def start(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        raise NotImplementedByRegion("StartTask (it needs container instances; use RunTask)")

    async def stop(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """desiredStatus is STOPPED at once, and nothing is drained first (C20); the scheduler
        deregisters the task's targets while it stops."""
        cluster = lookups.active_cluster(self._store, parameters.get("cluster"))
        task = lookups.find_task(self._store, self._plane.names, cluster, parameters["task"])
        if task is None:
            raise errors.task_not_found()
        if not task.is_stopped:
            reason = parameters.get("reason") or "Task stopped by user"
            request = StopRequest("UserInitiated", reason, self._plane.clock.now())
            if task.desired_status == "STOPPED":
                request = task.stop_request or request
            self._store.change_task(task.arn, stop_request=request, is_handed_over=True)
            self._plane.runtime.stop(task.arn, code=request.code, reason=request.reason)
            self._plane.wake()
        return {"task": task_shape(self._store.tasks[task.arn], self._store, [])}

    def interrupt(self, task_arn: str) -> None:
        """Take a Spot task's capacity away, as AWS does: SIGTERM at once, SIGKILL after the
        containers' stopTimeout (at most the two minutes of the warning)."""
        task = self._store.tasks.get(task_arn)
        if task is None:
            raise errors.task_not_found()
        if task.capacity_provider != SPOT:
            raise errors.invalid_parameter(
                f"Task {task.id} does not run on {SPOT}; only such tasks are interrupted."
            )
        if task.desired_status == "STOPPED":
            raise errors.invalid_parameter(f"Task {task.id} is stopping or stopped already.")
        request = StopRequest(
            "SpotInterruption", "Your Spot Task was interrupted.", self._plane.clock.now()
        )
        self._store.change_task(task.arn, stop_request=request, is_handed_over=True)
        self._plane.runtime.stop(task.arn, code=request.code, reason=request.reason)
        self._plane.wake()

    async def describe(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = lookups.active_cluster(self._store, parameters.get("cluster"))
        identifiers = parameters["tasks"]
        if not identifiers:
            raise errors.invalid_parameter("Tasks cannot be empty.")
        if len(identifiers) > 100:
            raise errors.invalid_parameter("At most 100 tasks can be described at once.")
        include = parameters.get("include") or []
        found, failures = self._split(cluster, identifiers)
        return {
            "tasks": [task_shape(task, self._store, include) for task in found],
            "failures": failures,
        }

    def _split(
        self, cluster: Cluster, identifiers: list[str]
    ) -> tuple[list[TaskRecord], list[dict[str, Any]]]:
        found, failures = [], []
        for identifier in dict.fromkeys(identifiers):
            task = lookups.find_task(self._store, self._plane.names, cluster, identifier)
            if task is None:
                arn = self._plane.names.task(cluster.name, identifier.rsplit("/", 1)[-1])
                failures.append(shapes.failure(arn, "MISSING"))
            else:
                found.append(task)
        return found, failures

    async def list_tasks(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = lookups.active_cluster(self._store, parameters.get("cluster"))
        if parameters.get("containerInstance") or parameters.get("daemonName"):
            raise NotImplementedByRegion("ListTasks by containerInstance or daemonName")
        service_name = parameters.get("serviceName")
        if service_name is not None:
            service = lookups.find_service(self._store, self._plane.names, cluster, service_name)
            if service is None:
                raise errors.service_not_found()
            service_name = service.name
        wanted = {
            "service_name": service_name,
            "started_by": parameters.get("startedBy"),
            "desired_status": parameters.get("desiredStatus") or "RUNNING",
            "launch_type": parameters.get("launchType"),
        }
        family = parameters.get("family")
        found = [
            task.arn
            for task in self._store.tasks_of(cluster.name)
            if all(value is None or getattr(task, key) == value for key, value in wanted.items())
            and (family is None or f":task-definition/{family}:" in task.definition_arn)
        ]
        items, token = page(found, parameters)
        return paged("taskArns", items, token)

    async def get_protection(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = lookups.active_cluster(self._store, parameters["cluster"])
        identifiers = parameters.get("tasks") or [
            t.arn for t in self._store.tasks_of(cluster.name) if t.service_name and not t.is_stopped
        ]
        found, failures = self._split(cluster, identifiers)
        return {
            "protectedTasks": [self._protection(task) for task in found],
            "failures": failures,
        }

    async def update_protection(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = lookups.active_cluster(self._store, parameters["cluster"])
        low, high = limits.PROTECTION_RANGE_MINUTES
        minutes = parameters.get("expiresInMinutes", limits.PROTECTION_DEFAULT_MINUTES)
        if not low <= minutes <= high:
            raise errors.invalid_parameter(f"expiresInMinutes must be between {low} and {high}.")
        if not 1 <= len(parameters["tasks"]) <= 10:
            raise errors.invalid_parameter("Between 1 and 10 tasks can be protected at once.")
        until = self._plane.clock.now() + minutes * 60 if parameters["protectionEnabled"] else None
        found, failures = self._split(cluster, parameters["tasks"])
        changed = []
        for task in found:
            if task.service_name is None or task.desired_status == "STOPPED":
                failures.append(
                    shapes.failure(
                        task.arn,
                        "TASK_NOT_VALID",
                        "Only running tasks of a service can be protected.",
                    )
                )
            else:
                changed.append(self._store.change_task(task.arn, protected_until=until))
        self._plane.wake()
        return {"protectedTasks": [self._protection(t) for t in changed], "failures": failures}

    def _protection(self, task: TaskRecord) -> dict[str, Any]:
        until = task.protected_until
        is_protected = until is not None and until > self._plane.clock.now()
        shape: dict[str, Any] = {"taskArn": task.arn, "protectionEnabled": is_protected}
        if until is not None and is_protected:
            shape["expirationDate"] = shapes.when(until)
        return shape

    def _answer(self, tasks: list[TaskRecord]) -> dict[str, Any]:
        return {
            "tasks": [task_shape(task, self._store, ["TAGS"]) for task in tasks],
            "failures": [],
        }
