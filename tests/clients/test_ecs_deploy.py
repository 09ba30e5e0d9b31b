"""ecs-deploy (fabfuel), unmodified: deploy, scale, run, and a rollback by deploying."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.region


@pytest.fixture(scope="module")
def service(region):
    ecs = region.client("ecs")
    ecs.create_cluster(clusterName="deployed")
    region.register("deployed")
    ecs.create_service(
        cluster="deployed", serviceName="app", taskDefinition="deployed", desiredCount=1,
        launchType="FARGATE", networkConfiguration=region.network,
    )  # fmt: skip
    yield lambda: ecs.describe_services(cluster="deployed", services=["app"])["services"][0]
    ecs.delete_service(cluster="deployed", service="app", force=True)


def deploy(region, *arguments):
    done = region.run("ecs", *arguments, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_deploy_with_an_environment_variable_and_back(region, service):
    said = deploy(
        region, "deploy", "deployed", "app", "-e", "app", "COLOUR", "green", "--timeout", "60",
        "--no-deregister", "--sleep-time", "1",
    )  # fmt: skip
    assert "Deployment successful" in said
    assert service()["taskDefinition"].endswith("deployed:2")
    told = region.client("ecs").describe_task_definition(taskDefinition="deployed:2")
    (container,) = told["taskDefinition"]["containerDefinitions"]
    assert container["environment"] == [{"name": "COLOUR", "value": "green"}]
    said = deploy(
        region, "deploy", "deployed", "app", "--task", "deployed:1", "--timeout", "60",
        "--no-deregister", "--sleep-time", "1",
    )  # fmt: skip
    assert "Deployment successful" in said
    # ecs-deploy registers what it deploys: a third revision that says what the first one said.
    back = region.client("ecs").describe_task_definition(taskDefinition="deployed:3")
    assert service()["taskDefinition"] == back["taskDefinition"]["taskDefinitionArn"]
    assert "green" not in str(back["taskDefinition"]["containerDefinitions"])


def test_a_deployment_that_cannot_start_is_rolled_back(region, service):
    before = service()["taskDefinition"]
    done = region.run(
        "ecs", "deploy", "deployed", "app", "-i", "app", "localhost/nosuch:1", "--timeout", "8",
        "--rollback", "--sleep-time", "1",
    )  # fmt: skip
    assert done.returncode != 0
    assert "Rolling back to task definition" in done.stdout
    assert "Rollback successful" in done.stdout
    assert service()["taskDefinition"] == before


def test_scale(region, service):
    assert "Scaling successful" in deploy(
        region, "scale", "deployed", "app", "2", "--timeout", "60", "--sleep-time", "1"
    )
    assert service()["runningCount"] == 2


def test_run(region, service):
    vpc = region.network["awsvpcConfiguration"]
    said = deploy(
        region, "run", "deployed", "deployed", "1", "--launchtype", "FARGATE",
        "--subnet", vpc["subnets"][0], "--securitygroup", "sg-12345678",
    )  # fmt: skip
    assert "Successfully started 1 instances of task: deployed" in said
