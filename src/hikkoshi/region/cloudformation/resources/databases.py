"""AWS::RDS, over the region's own, whose Aurora is a pair of real PostgreSQL servers."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from hikkoshi.region.cloudformation.adapter import Adapter, ResourceFailed, is_gone


class _Rds(Adapter):
    NAME = ""
    DELETE = ""
    is_made = False

    def remove(self) -> None:
        if not self.is_made:
            return
        try:
            self.call("rds", self.DELETE, {self.NAME: self.identity})
        except ClientError as error:
            if not is_gone(error):
                raise

    def _made(self, identity: str) -> None:
        self.identity = identity
        self.is_made = True

    def _short_name(self) -> str:
        """Names of RDS are lower case, at most 63 characters."""
        return self.name.lower()[:63].strip("-")


class SubnetGroup(_Rds):
    TYPE = "AWS::RDS::DBSubnetGroup"
    REPLACING = frozenset({"DBSubnetGroupName"})
    NAME, DELETE = "DBSubnetGroupName", "DeleteDBSubnetGroup"

    def make(self, properties: dict[str, Any]) -> None:
        named = {"DBSubnetGroupName": self._short_name(), **properties}
        answer = self.call("rds", "CreateDBSubnetGroup", named)
        self._made(answer["DBSubnetGroup"]["DBSubnetGroupName"])

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        wanted = {k: v for k, v in properties.items() if k != "Tags"}
        self.call("rds", "ModifyDBSubnetGroup", {**wanted, "DBSubnetGroupName": self.identity})


class ClusterParameterGroup(_Rds):
    TYPE = "AWS::RDS::DBClusterParameterGroup"
    REPLACING = frozenset({"DBClusterParameterGroupName", "Family", "Description"})
    NAME, DELETE = "DBClusterParameterGroupName", "DeleteDBClusterParameterGroup"

    def make(self, properties: dict[str, Any]) -> None:
        name = str(properties.get("DBClusterParameterGroupName") or self._short_name())
        given = {
            "DBClusterParameterGroupName": name,
            "DBParameterGroupFamily": properties["Family"],
            "Description": properties["Description"],
            "Tags": properties.get("Tags", []),
        }
        self.call("rds", "CreateDBClusterParameterGroup", given)
        self._made(name)
        self._set(properties.get("Parameters", {}))

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        new, old = properties.get("Parameters", {}), before.get("Parameters", {})
        self._set(new)
        if gone := sorted(set(old) - set(new)):
            self.client("rds").reset_db_cluster_parameter_group(
                DBClusterParameterGroupName=self.identity,
                Parameters=[
                    {"ParameterName": name, "ApplyMethod": "pending-reboot"} for name in gone
                ],
            )

    def _set(self, parameters: dict[str, Any]) -> None:
        rows = [
            {
                "ParameterName": name,
                "ParameterValue": str(value),
                "ApplyMethod": "pending-reboot",
            }
            for name, value in parameters.items()
        ]
        # At most 20 in one request (ModifyDBClusterParameterGroup).
        for start in range(0, len(rows), 20):
            self.client("rds").modify_db_cluster_parameter_group(
                DBClusterParameterGroupName=self.identity, Parameters=rows[start : start + 20]
            )


class DBCluster(_Rds):
    TYPE = "AWS::RDS::DBCluster"
    REPLACING = frozenset(
        {"DBClusterIdentifier", "DatabaseName", "DBSubnetGroupName", "Engine", "MasterUsername",
         "StorageEncrypted", "KmsKeyId"}
    )  # fmt: skip
    PLAYED_WITHOUT = frozenset({"EnableIAMDatabaseAuthentication"})
    NAME, DELETE = "DBClusterIdentifier", "DeleteDBCluster"

    def make(self, properties: dict[str, Any]) -> None:
        named = {"DBClusterIdentifier": self._short_name(), **properties}
        cluster = self.call("rds", "CreateDBCluster", named)["DBCluster"]
        self._made(cluster["DBClusterIdentifier"])
        self.attributes = {
            "DBClusterArn": cluster["DBClusterArn"],
            "DBClusterResourceId": cluster.get("DbClusterResourceId", ""),
            "Endpoint.Address": cluster["Endpoint"],
            "Endpoint.Port": str(cluster["Port"]),
            "ReadEndpoint.Address": cluster.get("ReaderEndpoint", ""),
        }
        self.wait(lambda: self._status() == "available", f"the cluster {self.identity}")

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        members = (
            "BackupRetentionPeriod", "DBClusterParameterGroupName", "DeletionProtection",
            "EngineVersion", "MasterUserPassword", "Port", "PreferredBackupWindow",
            "PreferredMaintenanceWindow", "VpcSecurityGroupIds", "CopyTagsToSnapshot",
        )  # fmt: skip
        wanted = {k: properties[k] for k in members if properties.get(k) != before.get(k)}
        given = {**wanted, "DBClusterIdentifier": self.identity, "ApplyImmediately": True}
        self.call("rds", "ModifyDBCluster", given)
        self.wait(lambda: self._status() == "available", f"the cluster {self.identity}")

    def remove(self) -> None:
        """Without a last snapshot, whatever its DeletionPolicy: the local region has none."""
        if not self.is_made:
            return
        try:
            self.client("rds").delete_db_cluster(
                DBClusterIdentifier=self.identity, SkipFinalSnapshot=True
            )
        except ClientError as error:
            if not is_gone(error):
                raise
        self.wait(lambda: self._status() == "", f"the end of the cluster {self.identity}", 300)

    def _status(self) -> str:
        try:
            answer = self.client("rds").describe_db_clusters(DBClusterIdentifier=self.identity)
        except ClientError as error:
            if is_gone(error):
                return ""
            raise
        return str(answer["DBClusters"][0]["Status"])


class DBInstance(_Rds):
    TYPE = "AWS::RDS::DBInstance"
    REPLACING = frozenset({"DBInstanceIdentifier", "DBClusterIdentifier", "Engine"})
    NAME, DELETE = "DBInstanceIdentifier", "DeleteDBInstance"

    def make(self, properties: dict[str, Any]) -> None:
        if "DBClusterIdentifier" not in properties:
            raise ResourceFailed(
                "the local region has instances of Aurora clusters only: give DBClusterIdentifier"
            )
        named = {"DBInstanceIdentifier": self._short_name(), **properties}
        instance = self.call("rds", "CreateDBInstance", named)["DBInstance"]
        self._made(instance["DBInstanceIdentifier"])
        self.wait(lambda: self._describe()["DBInstanceStatus"] == "available", self.identity)
        endpoint = self._describe().get("Endpoint", {})
        self.attributes = {
            "DBInstanceArn": instance["DBInstanceArn"],
            "Endpoint.Address": endpoint.get("Address", ""),
            "Endpoint.Port": str(endpoint.get("Port", "")),
        }

    def change(self, properties: dict[str, Any], before: dict[str, Any]) -> None:
        members = ("DBInstanceClass", "PromotionTier", "PreferredMaintenanceWindow")
        wanted = {k: properties[k] for k in members if properties.get(k) != before.get(k)}
        given = {**wanted, "DBInstanceIdentifier": self.identity, "ApplyImmediately": True}
        self.call("rds", "ModifyDBInstance", given)
        self.wait(lambda: self._describe()["DBInstanceStatus"] == "available", self.identity)

    def remove(self) -> None:
        super().remove()
        if self.is_made:
            self.wait(lambda: not self._describe(), f"the end of {self.identity}", 300)

    def _describe(self) -> dict[str, Any]:
        try:
            answer = self.client("rds").describe_db_instances(DBInstanceIdentifier=self.identity)
        except ClientError as error:
            if is_gone(error):
                return {}
            raise
        found: dict[str, Any] = answer["DBInstances"][0]
        return found


ADAPTERS: tuple[type[Adapter], ...] = (SubnetGroup, ClusterParameterGroup, DBCluster, DBInstance)
