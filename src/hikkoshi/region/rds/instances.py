"""Operations on DB instances, which here are always members of a cluster."""

from __future__ import annotations

from typing import Any

from hikkoshi.region.front.port import Caller, NotImplementedByRegion, Operation
from hikkoshi.region.rds import faults
from hikkoshi.region.rds.clusters import IDENTIFIER
from hikkoshi.region.rds.parameters import memory_of_class
from hikkoshi.region.rds.records import InstanceRecord
from hikkoshi.region.rds.shapes import page, wanted_by
from hikkoshi.region.rds.state import RdsState, new_resource_id

MAX_INSTANCES = 3

STORED = frozenset({
    "PubliclyAccessible", "AutoMinorVersionUpgrade", "PreferredMaintenanceWindow",
    "MonitoringInterval", "MonitoringRoleArn", "PerformanceInsightsRetentionPeriod",
    "CopyTagsToSnapshot", "CACertificateIdentifier", "DatabaseInsightsMode",
})  # fmt: skip

_UNDERSTOOD = frozenset({
    "DBInstanceIdentifier", "DBClusterIdentifier", "DBInstanceClass", "Engine", "EngineVersion",
    "AvailabilityZone", "PromotionTier", "Tags", "ApplyImmediately", "EnablePerformanceInsights",
    "DBSubnetGroupName", "CertificateRotationRestart",
})  # fmt: skip


class InstanceOperations:
    def __init__(self, state: RdsState) -> None:
        self._state = state

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateDBInstance": self.create,
            "DescribeDBInstances": self.describe,
            "ModifyDBInstance": self.modify,
            "DeleteDBInstance": self.delete,
            "RebootDBInstance": self.reboot,
        }

    async def create(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """The first instance of a cluster is its writer; the others are readers."""
        engine = self._state.engine(parameters.get("Engine"))
        if not parameters.get("DBClusterIdentifier"):
            raise NotImplementedByRegion("a DB instance outside a cluster")
        _check_known(parameters)
        cluster = self._state.cluster(parameters["DBClusterIdentifier"])
        record = cluster.record
        identifier = parameters["DBInstanceIdentifier"].lower()
        if not IDENTIFIER.fullmatch(identifier):
            raise faults.invalid_value(
                "The parameter DBInstanceIdentifier is not a valid identifier."
            )
        if any(identifier in one.record.instances for one in self._state.clusters.values()):
            raise faults.instance_exists()
        if record.status in ("deleting", "failed"):
            raise faults.cluster_state(f"DB cluster {record.identifier} is {record.status}.")
        if len(record.instances) >= MAX_INSTANCES:
            raise NotImplementedByRegion(f"a cluster of more than {MAX_INSTANCES} instances")
        if engine.name != record.engine:
            raise faults.invalid_combination(
                f"The engine name requested for your DB instance ({engine.name}) doesn't match the "
                f"engine name of your DB cluster ({record.engine})."
            )
        version = parameters.get("EngineVersion", record.engine_version)
        if version != record.engine_version:
            raise faults.invalid_combination(
                "The engine version that you requested for your DB instance "
                f"({version}) does not match the engine version of your DB cluster "
                f"({record.engine_version})."
            )
        member = self._record(identifier, record.identifier, parameters)
        record.instances[identifier] = member
        if record.writer is None:
            record.writer = identifier
        self._state.tags[self._state.arn("db", identifier)] = list(parameters.get("Tags", []))
        self._state.begin(cluster.add(member), member)
        return {"DBInstance": self._state.tell_instance(record, member)}

    async def describe(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        identifier = parameters.get("DBInstanceIdentifier")
        if identifier:
            cluster, member = self._state.instance(identifier)
            pairs = [(cluster.record, member)]
        else:
            pairs = [
                (cluster.record, member)
                for cluster in self._state.clusters.values()
                for member in cluster.record.instances.values()
            ]
        wanted = wanted_by(parameters, ("db-cluster-id", "db-instance-id", "engine"))
        clusters = {one.rpartition(":")[2] for one in wanted.get("db-cluster-id", ())}
        names = {one.rpartition(":")[2] for one in wanted.get("db-instance-id", ())}
        shapes = [
            self._state.tell_instance(record, member)
            for record, member in pairs
            if (not clusters or record.identifier in clusters)
            and (not names or member.identifier in names)
            and record.engine in wanted.get("engine", {record.engine})
        ]
        return page(shapes, parameters, "DBInstances")

    async def modify(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """The class and the promotion tier take hold at once; a class changes max_connections at
        the next reboot."""
        cluster, member = self._state.instance(parameters["DBInstanceIdentifier"])
        _check_known(parameters)
        if "DBInstanceClass" in parameters:
            member.instance_class = _known_class(parameters["DBInstanceClass"])
            member.has_pending_parameters = True
        if "PromotionTier" in parameters:
            member.promotion_tier = parameters["PromotionTier"]
        member.extras.update(_extras(parameters))
        return {"DBInstance": self._state.tell_instance(cluster.record, member)}

    async def delete(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster, member = self._state.instance(parameters["DBInstanceIdentifier"])
        if member.status in ("creating", "deleting"):
            raise faults.instance_state(
                f"Instance {member.identifier} is currently {member.status}."
            )
        member.status = "deleting"
        self._state.begin(cluster.remove(member.identifier), member)
        return {"DBInstance": self._state.tell_instance(cluster.record, member)}

    async def reboot(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        cluster, member = self._state.instance(parameters["DBInstanceIdentifier"])
        if parameters.get("ForceFailover"):
            raise faults.invalid_combination(
                "ForceFailover cannot be specified for an instance of an Aurora cluster; "
                "use FailoverDBCluster."
            )
        if member.status != "available":
            raise faults.instance_state(f"Instance {member.identifier} is not in available state.")
        member.status = "rebooting"
        self._state.begin(cluster.reboot(member.identifier), member)
        return {"DBInstance": self._state.tell_instance(cluster.record, member)}

    def _record(self, identifier: str, cluster: str, parameters: dict[str, Any]) -> InstanceRecord:
        record = self._state.cluster(cluster).record
        taken = [one.zone for one in record.instances.values()]
        zone = parameters.get("AvailabilityZone") or min(record.zones, key=taken.count)
        return InstanceRecord(
            identifier=identifier,
            cluster=cluster,
            instance_class=_known_class(parameters["DBInstanceClass"]),
            zone=zone,
            endpoint=self._state.endpoints.instance(identifier),
            resource_id=new_resource_id("db-"),
            created_at=self._state.now(),
            promotion_tier=parameters.get("PromotionTier", 1),
            extras=_extras(parameters),
        )


def _known_class(instance_class: str) -> str:
    if memory_of_class(instance_class) is None:
        raise faults.invalid_value(f"Invalid DB Instance class: {instance_class}")
    return instance_class


def _check_known(parameters: dict[str, Any]) -> None:
    for name in parameters:
        if name not in STORED and name not in _UNDERSTOOD:
            raise NotImplementedByRegion(f"the parameter {name} of a DB instance")


def _extras(parameters: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in parameters.items() if name in STORED}
    if "EnablePerformanceInsights" in parameters:
        found["PerformanceInsightsEnabled"] = parameters["EnablePerformanceInsights"]
    return found
