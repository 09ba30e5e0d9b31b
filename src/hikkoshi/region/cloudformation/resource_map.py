"""Which resources a stack has, and what their templates say once everything in it is resolved."""

from __future__ import annotations

from typing import Any

from hikkoshi.region.cloudformation.adapter import ResourceFailed
from hikkoshi.region.cloudformation.moto_engine import parsing


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

    def document(self, name: str) -> dict[str, Any]:
        """As the template has it, unresolved."""
        document: dict[str, Any] = self._resource_json_map[name]
        return document

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        documents: dict[str, dict[str, Any]] = self._resource_json_map
        return documents

    def resolved(self, name: str) -> dict[str, Any]:
        """Type and Properties, with every function of the template answered. ResourceFailed for a
        type that the region does not know."""
        document = self.document(name)
        kind = document["Type"]
        if kind.startswith("Custom::") or kind == "AWS::CloudFormation::CustomResource":
            raise ResourceFailed(f"{kind} needs a Lambda function, which the local region has not")
        if kind not in parsing.get_model_map():
            raise ResourceFailed(f"{kind} is not implemented by the local region")
        resolved = parsing.clean_json({"Properties": {}, **document}, self)
        assert isinstance(resolved, dict)
        return {
            "Properties": {},
            **{k: resolved[k] for k in ("Type", "Properties") if k in resolved},
        }


def with_zones(value: Any, zones: list[str]) -> Any:
    """The template with Fn::GetAZs answered: moto's own answer is always us-east-1's."""
    if isinstance(value, dict):
        if "Fn::GetAZs" in value:
            return zones
        return {key: with_zones(item, zones) for key, item in value.items()}
    if isinstance(value, list):
        return [with_zones(item, zones) for item in value]
    return value
