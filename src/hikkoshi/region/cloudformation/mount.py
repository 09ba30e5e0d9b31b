"""Puts the engine and the resources into moto's CloudFormation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from hikkoshi.region.cloudformation.adapter import Adapter, MakeClient
from hikkoshi.region.cloudformation.moto_engine import models, parsing, responses
from hikkoshi.region.cloudformation.resource_map import RegionResourceMap
from hikkoshi.region.cloudformation.resources import ADAPTERS
from hikkoshi.region.cloudformation.stack import RegionStack, imports_of


def mount(make_client: MakeClient) -> None:
    """Once, before CloudFormation is first asked."""
    Adapter.make_client = staticmethod(make_client)
    known = parsing.get_model_map()
    for adapter in ADAPTERS:
        known[adapter.TYPE] = adapter
    models.ResourceMap = RegionResourceMap
    models.Stack = RegionStack
    responses.get_stack_from_s3_url = _template_of(responses.get_stack_from_s3_url)
    models.CloudFormationBackend.delete_stack = _delete_stack
    models.CloudFormationBackend.execute_change_set = _execute_change_set


def _template_of(from_amazon: Callable[..., str]) -> Callable[..., str]:
    """A TemplateURL whose host is the region's own (as the CDK's CLI writes it) has the bucket in
    its path; moto takes the first part of the host for it."""

    def read(template_url: str, **place: Any) -> str:
        url = urlsplit(template_url)
        if not str(url.hostname).endswith("amazonaws.com"):
            template_url = url._replace(scheme="https", netloc="s3.amazonaws.com").geturl()
        return from_amazon(template_url, **place)

    return read


def _delete_stack(self: Any, name_or_stack_id: str) -> None:
    """A stack that is not there is deleted already, as for AWS."""
    found = [s for s in self.stacks.values() if name_or_stack_id in (s.name, s.stack_id)]
    if not found:
        return
    stack = found[0]
    if stack.enable_termination_protection:
        raise models.ValidationError(
            message=f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
        )
    for export in stack.exports:
        users = [s.name for s in self.stacks.values() if f'"{export.name}"' in imports_of(s)]
        users = [name for name in users if name != stack.name]
        if users:
            raise models.ValidationError(
                message=f"Delete canceled. Cannot delete export {export.name} as it is in use by "
                f"{', '.join(users)}."
            )
    names = [export.name for export in stack.exports]

    def forget() -> None:
        for name in names:
            self.exports.pop(name, None)
        self.stacks.pop(stack.stack_id, None)
        self.deleted_stacks[stack.stack_id] = stack

    stack.start_deleting(forget)


def _execute_change_set(self: Any, change_set_name: str, stack_name: str | None = None) -> None:
    found = [
        change_set
        for identity, change_set in self.change_sets.items()
        if change_set_name in (identity, change_set.change_set_name)
        and stack_name in (None, change_set.stack_name, change_set.stack_id)
    ]
    if not found:
        raise models.ValidationError(message=f"ChangeSet [{change_set_name}] does not exist")
    change_set = found[-1]
    stack = self.stacks[change_set.stack_id]
    if change_set.change_set_type == "CREATE":
        stack.template = change_set.template
        stack.parameters = change_set.parameters
        stack._parse_template()
        stack.resource_map = stack._create_resource_map()
        stack._add_stack_event("CREATE_IN_PROGRESS", resource_status_reason="User Initiated")
        stack.create_resources()
    else:
        stack.update(change_set.template, parameters=change_set.parameters)
    change_set.execution_status = "EXECUTE_COMPLETE"
