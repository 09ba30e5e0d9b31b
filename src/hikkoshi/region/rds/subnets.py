"""Operations on DB subnet groups: stored and told again; the region has one flat network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hikkoshi.region.front.port import AwsError, Caller, Operation
from hikkoshi.region.rds import faults
from hikkoshi.region.rds.shapes import page


class SubnetGroups:
    def __init__(
        self,
        zones: tuple[str, ...],
        is_used: Callable[[str], bool],
        arn: Callable[[str, str], str],
    ) -> None:
        self._groups: dict[str, dict[str, Any]] = {}
        self._zones = zones
        self._is_used = is_used
        self._arn = arn

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateDBSubnetGroup": self.create,
            "DescribeDBSubnetGroups": self.describe,
            "ModifyDBSubnetGroup": self.modify,
            "DeleteDBSubnetGroup": self.delete,
        }

    def own(self) -> dict[str, dict[str, Any]]:
        """The groups that were made, by name, in AWS's shape."""
        return self._groups

    def shape(self, name: str) -> dict[str, Any]:
        """Raises RDS's fault, except for `default`, which every account has."""
        found = self._groups.get(name.lower())
        if found is None and name == "default":
            return self._made("default", "default", [])
        if found is None:
            message = f"DB subnet group '{name}' does not exist."
            raise AwsError("DBSubnetGroupNotFoundFault", message, 404)
        return found

    async def create(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name = parameters["DBSubnetGroupName"].lower()
        if name in self._groups or name == "default":
            raise AwsError(
                "DBSubnetGroupAlreadyExists", f"The DB subnet group '{name}' already exists."
            )
        subnets = self._enough(parameters["SubnetIds"])
        self._groups[name] = self._made(name, parameters["DBSubnetGroupDescription"], subnets)
        return {"DBSubnetGroup": self._groups[name]}

    async def describe(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name = parameters.get("DBSubnetGroupName")
        groups = [self.shape(name)] if name else list(self._groups.values())
        return page(groups, parameters, "DBSubnetGroups")

    async def modify(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        old = self.shape(parameters["DBSubnetGroupName"])
        description = parameters.get("DBSubnetGroupDescription", old["DBSubnetGroupDescription"])
        name = old["DBSubnetGroupName"]
        self._groups[name] = self._made(name, description, self._enough(parameters["SubnetIds"]))
        return {"DBSubnetGroup": self._groups[name]}

    async def delete(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name = self.shape(parameters["DBSubnetGroupName"])["DBSubnetGroupName"]
        if self._is_used(name) or name == "default":
            message = f"Cannot delete the subnet group '{name}' because it is in use."
            raise AwsError("InvalidDBSubnetGroupStateFault", message)
        del self._groups[name]
        return {}

    def _enough(self, subnets: list[str]) -> list[str]:
        if len(set(subnets)) < 2:
            raise AwsError(
                "DBSubnetGroupDoesNotCoverEnoughAZs",
                "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. "
                "Current AZ coverage: 1. Add subnets to cover at least 2 AZs.",
            )
        return subnets

    def _made(self, name: str, description: str, subnets: list[str]) -> dict[str, Any]:
        if not description:
            raise faults.missing("DBSubnetGroupDescription")
        return {
            "DBSubnetGroupName": name,
            "DBSubnetGroupDescription": description,
            "SubnetGroupStatus": "Complete",
            "DBSubnetGroupArn": self._arn("subgrp", name),
            "Subnets": [
                {
                    "SubnetIdentifier": subnet,
                    "SubnetAvailabilityZone": {"Name": self._zones[index % len(self._zones)]},
                    "SubnetStatus": "Active",
                }
                for index, subnet in enumerate(subnets)
            ],
        }
