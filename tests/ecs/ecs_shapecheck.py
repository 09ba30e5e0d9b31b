"""Holding answers against botocore's model of ECS, more strictly than its parser does."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.parsers import create_parser
from botocore.validate import ParamValidator

MODEL = botocore.session.get_session().get_service_model("ecs")
_SCALARS = {
    "string": str, "integer": int, "long": int, "boolean": bool, "double": (int, float),
    "float": (int, float), "timestamp": datetime,
}  # fmt: skip


def check_input(operation: str, parameters: dict[str, Any]) -> None:
    shape = MODEL.operation_model(operation).input_shape
    report = ParamValidator().validate(parameters, shape)
    assert not report.has_errors(), report.generate_report()


def check_output(operation: str, answer: dict[str, Any]) -> None:
    """Every member exists in the model and has its type; enumerations hold."""
    _check(answer, MODEL.operation_model(operation).output_shape, operation)


def _check(value: Any, shape: Any, path: str) -> None:
    kind = shape.type_name
    if kind == "structure":
        assert isinstance(value, dict), path
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{path}: {unknown} not in {shape.name}"
        for name, item in value.items():
            _check(item, shape.members[name], f"{path}.{name}")
    elif kind == "list":
        assert isinstance(value, list), f"{path}: {type(value)}"
        for index, item in enumerate(value):
            _check(item, shape.member, f"{path}[{index}]")
    elif kind == "map":
        assert all(isinstance(key, str) for key in value), path
        for key, item in value.items():
            _check(item, shape.value, f"{path}.{key}")
    else:
        assert isinstance(value, _SCALARS[kind]), f"{path}: {value!r} is no {kind}"
        if kind == "integer":
            assert not isinstance(value, bool), path
        if getattr(shape, "enum", None):
            assert value in shape.enum, f"{path}: {value!r} not in {shape.enum}"


def as_json(answer: dict[str, Any]) -> bytes:
    """As the JSON 1.1 protocol writes it: timestamps are seconds."""
    return json.dumps(answer, default=lambda moment: moment.timestamp()).encode()


def read_back(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
    """What AWS's client makes of the answer."""
    parser = create_parser("json")
    response = {"headers": {}, "status_code": 200, "body": as_json(answer)}
    parsed = parser.parse(response, MODEL.operation_model(operation).output_shape)
    parsed.pop("ResponseMetadata", None)
    return parsed


__all__ = ["MODEL", "AWSResponse", "as_json", "check_input", "check_output", "read_back"]
