"""Task definitions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hikkoshi.fargate.definition import check_task_definition, normalised
from hikkoshi.region.ecs import errors, lookups, shapes
from hikkoshi.region.ecs.operations.tags import check_tags
from hikkoshi.region.ecs.pages import page, paged
from hikkoshi.region.ecs.plane import ControlPlane
from hikkoshi.region.ecs.records import Definition
from hikkoshi.region.front.port import Caller, Operation


class DefinitionOperations:
    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._store = plane.store

    def table(self) -> Mapping[str, Operation]:
        return {
            "RegisterTaskDefinition": self.register,
            "DescribeTaskDefinition": self.describe,
            "ListTaskDefinitions": self.list_definitions,
            "ListTaskDefinitionFamilies": self.list_families,
            "DeregisterTaskDefinition": self.deregister,
            "DeleteTaskDefinitions": self.delete,
        }

    async def register(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        document = {name: value for name, value in parameters.items() if name != "tags"}
        is_for_fargate = "FARGATE" in (document.get("requiresCompatibilities") or [])
        problems = check_task_definition(document)
        refusals = problems if is_for_fargate else check_task_definition(_outline(document))
        if refusals:
            raise errors.client_error(refusals[0].message)
        tags = check_tags(parameters.get("tags") or [])
        stored = copy.deepcopy(document)
        stored = normalised(stored) if not problems else _as_given(stored)
        stored["compatibilities"] = ["EXTERNAL", "EC2"] if problems else ["EC2", "FARGATE"]
        stored["registeredBy"] = f"arn:aws:iam::{self._plane.names.account_id}:root"
        family = stored["family"]
        revision = len(self._store.families.get(family, [])) + 1
        definition = self._store.put_definition(
            Definition(
                arn=self._plane.names.definition(family, revision),
                family=family,
                revision=revision,
                document=stored,
                registered_at=self._plane.clock.now(),
            )
        )
        self._store.put_tags(definition.arn, tags)
        return {
            "taskDefinition": shapes.definition_shape(definition),
            "tags": shapes.tag_list(tags),
        }

    async def describe(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        definition = lookups.find_definition(self._store, parameters["taskDefinition"])
        if definition is None:
            raise errors.unknown_definition()
        answer: dict[str, Any] = {"taskDefinition": shapes.definition_shape(definition)}
        if "TAGS" in (parameters.get("include") or []):
            answer["tags"] = shapes.tag_list(self._store.tags.get(definition.arn, {}))
        return answer

    async def list_definitions(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        status = parameters.get("status") or "ACTIVE"
        family = parameters.get("familyPrefix")
        found = [
            definition
            for definition in self._store.definitions.values()
            if definition.status == status and family in (None, definition.family)
        ]
        found.sort(
            key=lambda definition: (definition.family, definition.revision),
            reverse=parameters.get("sort") == "DESC",
        )
        items, token = page([definition.arn for definition in found], parameters)
        return paged("taskDefinitionArns", items, token)

    async def list_families(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        prefix = parameters.get("familyPrefix") or ""
        status = parameters.get("status") or "ACTIVE"
        families = [
            family
            for family, arns in sorted(self._store.families.items())
            if family.startswith(prefix) and self._has_status(arns, status)
        ]
        items, token = page(families, parameters)
        return paged("families", items, token)

    def _has_status(self, arns: list[str], status: str) -> bool:
        is_active = any(self._store.definitions[arn].status == "ACTIVE" for arn in arns)
        return status == "ALL" or is_active == (status == "ACTIVE")

    async def deregister(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        identifier = parameters["taskDefinition"]
        if ":" not in identifier.rsplit("/", 1)[-1]:
            raise errors.client_error("Revision is missing.")
        number = identifier.rsplit(":", 1)[-1]
        if not (number.isascii() and number.isdigit()):
            raise errors.client_error(f"Invalid revision number. Number: {number}")
        definition = lookups.find_definition(self._store, identifier)
        if definition is None:
            raise errors.unknown_definition()
        if definition.status == "ACTIVE":
            definition = self._store.put_definition(
                replace(definition, status="INACTIVE", deregistered_at=self._plane.clock.now())
            )
        return {"taskDefinition": shapes.definition_shape(definition)}

    async def delete(self, parameters: dict[str, Any], caller: Caller) -> dict[str, Any]:
        identifiers = parameters["taskDefinitions"]
        if len(identifiers) > 10:
            raise errors.invalid_parameter("At most 10 task definitions can be deleted at once.")
        deleted, failures = [], []
        for identifier in identifiers:
            definition = lookups.find_definition(self._store, identifier)
            if ":" not in identifier.rsplit("/", 1)[-1]:
                failures.append(
                    shapes.failure(
                        identifier,
                        "The specified task definition identifier is invalid. Specify a valid "
                        "name or ARN and try again.",
                    )
                )
            elif definition is None:
                failures.append(
                    shapes.failure(
                        identifier,
                        "The specified task definition does not exist. Specify a valid account, "
                        "family, revision and try again.",
                    )
                )
            elif definition.status == "ACTIVE":
                failures.append(
                    shapes.failure(
                        definition.arn,
                        "The specified task definition is still in ACTIVE status. Please "
                        "deregister the target and try again.",
                    )
                )
            else:
                deleted.append(
                    self._store.put_definition(
                        replace(
                            definition,
                            status="DELETE_IN_PROGRESS",
                            delete_requested_at=self._plane.clock.now(),
                        )
                    )
                )
        return {
            "taskDefinitions": [shapes.definition_shape(definition) for definition in deleted],
            "failures": failures,
        }


def _outline(document: dict[str, Any]) -> dict[str, Any]:
    """What AWS asks of a definition for any launch type, as one for Fargate that has only that."""
    kept = ("name", "image", "essential", "dependsOn", "healthCheck")
    containers = [
        {name: container[name] for name in kept if name in container}
        for container in document.get("containerDefinitions") or []
    ]
    return {
        "family": document.get("family"),
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": containers,
    }


def _as_given(document: dict[str, Any]) -> dict[str, Any]:
    """A definition that Fargate would not run is kept, and never run here."""
    for container in document["containerDefinitions"]:
        container.setdefault("cpu", 0)
        container.setdefault("essential", True)
        for key in ("environment", "mountPoints", "volumesFrom", "portMappings", "systemControls"):
            container.setdefault(key, [])
        for port in container["portMappings"]:
            port.setdefault("protocol", "tcp")
            port.setdefault("hostPort", 0)
    document.setdefault("volumes", [])
    document.setdefault("placementConstraints", [])
    return document
