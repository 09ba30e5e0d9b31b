"""Other people's tools drive the region through what hikkoshi does: the AWS CLI, ecs-deploy and,
where it is installed, ecspresso. The table of outcomes is in docs/ship.md."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings

import pytest
from ship_house import BIN, GOOD

pytestmark = [pytest.mark.region, pytest.mark.slow]
ECSPRESSO = os.environ.get("ECSPRESSO") or shutil.which("ecspresso")


def settled(files, arn):
    """The task has stopped, so that the CLI's own waiter need not look twice."""
    ecs = files.region.client("ecs")
    deadline = time.monotonic() + 30
    while ecs.describe_tasks(cluster=files.cluster, tasks=[arn])["tasks"][0]["lastStatus"] != (
        "STOPPED"
    ):
        assert time.monotonic() < deadline, "the task did not stop"
        time.sleep(0.1)


def test_the_aws_command_line(files):
    def aws(*line, code=0):
        said = files.region.run(str(BIN / "aws"), "ecs", *line, "--cluster", files.cluster,
                                "--output", "json")  # fmt: skip
        assert said.code == code, said.all
        return json.loads(said.out) if said.out.strip() else None

    files.hikkoshi("deploy")
    files.write(cpu="512")
    task = files.directory / "ecs-task-def.json"
    made = files.region.run(str(BIN / "aws"), "ecs", "register-task-definition",
                            "--cli-input-json", f"file://{task}")  # fmt: skip
    assert made.code == 0, made.all
    family = f"{files.cluster}-web"
    aws("update-service", "--service", "web", "--task-definition", f"{family}:2")
    files.hikkoshi("wait")  # the CLI's waiter looks once in fifteen seconds
    aws("wait", "services-stable", "--services", "web")
    assert files.hikkoshi("diff").code == 0, "what the peer deployed is what our files say"
    listed = aws("list-service-deployments", "--service", "web")["serviceDeployments"]
    assert [each["status"] for each in listed] == ["SUCCESSFUL", "SUCCESSFUL"]
    override = {"containerOverrides": [{"name": "web", "command": ["sh", "-c", "exit 5"]}]}
    ran = aws("run-task", "--task-definition", family, "--launch-type", "FARGATE",
              "--network-configuration", json.dumps(files.region.network),
              "--overrides", json.dumps(override))  # fmt: skip
    arn = ran["tasks"][0]["taskArn"]
    settled(files, arn)
    aws("wait", "tasks-stopped", "--tasks", arn)
    assert aws("describe-tasks", "--tasks", arn)["tasks"][0]["containers"][0]["exitCode"] == 5
    aws("delete-service", "--service", "web", "--force")
    assert files.live()["status"] in ("DRAINING", "INACTIVE")


def test_ecs_deploy(files):
    def ecs(*line, code=0):
        said = files.region.run(str(BIN / "ecs"), *line)
        assert said.code == code, said.all
        return said.out

    files.hikkoshi("deploy")
    out = ecs("deploy", files.cluster, "web", "-e", "web", "MODE", "new", "--timeout", "40",
              "--no-deregister")  # fmt: skip
    assert "Deployment successful" in out
    assert files.deployed() == "2"
    differs = files.hikkoshi("diff")
    assert differs.code == 1
    assert '"value": "new"' in differs.out
    family = f"{files.cluster}-web"
    assert "MODE" in ecs("diff", family, "1", "2")
    assert "Scaling successful" in ecs("scale", files.cluster, "web", "2")
    assert files.live()["desiredCount"] == 2
    vpc = files.region.network["awsvpcConfiguration"]
    assert "Successfully started 1 instances" in ecs(
        "run", files.cluster, f"{family}:1", "1", "--launchtype", "FARGATE",
        "--subnet", vpc["subnets"][0], "--securitygroup", vpc["securityGroups"][0],
    )  # fmt: skip


@pytest.fixture
def ecspresso(files):
    if ECSPRESSO is None:
        why = "ecspresso is not installed: the region was NOT driven by it in this run"
        warnings.warn(why, stacklevel=2)
        pytest.skip(why)

    def call(*line, code=0, **environment):
        said = files.region.run(ECSPRESSO, *line, cwd=files.directory, **environment)
        assert said.code == code, said.all
        return said.all

    return call


def test_ecspresso(files, ecspresso):
    assert "Service is stable now" in ecspresso("deploy")
    assert files.hikkoshi("diff").code == 0, "both read the same files alike"
    assert "nothing to change" in files.hikkoshi("deploy").out
    files.write(f"echo two; {GOOD}")
    ecspresso("deploy")
    assert files.deployed() == "2"
    ecspresso("rollback", "--no-deregister-task-definition")
    assert files.deployed() == "1"
    assert "PRIMARY" in ecspresso("status")
    assert f"{files.cluster}-web:1" in ecspresso("revisions")
    ecspresso("wait")
    ecspresso("scale", "--tasks", "2")
    assert files.live()["desiredCount"] == 2
    assert "RUNNING" in ecspresso("tasks")
    override = {"containerOverrides": [{"name": "web", "command": ["sh", "-c", "exit 5"]}]}
    assert "exit code: 5" in ecspresso("run", "--overrides", json.dumps(override), code=1)
    (files.directory / "made").mkdir()
    ecspresso("init", "--service", "web", "--cluster", files.cluster,
              "--config", "made/ecspresso.yml", "--force-overwrite")  # fmt: skip
    assert files.live()["status"] == "ACTIVE"
    ecspresso("scale", "--tasks", "0")
    ecspresso("delete", "--force")
    assert files.live()["status"] in ("DRAINING", "INACTIVE")
