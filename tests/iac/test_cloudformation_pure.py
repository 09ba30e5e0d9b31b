"""The order of a template's resources, and properties as parameters."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from hikkoshi.region.cloudformation.graph import CircularDependency, dependency_order
from hikkoshi.region.cloudformation.resources.containers import in_words_of_the_api
from hikkoshi.region.cloudformation.shapes import UnknownProperty, to_parameters


def resource(properties: Any = None, **more: Any) -> dict[str, Any]:
    return {"Type": "X", "Properties": properties or {}, **more}


def test_what_is_referred_to_comes_first() -> None:
    resources = {
        "A": resource({"x": [{"Fn::GetAtt": ["B", "Arn"]}]}),
        "B": resource({"x": {"Fn::Sub": "${C.Name}-${AWS::Region}"}}, DependsOn="D"),
        "C": resource(),
        "D": resource({"x": {"Fn::Sub": ["${v}", {"v": {"Ref": "E"}}]}}),
        "E": resource(DependsOn=["C"]),
    }
    order = dependency_order(resources)
    assert sorted(order) == ["A", "B", "C", "D", "E"]
    for later, earlier in (("A", "B"), ("B", "C"), ("B", "D"), ("D", "E"), ("E", "C")):
        assert order.index(earlier) < order.index(later)


def test_a_property_called_depends_on_is_no_dependency() -> None:
    properties = {"DependsOn": [{"ContainerName": "A", "Condition": "START"}]}
    assert dependency_order({"A": resource(properties)}) == ["A"]


def test_a_ring_is_named() -> None:
    ring = {"A": resource({"x": {"Ref": "B"}}), "B": resource({"x": {"Ref": "A"}})}
    with pytest.raises(CircularDependency, match=r"\[A, B\]"):
        dependency_order(ring)


def shape(operation: str) -> Any:
    model = botocore.session.get_session().get_service_model("ecs")
    return model.operation_model(operation).input_shape


def test_properties_take_the_case_and_the_type_of_the_api() -> None:
    properties = {
        "Family": "web",
        "Memory": 512,
        "ContainerDefinitions": [
            {
                "Name": "web",
                "Essential": "true",
                "PortMappings": [{"ContainerPort": "8080"}],
                "LogConfiguration": {"LogDriver": "awsfirelens", "Options": {"Name": "datadog"}},
            }
        ],
        "Volumes": [{"Name": "v", "EFSVolumeConfiguration": {"FilesystemId": "fs-1"}}],
    }
    assert to_parameters(shape("RegisterTaskDefinition"), properties, "T") == {
        "family": "web",
        "memory": "512",
        "containerDefinitions": [
            {
                "name": "web",
                "essential": True,
                "portMappings": [{"containerPort": 8080}],
                # The keys of a map are not the API's words: FireLens's `Name` stays as it is.
                "logConfiguration": {"logDriver": "awsfirelens", "options": {"Name": "datadog"}},
            }
        ],
        "volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}],
    }


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"Famly": "web"}, "T: Famly is not known"),
        ({"ContainerDefinitions": [{"Nam": "x"}]}, r"ContainerDefinitions\[0\]: Nam is not known"),
        (
            {"ContainerDefinitions": [{"PortMappings": [{"ContainerPort": "http"}]}]},
            "ContainerPort: 'http' is no number",
        ),
    ],
)
def test_what_the_api_does_not_know_is_refused(properties: dict[str, Any], words: str) -> None:
    with pytest.raises(UnknownProperty, match=words):
        to_parameters(shape("RegisterTaskDefinition"), properties, "T")


def test_what_cloudformation_says_in_another_way_is_the_apis() -> None:
    forced = {"EnableForceNewDeployment": True, "ForceNewDeploymentNonce": "2"}
    strategies = [{"Type": "spread", "Field": "attribute:ecs.availability-zone"}]
    asked = {"ForceNewDeployment": forced, "PlacementStrategies": strategies, "DesiredCount": 1}
    given = in_words_of_the_api(asked)
    assert given == {
        "ForceNewDeployment": True, "PlacementStrategy": strategies, "DesiredCount": 1,
    }  # fmt: skip
    assert to_parameters(shape("UpdateService"), given, "T")["placementStrategy"] == [
        {"type": "spread", "field": "attribute:ecs.availability-zone"}
    ]
