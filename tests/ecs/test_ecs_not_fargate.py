"""Task definitions that AWS takes and Fargate does not run."""

from __future__ import annotations

import asyncio

import pytest
from ecs_house import NETWORK, House, definition


def bridged(**more):
    document = {k: v for k, v in definition().items() if k != "requiresCompatibilities"}
    return document | {"networkMode": "bridge"} | more


def test_a_definition_for_ec2_is_kept_and_not_run():
    async def story() -> None:
        house = House()
        await house.call("CreateCluster", clusterName="genba")
        made = (await house.call("RegisterTaskDefinition", **bridged()))["taskDefinition"]
        assert made["compatibilities"] == ["EXTERNAL", "EC2"]
        assert made["containerDefinitions"][0]["portMappings"][0]["hostPort"] == 0
        for operation, more in (
            ("RunTask", {}), ("CreateService", {"serviceName": "web", "desiredCount": 1}),
        ):  # fmt: skip
            error = await house.refused(
                operation, cluster="genba", taskDefinition="web", launchType="FARGATE",
                networkConfiguration=NETWORK, **more,
            )  # fmt: skip
            assert error.code == "InvalidParameterException"
            assert error.message == (
                "Task definition does not support launch_type FARGATE. (Fargate only supports "
                "network mode ‘awsvpc’.)"
            )

    asyncio.run(story())


def test_one_that_fits_fargate_runs_without_asking_for_it():
    async def story() -> None:
        house = House()
        await house.call("CreateCluster", clusterName="genba")
        made = await house.call("RegisterTaskDefinition", **bridged(networkMode="awsvpc"))
        assert made["taskDefinition"]["compatibilities"] == ["EC2", "FARGATE"]
        await house.call(
            "RunTask", cluster="genba", taskDefinition="web", launchType="FARGATE",
            networkConfiguration=NETWORK,
        )  # fmt: skip

    asyncio.run(story())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"containerDefinitions": []}, "cannot be empty"),
        ({"containerDefinitions": [{"name": "a"}]}, "Container.image"),
        ({"containerDefinitions": [{"name": "a", "image": "i", "essential": False}]}, "essential"),
        ({"requiresCompatibilities": ["FARGATE"]}, "network mode"),
    ],
)
def test_what_aws_refuses_of_any_launch_type_is_refused(wrong, words):
    async def story() -> None:
        house = House()
        error = await house.refused("RegisterTaskDefinition", **bridged(**wrong))
        assert error.code == "ClientException"
        assert words.lower() in error.message.lower()

    asyncio.run(story())


def test_an_arn_of_elsewhere_names_nothing_here():
    async def story() -> None:
        house = House()
        made = await house.call("CreateCluster", clusterName="genba")
        arn = made["cluster"]["clusterArn"]
        made = await house.call("RegisterTaskDefinition", **definition())
        task_definition = made["taskDefinition"]["taskDefinitionArn"]
        for here, there in (
            ("ap-northeast-1", "us-east-1"), ("123456789012", "111111111111"),
            (":ecs:", ":lambda:"), ("arn:aws:", "arn:aws-cn:"),
        ):  # fmt: skip
            elsewhere = arn.replace(here, there)
            told = await house.call("DescribeClusters", clusters=[arn, elsewhere])
            assert [c["clusterName"] for c in told["clusters"]] == ["genba"]
            assert told["failures"] == [{"arn": elsewhere, "reason": "MISSING"}]
            error = await house.refused("ListTasks", cluster=elsewhere)
            assert error.code == "ClusterNotFoundException"
            error = await house.refused(
                "DescribeTaskDefinition", taskDefinition=task_definition.replace(here, there)
            )
            assert error.code == "ClientException"

    asyncio.run(story())
