"""Service "rds": Aurora PostgreSQL, played by real PostgreSQL servers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hikkoshi.base.clock import Clock
from hikkoshi.base.errors import CannotRun
from hikkoshi.model.evidence import Recorder
from hikkoshi.model.timers import Timers
from hikkoshi.region.engine.instances import Ground
from hikkoshi.region.front.port import AwsError, Caller, Operation
from hikkoshi.region.journal import Journal, Ledger
from hikkoshi.region.ports import Names
from hikkoshi.region.rds.binaries import find_binaries
from hikkoshi.region.rds.clusters import DEFAULT_VERSION, ClusterOperations
from hikkoshi.region.rds.events import event_shape
from hikkoshi.region.rds.groups import Engine, ParameterGroups
from hikkoshi.region.rds.instances import InstanceOperations
from hikkoshi.region.rds.members import Surroundings
from hikkoshi.region.rds.parameters import parse_descriptions
from hikkoshi.region.rds.records import zones_of
from hikkoshi.region.rds.restore import everything, restore
from hikkoshi.region.rds.sampling import Member, Sampler
from hikkoshi.region.rds.server import UID
from hikkoshi.region.rds.shapes import page
from hikkoshi.region.rds.state import RdsState
from hikkoshi.region.rds.subnets import SubnetGroups

READING = ("Describe", "List")
VERSIONS = (DEFAULT_VERSION, "16.8", "15.12")


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
        self._binaries = find_binaries()
        self._directory = state_dir
        self._ground = ground
        self._state.around = Surroundings(
            ground, names, self._binaries, clock, timers, state_dir, self._state.tell
        )
        self._state.groups = ParameterGroups(
            self._engine, self._parameters_changed, self._uses_group, self._state.arn
        )
        self._state.subnets = SubnetGroups(zones_of(region), self._uses_subnets, self._state.arn)
        self._clusters = ClusterOperations(self._state)
        self._instances = InstanceOperations(self._state)
        self._sampler = Sampler(self._members, recorder, clock)
        self._known: Engine | None = None
        self._learning = asyncio.Lock()

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
            f"Aurora PostgreSQL {cluster.record.engine_version} ({cluster.record.identifier}) is "
            "played by PostgreSQL 18 with synchronous streaming replication, fsync off"
            for cluster in self._state.clusters.values()
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
        """Record pg_stat_statements of all clusters under this name; how many queries it has."""
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

    async def _engine(self) -> Engine:
        async with self._learning:
            if self._known is None:
                code, output = await self._postgres("--describe-config")
                if code != 0:
                    raise CannotRun(f"postgres --describe-config failed: {output[-500:]}")
                libraries = self._binaries.directory.parent / "lib" / "postgresql"
                found = frozenset(
                    name
                    for name in ("pg_stat_statements", "auto_explain", "pg_prewarm", "auth_delay")
                    if (libraries / f"{name}.so").exists()
                )
                self._known = Engine(parse_descriptions(output), found, self._check_values)
            return self._known

    async def _check_values(self, values: dict[str, str]) -> str | None:
        """Let PostgreSQL itself judge: it reads its configuration, and starts nothing."""
        empty = self._directory / "check" / "postgresql.conf"
        empty.parent.mkdir(parents=True, exist_ok=True)
        empty.touch()
        arguments = ["-D", str(empty.parent), "-C", "max_connections"]
        for name, value in values.items():
            arguments += ["-c", f"{name}={value}"]
        code, output = await self._postgres(*arguments)
        return None if code == 0 else output.strip().rpartition("FATAL:  ")[2]

    async def _postgres(self, *arguments: str) -> tuple[int, str]:
        code, output = await self._ground.region_instance().run(
            [self._binaries.path("postgres"), *arguments],
            environment=self._binaries.environment(),
            uid=UID,
        )
        return code, output.decode(errors="replace")

    # -- the rest of the API ------------------------------------------------------------------

    async def _describe_events(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        events = self._state.events.select(parameters, self._state.now())
        return page([event_shape(event) for event in events], parameters, "Events")

    async def _describe_versions(
        self, parameters: dict[str, Any], caller: Caller
    ) -> dict[str, Any]:
        wanted = parameters.get("EngineVersion")
        versions = VERSIONS[:1] if parameters.get("DefaultOnly") else VERSIONS
        rows = [
            {
                "Engine": "aurora-postgresql",
                "EngineVersion": version,
                "MajorEngineVersion": version.partition(".")[0],
                "DBParameterGroupFamily": f"aurora-postgresql{version.partition('.')[0]}",
                "DBEngineDescription": "Aurora (PostgreSQL)",
                "DBEngineVersionDescription": f"Aurora PostgreSQL (compatible with {version})",
                "SupportedEngineModes": ["provisioned"],
                "Status": "available",
                "SupportsReadReplica": False,
                "SupportsGlobalDatabases": False,
            }
            for version in versions
            if parameters.get("Engine", "aurora-postgresql") == "aurora-postgresql"
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
