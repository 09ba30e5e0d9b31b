"""Records as AWS's shapes, pages and filters. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hikkoshi.region.rds import faults
from hikkoshi.region.rds.records import ClusterRecord, InstanceRecord

DEFAULT_PAGE = 100


def cluster_shape(record: ClusterRecord, arn: str, tags: list[dict[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "DBClusterIdentifier": record.identifier,
        "DBClusterArn": arn,
        "DbClusterResourceId": record.resource_id,
        "Engine": record.engine,
        "EngineVersion": record.engine_version,
        "EngineMode": "provisioned",
        "Status": record.status,
        "Endpoint": record.endpoint,
        "ReaderEndpoint": record.reader_endpoint,
        "Port": record.port,
        "MasterUsername": record.master_username,
        "DBClusterParameterGroup": record.parameter_group,
        "DBSubnetGroup": record.subnet_group,
        "AvailabilityZones": list(record.zones),
        "MultiAZ": len({member.zone for member in record.instances.values()}) > 1,
        "AllocatedStorage": 1,
        "BackupRetentionPeriod": 1,
        "StorageEncrypted": False,
        "DeletionProtection": record.is_protected,
        "ClusterCreateTime": record.created_at,
        "DBClusterMembers": [_member_shape(record, one) for one in record.instances.values()],
        "VpcSecurityGroups": [],
        "TagList": tags,
        "NetworkType": "IPV4",
    }
    if record.database is not None:
        found["DatabaseName"] = record.database
    return found | record.extras


def _member_shape(record: ClusterRecord, member: InstanceRecord) -> dict[str, Any]:
    return {
        "DBInstanceIdentifier": member.identifier,
        "IsClusterWriter": member.identifier == record.writer,
        "DBClusterParameterGroupStatus": (
            "pending-reboot" if member.has_pending_parameters else "in-sync"
        ),
        "PromotionTier": member.promotion_tier,
    }


def instance_shape(
    record: ClusterRecord, member: InstanceRecord, arn: str, tags: list[dict[str, str]]
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "DBInstanceIdentifier": member.identifier,
        "DBInstanceArn": arn,
        "DbiResourceId": member.resource_id,
        "DBClusterIdentifier": record.identifier,
        "DBInstanceClass": member.instance_class,
        "Engine": record.engine,
        "EngineVersion": record.engine_version,
        "DBInstanceStatus": member.status,
        "MasterUsername": record.master_username,
        "AvailabilityZone": member.zone,
        "PromotionTier": member.promotion_tier,
        "InstanceCreateTime": member.created_at,
        "MultiAZ": False,
        "PubliclyAccessible": False,
        "StorageType": "aurora",
        "StorageEncrypted": False,
        "AutoMinorVersionUpgrade": True,
        "AllocatedStorage": 1,
        "TagList": tags,
        "NetworkType": "IPV4",
    }
    if record.database is not None:
        found["DBName"] = record.database
    if member.status != "creating":
        found["Endpoint"] = {"Address": member.endpoint, "Port": record.port}
    if member.failure is not None:
        found["StatusInfos"] = [
            {"StatusType": "start", "Normal": False, "Status": "error", "Message": member.failure}
        ]
    return found | member.extras


def page(items: Sequence[dict[str, Any]], parameters: dict[str, Any], key: str) -> dict[str, Any]:
    """One page of a list, as MaxRecords and Marker ask; the marker is a position."""
    size = parameters.get("MaxRecords", DEFAULT_PAGE)
    if not 1 <= size <= DEFAULT_PAGE:
        raise faults.invalid_value("Invalid value for max records. Must be between 20 and 100")
    marker = parameters.get("Marker") or "0"
    if not marker.isdigit():
        raise faults.invalid_value(f"Invalid marker: {marker}")
    start = int(marker)
    found: dict[str, Any] = {key: list(items[start : start + size])}
    if start + size < len(items):
        found["Marker"] = str(start + size)
    return found


def wanted_by(parameters: dict[str, Any], known: Sequence[str]) -> dict[str, set[str]]:
    """Filters as name → values. Raises for a filter that the operation does not know."""
    found: dict[str, set[str]] = {}
    for one in parameters.get("Filters") or ():
        if one["Name"] not in known:
            raise faults.invalid_value(f"Unrecognized filter name: {one['Name']}")
        found[one["Name"]] = set(one["Values"])
    return found
