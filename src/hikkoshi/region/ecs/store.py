"""The one place where the control plane's records change.

Every change goes to the journal, if there is one, from which a later start rebuilds the store
(restore.py). Everything is bounded: stopped tasks, inactive services, events, tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

from msgspec import structs

from hikkoshi.base.clock import Clock
from hikkoshi.fargate import limits
from hikkoshi.model.evidence import Recorder
from hikkoshi.region.ecs.arns import new_uuid
from hikkoshi.region.ecs.records import (
    Cluster,
    Definition,
    Deployment,
    Event,
    Revision,
    ServiceDeployment,
    ServiceRecord,
    TaskRecord,
)
from hikkoshi.region.journal import Journal, Line

MAX_STOPPED_TASKS = 2000
"""AWS keeps stopped tasks for an hour; a crash loop must not eat the memory meanwhile."""
MAX_SERVICE_DEPLOYMENTS = 200
MAX_TOKENS = 1000
JOURNALED_EVENTS = 10
INACTIVE_KEPT_S = 3600.0


class Watcher(Protocol):
    """Told of each change after it was made; before None: it is new."""

    def task_changed(self, before: TaskRecord | None, task: TaskRecord) -> None: ...

    def service_changed(self, before: ServiceRecord | None, service: ServiceRecord) -> None: ...


class Store:
    def __init__(self, clock: Clock, recorder: Recorder, journal: Journal | None = None) -> None:
        self.watcher: Watcher | None = None
        self._clock = clock
        self._recorder = recorder
        self._journal = journal
        self.clusters: dict[str, Cluster] = {}
        self.definitions: dict[str, Definition] = {}
        self.families: dict[str, list[str]] = {}
        self.services: dict[str, ServiceRecord] = {}
        self.revisions: dict[str, Revision] = {}
        self.service_deployments: dict[str, OrderedDict[str, ServiceDeployment]] = {}
        self.tasks: dict[str, TaskRecord] = {}
        self._tasks_by_service: dict[tuple[str, str], dict[str, None]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.settings: dict[str, str] = {}
        self.tokens: OrderedDict[tuple[str, str], tuple[str, tuple[str, ...]]] = OrderedDict()

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def together(self) -> AbstractContextManager[None]:
        """What changes within goes to the journal at the end, in one go. Nothing may be awaited
        within: others' changes would wait too, and their callers be answered before."""
        return nullcontext() if self._journal is None else self._journal.together()

    # -- clusters and task definitions

    def put_cluster(self, cluster: Cluster) -> Cluster:
        self.clusters[cluster.name] = cluster
        self._write("cluster", cluster.arn, cluster)
        return cluster

    def put_definition(self, definition: Definition) -> Definition:
        if definition.arn not in self.definitions:
            self.families.setdefault(definition.family, []).append(definition.arn)
        self.definitions[definition.arn] = definition
        self._write("definition", definition.arn, definition)
        return definition

    # -- services

    def put_service(self, service: ServiceRecord) -> ServiceRecord:
        before = self.services.get(service.arn)
        self.services[service.arn] = service
        self._write_service(service)
        if self.watcher is not None:
            self.watcher.service_changed(before, service)
        return service

    def change_service(self, arn: str, **changes: Any) -> ServiceRecord:
        return self.put_service(structs.replace(self.services[arn], **changes))

    def change_deployment(self, service_arn: str, deployment_id: str, **changes: Any) -> Deployment:
        """KeyError if the service has no such deployment any more."""
        service = self.services[service_arn]
        old = service.deployment(deployment_id)
        if old is None:
            raise KeyError(deployment_id)
        new = structs.replace(old, **{"updated_at": self._clock.now(), **changes})
        deployments = tuple(new if d.id == deployment_id else d for d in service.deployments)
        self.change_service(service_arn, deployments=deployments)
        return new

    def say(self, service_arn: str, text: str) -> None:
        """Add a service event: `(service NAME) ` and the text; the newest hundred are kept."""
        service = self.services[service_arn]
        event = Event(new_uuid(), self._clock.now(), _event_message(service.name, text))
        events = (event, *service.events)[: limits.MAX_EVENTS]
        self.services[service_arn] = structs.replace(service, events=events)
        self._write_service(self.services[service_arn])
        self._recorder.record(
            "service_events", t=event.at, service=service.name, message=event.message
        )

    def put_revision(self, revision: Revision) -> Revision:
        self.revisions[revision.arn] = revision
        self._write("revision", revision.arn, revision)
        return revision

    def put_service_deployment(self, service_arn: str, record: ServiceDeployment) -> None:
        records = self.service_deployments.setdefault(service_arn, OrderedDict())
        records[record.arn] = record
        while len(records) > MAX_SERVICE_DEPLOYMENTS:
            _, dropped = records.popitem(last=False)
            self._write("service_deployment", f"{service_arn} {dropped.arn}", None)
            self._drop_revision(service_arn, dropped.target_revision_arn)
        self._write("service_deployment", f"{service_arn} {record.arn}", record)

    def change_service_deployment(self, service_arn: str, arn: str, **changes: Any) -> None:
        records = self.service_deployments.get(service_arn, OrderedDict())
        if arn in records:
            changed = replace(records[arn], **{"updated_at": self._clock.now(), **changes})
            self.put_service_deployment(service_arn, changed)

    def _drop_revision(self, service_arn: str, revision_arn: str) -> None:
        service = self.services.get(service_arn)
        in_use = {d.revision_arn for d in service.deployments} if service else set()
        if revision_arn not in in_use:
            self.revisions.pop(revision_arn, None)
            self._write("revision", revision_arn, None)

    # -- tasks

    def put_task(self, task: TaskRecord) -> TaskRecord:
        before = self.tasks.get(task.arn)
        self.index_task(task)
        self._write("task", task.arn, task)
        if self.watcher is not None:
            self.watcher.task_changed(before, task)
        return task

    def index_task(self, task: TaskRecord) -> None:
        """Hold it, without telling anybody."""
        self.tasks[task.arn] = task
        if task.service_name is not None:
            key = (task.cluster_name, task.service_name)
            self._tasks_by_service.setdefault(key, {})[task.arn] = None

    def change_task(self, arn: str, **changes: Any) -> TaskRecord:
        old = self.tasks[arn]
        return self.put_task(structs.replace(old, version=old.version + 1, **changes))

    def tasks_of(self, cluster_name: str) -> Iterator[TaskRecord]:
        return (task for task in self.tasks.values() if task.cluster_name == cluster_name)

    def service_tasks(self, service: ServiceRecord) -> list[TaskRecord]:
        """The service's tasks, stopped ones too, the oldest first."""
        arns = self._tasks_by_service.get((service.cluster_name, service.name), {})
        return [self.tasks[arn] for arn in arns]

    def _forget_task(self, task: TaskRecord) -> None:
        del self.tasks[task.arn]
        self.tags.pop(task.arn, None)
        if task.service_name is not None:
            key = (task.cluster_name, task.service_name)
            arns = self._tasks_by_service.get(key, {})
            arns.pop(task.arn, None)
            if not arns:
                self._tasks_by_service.pop(key, None)
        self._write("task", task.arn, None)
        self._write("tags", task.arn, None)

    # -- tags, settings, tokens

    def put_tags(self, arn: str, tags: dict[str, str]) -> None:
        if tags:
            self.tags[arn] = tags
        elif self.tags.pop(arn, None) is None:
            return
        self._write("tags", arn, tags or None)

    def put_setting(self, name: str, value: str) -> None:
        self.settings[name] = value
        self._write("setting", name, value)

    def drop_setting(self, name: str) -> None:
        self.settings.pop(name, None)
        self._write("setting", name, None)

    def put_token(
        self, operation: str, token: str, fingerprint: str, arns: tuple[str, ...]
    ) -> None:
        self.tokens[operation, token] = (fingerprint, arns)
        while len(self.tokens) > MAX_TOKENS:
            self.tokens.popitem(last=False)

    # -- forgetting

    def forget_old(self) -> None:
        """Drop stopped tasks after an hour (or beyond the newest thousands), and services that
        have been INACTIVE as long."""
        now = self._clock.now()
        stopped = sorted(
            (task.stopped_at, task.arn)
            for task in self.tasks.values()
            if task.is_stopped and task.stopped_at is not None
        )
        surplus = max(0, len(stopped) - MAX_STOPPED_TASKS)
        for index, (at, arn) in enumerate(stopped):
            if index < surplus or now - at > limits.STOPPED_TASK_KEPT_S:
                self._forget_task(self.tasks[arn])
        for service in list(self.services.values()):
            if service.inactive_at is not None and now - service.inactive_at > INACTIVE_KEPT_S:
                self.forget_service(service.arn)

    def forget_service(self, arn: str) -> None:
        """An INACTIVE service gives way: to time, or to a new one of its name."""
        if self.services.pop(arn, None) is None:
            return
        for record in self.service_deployments.pop(arn, OrderedDict()).values():
            self._write("service_deployment", f"{arn} {record.arn}", None)
            self._write("revision", record.target_revision_arn, None)
            self.revisions.pop(record.target_revision_arn, None)
        self.tags.pop(arn, None)
        self._write("service", arn, None)
        self._write("tags", arn, None)

    def forget_everything(self) -> None:
        """As on the first day. Nobody is told of changes."""
        for holding in (
            self.clusters, self.definitions, self.families, self.services, self.revisions,
            self.service_deployments, self.tasks, self._tasks_by_service, self.tags,
            self.settings, self.tokens,
        ):  # fmt: skip
            holding.clear()
        if self._journal is not None:
            self._journal.rewrite(self._clock.now(), ())

    # -- the journal

    def everything(self) -> Iterator[Line]:
        """What a journal has to hold for `restore` to make this store again."""
        for cluster in self.clusters.values():
            yield "cluster", cluster.arn, cluster
        for definition in self.definitions.values():
            yield "definition", definition.arn, definition
        for revision in self.revisions.values():
            yield "revision", revision.arn, revision
        for service in self.services.values():
            yield "service", service.arn, service
        for service_arn, records in self.service_deployments.items():
            for record in records.values():
                yield "service_deployment", f"{service_arn} {record.arn}", record
        for task in self.tasks.values():
            yield "task", task.arn, task
        for arn, tags in self.tags.items():
            yield "tags", arn, tags
        for name, value in self.settings.items():
            yield "setting", name, value

    def _write_service(self, service: ServiceRecord) -> None:
        # All events would be written again and again; what comes back has the newest few.
        kept = service.events[:JOURNALED_EVENTS]
        self._write("service", service.arn, structs.replace(service, events=kept))

    def _write(self, kind: str, key: str, record: Any) -> None:
        if self._journal is None:
            return
        now = self._clock.now()
        self._journal.write(now, kind, key, record)
        if self._journal.is_long:
            self._journal.rewrite(now, self.everything())


def _event_message(name: str, text: str) -> str:
    """AWS puts `taskSet …` inside the first parenthesis: `(service X, taskSet ecs-svc/N) has …`."""
    if text.startswith(","):
        return f"(service {name}{text}"
    return f"(service {name}) {text}"
