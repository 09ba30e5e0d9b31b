"""Finding what a caller names, or AWS's error for it."""

from __future__ import annotations

import re

from hikkoshi.fargate.definition import check_task_definition
from hikkoshi.region.ecs import errors
from hikkoshi.region.ecs.arns import Arns, last_part
from hikkoshi.region.ecs.records import Cluster, Definition, ServiceRecord, TaskRecord
from hikkoshi.region.ecs.store import Store

_DEFINITION = re.compile(
    r"^(?:arn:aws[\w-]*:ecs:[^:]*:\d*:task-definition/)?([\w-]+)(?::([0-9]{1,9}))?$"
)


def find_cluster(store: Store, identifier: str) -> Cluster | None:
    """By name or ARN; an ARN of elsewhere (region, account, service) finds nothing."""
    cluster = store.clusters.get(last_part(identifier))
    if cluster is not None and ":" in identifier and identifier != cluster.arn:
        return None
    return cluster


def active_cluster(store: Store, identifier: str | None) -> Cluster:
    cluster = find_cluster(store, identifier or "default")
    if cluster is None:
        raise errors.cluster_not_found()
    if cluster.status != "ACTIVE":
        raise errors.cluster_inactive()
    return cluster


def find_service(
    store: Store, names: Arns, cluster: Cluster, identifier: str
) -> ServiceRecord | None:
    """By name or ARN; an ARN of another cluster finds nothing."""
    arn = names.service(cluster.name, last_part(identifier))
    if identifier.startswith("arn:") and "/" in identifier and identifier.count("/") == 2:
        arn = identifier
    service = store.services.get(arn)
    return service if service is not None and service.cluster_arn == cluster.arn else None


def active_service(store: Store, names: Arns, cluster: Cluster, identifier: str) -> ServiceRecord:
    service = find_service(store, names, cluster, identifier)
    if service is None:
        raise errors.service_not_found()
    if service.status != "ACTIVE":
        raise errors.service_not_active()
    return service


def find_definition(store: Store, identifier: str) -> Definition | None:
    """family (its newest ACTIVE revision), family:revision, or the ARN."""
    match = _DEFINITION.match(identifier)
    if match is None:
        return None
    family, revision = match.groups()
    arns = store.families.get(family, [])
    if identifier.startswith("arn:"):
        # One of another region or account names nothing that is here.
        prefix = identifier.rpartition("/")[0] + "/"
        arns = [arn for arn in arns if arn.startswith(prefix)]
    if revision is not None:
        return next(
            (store.definitions[a] for a in arns if a.endswith(f"/{family}:{int(revision)}")), None
        )
    active = [store.definitions[a] for a in arns if store.definitions[a].status == "ACTIVE"]
    return max(active, key=lambda definition: definition.revision, default=None)


def usable_definition(store: Store, identifier: str) -> Definition:
    """One that new tasks may be started from."""
    definition = find_definition(store, identifier)
    if definition is None:
        raise errors.definition_not_found()
    if definition.status != "ACTIVE":
        raise errors.definition_inactive()
    return definition


def fargate_definition(store: Store, identifier: str) -> Definition:
    """One that can run on Fargate, which is all that runs here."""
    definition = usable_definition(store, identifier)
    if "FARGATE" not in definition.document["compatibilities"]:
        problems = check_task_definition(definition.document)
        why = f" ({problems[0].message})" if problems else ""
        raise errors.invalid_parameter(
            f"Task definition does not support launch_type FARGATE.{why}"
        )
    return definition


def find_task(store: Store, names: Arns, cluster: Cluster, identifier: str) -> TaskRecord | None:
    return store.tasks.get(names.task(cluster.name, last_part(identifier)))
