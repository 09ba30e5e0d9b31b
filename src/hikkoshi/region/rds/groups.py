"""Operations on cluster parameter groups and subnet groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.front.port import AwsError, Caller, NotImplementedByRegion, Operation
from hikkoshi.region.rds import faults
from hikkoshi.region.rds.engine import DatabaseEngine, Known, Parameters
from hikkoshi.region.rds.parameters import evaluate, is_formula
from hikkoshi.region.rds.records import ParameterGroup
from hikkoshi.region.rds.shapes import page

Engines = Callable[[str], DatabaseEngine[Any] | None]
"""The engine that has a family of parameter groups."""


class ParameterGroups:
    """`changed` is told of a group whose values changed, and whether one waits for a restart."""

    def __init__(
        self,
        engines: Engines,
        changed: Callable[[str, bool], None],
        is_used: Callable[[str], bool],
        arn: Callable[[str, str], str],
    ) -> None:
        self._groups: dict[str, ParameterGroup] = {}
        self._engines = engines
        self._changed = changed
        self._is_used = is_used
        self._arn = arn

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateDBClusterParameterGroup": self.create,
            "DescribeDBClusterParameterGroups": self.describe,
            "DescribeDBClusterParameters": self.describe_parameters,
            "ModifyDBClusterParameterGroup": self.modify,
            "ResetDBClusterParameterGroup": self.reset,
            "DeleteDBClusterParameterGroup": self.delete,
        }

    def own(self) -> dict[str, ParameterGroup]:
        """The groups that were made, by name."""
        return self._groups

    def get(self, name: str) -> ParameterGroup:
        """Raises RDS's fault; the default groups are there without having been made."""
        found = self._groups.get(name.lower())
        if found is None and name.lower().startswith("default."):
            family = name.lower().removeprefix("default.")
            if self._engines(family) is not None:
                return ParameterGroup(name.lower(), family, f"Default cluster group for {family}")
        if found is None:
            raise faults.group_not_found(name)
        return found

    async def create(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name = parameters["DBClusterParameterGroupName"].lower()
        family = parameters["DBParameterGroupFamily"]
        if name in self._groups or name.startswith("default."):
            raise AwsError(
                "DBParameterGroupAlreadyExists", f"Parameter group {name} already exists"
            )
        if self._engines(family) is None:
            raise NotImplementedByRegion(f"the parameter group family {family}")
        group = ParameterGroup(name, family, parameters["Description"])
        self._groups[name] = group
        return {"DBClusterParameterGroup": self._shape(group)}

    async def describe(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name = parameters.get("DBClusterParameterGroupName")
        groups = [self.get(name)] if name else list(self._groups.values())
        return page([self._shape(one) for one in groups], parameters, "DBClusterParameterGroups")

    async def describe_parameters(
        self, parameters: dict[str, Any], caller: Caller
    ) -> dict[str, Any]:
        group = self.get(parameters["DBClusterParameterGroupName"])
        parameters_of = await self._parameters(group)
        names = sorted(set(parameters_of.known) | set(group.values))
        wanted = parameters.get("Source")
        rows = []
        for name in names:
            known = parameters_of.find(name)
            if known is not None:
                row = _parameter_shape(known, group)
                if wanted in (None, row["Source"]):
                    rows.append(row)
        return page(rows, parameters, "Parameters")

    async def modify(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        group = self._own(parameters["DBClusterParameterGroupName"])
        changes = parameters.get("Parameters") or []
        if not 1 <= len(changes) <= 20:
            raise faults.invalid_value("Between 1 and 20 parameters can be modified at a time.")
        values, has_static = await _checked(changes, await self._parameters(group))
        group.values.update(values)
        for change in changes:
            group.methods[change["ParameterName"]] = change.get("ApplyMethod", "pending-reboot")
        self._changed(group.name, has_static)
        return {"DBClusterParameterGroupName": group.name}

    async def reset(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        group = self._own(parameters["DBClusterParameterGroupName"])
        engine = await self._parameters(group)
        names = [one["ParameterName"] for one in parameters.get("Parameters") or ()]
        if parameters.get("ResetAllParameters"):
            names = list(group.values)
        elif not names:
            raise faults.missing("Parameters")
        known = [engine.find(name) for name in names]
        for name in names:
            group.values.pop(name, None)
        self._changed(group.name, any(one is not None and one.is_static for one in known))
        return {"DBClusterParameterGroupName": group.name}

    async def delete(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        group = self._own(parameters["DBClusterParameterGroupName"])
        if self._is_used(group.name):
            message = f"One or more database clusters are still members of {group.name}."
            raise AwsError("InvalidDBParameterGroupState", message)
        del self._groups[group.name]
        return {}

    async def _parameters(self, group: ParameterGroup) -> Parameters:
        engine = self._engines(group.family)
        if engine is None:
            raise NotImplementedByRegion(f"the parameter group family {group.family}")
        try:
            engine.check_installed()
        except CannotRun as error:
            raise faults.not_installed(error) from error
        return await engine.parameters()

    def _own(self, name: str) -> ParameterGroup:
        group = self.get(name)
        if group.name.startswith("default."):
            raise faults.invalid_value(f"The parameter group {name} cannot be modified.")
        return group

    def _shape(self, group: ParameterGroup) -> dict[str, Any]:
        return {
            "DBClusterParameterGroupName": group.name,
            "DBParameterGroupFamily": group.family,
            "Description": group.description,
            "DBClusterParameterGroupArn": self._arn("cluster-pg", group.name),
        }


async def _checked(
    changes: list[dict[str, Any]], parameters: Parameters
) -> tuple[dict[str, str], bool]:
    """The new values, and whether one of them waits for a restart. Raises RDS's faults."""
    values: dict[str, str] = {}
    has_static = False
    for change in changes:
        name = change.get("ParameterName") or ""
        value = change.get("ParameterValue")
        known = parameters.find(name)
        if name.startswith("rds."):
            raise NotImplementedByRegion(f"the parameter {name}")
        if known is None and parameters.is_of_aws(name):
            raise NotImplementedByRegion(f"the parameter {name}")
        if known is None:
            raise faults.invalid_value(f"Could not find parameter with name: {name}")
        if not known.is_modifiable:
            raise faults.invalid_value(f"The parameter {name} cannot be modified.")
        if value is None:
            raise faults.missing("ParameterValue")
        if known.is_static and change.get("ApplyMethod") == "immediate":
            message = f"cannot use immediate apply method for static parameter {name}"
            raise faults.invalid_combination(message)
        has_static = has_static or known.is_static
        values[name] = value
    try:
        judged = {
            name: evaluate(value, 16 << 30) if is_formula(value) else value
            for name, value in values.items()
        }
    except ValueError as error:
        raise faults.invalid_value(f"Invalid parameter value: {error}") from error
    complaint = await parameters.complaint(judged)
    if complaint is not None:
        raise faults.invalid_value(f"Invalid parameter value: {complaint}")
    return values, has_static


def _parameter_shape(known: Known, group: ParameterGroup) -> dict[str, Any]:
    value = group.values.get(known.name)
    found: dict[str, Any] = {
        "ParameterName": known.name,
        "Description": known.description,
        "Source": "user" if value is not None else "engine-default",
        "ApplyType": "static" if known.is_static else "dynamic",
        "DataType": known.data_type,
        "IsModifiable": known.is_modifiable,
        "ApplyMethod": group.methods.get(known.name, "pending-reboot"),
        "SupportedEngineModes": ["provisioned"],
    }
    shown = value if value is not None else known.default
    if shown:
        found["ParameterValue"] = shown
    if known.allowed is not None:
        found["AllowedValues"] = known.allowed
    return found
