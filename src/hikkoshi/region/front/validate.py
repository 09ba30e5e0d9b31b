"""Parameters against botocore's model, refused in AWS's words."""

from __future__ import annotations

from typing import Any

from hikkoshi.region.front.port import AwsError

# What each service calls a parameter that its model forbids.
_CODE = {"ecs": "InvalidParameterException", "xray": "InvalidRequestException"}
_CODE_OF_PROTOCOL = {"query": "ValidationError"}
_MAX_REPORTED = 10


def validate(service: str, protocol: str, parameters: dict[str, Any], operation: Any) -> None:
    """Raises AwsError: `N validation errors detected: Value … at … failed to satisfy constraint: …`

    Required members, enumerations, and lengths and ranges are looked at. Patterns are not: they
    are written for another language's regular expressions, and services check names themselves.
    """
    shape = operation.input_shape
    if shape is None:
        return
    faults: list[str] = []
    _structure(parameters, shape, "", faults)
    if not faults:
        return
    count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected: "
    code = _CODE.get(service) or _CODE_OF_PROTOCOL.get(protocol, "ValidationException")
    raise AwsError(code, count + "; ".join(faults[:_MAX_REPORTED]))


def _structure(value: dict[str, Any], shape: Any, path: str, faults: list[str]) -> None:
    for name in shape.required_members:
        if name not in value:
            faults.append(_fault("null", _join(path, name), "Member must not be null"))
    for name, item in value.items():
        _value(item, shape.members[name], _join(path, name), faults)


def _value(value: Any, shape: Any, path: str, faults: list[str]) -> None:
    kind, limits = shape.type_name, shape.metadata
    if kind == "structure":
        if not getattr(shape, "is_document_type", False):
            _structure(value, shape, path, faults)
    elif kind == "list":
        _size(len(value), "a list", limits, path, faults)
        for index, item in enumerate(value):
            _value(item, shape.member, f"{path}.{index + 1}.member", faults)
    elif kind == "map":
        for key, item in value.items():
            _value(item, shape.value, f"{path}.{key}.member", faults)
    elif kind == "string":
        allowed = limits.get("enum")
        if allowed and value not in allowed:
            wanted = f"Member must satisfy enum value set: [{', '.join(allowed)}]"
            faults.append(_fault(_quoted(value), path, wanted))
        _size(len(value), _quoted(value), limits, path, faults)
    elif kind in ("integer", "long", "float", "double"):
        if "min" in limits and value < limits["min"]:
            wanted = f"Member must have value greater than or equal to {limits['min']}"
            faults.append(_fault(_quoted(value), path, wanted))
        if "max" in limits and value > limits["max"]:
            wanted = f"Member must have value less than or equal to {limits['max']}"
            faults.append(_fault(_quoted(value), path, wanted))


def _size(length: int, shown: str, limits: dict[str, Any], path: str, faults: list[str]) -> None:
    if length < limits.get("min", 0):
        wanted = f"Member must have length greater than or equal to {limits['min']}"
        faults.append(_fault(shown, path, wanted))
    if "max" in limits and length > limits["max"]:
        wanted = f"Member must have length less than or equal to {limits['max']}"
        faults.append(_fault(shown, path, wanted))


def _fault(shown: str, path: str, constraint: str) -> str:
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _quoted(value: Any) -> str:
    text = str(value)
    return f"'{text if len(text) <= 200 else text[:200] + '…'}'"


def _join(path: str, name: str) -> str:
    """AWS writes the members' names with a small first letter here, whatever the model has."""
    small = name[:1].lower() + name[1:]
    return f"{path}.{small}" if path else small
