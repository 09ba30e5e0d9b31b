"""The account as a CloudFormation template says it: former2's output, or anybody's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hikkoshi.base.errors import BadInput
from hikkoshi.base.written_out import MOST_NODES, written_out
from hikkoshi.model.survey import Account, Resource


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: !Ref, !Sub, !GetAtt and the rest."""


def _short(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    name = "Ref" if suffix == "Ref" else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _short)


def read_template(path: Path) -> Account:
    """BadInput: no such file, no template, or no resources in it. Parameters' defaults and
    references to other resources are filled in; what only AWS can know stays as it is written."""
    try:
        text = path.read_text("utf-8")
        data = json.loads(text) if text.lstrip().startswith("{") else _parse(text)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the template cannot be read: {error}", where=str(path)) from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise BadInput(
            f"this is no template: {error}", where=str(path), fix="give JSON or YAML of former2"
        ) from error
    resources = data.get("Resources") if isinstance(data, Mapping) else None
    if not isinstance(resources, Mapping) or not resources:
        raise BadInput(
            "the template has no Resources",
            where=str(path),
            fix="export from former2 as CloudFormation (not Terraform, not CDK)",
        )
    parameters = data.get("Parameters")
    defaults = {
        str(name): p["Default"]
        for name, p in (parameters.items() if isinstance(parameters, Mapping) else ())
        if isinstance(p, Mapping) and "Default" in p
    }
    names = {**{str(name): str(name) for name in resources}, **defaults}
    found = []
    for name, resource in resources.items():
        if isinstance(resource, Mapping) and isinstance(resource.get("Type"), str):
            properties = _filled(resource.get("Properties") or {}, names)
            if isinstance(properties, dict):
                found.append(Resource(resource["Type"], str(name), _as_described(
                    resource["Type"], properties)))  # fmt: skip
    region = str(defaults.get("Region", ""))
    return Account(f"template {path.name}", region, "", tuple(found))


def _parse(text: str) -> Any:
    if written_out(yaml.compose(text, Loader=_Loader)) > MOST_NODES:
        raise ValueError(
            f"with its aliases written out it has more than {MOST_NODES} keys and items"
        )
    return yaml.load(text, Loader=_Loader)


def _filled(value: Any, names: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"Ref"} and isinstance(value["Ref"], str):
            return names.get(value["Ref"], value["Ref"])
        return {str(key): _filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _as_described(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    """The few properties that a plan reads, under the names that the describe calls give them."""
    if kind == "AWS::ElasticLoadBalancingV2::TargetGroup":
        text = str(properties.get("Port", ""))
        name = {"TargetGroupName": properties.get("Name", "")}
        return {**properties, **name, **({"Port": int(text)} if text.isdigit() else {})}
    return properties
