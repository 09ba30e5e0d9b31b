"""What the operations on clusters and instances share."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

from hikkoshi.base.errors import CannotRun, HikkoshiError
from hikkoshi.region.front.port import NotImplementedByRegion
from hikkoshi.region.rds import faults
from hikkoshi.region.rds.cluster import DatabaseCluster
from hikkoshi.region.rds.engine import DatabaseEngine
from hikkoshi.region.rds.events import Event, EventLog
from hikkoshi.region.rds.groups import ParameterGroups
from hikkoshi.region.rds.members import Surroundings
from hikkoshi.region.rds.records import ClusterRecord, Endpoints, InstanceRecord
from hikkoshi.region.rds.shapes import cluster_shape, instance_shape
from hikkoshi.region.rds.subnets import SubnetGroups

_log = logging.getLogger(__name__)


class RdsState:
    """Clusters by identifier, tags by ARN, events, and the tasks that run behind the answers."""

    groups: ParameterGroups
    subnets: SubnetGroups
    around: Surroundings
    engines: Mapping[str, DatabaseEngine[Any]]

    def __init__(self, account_id: str, region: str) -> None:
        self.account_id = account_id
        self.region = region
        self.endpoints = Endpoints(account_id, region)
        self.clusters: dict[str, DatabaseCluster] = {}
        self.tags: dict[str, list[dict[str, str]]] = {}
        self.events = EventLog()
        self.keep: Callable[[], None] = lambda: None
        """Told whenever something here may have changed; the journal's, if there is one."""
        self._tasks: set[asyncio.Task[None]] = set()

    def arn(self, kind: str, name: str) -> str:
        return f"arn:aws:rds:{self.region}:{self.account_id}:{kind}:{name}"

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.around.clock.now(), UTC)

    def tell(self, source_type: str, source: str, message: str, category: str) -> None:
        kind = "cluster" if source_type == "db-cluster" else "db"
        event = Event(source_type, source, self.arn(kind, source), message, category, self.now())
        self.events.add(event)
        self.keep()

    def engine(self, name: str | None) -> DatabaseEngine[Any]:
        """An engine of RDS's that is played here and is installed. Raises RDS's fault, or what the
        region has not."""
        if name is None:
            raise faults.missing("Engine")
        found = self.engines.get(name)
        if found is None:
            known = ", ".join(self.engines)
            raise NotImplementedByRegion(f"the engine {name} (there is {known})")
        try:
            found.check_installed()
        except CannotRun as error:
            raise faults.not_installed(error) from error
        return found

    def cluster(self, identifier: str) -> DatabaseCluster:
        """By identifier or ARN. Raises RDS's fault."""
        found = self.clusters.get(identifier.rpartition(":")[2].lower())
        if found is None:
            raise faults.cluster_not_found(identifier)
        return found

    def instance(self, identifier: str) -> tuple[DatabaseCluster, InstanceRecord]:
        """By identifier or ARN. Raises RDS's fault."""
        name = identifier.rpartition(":")[2].lower()
        for cluster in self.clusters.values():
            if name in cluster.record.instances:
                return cluster, cluster.record.instances[name]
        raise faults.instance_not_found(identifier)

    def tell_cluster(self, record: ClusterRecord) -> dict[str, Any]:
        arn = self.arn("cluster", record.identifier)
        return cluster_shape(record, arn, self.tags.get(arn, []))

    def tell_instance(self, record: ClusterRecord, member: InstanceRecord) -> dict[str, Any]:
        arn = self.arn("db", member.identifier)
        shape = instance_shape(record, member, arn, self.tags.get(arn, []))
        shape["DBSubnetGroup"] = self.subnets.shape(record.subnet_group)
        return shape

    def begin(
        self, work: Coroutine[Any, Any, None], failing: ClusterRecord | InstanceRecord
    ) -> asyncio.Task[None]:
        """Run the real work behind an answered call; its task, which never raises. What fails is
        kept in the record, as a status and a reason, and told as an event: it is never silent."""

        async def run() -> None:
            try:
                await work
            except (HikkoshiError, OSError) as error:
                _log.error("%s: %s", failing.identifier, error)
                failing.failure = str(error)
                # A failed failover leaves the cluster as it was, and has told so itself.
                if failing.status != "available":
                    failing.status = "failed"
                    is_cluster = isinstance(failing, ClusterRecord)
                    kind = "db-cluster" if is_cluster else "db-instance"
                    self.tell(kind, failing.identifier, f"Failed: {error}", "failure")

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(cluster.close() for cluster in self.clusters.values()))
        self.clusters.clear()


def new_resource_id(prefix: str) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    return prefix + "".join(secrets.choice(letters) for _ in range(26))
