"""A stack: resources made one after the other in a thread; undone when one of them fails."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from hikkoshi.region.cloudformation.adapter import Adapter, Cancelled, ResourceFailed
from hikkoshi.region.cloudformation.graph import CircularDependency, dependency_order
from hikkoshi.region.cloudformation.moto_engine import models, parsing
from hikkoshi.region.cloudformation.resources.leaving import LEAVING
from hikkoshi.region.cloudformation.shapes import UnknownProperty

_log = logging.getLogger(__name__)
_KEPT_AS_METADATA = "metadata only: the local region keeps it, nothing acts on it"


class RegionResourceMap(parsing.ResourceMap):  # type: ignore[misc]
    """moto's map of logical ids, without its laziness: only the engine makes resources."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.applied: dict[str, dict[str, Any]] = {}
        """Logical id → the resource's JSON, resolved, as it was last made or changed."""

    def __getitem__(self, key: str) -> Any:
        return self._parsed_resources[key]

    @property
    def resources(self) -> list[str]:
        return [name for name in self._resource_json_map if name in self.applied]

    def use(self, template: dict[str, Any], parameters: dict[str, Any] | None) -> None:
        """Take the template for the next round: parameters, mappings and conditions of it."""
        self._template = template
        self._resource_json_map = template["Resources"]
        if parameters is not None:
            self.input_parameters = parameters
            self.resolved_parameters: dict[str, Any] = {}
        self.load_mapping()
        self.load_parameters()
        self.load_conditions()

    def is_wanted(self, name: str) -> bool:
        condition = self._resource_json_map[name].get("Condition")
        return not condition or bool(self.lazy_condition_map[condition])

    def put(self, name: str, resource: Any, resolved: dict[str, Any]) -> None:
        resource.logical_resource_id = name
        resource.cf_resource_type = resolved["Type"]
        self._parsed_resources[name] = resource
        self.applied[name] = resolved

    def forget(self, name: str) -> None:
        self._parsed_resources.pop(name, None)
        self.applied.pop(name, None)


class RegionStack(models.Stack):  # type: ignore[misc]
    """moto's stack, whose create, update and delete run in a thread and know failure."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.status = "CREATE_PENDING"
        self.cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self._replaced: list[tuple[str, Any, dict[str, Any]]] = []
        # As they were when the stack was last complete; moto would work them out at each call.
        self._outputs: list[dict[str, Any]] | None = None
        self._exports: list[Any] = []
        super().__init__(*args, **kwargs)
        if self.template_dict:
            dependency_order_or_refuse(self.template_dict)

    # -- what the API asks --------------------------------------------------------------------

    @property
    def is_settled(self) -> bool:
        return not self.status.endswith("_IN_PROGRESS") and self.status != "CREATE_PENDING"

    @property
    def outputs(self) -> Any:
        return self._outputs

    @property
    def exports(self) -> list[Any]:
        return self._exports

    def create_resources(self) -> None:
        self.status = "CREATE_IN_PROGRESS"
        self.description = self.template_dict.get("Description")
        self._in_thread(self._create)

    def update(
        self,
        template: str,
        role_arn: str | None = None,
        parameters: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        if not self.is_settled:
            raise models.ValidationError(
                message=f"Stack:{self.stack_id} is in {self.status} state and can not be updated."
            )
        new = self.parse_template(template)
        dependency_order_or_refuse(new)
        before = (self.template, self.template_dict, self.parameters)
        self.status = "UPDATE_IN_PROGRESS"
        self._add_stack_event("UPDATE_IN_PROGRESS", resource_status_reason="User Initiated")
        if tags is not None:
            self.tags = tags
        self.role_arn = role_arn
        self._in_thread(lambda: self._update(template, new, parameters or {}, before))

    def start_deleting(self, forget: Callable[[], None]) -> None:
        """In a thread; `forget` is called when nothing is left."""
        self.cancelled.set()
        previous, self._thread = self._thread, None
        self.status = "DELETE_IN_PROGRESS"
        self._add_stack_event("DELETE_IN_PROGRESS", resource_status_reason="User Initiated")

        def delete() -> None:
            if previous is not None:
                previous.join()
            self.status = "DELETE_IN_PROGRESS"
            self.cancelled.clear()
            if self._remove_all():
                self._finish("DELETE_COMPLETE")
                forget()
            else:
                self._finish("DELETE_FAILED")

        self._in_thread(delete)

    def _in_thread(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception as fault:
                _log.exception("stack %s", self.name)
                self.status = f"{self.status.partition('_')[0]}_FAILED"
                self._add_stack_event(self.status, resource_status_reason=_words(fault))

        self._thread = threading.Thread(target=run, name=f"stack-{self.name}", daemon=True)
        self._thread.start()

    def _finish(self, status: str, reason: str | None = None) -> None:
        # The event first: who waits for the status reads the events next.
        self._add_stack_event(status, resource_status_reason=reason)
        self.status = status

    # -- create -------------------------------------------------------------------------------

    def _create(self) -> None:
        try:
            self.resource_map.use(self._own(self.template_dict), None)
            self._apply()
        except _FAILURES as error:
            if self.disable_rollback or isinstance(error, Cancelled):
                self._finish("CREATE_FAILED", _words(error))
                return
            self.status = "ROLLBACK_IN_PROGRESS"
            self._add_stack_event("ROLLBACK_IN_PROGRESS", resource_status_reason=_words(error))
            done = self._remove_all()
            self._finish("ROLLBACK_COMPLETE" if done else "ROLLBACK_FAILED")
            return
        self._publish("CREATE_COMPLETE")

    def _publish(self, status: str) -> None:
        """Outputs and exports, then the status."""
        self.output_map = self._create_output_map()
        backend = models.cloudformation_backends[self.account_id][self.region_name]
        gone = {export.name for export in self._exports}
        self._exports = self.output_map.exports
        self._outputs = super().outputs
        for export in self._exports:
            backend.exports[export.name] = export
        for name in gone - {export.name for export in self._exports}:
            backend.exports.pop(name, None)
        self._finish(status)

    # -- update -------------------------------------------------------------------------------

    def _update(
        self,
        template: str,
        new: dict[str, Any],
        parameters: dict[str, Any],
        before: tuple[Any, dict[str, Any], dict[str, Any]],
    ) -> None:
        done: list[str] = []
        previous = dict(self.resource_map.applied)
        self._replaced = []
        try:
            self._take(template, new, parameters)
            self._apply(done)
        except _FAILURES as error:
            self.status = "UPDATE_ROLLBACK_IN_PROGRESS"
            self._add_stack_event(self.status, resource_status_reason=_words(error))
            self._roll_back(before, previous, done)
            return
        self._add_stack_event("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        self._clean_up(new)
        self._publish("UPDATE_COMPLETE")

    def _take(self, template: Any, document: dict[str, Any], parameters: dict[str, Any]) -> None:
        self.template, self.template_dict, self.parameters = template, document, parameters
        self.description = document.get("Description")
        self.resource_map.use(self._own(document), parameters)

    def _roll_back(
        self,
        before: tuple[Any, dict[str, Any], dict[str, Any]],
        previous: dict[str, dict[str, Any]],
        done: list[str],
    ) -> None:
        """What was replaced comes back, what was changed is changed back, what is new goes."""
        resources = self.resource_map
        is_whole = True
        newly_made = [(n, resources[n], resources.applied[n]) for n in done if n not in previous]
        for name, old, resolved in self._replaced:
            newly_made.append((name, resources[name], resources.applied[name]))
            resources.put(name, old, resolved)
        self._take(*before)
        for name in done:
            if name in previous and resources.applied.get(name) != previous[name]:
                try:
                    self._change(name, previous[name])
                except _FAILURES as error:
                    self._tell(name, previous[name]["Type"], "UPDATE_FAILED", _words(error))
                    is_whole = False
        for name, resource, resolved in reversed(newly_made):
            is_whole &= self._remove(name, resource, resolved, resolved)
            if name not in previous:
                resources.forget(name)
        self._replaced = []
        if is_whole:
            self._publish("UPDATE_ROLLBACK_COMPLETE")
        else:
            self._finish("UPDATE_ROLLBACK_FAILED")

    def _clean_up(self, new: dict[str, Any]) -> None:
        resources = self.resource_map
        for name, resource, resolved in reversed(self._replaced):
            self._remove(name, resource, resolved, resolved)
        self._replaced = []
        wanted = {name for name in new["Resources"] if resources.is_wanted(name)}
        for name in reversed(list(resources.applied)):
            if name not in wanted:
                resolved = resources.applied[name]
                self._remove(name, resources[name], resolved, resolved)
                resources.forget(name)

    # -- one round over the template ----------------------------------------------------------

    def _apply(self, done: list[str] | None = None) -> None:
        """Bring every resource to what the template says, in order. `done`: whom it touched."""
        resources = self.resource_map
        backend = models.cloudformation_backends[self.account_id][self.region_name]
        resources.cross_stack_resources = backend.exports
        for name in dependency_order(resources._resource_json_map):
            if self.cancelled.is_set():
                raise Cancelled("Resource creation cancelled")
            if not resources.is_wanted(name):
                continue
            document = resources._resource_json_map[name]
            verb = "UPDATE" if name in resources.applied else "CREATE"
            try:
                resolved = self._resolved(name, document)
                if name not in resources.applied:
                    # Before it is tried: what fails half-made is removed too.
                    self._make(name, resolved, done)
                elif resources.applied[name] != resolved:
                    if done is not None:
                        done.append(name)
                    self._change(name, resolved)
            except _FAILURES as error:
                self._tell(name, document["Type"], f"{verb}_FAILED", _words(error))
                what = f"The following resource(s) failed to {verb.lower()}: [{name}]."
                raise (
                    type(error)(what) if isinstance(error, Cancelled) else ResourceFailed(what)
                ) from error

    def _resolved(self, name: str, document: dict[str, Any]) -> dict[str, Any]:
        kind = document["Type"]
        if kind.startswith("Custom::") or kind == "AWS::CloudFormation::CustomResource":
            raise ResourceFailed(f"{kind} needs a Lambda function, which the local region has not")
        if kind not in parsing.get_model_map():
            raise ResourceFailed(f"{kind} is not implemented by the local region")
        whole = {"Properties": {}, **document}
        resolved = parsing.clean_json(whole, self.resource_map)
        assert isinstance(resolved, dict)
        return {
            "Properties": {},
            **{k: resolved[k] for k in ("Type", "Properties") if k in resolved},
        }

    def _make(self, name: str, resolved: dict[str, Any], done: list[str] | None = None) -> None:
        kind = resolved["Type"]
        model = parsing.get_model_map()[kind]
        self._tell(name, kind, "CREATE_IN_PROGRESS")
        if done is not None:
            done.append(name)
        if issubclass(model, Adapter):
            resource = model(
                self._name_of(name, resolved), resolved["Properties"], self.region_name,
                self.cancelled,
            )  # fmt: skip
            # Known before it is made: what fails half-made is removed with the rest.
            self.resource_map.put(name, resource, resolved)
            resource.make(resource.playable(resolved["Properties"]))
            reason = resource.remark(resolved["Properties"])
        else:
            resource = model.create_from_cloudformation_json(
                self._name_of(name, resolved), resolved, self.account_id, self.region_name,
                LogicalId=name, StackId=self.stack_id, ResourceType=kind,
            )  # fmt: skip
            if isinstance(resource, parsing.TaggedEC2Resource):
                backend = parsing.ec2_models.ec2_backends[self.account_id][self.region_name]
                tags = {
                    **self.tags,
                    "aws:cloudformation:stack-name": self.name,
                    "aws:cloudformation:logical-id": name,
                }
                backend.create_tags([resource.physical_resource_id], tags)
            self.resource_map.put(name, resource, resolved)
            reason = _KEPT_AS_METADATA
        self._tell(name, kind, "CREATE_COMPLETE", reason)

    def _change(self, name: str, resolved: dict[str, Any]) -> None:
        kind = resolved["Type"]
        resources = self.resource_map
        resource, before = resources[name], resources.applied[name]
        self._tell(name, kind, "UPDATE_IN_PROGRESS")
        model = parsing.get_model_map()[kind]
        new, old = resolved["Properties"], before["Properties"]
        changed = {key for key in {*new, *old} if new.get(key) != old.get(key)}
        if issubclass(model, Adapter):
            if changed & model.REPLACING:
                self._replaced.append((name, resource, before))
                resources.forget(name)
                self._make(name, resolved)
            else:
                # First, so that a change that fails half-way is changed back.
                resources.applied[name] = resolved
                resource.properties = new
                resource.change(resource.playable(new), resource.playable(old))
        elif hasattr(model.update_from_cloudformation_json, "__isabstractmethod__"):
            self._replaced.append((name, resource, before))
            resources.forget(name)
            self._make(name, resolved)
        else:
            updated = model.update_from_cloudformation_json(
                original_resource=resource,
                new_resource_name=self._name_of(name, resolved),
                cloudformation_json=resolved,
                account_id=self.account_id,
                region_name=self.region_name,
            )
            resources.put(name, updated or resource, resolved)
        self._tell(name, kind, "UPDATE_COMPLETE")

    # -- removing -----------------------------------------------------------------------------

    def _remove_all(self) -> bool:
        resources = self.resource_map
        is_whole = True
        for name in reversed(list(resources.applied)):
            document = self.template_dict.get("Resources", {}).get(name, {})
            resolved = resources.applied[name]
            if self._remove(name, resources[name], resolved, document):
                resources.forget(name)
            else:
                is_whole = False
        return is_whole

    def _remove(
        self, name: str, resource: Any, resolved: dict[str, Any], document: dict[str, Any]
    ) -> bool:
        kind = resolved["Type"]
        policy = document.get("DeletionPolicy", "Delete")
        is_rollback = "ROLLBACK" in self.status
        if policy == "Retain" or (policy == "RetainExceptOnCreate" and not is_rollback):
            self._tell(name, kind, "DELETE_SKIPPED", None, resource)
            return True
        self._tell(name, kind, "DELETE_IN_PROGRESS", None, resource)
        try:
            if isinstance(resource, Adapter):
                resource.remove()
            elif kind in LEAVING:
                service, leave = LEAVING[kind]
                client = Adapter.make_client(service, self.region_name)
                leave(client, str(resource.physical_resource_id), resolved["Properties"])
            elif not _can_leave(resource):
                words = "left behind: the local region cannot delete one"
                self._tell(name, kind, "DELETE_SKIPPED", words, resource)
                return True
            else:
                self.resource_map._delete_resource(resource, resolved)
        except Exception as error:
            self._tell(name, kind, "DELETE_FAILED", _words(error), resource)
            return False
        self._tell(name, kind, "DELETE_COMPLETE", None, resource)
        return True

    # -- small things -------------------------------------------------------------------------

    def _own(self, template: dict[str, Any]) -> dict[str, Any]:
        """The template with Fn::GetAZs answered: moto's own answer is always us-east-1's."""
        backend = parsing.ec2_models.ec2_backends[self.account_id][self.region_name]
        zones = sorted(zone.name for zone in backend.describe_availability_zones())
        own = _with_zones(template, zones)
        assert isinstance(own, dict)
        return own

    def _name_of(self, name: str, resolved: dict[str, Any]) -> str:
        kind = resolved["Type"]
        given = parsing.resource_name_property_from_type(kind)
        named = resolved["Properties"].get(given) if given else None
        return str(named or parsing.generate_resource_name(kind, self.name, name))

    def _tell(
        self, name: str, kind: str, status: str, reason: str | None = None, resource: Any = None
    ) -> None:
        if resource is None:
            with contextlib.suppress(KeyError):
                resource = self.resource_map[name]
        self.events.append(
            models.Event(
                stack_id=self.stack_id,
                stack_name=self.name,
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


_FAILURES = (Exception,)


def _with_zones(value: Any, zones: list[str]) -> Any:
    if isinstance(value, dict):
        if "Fn::GetAZs" in value:
            return zones
        return {key: _with_zones(item, zones) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_zones(item, zones) for item in value]
    return value


def _words(error: BaseException) -> str:
    if isinstance(error, ClientError):
        told = error.response["Error"]
        return f"{told.get('Message')} (Service: {error.operation_name}, Code: {told.get('Code')})"
    if isinstance(error, (ResourceFailed, UnknownProperty, CircularDependency, BotoCoreError)):
        return str(error)
    description = getattr(error, "description", None) or getattr(error, "message", None)
    return str(description or f"{type(error).__name__}: {error}")


def dependency_order_or_refuse(template: dict[str, Any]) -> None:
    """ValidationError for a template whose resources go round in a ring, or refer to nothing."""
    try:
        dependency_order(template.get("Resources", {}))
    except CircularDependency as error:
        raise models.ValidationError(message=str(error)) from error


def imports_of(stack: Any) -> str:
    """The template's text, in which the names of imported exports stand."""
    return json.dumps(stack.template_dict, default=str)
