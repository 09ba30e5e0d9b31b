"""What botocore writes we read, and what we write botocore reads, for our services' shapes."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import botocore.parsers
import botocore.serialize
import pytest
from botocore.compat import HTTPHeaders
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hikkoshi.region.front.catalogue import ServiceDescription
from hikkoshi.region.front.parse import parse_json, parse_query, parse_rest_json
from hikkoshi.region.front.port import AwsError
from hikkoshi.region.front.request import OWN_SERVICES, Request
from hikkoshi.region.front.serialize import Response, serialize, serialize_error

SERVICES = {name: ServiceDescription(name) for name in OWN_SERVICES}
OPERATIONS = [
    (name, operation) for name in OWN_SERVICES for operation in SERVICES[name].model.operation_names
]

# What XML can carry; botocore's query parser also strips nothing else.
text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FFF, exclude_categories=("Cs",)),
               min_size=1, max_size=12).filter(lambda value: value == value.strip())  # fmt: skip
moments = st.integers(0, 2**31).map(lambda second: datetime.fromtimestamp(second, UTC))


def values(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Any value of a shape; below a depth only what is required."""
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return st.just({})
        is_union = getattr(shape, "is_tagged_union", False)
        members = {
            name: values(member, depth + 1)
            for name, member in shape.members.items()
            if depth < 3 or is_union or name in shape.required_members
        }
        if depth >= 6:
            return st.just({})
        if is_union:
            ones = [value.map(partial(dict.fromkeys, [name])) for name, value in members.items()]
            return st.one_of(ones)
        required = {
            name: value for name, value in members.items() if name in shape.required_members
        }
        optional = {name: value for name, value in members.items() if name not in required}
        return st.fixed_dictionaries(required, optional=optional)
    if kind == "list":
        return st.lists(values(shape.member, depth + 1), min_size=1, max_size=2)
    if kind == "map":
        return st.dictionaries(text, values(shape.value, depth + 1), min_size=1, max_size=2)
    if kind == "string":
        return st.sampled_from(shape.enum) if shape.enum else text
    return {
        "boolean": st.booleans(),
        "integer": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**53), 2**53),
        "float": st.integers(-1000, 1000).map(lambda value: value / 8),
        "double": st.integers(-1000, 1000).map(lambda value: value / 8),
        "timestamp": moments,
        "blob": st.binary(min_size=1, max_size=8),
    }[kind]


@pytest.mark.parametrize("service", OWN_SERVICES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_answers_are_read_by_botocore_as_they_were_given(service: str, data: Any) -> None:
    description = SERVICES[service]
    names = [name for kind, name in OPERATIONS if kind == service]
    operation = description.operation(data.draw(st.sampled_from(names)))
    assert operation is not None
    shape = operation.output_shape
    answer = data.draw(values(shape)) if shape is not None else {}
    response = serialize(description, operation, answer, "id-1")
    parser = botocore.parsers.create_parser(description.protocol)
    parsed = parser.parse(as_received(response), shape)
    assert parsed.pop("ResponseMetadata")["RequestId"] == "id-1"
    assert without_empty(parsed) == without_empty(answer)


@pytest.mark.parametrize("service", OWN_SERVICES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_requests_of_botocore_are_read_as_they_were_meant(service: str, data: Any) -> None:
    description = SERVICES[service]
    names = [name for kind, name in OPERATIONS if kind == service]
    operation = description.operation(data.draw(st.sampled_from(names)))
    assert operation is not None
    if operation.input_shape is None:
        return
    parameters = data.draw(values(operation.input_shape))
    written = botocore.serialize.create_serializer(description.protocol, False)
    request = written.serialize_to_request(parameters, operation)
    assert without_empty(read(description, operation, request)) == without_empty(parameters)


def as_received(response: Response) -> dict[str, Any]:
    headers = HTTPHeaders.from_dict(dict(response.headers))
    return {"status_code": response.status, "headers": headers, "body": response.body}


def read(description: ServiceDescription, operation: Any, written: dict[str, Any]) -> Any:
    body = written["body"]
    if description.protocol == "query":
        form = {key: value_text(value) for key, value in body.items()}
        assert form.pop("Action") == operation.name
        form.pop("Version")
        return parse_query(form, operation)
    body = body if isinstance(body, bytes) else str(body or "").encode()
    if description.protocol == "json":
        return parse_json(body, operation)
    request = Request("POST", written["url_path"], "", {}, body)
    found = description.match(written["method"], written["url_path"])
    assert found is not None and found[0].name == operation.name
    return parse_rest_json(request, *found)


def value_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def without_empty(value: Any) -> Any:
    """Structures with nothing in them cannot be told from absent ones in every protocol."""
    if isinstance(value, dict):
        kept = {key: without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ({}, [], None)}
    if isinstance(value, list):
        return [item for item in map(without_empty, value) if item not in ({}, [])]
    return value


@pytest.mark.parametrize(
    ("service", "code", "wire", "status"),
    [
        ("ecs", "ClusterNotFoundException", "ClusterNotFoundException", 400),
        ("elbv2", "LoadBalancerNotFound", "LoadBalancerNotFound", 400),
        ("elbv2", "TargetGroupNotFoundException", "TargetGroupNotFound", 400),
        ("rds", "DBClusterNotFoundFault", "DBClusterNotFoundFault", 404),
        ("xray", "InvalidRequestException", "InvalidRequestException", 400),
    ],
)
def test_errors_are_read_by_botocore(service: str, code: str, wire: str, status: int) -> None:
    description = SERVICES[service]
    said = "it's <not> & there\x00"
    response = serialize_error(description, AwsError(code, said), "id-2")
    parser = botocore.parsers.create_parser(description.protocol)
    shape = description.model.operation_model(description.model.operation_names[0]).output_shape
    parsed = parser.parse(as_received(response), shape)
    kept = said if description.protocol != "query" else said.replace("\x00", "\ufffd")
    assert (parsed["Error"]["Code"], parsed["Error"]["Message"]) == (wire, kept)
    assert response.status == status


def test_an_answer_that_the_model_does_not_know_is_our_mistake() -> None:
    description = SERVICES["ecs"]
    with pytest.raises(ValueError, match="clusterArn"):
        serialize(description, description.operation("ListClusters"), {"clusterArn": []}, "id")


@pytest.mark.parametrize(
    ("operation", "form"),
    [
        ("ModifyDBCluster", {"DBClusterIdentifier": "a", "NewDBClusterIdentifier.": "x"}),
        ("ModifyDBCluster", {"DBClusterIdentifier.a.b": "x"}),
        ("DescribeEvents", {"EndTime": "1000000000000.0"}),
        ("DescribeEvents", {"EndTime": "soon"}),
        ("DescribeEvents", {"Duration": "1e999"}),
    ],
)
def test_a_form_that_fuzzing_found_is_refused_in_words(
    operation: str, form: dict[str, str]
) -> None:
    with pytest.raises(AwsError) as caught:
        parse_query(form, ServiceDescription("rds").operation(operation))
    assert caught.value.status == 400
