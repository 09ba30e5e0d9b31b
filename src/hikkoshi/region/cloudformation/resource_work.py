"""One resource of a stack: made, changed, replaced, removed; each time the stack's events tell."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from hikkoshi.region.cloudformation.adapter import Adapter, ResourceFailed
from hikkoshi.region.cloudformation.graph import CircularDependency
from hikkoshi.region.cloudformation.moto_engine import models, parsing
from hikkoshi.region.cloudformation.resource_map import RegionResourceMap
from hikkoshi.region.cloudformation.resources.leaving import LEAVING
from hikkoshi.region.cloudformation.shapes import UnknownProperty

_KEPT_AS_METADATA = "metadata only: the local region keeps it, nothing acts on it"


class Owner(Protocol):
    """The stack that a resource is of."""

    name: str
    stack_id: str
    account_id: str
    region_name: str
    status: str
    tags: dict[str, str]
    events: list[Any]
    cancelled: threading.Event
    resource_map: RegionResourceMap


@dataclass(frozen=True, slots=True)
class Replaced:
    """resource: what stands behind the name no more, and is removed when the update is over.
    resolved: its JSON."""

    name: str
    resource: Any
    resolved: dict[str, Any]


class ResourceWork:
    """What is done to single resources of a stack. What fails raises whatever it fails with;
    `words` has it for the events."""

    def __init__(self, stack: Owner) -> None:
        self._stack = stack
        self.replaced: list[Replaced] = []

    @property
    def resources(self) -> RegionResourceMap:
        return self._stack.resource_map

    def make(self, name: str, resolved: dict[str, Any], done: list[str] | None = None) -> None:
        """done: gets the name before it is tried, since what fails half-made is removed too."""
        kind = resolved["Type"]
        model = parsing.get_model_map()[kind]
        self.tell(name, kind, "CREATE_IN_PROGRESS")
        if done is not None:
            done.append(name)
        if issubclass(model, Adapter):
            resource = model(
                self._name_of(name, resolved), resolved["Properties"], self._stack.region_name,
                self._stack.cancelled,
            )  # fmt: skip
            # Known before it is made: what fails half-made is removed with the rest.
            self.resources.put(name, resource, resolved)
            resource.make(resource.playable(resolved["Properties"]))
            reason = resource.remark(resolved["Properties"])
        else:
            resource = self._make_by_moto(model, name, resolved)
            self.resources.put(name, resource, resolved)
            reason = _KEPT_AS_METADATA
        self.tell(name, kind, "CREATE_COMPLETE", reason)

    def _make_by_moto(self, model: Any, name: str, resolved: dict[str, Any]) -> Any:
        stack = self._stack
        resource = model.create_from_cloudformation_json(
            self._name_of(name, resolved), resolved, stack.account_id, stack.region_name,
            LogicalId=name, StackId=stack.stack_id, ResourceType=resolved["Type"],
        )  # fmt: skip
        if isinstance(resource, parsing.TaggedEC2Resource):
            backend = parsing.ec2_models.ec2_backends[stack.account_id][stack.region_name]
            tags = {
                **stack.tags,
                "aws:cloudformation:stack-name": stack.name,
                "aws:cloudformation:logical-id": name,
            }
            backend.create_tags([resource.physical_resource_id], tags)
        return resource

    def change(self, name: str, resolved: dict[str, Any]) -> None:
        """In place; where that cannot be, a new one is made and the old one goes to `replaced`."""
        kind = resolved["Type"]
        resources = self.resources
        resource, before = resources[name], resources.applied[name]
        self.tell(name, kind, "UPDATE_IN_PROGRESS")
        model = parsing.get_model_map()[kind]
        new, old = resolved["Properties"], before["Properties"]
        changed = {key for key in {*new, *old} if new.get(key) != old.get(key)}
        if issubclass(model, Adapter):
            if changed & model.REPLACING:
                self.replaced.append(Replaced(name, resource, before))
                resources.forget(name)
                self.make(name, resolved)
            else:
                # First, so that a change that fails half-way is changed back.
                resources.applied[name] = resolved
                resource.properties = new
                resource.change(resource.playable(new), resource.playable(old))
        elif hasattr(model.update_from_cloudformation_json, "__isabstractmethod__"):
            self.replaced.append(Replaced(name, resource, before))
            resources.forget(name)
            self.make(name, resolved)
        else:
            updated = model.update_from_cloudformation_json(
                original_resource=resource,
                new_resource_name=self._name_of(name, resolved),
                cloudformation_json=resolved,
                account_id=self._stack.account_id,
                region_name=self._stack.region_name,
            )
            resources.put(name, updated or resource, resolved)
        self.tell(name, kind, "UPDATE_COMPLETE")

    def remove(
        self, name: str, resource: Any, resolved: dict[str, Any], document: dict[str, Any]
    ) -> bool:
        """Whether it is gone, or left on purpose. document: whose DeletionPolicy holds."""
        kind = resolved["Type"]
        policy = document.get("DeletionPolicy", "Delete")
        is_rollback = "ROLLBACK" in self._stack.status
        if policy == "Retain" or (policy == "RetainExceptOnCreate" and not is_rollback):
            self.tell(name, kind, "DELETE_SKIPPED", None, resource)
            return True
        self.tell(name, kind, "DELETE_IN_PROGRESS", None, resource)
        try:
            if isinstance(resource, Adapter):
                resource.remove()
            elif kind in LEAVING:
                service, leave = LEAVING[kind]
                client = Adapter.make_client(service, self._stack.region_name)
                leave(client, str(resource.physical_resource_id), resolved["Properties"])
            elif not _can_leave(resource):
                why = "left behind: the local region cannot delete one"
                self.tell(name, kind, "DELETE_SKIPPED", why, resource)
                return True
            else:
                self.resources._delete_resource(resource, resolved)
        except Exception as error:
            self.tell(name, kind, "DELETE_FAILED", words(error), resource)
            return False
        self.tell(name, kind, "DELETE_COMPLETE", None, resource)
        return True

    def _name_of(self, name: str, resolved: dict[str, Any]) -> str:
        kind = resolved["Type"]
        given = parsing.resource_name_property_from_type(kind)
        named = resolved["Properties"].get(given) if given else None
        return str(named or parsing.generate_resource_name(kind, self._stack.name, name))

    def tell(
        self, name: str, kind: str, status: str, reason: str | None = None, resource: Any = None
    ) -> None:
        if resource is None:
            with contextlib.suppress(KeyError):
                resource = self.resources[name]
        self._stack.events.append(
            models.Event(
                stack_id=self._stack.stack_id,
                stack_name=self._stack.name,
                logical_resource_id=name,
                physical_resource_id=str(getattr(resource, "physical_resource_id", "") or ""),
                resource_type=kind,
                resource_status=status,
                resource_status_reason=reason,
                resource_properties=None,
            )
        )


def _can_leave(resource: Any) -> bool:
    """Whether moto knows how to remove it; where it does not it would say nothing."""
    is_empty = hasattr(resource.delete_from_cloudformation_json, "__isabstractmethod__")
    return hasattr(resource, "delete") or not is_empty


def words(error: BaseException) -> str:
    """What an event says of it."""
    if isinstance(error, ClientError):
        told = error.response["Error"]
        return f"{told.get('Message')} (Service: {error.operation_name}, Code: {told.get('Code')})"
    if isinstance(error, (ResourceFailed, UnknownProperty, CircularDependency, BotoCoreError)):
        return str(error)
    description = getattr(error, "description", None) or getattr(error, "message", None)
    return str(description or f"{type(error).__name__}: {error}")
