"""What RegisterTaskDefinition refuses (C1, FireLens), and where it points."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.fargate.definition import check_task_definition, normalised
from hikkoshi.fargate.definition_dependencies import find_circle

ROLE = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"
GOOD: dict[str, Any] = {
    "family": "genba",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "1 vCPU",
    "memory": "2 GB",
    "executionRoleArn": ROLE,
    "containerDefinitions": [
        {
            "name": "app",
            "image": "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/genba:1",
            "portMappings": [{"containerPort": 8080}],
            "dependsOn": [{"containerName": "log_router", "condition": "START"}],
            "logConfiguration": {"logDriver": "awsfirelens", "options": {"Name": "datadog"}},
            "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}],
            "stopTimeout": 120,
        },
        {
            "name": "log_router",
            "image": "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable",
            "essential": False,
            "firelensConfiguration": {
                "type": "fluentbit",
                "options": {
                    "config-file-type": "file",
                    "config-file-value": "/fluent-bit/etc/extra.conf",
                },
            },
        },
        {
            "name": "migrate",
            "image": "genba:1",
            "essential": False,
            "healthCheck": {"command": ["CMD-SHELL", "true"]},
        },
    ],
}


def with_change(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """GOOD with one value set, or removed where it is None."""
    document = copy.deepcopy(GOOD)
    place: Any = document
    for key in path[:-1]:
        place = place[key] if isinstance(key, int) else place.setdefault(key, {})
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def test_a_good_document_has_no_problem_and_is_normalised() -> None:
    assert check_task_definition(GOOD) == []
    before = copy.deepcopy(GOOD)
    stored = normalised(copy.deepcopy(GOOD))
    assert before == GOOD
    assert (stored["cpu"], stored["memory"]) == ("1024", "2048")
    app, router, migrate = stored["containerDefinitions"]
    assert app["portMappings"] == [{"protocol": "tcp", "containerPort": 8080, "hostPort": 8080}]
    assert (app["essential"], router["essential"]) == (True, False)
    check = migrate["healthCheck"]
    assert (check["interval"], check["timeout"], check["retries"]) == (30, 5, 3)
    assert "startPeriod" not in check


C = "containerDefinitions"


@pytest.mark.parametrize(
    ("path", "value", "where", "words"),
    [
        (("family",), None, ("family",), "Family should not be null"),
        (("networkMode",), "bridge", ("networkMode",),
         "Fargate only supports network mode ‘awsvpc’."),
        (("networkMode",), None, ("networkMode",), "Fargate only supports network mode ‘awsvpc’."),
        (("cpu",), None, ("cpu",), "Fargate requires that 'cpu' be defined at the task level."),
        (("memory",), None, ("memory",),
         "Fargate requires that 'memory' be defined at the task level."),
        (("memory",), "1024", ("memory",), "No Fargate configuration exists for given values."),
        (("cpu",), "1000", ("cpu",), "No Fargate configuration exists for given values."),
        (("executionRoleArn",), None, ("executionRoleArn",),
         "Fargate requires task definition to have execution role ARN to support ECR images."),
        ((C, 0, "stopTimeout"), 121, (C, 0, "stopTimeout"), "between 2 and 120"),
        ((C, 0, "startTimeout"), 1, (C, 0, "startTimeout"), "between 2 and 120"),
        ((C, 0, "portMappings"), [{"containerPort": 80, "hostPort": 8080}],
         (C, 0, "portMappings", 0, "hostPort"),
         "When networkMode=awsvpc, the host ports and container ports in port mappings must"),
        ((C, 0, "essential"), False, (C,), "does not have any essential container"),
        ((C, 2, "name"), "app", (C, 2, "name"), "more than once"),
        ((C, 0, "ulimits"), [{"name": "nproc", "softLimit": 1, "hardLimit": 1}],
         (C, 0, "ulimits", 0, "name"), "only the nofile"),
        ((C, 0, "privileged"), True, (C, 0, "privileged"), "privileged"),
        ((C, 2, "logConfiguration"), {"logDriver": "fluentd"},
         (C, 2, "logConfiguration", "logDriver"), "not supported on Fargate"),
        ((C, 2, "logConfiguration"),
         {"logDriver": "awslogs", "options": {"awslogs-group": "g", "awslogs-region": "r"}},
         (C, 2, "logConfiguration", "options"), "awslogs-stream-prefix"),
        ((C, 2, "healthCheck", "retries"), 11, (C, 2, "healthCheck", "retries"), "between 1 and"),
        ((C, 0, "dependsOn", 0, "containerName"), "nobody",
         (C, 0, "dependsOn", 0, "containerName"), "does not exist"),
        ((C, 0, "dependsOn", 0, "condition"), "HEALTHY",
         (C, 0, "dependsOn", 0, "condition"), "has no healthCheck"),
        ((C, 2, "dependsOn"), [{"containerName": "app", "condition": "SUCCESS"}],
         (C, 2, "dependsOn", 0, "condition"), "essential"),
        ((C, 1, "dependsOn"), [{"containerName": "app", "condition": "START"}],
         (C, 0, "dependsOn"), "app → log_router → app"),
        ((C, 1, "firelensConfiguration"), None, (C, 0, "logConfiguration", "logDriver"),
         "exactly one container"),
        ((C, 0, "logConfiguration"), None, (C, 1, "firelensConfiguration"),
         "When a firelensConfiguration object is specified, at least one container has to be "
         "configured with the awsfirelens log driver."),
        ((C, 1, "firelensConfiguration", "options", "config-file-type"), "s3",
         (C, 1, "firelensConfiguration", "options", "config-file-type"),
         "Fargate launch type does not support FirelensConfiguration config file from 's3'"),
        ((C, 1, "logConfiguration"), {"logDriver": "awsfirelens"},
         (C, 1, "logConfiguration", "logDriver"), "cannot use the awsfirelens"),
        ((C, 0, "firelensConfiguration"), {"type": "fluentbit"},
         (C, 1, "firelensConfiguration"), "At most one container"),
        (("volumes",), [{"name": "v", "host": {"sourcePath": "/v"}}],
         ("volumes", 0, "host", "sourcePath"), "host.sourcePath should not be set for volumes in"),
        ((C, 0, "mountPoints"), [{"sourceVolume": "v", "containerPath": "/v"}],
         (C, 0, "mountPoints", 0, "sourceVolume"), "Unknown volume"),
        (("placementConstraints",), [{"type": "memberOf"}], ("placementConstraints",),
         "Fargate does not support task placement constraints."),
    ],
)  # fmt: skip
def test_one_fault_is_found_where_it_is(
    path: tuple[str | int, ...], value: Any, where: tuple[str | int, ...], words: str
) -> None:
    problems = check_task_definition(with_change(path, value))
    assert any(p.path == where and words in p.message for p in problems), problems


def test_the_mistake_that_people_really_make_is_named_twice() -> None:
    """awsfirelens as the driver of the router itself, firelensConfiguration on the application."""
    document = copy.deepcopy(GOOD)
    app, router = document[C][0], document[C][1]
    app["firelensConfiguration"] = router.pop("firelensConfiguration")
    router["logConfiguration"] = {"logDriver": "awsfirelens"}
    del app["dependsOn"]
    problems = check_task_definition(document)
    assert [problem.path for problem in problems] == [(C, 0, "logConfiguration", "logDriver")]
    assert problems[0].fix is not None
    assert "'app' is the log router" in problems[0].fix


def test_a_huge_document_is_refused_by_its_length_first() -> None:
    document = copy.deepcopy(GOOD)
    document[C] = [{"name": f"c{i}", "image": "i"} for i in range(10_000)]
    problems = check_task_definition(document)
    assert problems[0].path == ()
    assert "Max allowed length is '65536' bytes." in problems[0].message
    assert problems[1].message.startswith("Task definition has 10000 containers")


def test_ten_thousand_containers_are_judged_without_recursion() -> None:
    chain = {f"c{i}": [f"c{i + 1}"] for i in range(10_000)}
    assert find_circle(chain) == []
    chain["c9999"] = ["c0"]
    assert len(find_circle(chain)) == 10_001


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=4)))
def test_a_circle_is_found_if_and_only_if_there_is_one(graph: dict[str, list[str]]) -> None:
    circle = find_circle(graph)
    if circle:
        assert circle[0] == circle[-1]
        assert all(after in graph[before] for before, after in pairwise(circle))
        return
    left = {name: set(targets) & set(graph) for name, targets in graph.items()}
    while left:
        free = [name for name, targets in left.items() if not targets]
        assert free, f"a circle was missed in {left}"
        for name in free:
            del left[name]
        left = {name: targets - set(free) for name, targets in left.items()}
