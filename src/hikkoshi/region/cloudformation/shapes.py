"""Properties of CloudFormation as parameters of the API: the same words in another case."""

from __future__ import annotations

from typing import Any


class UnknownProperty(Exception):
    """The text says which property has no counterpart in the API."""


def to_parameters(shape: Any, properties: dict[str, Any], what: str) -> dict[str, Any]:
    """shape: botocore's input shape. Members are matched without regard to case, scalars are
    brought to the shape's type (`"true"` and `"80"` are legal in a template).

    Raises UnknownProperty."""
    converted = _convert(shape, properties, what)
    assert isinstance(converted, dict)
    return converted


def _convert(shape: Any, value: Any, where: str) -> Any:
    match shape.type_name:
        case "structure" if isinstance(value, dict):
            members = {name.lower(): name for name in shape.members}
            made = {}
            for key, item in value.items():
                name = members.get(key.lower())
                if name is None:
                    raise UnknownProperty(f"{where}: {key} is not known to the local region")
                made[name] = _convert(shape.members[name], item, f"{where}.{key}")
            return made
        case "list" if isinstance(value, list):
            return [
                _convert(shape.member, item, f"{where}[{index}]")
                for index, item in enumerate(value)
                if item is not None
            ]
        case "map" if isinstance(value, dict):
            return {key: _convert(shape.value, item, where) for key, item in value.items()}
        case "map" if isinstance(value, list):  # tags, which some APIs take as a map
            return {str(item["Key"]): str(item["Value"]) for item in value}
        case "integer" | "long" if isinstance(value, str):
            return _number(value, where)
        case "double" | "float" if isinstance(value, str):
            return float(value)
        case "boolean" if isinstance(value, str):
            return value.lower() == "true"
        case "string" if isinstance(value, bool):
            return str(value).lower()
        case "string" if isinstance(value, (int, float)):
            return str(value)
        case _:
            return value


def _number(text: str, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UnknownProperty(f"{where}: {text!r} is no number") from None
