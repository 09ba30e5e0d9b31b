"""Operations on DB clusters."""

from __future__ import annotations

import re
import secrets
from typing import Any

from hikkoshi.region.front.port import Caller, NotImplementedByRegion, Operation
from hikkoshi.region.rds import faults
from hikkoshi.region.rds.cluster import DatabaseCluster, DoorPorts
from hikkoshi.region.rds.decisions import Promote, Refuse
from hikkoshi.region.rds.engine import DatabaseEngine, Secrets
from hikkoshi.region.rds.parameters import memory_of_class
from hikkoshi.region.rds.passwords import password_fault
from hikkoshi.region.rds.records import ClusterRecord, ParameterGroup, zones_of
from hikkoshi.region.rds.restore import KeptCluster
from hikkoshi.region.rds.shapes import page, wanted_by
from hikkoshi.region.rds.state import RdsState, new_resource_id

IDENTIFIER = re.compile(r"[a-z](?:-?[a-z0-9]){0,62}")
USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")

# Kept and told again, since they change nothing that could be tried on one machine.
STORED = frozenset({
    "BackupRetentionPeriod", "PreferredBackupWindow", "PreferredMaintenanceWindow",
    "StorageEncrypted", "KmsKeyId", "CopyTagsToSnapshot", "AutoMinorVersionUpgrade",
    "StorageType", "NetworkType", "ServerlessV2ScalingConfiguration", "DatabaseInsightsMode",
    "MonitoringInterval", "MonitoringRoleArn", "EngineLifecycleSupport",
})  # fmt: skip

_SHAPED = {
    "EnableIAMDatabaseAuthentication": None,
    "EnableCloudwatchLogsExports": "EnabledCloudwatchLogsExports",
    "EnablePerformanceInsights": "PerformanceInsightsEnabled",
}

_UNDERSTOOD = frozenset({
    "DBClusterIdentifier", "Engine", "EngineVersion", "EngineMode", "Port", "MasterUsername",
    "MasterUserPassword", "DatabaseName", "DBClusterParameterGroupName", "DBSubnetGroupName",
    "VpcSecurityGroupIds", "AvailabilityZones", "Tags", "DeletionProtection", "ApplyImmediately",
    "ManageMasterUserPassword", "EnableHttpEndpoint",
})  # fmt: skip


class ClusterOperations:
    def __init__(self, state: RdsState) -> None:
        self._state = state

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateDBCluster": self.create,
            "DescribeDBClusters": self.describe,
            "ModifyDBCluster": self.modify,
            "DeleteDBCluster": self.delete,
            "FailoverDBCluster": self.fail_over,
            "DescribeDBClusterEndpoints": self.describe_endpoints,
        }

    async def create(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        identifier = parameters["DBClusterIdentifier"].lower()
        engine = self._state.engine(parameters.get("Engine"))
        _check_extras(parameters)
        if not IDENTIFIER.fullmatch(identifier):
            raise faults.invalid_value(
                "The parameter DBClusterIdentifier is not a valid identifier. Identifiers must "
                "begin with a letter; must contain only ASCII letters, digits, and hyphens; and "
                "must not end with a hyphen or contain two consecutive hyphens."
            )
        if identifier in self._state.clusters:
            raise faults.cluster_exists()
        record = self._record(identifier, engine, parameters)
        verifier = _verifier(engine, parameters.get("MasterUserPassword"))
        cluster = self._made(record, verifier)
        self._state.clusters[identifier] = cluster
        self._state.tags[self._state.arn("cluster", identifier)] = list(parameters.get("Tags", []))
        self._state.begin(cluster.prepare(), record)
        return {"DBCluster": self._state.tell_cluster(record)}

    def made_again(self, kept: KeptCluster) -> DatabaseCluster:
        """As it was before the region was killed; nothing of it runs."""
        return self._made(kept.record, kept.verifier, kept.doors)

    def _made(
        self, record: ClusterRecord, verifier: str, doors: DoorPorts | None = None
    ) -> DatabaseCluster:
        own = Secrets(admin=secrets.token_urlsafe(24), replication=secrets.token_urlsafe(24))
        engine, around = self._state.engines[record.engine], self._state.around
        return DatabaseCluster(record, engine, around, own, verifier, self.parameters_of, doors)

    def parameters_of(self, record: ClusterRecord) -> dict[str, str]:
        """The parameters in force for a cluster's servers: one set for all, with the memory of its
        first instance's class, since a standby must not be smaller than its writer."""
        group = self._state.groups.get(record.parameter_group)
        first = next(iter(record.instances.values()), None)
        scaling = record.extras.get("ServerlessV2ScalingConfiguration", {})
        memory = (
            memory_of_class(first.instance_class, scaling.get("MaxCapacity")) if first else None
        )
        engine = self._state.engines[record.engine]
        named = first.instance_class if first else ""
        return engine.effective(group.values, named, memory or (4 << 30))

    async def describe(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        identifier = parameters.get("DBClusterIdentifier")
        clusters = (
            [self._state.cluster(identifier)] if identifier else list(self._state.clusters.values())
        )
        wanted = wanted_by(parameters, ("db-cluster-id", "engine"))
        ids = {one.rpartition(":")[2] for one in wanted.get("db-cluster-id", ())}
        shapes = [
            self._state.tell_cluster(one.record)
            for one in clusters
            if (not ids or one.record.identifier in ids)
            and one.record.engine in wanted.get("engine", {one.record.engine})
        ]
        return page(shapes, parameters, "DBClusters")

    async def modify(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = self._state.cluster(parameters["DBClusterIdentifier"])
        record = cluster.record
        engine = self._state.engines[record.engine]
        _check_extras(parameters)
        for name in ("Port", "EngineVersion"):
            if name in parameters and str(parameters[name]) != str(
                record.port if name == "Port" else record.engine_version
            ):
                raise NotImplementedByRegion(f"ModifyDBCluster with a new {name}")
        if record.status != "available":
            raise faults.cluster_state(
                f"DB cluster {record.identifier} is not in the available state ({record.status})."
            )
        if "MasterUserPassword" in parameters:
            await cluster.change_password(_verifier(engine, parameters["MasterUserPassword"]))
        if "DBClusterParameterGroupName" in parameters:
            group = self._state.groups.get(parameters["DBClusterParameterGroupName"])
            _check_family(group, engine.family(record.engine_version))
            record.parameter_group = group.name
            for member in record.instances.values():
                member.has_pending_parameters = True
        if "DeletionProtection" in parameters:
            record.is_protected = bool(parameters["DeletionProtection"])
        record.extras.update(_extras(parameters))
        return {"DBCluster": self._state.tell_cluster(record)}

    async def delete(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster = self._state.cluster(parameters["DBClusterIdentifier"])
        record = cluster.record
        if record.is_protected:
            raise faults.invalid_combination(
                "Cannot delete protected Cluster, please disable deletion protection and try again."
            )
        if record.instances:
            raise faults.cluster_state(
                "Cluster cannot be deleted, it still contains DB instances in non-deleting state."
            )
        if not parameters.get("SkipFinalSnapshot"):
            if parameters.get("FinalDBSnapshotIdentifier"):
                raise NotImplementedByRegion("a final snapshot (set SkipFinalSnapshot)")
            raise faults.invalid_combination(
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
            )
        record.status = "deleting"
        answer = {"DBCluster": self._state.tell_cluster(record)}
        self._state.begin(self._remove(cluster), record)
        return answer

    async def _remove(self, cluster: DatabaseCluster) -> None:
        await cluster.destroy()
        self._state.clusters.pop(cluster.record.identifier, None)
        self._state.tags.pop(self._state.arn("cluster", cluster.record.identifier), None)
        self._state.tell("db-cluster", cluster.record.identifier, "DB cluster deleted", "deletion")

    async def fail_over(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Answers at once, as AWS does; the cluster is `failing-over` from here on."""
        cluster = self._state.cluster(parameters["DBClusterIdentifier"])
        record = cluster.record
        wanted = parameters.get("TargetDBInstanceIdentifier")
        choice = cluster.choose(wanted.lower() if wanted else None)
        if isinstance(choice, Refuse):
            if choice.fault == "instance":
                raise faults.instance_not_found(wanted or "")
            raise faults.cluster_state(choice.because)
        record.status = "failing-over"
        if isinstance(choice, Promote):
            self._state.begin(cluster.fail_over(choice.target), record)
        else:
            self._state.begin(cluster.restart_writer(), record)
        return {"DBCluster": self._state.tell_cluster(record)}

    async def describe_endpoints(
        self, parameters: dict[str, Any], caller: Caller
    ) -> dict[str, Any]:
        identifier = parameters.get("DBClusterIdentifier")
        clusters = (
            [self._state.cluster(identifier)] if identifier else list(self._state.clusters.values())
        )
        kinds = wanted_by(parameters, ("db-cluster-endpoint-type",))
        wanted = {
            one.upper() for one in kinds.get("db-cluster-endpoint-type", ("writer", "reader"))
        }
        rows = [
            {
                "DBClusterIdentifier": cluster.record.identifier,
                "Endpoint": endpoint,
                "Status": "available" if cluster.servers else "creating",
                "EndpointType": kind,
            }
            for cluster in clusters
            for kind, endpoint in (
                ("WRITER", cluster.record.endpoint),
                ("READER", cluster.record.reader_endpoint),
            )
            if kind in wanted
        ]
        return page(rows, parameters, "DBClusterEndpoints")

    def _record(
        self, identifier: str, engine: DatabaseEngine[Any], parameters: dict[str, Any]
    ) -> ClusterRecord:
        version = parameters.get("EngineVersion", engine.versions[0])
        family = engine.family(version)
        if family is None:
            raise faults.invalid_combination(f"Cannot find version {version} for {engine.name}")
        username = parameters.get("MasterUsername")
        if not username:
            raise faults.missing("MasterUsername")
        if not USERNAME.fullmatch(username) or username.lower() in engine.reserved_names:
            raise faults.invalid_value(
                f"MasterUsername {username} cannot be used as it is a reserved word used by the "
                "engine or not a valid name"
            )
        database = parameters.get("DatabaseName")
        if database is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", database):
            raise faults.invalid_value(f"DatabaseName {database} is not a valid name")
        port = parameters.get("Port", engine.default_port)
        if not 1150 <= port <= 65535:
            raise faults.invalid_value(f"Invalid database port: {port}. Must be 1150-65535.")
        group = self._state.groups.get(
            parameters.get("DBClusterParameterGroupName", f"default.{family}")
        )
        _check_family(group, family)
        subnet_group = parameters.get("DBSubnetGroupName", "default").lower()
        self._state.subnets.shape(subnet_group)
        return ClusterRecord(
            identifier=identifier,
            engine=engine.name,
            engine_version=version,
            port=port,
            master_username=username,
            database=database,
            parameter_group=group.name,
            subnet_group=subnet_group,
            endpoint=self._state.endpoints.cluster(identifier),
            reader_endpoint=self._state.endpoints.reader(identifier),
            resource_id=new_resource_id("cluster-"),
            created_at=self._state.now(),
            zones=zones_of(self._state.region),
            is_protected=bool(parameters.get("DeletionProtection")),
            extras=_extras(parameters),
        )


def _check_family(group: ParameterGroup, needed: str | None) -> None:
    if group.family != needed:
        raise faults.invalid_combination(
            f"The Parameter Group {group.name} with DBParameterGroupFamily {group.family} can't be "
            f"used for "
            f"this instance. Please use a Parameter Group with DBParameterGroupFamily {needed}"
        )


def _check_extras(parameters: dict[str, Any]) -> None:
    if parameters.get("ManageMasterUserPassword"):
        raise NotImplementedByRegion("ManageMasterUserPassword (give MasterUserPassword)")
    if parameters.get("EnableHttpEndpoint"):
        raise NotImplementedByRegion("the RDS Data API (EnableHttpEndpoint)")
    if parameters.get("EngineMode", "provisioned") != "provisioned":
        raise NotImplementedByRegion(f"EngineMode {parameters['EngineMode']}")
    if parameters.get("EnableIAMDatabaseAuthentication"):
        raise NotImplementedByRegion("EnableIAMDatabaseAuthentication")
    for name in parameters:
        if name not in STORED and name not in _UNDERSTOOD and name not in _SHAPED:
            raise NotImplementedByRegion(f"the parameter {name} of a DB cluster")


def _extras(parameters: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in parameters.items() if name in STORED}
    for name, shaped in _SHAPED.items():
        if shaped is not None and name in parameters:
            found[shaped] = parameters[name]
    if "VpcSecurityGroupIds" in parameters:
        found["VpcSecurityGroups"] = [
            {"VpcSecurityGroupId": one, "Status": "active"}
            for one in parameters["VpcSecurityGroupIds"]
        ]
    return found


def _verifier(engine: DatabaseEngine[Any], password: str | None) -> str:
    if password is None:
        raise faults.missing("MasterUserPassword")
    fault = password_fault(password)
    if fault is not None:
        raise faults.invalid_value(fault)
    return engine.verifier(password)
