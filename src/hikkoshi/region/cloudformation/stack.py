"""A stack: resources made one after the other in a thread; undone when one of them fails."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from hikkoshi.region.cloudformation.adapter import Cancelled, ResourceFailed
from hikkoshi.region.cloudformation.graph import CircularDependency, dependency_order
from hikkoshi.region.cloudformation.moto_engine import models, parsing
from hikkoshi.region.cloudformation.resource_map import with_zones
from hikkoshi.region.cloudformation.resource_work import ResourceWork, words

_log = logging.getLogger(__name__)
_FAILURES = (Exception,)


class RegionStack(models.Stack):  # type: ignore[misc]
    """moto's stack, whose create, update and delete run in a thread and know failure."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.status = "CREATE_PENDING"
        self.cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self._work = ResourceWork(self)
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
                self._add_stack_event(self.status, resource_status_reason=words(fault))

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
                self._finish("CREATE_FAILED", words(error))
                return
            self.status = "ROLLBACK_IN_PROGRESS"
            self._add_stack_event("ROLLBACK_IN_PROGRESS", resource_status_reason=words(error))
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
        self._work.replaced = []
        try:
            self._take(template, new, parameters)
            self._apply(done)
        except _FAILURES as error:
            self.status = "UPDATE_ROLLBACK_IN_PROGRESS"
            self._add_stack_event(self.status, resource_status_reason=words(error))
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
        for old in self._work.replaced:
            newly_made.append((old.name, resources[old.name], resources.applied[old.name]))
            resources.put(old.name, old.resource, old.resolved)
        self._take(*before)
        for name in done:
            if name in previous and resources.applied.get(name) != previous[name]:
                try:
                    self._work.change(name, previous[name])
                except _FAILURES as error:
                    self._work.tell(name, previous[name]["Type"], "UPDATE_FAILED", words(error))
                    is_whole = False
        for name, resource, resolved in reversed(newly_made):
            is_whole &= self._work.remove(name, resource, resolved, resolved)
            if name not in previous:
                resources.forget(name)
        self._work.replaced = []
        if is_whole:
            self._publish("UPDATE_ROLLBACK_COMPLETE")
        else:
            self._finish("UPDATE_ROLLBACK_FAILED")

    def _clean_up(self, new: dict[str, Any]) -> None:
        resources = self.resource_map
        for old in reversed(self._work.replaced):
            self._work.remove(old.name, old.resource, old.resolved, old.resolved)
        self._work.replaced = []
        wanted = {name for name in new["Resources"] if resources.is_wanted(name)}
        for name in reversed(list(resources.applied)):
            if name not in wanted:
                resolved = resources.applied[name]
                self._work.remove(name, resources[name], resolved, resolved)
                resources.forget(name)

    # -- one round over the template ----------------------------------------------------------

    def _apply(self, done: list[str] | None = None) -> None:
        """Bring every resource to what the template says, in order. `done`: whom it touched."""
        resources = self.resource_map
        backend = models.cloudformation_backends[self.account_id][self.region_name]
        resources.cross_stack_resources = backend.exports
        for name in dependency_order(resources.documents):
            if self.cancelled.is_set():
                raise Cancelled("Resource creation cancelled")
            if not resources.is_wanted(name):
                continue
            document = resources.document(name)
            verb = "UPDATE" if name in resources.applied else "CREATE"
            try:
                resolved = resources.resolved(name)
                if name not in resources.applied:
                    self._work.make(name, resolved, done)
                elif resources.applied[name] != resolved:
                    if done is not None:
                        done.append(name)
                    self._work.change(name, resolved)
            except _FAILURES as error:
                self._work.tell(name, document["Type"], f"{verb}_FAILED", words(error))
                what = f"The following resource(s) failed to {verb.lower()}: [{name}]."
                raise (
                    type(error)(what) if isinstance(error, Cancelled) else ResourceFailed(what)
                ) from error

    # -- removing -----------------------------------------------------------------------------

    def _remove_all(self) -> bool:
        resources = self.resource_map
        is_whole = True
        for name in reversed(list(resources.applied)):
            document = self.template_dict.get("Resources", {}).get(name, {})
            resolved = resources.applied[name]
            if self._work.remove(name, resources[name], resolved, document):
                resources.forget(name)
            else:
                is_whole = False
        return is_whole

    # -- small things -------------------------------------------------------------------------

    def _own(self, template: dict[str, Any]) -> dict[str, Any]:
        """The template with Fn::GetAZs answered: moto's own answer is always us-east-1's."""
        backend = parsing.ec2_models.ec2_backends[self.account_id][self.region_name]
        zones = sorted(zone.name for zone in backend.describe_availability_zones())
        own = with_zones(template, zones)
        assert isinstance(own, dict)
        return own


def dependency_order_or_refuse(template: dict[str, Any]) -> None:
    """ValidationError for a template whose resources go round in a ring, or refer to nothing."""
    try:
        dependency_order(template.get("Resources", {}))
    except CircularDependency as error:
        raise models.ValidationError(message=str(error)) from error


def imports_of(stack: Any) -> str:
    """The template's text, in which the names of imported exports stand."""
    return json.dumps(stack.template_dict, default=str)
