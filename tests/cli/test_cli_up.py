"""`hikkoshi up -d`, and AWS's own tools against it: the AWS CLI, boto3, and their waiters."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import boto3
import pytest
from command import BIN

pytestmark = pytest.mark.region

TASK = {
    "family": "sleeper",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [
        {
            "name": "sleeper",
            "image": "localhost/host",
            "essential": True,
            # As process 1 of its container a bare `sleep` would not hear SIGTERM.
            "command": ["sh", "-c", "trap 'exit 7' TERM; sleep 600 & wait"],
        }
    ],
}


@pytest.fixture
def up(hikkoshi):
    said = hikkoshi("up", "-d", "--port", "0", "--fast")
    assert said.code == 0, said.err
    (line,) = said.out.splitlines()
    word, _, url = line.partition("AWS_ENDPOINT_URL=")
    assert word == "export "
    return url


def client(url, service):
    return boto3.client(
        service, endpoint_url=url, region_name="ap-northeast-1",
        aws_access_key_id="any", aws_secret_access_key="any",
    )  # fmt: skip


def network(url):
    ec2 = client(url, "ec2")
    (vpc,) = [v for v in ec2.describe_vpcs()["Vpcs"] if v["IsDefault"]]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])
    groups = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    return {
        "awsvpcConfiguration": {
            "subnets": [subnets["Subnets"][0]["SubnetId"]],
            "securityGroups": [groups[0]["GroupId"]],
        }
    }


def processes_in(command):
    """Processes whose environment has the home of this test: all that `hikkoshi` started, and
    their own children. Another user's cannot be read, and are not of this test."""
    found = {}
    needle = f"XDG_STATE_HOME={command.home / 'state'}".encode()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/environ", "rb") as file:
                    if needle in file.read().split(b"\0"):
                        found[int(entry.name)] = os.readlink(f"/proc/{entry.name}/exe")
            except OSError:
                continue
    return found


def assert_nothing_is_left(command):
    assert command.regions() == []
    assert processes_in(command) == {}
    assert not (command.home / "state" / "hikkoshi" / "region").exists()
    with open("/proc/mounts") as mounts:
        assert str(command.home) not in mounts.read()


def test_a_task_lives_and_ends_as_boto3_and_its_waiters_see_it(hikkoshi, up):
    ecs = client(up, "ecs")
    ecs.create_cluster(clusterName="here")
    made = ecs.register_task_definition(**TASK)["taskDefinition"]
    assert made["revision"] == 1
    started = ecs.run_task(
        cluster="here", taskDefinition="sleeper", launchType="FARGATE", count=2,
        networkConfiguration=network(up),
    )  # fmt: skip
    assert started["failures"] == []
    tasks = [t["taskArn"] for t in started["tasks"]]
    quickly = {"Delay": 1, "MaxAttempts": 60}
    ecs.get_waiter("tasks_running").wait(cluster="here", tasks=tasks, WaiterConfig=quickly)
    assert sorted(ecs.list_tasks(cluster="here")["taskArns"]) == sorted(tasks)
    for task in tasks:
        ecs.stop_task(cluster="here", task=task, reason="the test is over")
    ecs.get_waiter("tasks_stopped").wait(cluster="here", tasks=tasks, WaiterConfig=quickly)
    for task in ecs.describe_tasks(cluster="here", tasks=tasks)["tasks"]:
        assert task["lastStatus"] == "STOPPED"
        assert task["stoppedReason"] == "the test is over"
        assert task["stopCode"] == "UserInitiated"
        (container,) = task["containers"]
        assert container["exitCode"] == 7
    assert len(processes_in(hikkoshi)) > 2, "the search sees what runs"
    assert hikkoshi("down").code == 0
    assert_nothing_is_left(hikkoshi)


def test_the_aws_command_line(hikkoshi, up, tmp_path):
    def aws(*arguments):
        done = subprocess.run(
            [str(BIN / "aws"), "ecs", *arguments, "--output", "json"],
            env=hikkoshi.environment
            | {
                "AWS_ENDPOINT_URL": up,
                "AWS_ACCESS_KEY_ID": "any",
                "AWS_SECRET_ACCESS_KEY": "any",
                "AWS_DEFAULT_REGION": "ap-northeast-1",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    assert aws("create-cluster", "--cluster-name", "cli")["cluster"]["status"] == "ACTIVE"
    (tmp_path / "task.json").write_text(json.dumps(TASK))
    aws("register-task-definition", "--cli-input-json", f"file://{tmp_path}/task.json")
    ran = aws(
        "run-task", "--cluster", "cli", "--task-definition", "sleeper:1",
        "--launch-type", "FARGATE", "--network-configuration", json.dumps(network(up)),
    )  # fmt: skip
    task = ran["tasks"][0]["taskArn"]
    aws("wait", "tasks-running", "--cluster", "cli", "--tasks", task)
    assert aws("list-tasks", "--cluster", "cli")["taskArns"] == [task]
    aws("stop-task", "--cluster", "cli", "--task", task)
    aws("wait", "tasks-stopped", "--cluster", "cli", "--tasks", task)


def test_status_shows_the_region_and_a_second_one_is_refused(hikkoshi, up):
    (row,) = json.loads(hikkoshi("status", "--json").out)
    assert row["api_url"] == up
    assert row["health"] == "running"
    assert row["engine"] == "embedded"
    assert row["doors"] == {"listeners": {}, "databases": {}}
    assert f"export AWS_ENDPOINT_URL={up}" in hikkoshi("status").out
    again = hikkoshi("up", "-d", "--port", "0")
    assert (again.code, again.out) == (2, "")
    assert "already runs" in again.err
    assert "hikkoshi down" in again.err
    assert len(json.loads(hikkoshi("status", "--json").out)) == 1, "the first goes on"


def test_a_project_s_images_are_known_and_its_region_is_its_own(hikkoshi, up, genba):
    project = genba / "after"
    said = hikkoshi("up", project, "-d", "--port", "0")
    assert said.code == 0, said.err
    rows = json.loads(hikkoshi("status", "--json").out)
    assert len(rows) == 2
    assert hikkoshi("down", project).code == 0
    assert not (project / ".hikkoshi" / "region").exists()
    (row,) = json.loads(hikkoshi("status", "--json").out)
    assert row["api_url"] == up
    assert hikkoshi("down", "--all").code == 0
    assert_nothing_is_left(hikkoshi)


def test_what_is_left_of_a_killed_region_is_shown_and_removed(hikkoshi, up):
    (row,) = json.loads(hikkoshi("status", "--json").out)
    door = os.pidfd_open(row["pid"])
    signal.pidfd_send_signal(door, signal.SIGKILL)
    os.close(door)
    (row,) = json.loads(hikkoshi("status", "--json").out)
    assert row["health"].startswith("dead")
    assert hikkoshi("down").code == 0
    assert_nothing_is_left(hikkoshi)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_in_the_foreground_a_signal_ends_it(hikkoshi, number, code):
    with subprocess.Popen(
        [*hikkoshi.line, "up", "--port", "0"],
        env=hikkoshi.environment, cwd=hikkoshi.home, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout.readline().startswith("export AWS_ENDPOINT_URL=http://127.0.0.1:")
        process.send_signal(number)
        _, words = process.communicate(timeout=60)
    assert process.returncode == code, words
    assert "Traceback" not in words
    assert_nothing_is_left(hikkoshi)


def test_a_region_of_another_name(hikkoshi):
    """A command with --local goes to the name that the region has: moto keeps each apart."""
    said = hikkoshi("up", "-d", "--port", "0", "--region", "us-east-1", "--json")
    assert said.code == 0, said.err
    up = json.loads(said.out)
    assert up["region"] == "us-east-1"
    (vpc,) = boto3.client(
        "ec2", endpoint_url=up["api_url"], region_name="us-east-1",
        aws_access_key_id="any", aws_secret_access_key="any",
    ).describe_vpcs()["Vpcs"]  # fmt: skip
    assert vpc["IsDefault"]
    said = hikkoshi("survey", "--account", "--local", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["account"]["region"] == "us-east-1"


def test_a_region_that_aws_has_not(hikkoshi):
    said = hikkoshi("up", "-d", "--port", "0", "--region", "us-esat-1")
    assert (said.code, said.out) == (2, "")
    assert "AWS has no region 'us-esat-1'\n  fix: " in said.err
    assert hikkoshi.regions() == []
