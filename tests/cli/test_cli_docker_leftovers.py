"""What a region on Docker leaves there when it is killed, and that its next start takes it away."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from urllib.parse import quote

import boto3
import pytest

from hikkoshi.region.boot.cleanup import find_regions
from hikkoshi.region.boot.docker_socket import ask_docker, docker_socket
from two_engines import need

pytestmark = pytest.mark.region
UP = ("up", "-d", "--port", "0", "--fast", "--engine", "docker")
# A layer over the machine's directories: Docker mounts it by a volume.
IMAGE, COMMAND = "localhost/python", ["sleep", "600"]


def left(region_id: str) -> dict[str, list[str]]:
    """By kind: names in Docker, and control groups, that belong to that region."""
    filters = quote(json.dumps({"label": [f"hikkoshi.region={region_id}"]}))
    socket = docker_socket(os.environ) or ""

    def get(what: str):
        return ask_docker(socket, "GET", f"/{what}filters={filters}") or []

    networks = [one["Name"] for one in ask_docker(socket, "GET", "/networks")]
    groups = Path("/sys/fs/cgroup").glob(f"*/hikkoshi-{region_id}")
    return {
        "containers": [one["Names"][0] for one in get("containers/json?all=1&")],
        "volumes": [one["Name"] for one in dict(get("volumes?")).get("Volumes") or []],
        "images": [tag for one in get("images/json?") for tag in one["RepoTags"] or ["none"]],
        "networks": [name for name in networks if region_id in name],
        "groups": [str(one) for one in groups],
    }


def run_a_task(url: str) -> None:
    ecs, ec2 = (
        boto3.client(
            service, endpoint_url=url, region_name="ap-northeast-1",
            aws_access_key_id="any", aws_secret_access_key="any",
        )
        for service in ("ecs", "ec2")
    )  # fmt: skip
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ecs.create_cluster(clusterName="default")
    ecs.register_task_definition(
        family="left", networkMode="awsvpc", requiresCompatibilities=["FARGATE"],
        cpu="256", memory="512",
        containerDefinitions=[{"name": "app", "image": IMAGE, "command": COMMAND}],
    )  # fmt: skip
    arn = ecs.run_task(
        taskDefinition="left", launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
    )["tasks"][0]["taskArn"]  # fmt: skip
    ecs.get_waiter("tasks_running").wait(tasks=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def test_the_next_start_takes_away_what_a_killed_region_left_in_docker(hikkoshi):
    need("docker")
    said = hikkoshi(*UP)
    assert said.code == 0, said.err
    run_a_task(said.out.strip().partition("AWS_ENDPOINT_URL=")[2])
    ((killed, _),) = find_regions(hikkoshi.home / "state" / "hikkoshi")
    door = os.pidfd_open(killed.door_pid)
    signal.pidfd_send_signal(door, signal.SIGKILL)
    os.close(door)
    there = left(killed.region_id)
    # The holder of the task's network and its container go on: Docker's are not below the region.
    assert len(there["containers"]) == 2
    assert there["volumes"]
    (image,) = there["images"]
    assert f"hikkoshi-{killed.region_id}:" in image
    assert there["networks"] == [], "tasks have none of Docker's"

    said = hikkoshi(*UP)
    assert said.code == 0, said.err
    nothing: dict[str, list[str]] = {kind: [] for kind in there}
    assert left(killed.region_id) == nothing
    ((second, is_running),) = find_regions(hikkoshi.home / "state" / "hikkoshi")
    assert is_running and second.region_id != killed.region_id
    run_a_task(said.out.strip().partition("AWS_ENDPOINT_URL=")[2])
    assert hikkoshi("down").code == 0
    assert left(second.region_id) == nothing
