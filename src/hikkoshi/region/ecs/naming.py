"""Names of running tasks: entries in Cloud Map, and Service Connect's names in the DNS.

A task is named while it is RUNNING, wanted, and not UNHEALTHY. Unlike at AWS, Service Connect's
names are answered in the whole region, not only to members of the namespace.
"""

from __future__ import annotations

import contextlib

from hikkoshi.region.ecs.arns import Arns
from hikkoshi.region.ecs.operations.naming import connect_names
from hikkoshi.region.ecs.records import Revision, ServiceRecord, TaskRecord
from hikkoshi.region.ecs.store import Store, Watcher
from hikkoshi.region.ports import Names, ServiceRegistries

CONNECT_TTL_S = 5


class TaskNames:
    """A store.Watcher. Keeps what it has told, so that each task is taken out as it was put in."""

    def __init__(
        self, store: Store, registries: ServiceRegistries | None, names: Names | None, arns: Arns
    ) -> None:
        self._store = store
        self._arns = arns
        self._registries = registries
        self._names = names
        self._entered: dict[str, tuple[str, ...]] = {}
        """Task's ARN → the registries that it is in."""
        self._connected: dict[str, dict[str, str]] = {}
        """Name → task's ARN → address."""

    def service_changed(self, before: ServiceRecord | None, service: ServiceRecord) -> None:
        """A service is named by its tasks only."""

    def task_changed(self, before: TaskRecord | None, task: TaskRecord) -> None:
        address = task.state.address if task.state is not None else None
        is_named = is_reachable(task) and address is not None
        if is_named and task.arn not in self._entered:
            revision = self._revision(task)
            if revision is not None:
                self._enter(task, revision, str(address))
        elif not is_named and task.arn in self._entered:
            self._leave(task.arn)

    def forget(self) -> None:
        """Take out every task: the region was reset."""
        for arn in list(self._entered):
            self._leave(arn)

    def _revision(self, task: TaskRecord) -> Revision | None:
        if task.service_name is None or task.deployment_id is None:
            return None
        arn = self._arns.service(task.cluster_name, task.service_name)
        service = self._store.services.get(arn)
        deployment = service.deployment(task.deployment_id) if service is not None else None
        return None if deployment is None else self._store.revisions.get(deployment.revision_arn)

    def _enter(self, task: TaskRecord, revision: Revision, address: str) -> None:
        names = tuple(connect_names(revision.service_connect))
        if not revision.service_registries and not names:
            return
        entered = []
        for entry in revision.service_registries if self._registries is not None else ():
            assert self._registries is not None
            family = task.definition_arn.rpartition("/")[2].partition(":")[0]
            attributes = {
                "AWS_INSTANCE_IPV4": address,
                "AVAILABILITY_ZONE": task.zone,
                "REGION": self._arns.region,
                "ECS_CLUSTER_NAME": task.cluster_name,
                "ECS_SERVICE_NAME": str(task.service_name),
                "ECS_TASK_DEFINITION_FAMILY": family,
            }
            if port := entry.get("port") or entry.get("containerPort"):
                attributes["AWS_INSTANCE_PORT"] = str(port)
            self._registries.register(entry["registryArn"], task.id, attributes)
            entered.append(entry["registryArn"])
        self._entered[task.arn] = tuple(entered)
        for name in names:
            self._connected.setdefault(name, {})[task.arn] = address
            self._tell(name)

    def _leave(self, task_arn: str) -> None:
        for registry in self._entered.pop(task_arn):
            if self._registries is not None:
                self._registries.deregister(registry, task_arn.rpartition("/")[2])
        for name, tasks in list(self._connected.items()):
            if tasks.pop(task_arn, None) is not None:
                self._tell(name)

    def _tell(self, name: str) -> None:
        addresses = sorted(self._connected[name].values())
        if not addresses:
            del self._connected[name]
        if self._names is None:
            return
        with contextlib.suppress(ValueError):  # no DNS name: nobody can ask for it
            if addresses:
                self._names.set(name, addresses, CONNECT_TTL_S)
            else:
                self._names.remove(name)


def is_reachable(task: TaskRecord) -> bool:
    if task.last_status != "RUNNING" or task.desired_status != "RUNNING" or task.state is None:
        return False
    return task.state.health == "HEALTHY" or not task.has_health_check


class Watchers:
    """Several in the place of one, told in their order."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def task_changed(self, before: TaskRecord | None, task: TaskRecord) -> None:
        for watcher in self._watchers:
            watcher.task_changed(before, task)

    def service_changed(self, before: ServiceRecord | None, service: ServiceRecord) -> None:
        for watcher in self._watchers:
            watcher.service_changed(before, service)
