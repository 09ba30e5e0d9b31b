"""One local region for the tests of clients that we did not write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import boto3

BIN = Path(sys.executable).parent
KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
SHELL = "trap 'exit 7' TERM; sleep 600 & wait"


class Region:
    """`hikkoshi up -d` with a state of its own; `environment` is for programs that call it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._base = {
            key: value for key, value in os.environ.items() if not key.startswith("AWS_")
        } | {"XDG_STATE_HOME": str(home / "state"), "HOME": str(home), "LC_ALL": "C.UTF-8"}
        self.url = ""
        self._network: dict | None = None

    def hikkoshi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hikkoshi.cli.main", *arguments],
            env=self._base, cwd=self.home, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip

    def up(self) -> None:
        said = self.hikkoshi("up", "-d", "--port", "0", "--fast")
        assert said.returncode == 0, said.stderr
        self.url = said.stdout.strip().partition("=")[2]

    def down(self) -> None:
        said = self.hikkoshi("down")
        assert said.returncode == 0, said.stderr

    @property
    def environment(self) -> dict[str, str]:
        return self._base | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "ap-northeast-1",
        }

    def client(self, service: str):
        return boto3.client(service, endpoint_url=self.url, region_name="ap-northeast-1", **KEYS)

    def run(self, *line: str, timeout: float = 60, **more) -> subprocess.CompletedProcess[str]:
        """A client's own program from this environment, whatever its exit code."""
        return subprocess.run(
            [str(BIN / line[0]), *line[1:]], env=self.environment, cwd=self.home,
            capture_output=True, text=True, timeout=timeout, check=False, **more,
        )  # fmt: skip

    @property
    def network(self) -> dict:
        if self._network is None:
            subnets = self.client("ec2").describe_subnets()["Subnets"]
            self._network = {"awsvpcConfiguration": {"subnets": [subnets[0]["SubnetId"]]}}
        return self._network

    def register(self, family: str, *names: str, command: str = SHELL, **more) -> str:
        """A definition of containers that run until SIGTERM; its ARN."""
        containers = [
            {
                "name": name, "image": "localhost/host", "essential": True,
                "command": ["sh", "-c", command],
            }
            for name in names or ("app",)
        ]  # fmt: skip
        made = self.client("ecs").register_task_definition(
            family=family, networkMode="awsvpc", requiresCompatibilities=["FARGATE"],
            cpu="256", memory="512", containerDefinitions=containers, **more,
        )  # fmt: skip
        return made["taskDefinition"]["taskDefinitionArn"]

    def start(self, cluster: str, definition: str, **more) -> str:
        """A task that is RUNNING; its ARN."""
        ecs = self.client("ecs")
        ecs.create_cluster(clusterName=cluster)
        answer = ecs.run_task(
            cluster=cluster, taskDefinition=definition, launchType="FARGATE",
            networkConfiguration=self.network, **more,
        )  # fmt: skip
        (task,) = answer["tasks"]
        ecs.get_waiter("tasks_running").wait(
            cluster=cluster, tasks=[task["taskArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        return task["taskArn"]
