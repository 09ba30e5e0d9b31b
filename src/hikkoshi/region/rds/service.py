"""Service "rds": Aurora clusters, played by real database servers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import Recorder
from hikkoshi.model.timers import Timers
from hikkoshi.region.engine.instances import Ground
from hikkoshi.region.front.port import AwsError, Caller, Operation
from hikkoshi.region.journal import Journal, Ledger
from hikkoshi.region.ports import Names
from hikkoshi.region.rds.clusters import ClusterOperations
from hikkoshi.region.rds.engine import DatabaseEngine
from hikkoshi.region.rds.events import event_shape
from hikkoshi.region.rds.groups import ParameterGroups
from hikkoshi.region.rds.instances import InstanceOperations
from hikkoshi.region.rds.mariadb import MariadbEngine
from hikkoshi.region.rds.members import Surroundings
from hikkoshi.region.rds.postgresql import PostgresEngine
from hikkoshi.region.rds.records import zones_of
from hikkoshi.region.rds.restore import everything, restore
from hikkoshi.region.rds.sampling import Member, Sampler
from hikkoshi.region.rds.shapes import page
from hikkoshi.region.rds.state import RdsState
from hikkoshi.region.rds.subnets import SubnetGroups

READING = ("Describe", "List")


class RdsService:
    """`operations()` for the front; `doors()` and `mark()` for the region's own calls; `start()`
    begins the sampling (done by itself at the first cluster); `close()` ends every server.

    journal: a file; `restore` brings back what a killed region left in it and in `state_dir`, and
    closing in order removes it."""

    name = "rds"

    def __init__(
        self,
        ground: Ground,
        names: Names,
        recorder: Recorder,
        clock: Clock,
        timers: Timers,
        state_dir: Path,
        account_id: str,
        region: str,
        journal: Path | None = None,
    ) -> None:
        self._state = RdsState(account_id, region)
        self._ledger = Ledger(Journal(journal), clock.now) if journal is not None else None
        engines: tuple[DatabaseEngine[Any], ...] = (
            PostgresEngine(ground, state_dir / ".check"),
            MariadbEngine(ground, state_dir / ".mariadb"),
        )
        self._state.engines = {engine.name: engine for engine in engines}
        self._state.around = Surroundings(ground, names, clock, timers, state_dir, self._state.tell)
        self._state.groups = ParameterGroups(
            self._engine_of_family, self._parameters_changed, self._uses_group, self._state.arn
        )
        self._state.subnets = SubnetGroups(zones_of(region), self._uses_subnets, self._state.arn)
        self._clusters = ClusterOperations(self._state)
        self._instances = InstanceOperations(self._state)
        self._sampler = Sampler(self._members, recorder, clock)

    def operations(self) -> Mapping[str, Operation]:
        """Those that change something journal it before they answer."""
        return {
            name: operation if name.startswith(READING) else self._keeping(operation)
            for name, operation in self._all_operations().items()
        }

    def _all_operations(self) -> dict[str, Operation]:
        return {
            **self._clusters.operations(),
            **self._instances.operations(),
            **self._state.groups.operations(),
            **self._state.subnets.operations(),
            "CreateDBCluster": self._create_cluster,
            "DescribeEvents": self._describe_events,
            "DescribeDBEngineVersions": self._describe_versions,
            "AddTagsToResource": self._add_tags,
            "RemoveTagsFromResource": self._remove_tags,
            "ListTagsForResource": self._list_tags,
        }

    def _keeping(self, operation: Operation) -> Operation:
        async def call(parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
            try:
                return await operation(parameters, caller)
            finally:
                self._state.keep()

        return call

    def stand_ins(self) -> list[str]:
        """What plays what, for the report."""
        return [
            f"{engine.title} {cluster.record.engine_version} ({cluster.record.identifier}) is "
            f"played by {engine.played_by}"
            for cluster in self._state.clusters.values()
            for engine in (self._state.engines[cluster.record.engine],)
        ]

    def doors(self) -> list[dict[str, Any]]:
        """Where the host reaches each cluster: endpoint → a port on the host's loopback."""
        return [
            {
                "service": "rds",
                "cluster": cluster.record.identifier,
                "role": role,
                "endpoint": endpoint,
                "endpoint_port": cluster.record.port,
                "host": "127.0.0.1",
                "port": port,
            }
            for cluster in self._state.clusters.values()
            for role, endpoint, port in zip(
                ("writer", "reader"),
                (cluster.record.endpoint, cluster.record.reader_endpoint),
                cluster.door_ports,
                strict=True,
            )
            if port
        ]

    async def mark(self, name: str) -> int:
        """Record the statements of all clusters under this name; how many there are."""
        return await self._sampler.mark(name)

    async def restore(self) -> None:
        """Hold again what a killed region held. Called once, while nothing is held; returns when
        the writers answer."""
        if self._ledger is None:
            return
        ledger = self._ledger
        self._state.keep = lambda: ledger.keep(everything(self._state))
        await restore(self._state, ledger.read(), self._clusters.made_again)
        ledger.keep(everything(self._state))
        if self._state.clusters:
            self._sampler.start()

    async def close(self) -> None:
        await self._sampler.close()
        self._state.keep = lambda: None
        await self._state.close()
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    # -- what the rooms of this service ask of each other --------------------------------------

    def _members(self) -> list[Member]:
        return [
            (name, "writer" if name == cluster.record.writer else "reader", server)
            for cluster in self._state.clusters.values()
            for name, server in cluster.servers.items()
        ]

    async def _create_cluster(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        answer = await self._clusters.create(parameters, caller)
        self._sampler.start()
        return answer

    def _parameters_changed(self, group: str, has_static: bool) -> None:
        for cluster in self._state.clusters.values():
            record = cluster.record
            if record.parameter_group == group and cluster.servers:
                for member in record.instances.values():
                    member.has_pending_parameters |= has_static
                self._state.begin(cluster.apply_parameters(), record)

    def _uses_group(self, name: str) -> bool:
        return any(one.record.parameter_group == name for one in self._state.clusters.values())

    def _uses_subnets(self, name: str) -> bool:
        return any(one.record.subnet_group == name for one in self._state.clusters.values())

    def _engine_of_family(self, family: str) -> DatabaseEngine[Any] | None:
        engines = self._state.engines.values()
        return next((engine for engine in engines if engine.is_family(family)), None)

    # -- the rest of the API ------------------------------------------------------------------

    async def _describe_events(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        events = self._state.events.select(parameters, self._state.now())
        return page([event_shape(event) for event in events], parameters, "Events")

    async def _describe_versions(
        self, parameters: dict[str, Any], caller: Caller
    ) -> dict[str, Any]:
        wanted = parameters.get("EngineVersion")
        rows = [
            {
                "Engine": engine.name,
                "EngineVersion": version,
                "MajorEngineVersion": (engine.family(version) or "").removeprefix(engine.name),
                "DBParameterGroupFamily": engine.family(version),
                "DBEngineDescription": engine.title,
                "DBEngineVersionDescription": f"{engine.title} {version}",
                "SupportedEngineModes": ["provisioned"],
                "Status": "available",
                "SupportsReadReplica": False,
                "SupportsGlobalDatabases": False,
            }
            for engine in self._state.engines.values()
            for version in engine.versions[: 1 if parameters.get("DefaultOnly") else None]
            if parameters.get("Engine", engine.name) == engine.name
            and (wanted is None or version == wanted or version.startswith(f"{wanted}."))
        ]
        return page(rows, parameters, "DBEngineVersions")

    def _tagged(self, parameters: dict[str, Any]) -> str:
        arn = str(parameters["ResourceName"])
        kind, _, name = arn.partition(f":{self._state.account_id}:")[2].partition(":")
        if kind == "cluster":
            self._state.cluster(name)
        elif kind == "db":
            self._state.instance(name)
        elif kind == "cluster-pg":
            self._state.groups.get(name)
        elif kind == "subgrp":
            self._state.subnets.shape(name)
        else:
            raise AwsError("InvalidParameterValue", f"Invalid resource name: {arn}")
        return arn

    async def _add_tags(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        arn = self._tagged(parameters)
        kept = {tag["Key"]: tag for tag in (*self._state.tags.get(arn, ()), *parameters["Tags"])}
        self._state.tags[arn] = list(kept.values())
        return {}

    async def _remove_tags(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        arn = self._tagged(parameters)
        gone = set(parameters["TagKeys"])
        kept = [tag for tag in self._state.tags.get(arn, ()) if tag["Key"] not in gone]
        self._state.tags[arn] = kept
        return {}

    async def _list_tags(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        return {"TagList": self._state.tags.get(self._tagged(parameters), [])}
