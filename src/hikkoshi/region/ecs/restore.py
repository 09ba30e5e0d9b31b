"""A store as it was when the region was killed, but for its tasks: they died with the region.

What ran then is STOPPED now, and says why; the scheduler sees services below their desired count
and starts their tasks anew, as ECS does when a task's host is lost.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from msgspec import structs

from hikkoshi.region.ecs.records import (
    Cluster,
    Definition,
    Revision,
    ServiceDeployment,
    ServiceRecord,
    TaskRecord,
)
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.journal import Line, restored
from hikkoshi.region.ports import TaskState

LOST = "The local region was killed, and the task with it."
_KINDS: dict[str, type] = {
    "cluster": Cluster,
    "definition": Definition,
    "revision": Revision,
    "service": ServiceRecord,
    "service_deployment": ServiceDeployment,
    "task": TaskRecord,
    "tags": dict[str, str],
    "setting": str,
}


def restore(store: Store, lines: Iterable[Line], now: float) -> int:
    """Fill an empty store; how many records came back. Nobody is told of these as of changes.

    A service whose revisions did not come back whole is left out, since nothing could be
    scheduled for it."""
    count = 0
    for _, key, record in restored(lines, _KINDS):
        count += 1
        match record:
            case Cluster():
                store.clusters[record.name] = record
            case Definition():
                store.families.setdefault(record.family, []).append(record.arn)
                store.definitions[record.arn] = record
            case Revision():
                store.revisions[record.arn] = record
            case ServiceRecord():
                store.services[record.arn] = structs.replace(record, is_steady=False)
            case ServiceDeployment():
                service_arn = key.split(" ", 1)[0]
                records = store.service_deployments.setdefault(service_arn, OrderedDict())
                records[record.arn] = record
            case TaskRecord():
                store.index_task(_lost(record, now))
            case dict():
                store.tags[key] = record
            case str():
                store.settings[key] = record
    for service in list(store.services.values()):
        if not all(_is_whole(store, d.revision_arn) for d in service.deployments):
            del store.services[service.arn]
    return count


def _is_whole(store: Store, revision_arn: str) -> bool:
    revision = store.revisions.get(revision_arn)
    return revision is not None and revision.definition_arn in store.definitions


def _lost(task: TaskRecord, now: float) -> TaskRecord:
    if task.is_stopped:
        return task
    at = datetime.fromtimestamp(now, UTC)
    state = task.state or TaskState(task.arn, "PROVISIONING", "RUNNING", ())
    containers = tuple(
        replace(c, last_status="STOPPED", exit_code=137 if c.last_status == "RUNNING" else None)
        for c in state.containers
    )
    ended = replace(
        state,
        last_status="STOPPED",
        desired_status="STOPPED",
        containers=containers,
        stop_code=state.stop_code or "TerminationNotice",
        stopped_reason=state.stopped_reason or LOST,
        stopping_at=state.stopping_at or at,
        execution_stopped_at=at,
        stopped_at=at,
    )
    return structs.replace(
        task,
        state=ended,
        version=task.version + 1,
        stopped_at=now,
        is_handed_over=True,
        targets=tuple(structs.replace(target, is_deregistered=True) for target in task.targets),
    )
