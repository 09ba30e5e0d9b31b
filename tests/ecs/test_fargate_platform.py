"""What Fargate has not and the ranges of what it has, each refused at its place."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ecs_house import NETWORK, House, definition

from hikkoshi.fargate.definition import check_task_definition

LOG = {"awslogs-group": "g", "awslogs-region": "r", "awslogs-stream-prefix": "p"}
ROLE = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"


def judged(container: dict[str, Any] | None = None, **task: Any) -> list[tuple[Any, ...]]:
    document = definition(**(container or {})) | {"executionRoleArn": ROLE} | task
    return [(problem.path[-1], problem.message) for problem in check_task_definition(document)]


@pytest.mark.parametrize(
    ("container", "where", "words"),
    [
        ({"linuxParameters": {"devices": [{"hostPath": "/dev/x"}]}}, "devices", "devices"),
        ({"linuxParameters": {"sharedMemorySize": 64}}, "sharedMemorySize", "do not support"),
        ({"linuxParameters": {"maxSwap": 0}}, "maxSwap", "do not support linuxParameters.maxSwap"),
        ({"linuxParameters": {"swappiness": 60}}, "swappiness", "do not support"),
        ({"linuxParameters": {"tmpfs": [{"containerPath": "x", "size": 1}]}}, "containerPath",
         "absolute"),
        ({"linuxParameters": {"tmpfs": [{"containerPath": "/x", "size": 0}]}}, "size", "1 MiB"),
        ({"disableNetworking": True}, "disableNetworking", "disableNetworking"),
        ({"resourceRequirements": [{"type": "GPU", "value": "1"}]}, "type", "GPU"),
        ({"hostname": "web"}, "hostname",
         "hostname is not supported on container when networkMode=awsvpc."),
        ({"extraHosts": [{"hostname": "a", "ipAddress": "10.0.0.1"}]}, "extraHosts", "extraHosts"),
        ({"memory": 128, "memoryReservation": 256}, "memoryReservation", "greater"),
        ({"memory": 3}, "memory", "at least 4"),
        ({"cpu": -1}, "cpu", "at least 0"),
        ({"restartPolicy": {"enabled": True, "restartAttemptPeriod": 59}}, "restartAttemptPeriod",
         "between 60 and 1800"),
        ({"restartPolicy": {"enabled": True, "ignoredExitCodes": list(range(51))}},
         "ignoredExitCodes", "At most 50"),
        ({"environmentFiles": [{"type": "s3", "value": "s3://b/x.env"}]}, "value", "S3 object ARN"),
        ({"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/x.txt"}]}, "value", ".env"),
        ({"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/x.env"}] * 11},
         "environmentFiles", "At most 10"),
        ({"portMappings": [{"containerPort": 65536}]}, "containerPort", "between 1 and 65535"),
        ({"portMappings": [{"containerPortRange": "9-8"}]}, "containerPortRange", "8000-8100"),
        ({"portMappings": [{"containerPort": 1, "containerPortRange": "8-9"}]},
         "containerPortRange", "either"),
        ({"portMappings": [{"containerPort": 80, "name": "Web"}]}, "name", "lowercase"),
        ({"portMappings": [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]},
         "name", "used already"),
        ({"logConfiguration": {"logDriver": "awslogs", "options": LOG | {"log_key": "log"}}},
         "log_key", "Log driver awslogs disallows options: log_key"),
        ({"logConfiguration": {"logDriver": "awslogs",
                               "options": LOG | {"awslogs-create-group": "false"}}},
         "awslogs-create-group", "should only be set to 'true', else omit option."),
    ],
)  # fmt: skip
def test_a_container_that_fargate_has_not(
    container: dict[str, Any], where: str, words: str
) -> None:
    found = judged(container)
    assert [place for place, _ in found] == [where], found
    assert words in found[0][1]


@pytest.mark.parametrize(
    ("task", "where"),
    [
        ({"inferenceAccelerators": [{"deviceName": "a", "deviceType": "b"}]},
         "inferenceAccelerators"),
        ({"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2016_FULL"}},
         "operatingSystemFamily"),
        ({"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE",
                              "cpuArchitecture": "ARM64"}}, "cpuArchitecture"),
    ],
)  # fmt: skip
def test_a_task_that_fargate_has_not(task: dict[str, Any], where: str) -> None:
    assert [place for place, _ in judged(**task)] == [where]


def test_what_fargate_has_is_taken() -> None:
    """tmpfs: since January 2026; ranges of ports, equal reservations, empty lists of templates."""
    assert judged(
        {
            "linuxParameters": {
                "devices": [], "initProcessEnabled": True,
                "tmpfs": [{"containerPath": "/scratch", "size": 64, "mountOptions": ["noexec"]}],
                "capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]},
            },
            "memory": 256, "memoryReservation": 256, "resourceRequirements": [], "links": [],
            "hostname": "", "cpu": 0, "dockerSecurityOptions": [],
            "portMappings": [{"containerPort": 8080, "name": "web"},
                             {"containerPortRange": "9000-9010"}],
            "restartPolicy": {"enabled": True, "restartAttemptPeriod": 60},
            "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/d/prod.env"}],
            "logConfiguration": {"logDriver": "awslogs", "options": LOG | {
                "awslogs-create-group": "true", "mode": "non-blocking", "max-buffer-size": "4m"}},
        },
        runtimePlatform={"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
        pidMode="task",
    ) == []  # fmt: skip


def test_what_run_task_and_create_service_would_leave_out_is_refused() -> None:
    async def story() -> None:
        house = House()
        await house.open()
        run = {"cluster": "genba", "taskDefinition": "web", "launchType": "FARGATE",
               "networkConfiguration": NETWORK}  # fmt: skip
        service = {"serviceName": "web", "desiredCount": 1}
        near = {"placementConstraints": [{"type": "memberOf", "expression": "a == b"}]}
        for operation, more in (("RunTask", {}), ("CreateService", service)):
            error = await house.refused(operation, **run, **more, **near)
            assert error.code == "InvalidParameterException"
            assert error.message == (
                "Placement constraints are not supported with FARGATE launch type."
            )
        error = await house.refused("CreateService", **run, **service, role="ecsServiceRole")
        assert error.message == (
            "You cannot specify an IAM role for services that require a service linked role."
        )
        connect = {"enabled": True, "namespace": "n", "services": [
            {"portName": "web", "tls": {"issuerCertificateAuthority": {}}}]}  # fmt: skip
        error = await house.refused(
            "CreateService", **run, **service, serviceConnectConfiguration=connect
        )
        assert "tls is not implemented by the local region" in error.message
        for manager, count in (("CUSTOMER", 1), ("ECS", 0)):
            if manager == "CUSTOMER":
                await house.create(desired=0)
            told = await house.call("ListServices", cluster="genba", resourceManagementType=manager)
            assert len(told["serviceArns"]) == count

    asyncio.run(story())


def test_a_task_tells_the_architecture_that_it_asked_for() -> None:
    async def story() -> None:
        house = House()
        await house.call("CreateCluster", clusterName="genba")
        arm = {"runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}}
        await house.call("RegisterTaskDefinition", **definition() | arm)
        made = await house.call(
            "RunTask", cluster="genba", taskDefinition="web", launchType="FARGATE",
            networkConfiguration=NETWORK,
        )  # fmt: skip
        assert made["tasks"][0]["attributes"] == [
            {"name": "ecs.cpu-architecture", "value": "arm64"}
        ]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("operation", "asked"),
    [
        ("PutAccountSetting", {"name": "containerInsights", "value": "loud"}),
        ("PutAccountSetting", {"name": "fargateTaskRetirementWaitPeriod", "value": "8"}),
        ("CreateCluster", {"settings": [{"name": "containerInsights", "value": "loud"}]}),
    ],
)
def test_a_setting_has_only_its_own_values(operation: str, asked: dict[str, Any]) -> None:
    error = asyncio.run(House().refused(operation, **asked))
    assert error.code == "InvalidParameterException"
