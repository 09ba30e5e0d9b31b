"""A local region, a cluster in it, and a project of files that can be deployed there."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import boto3

from hikkoshi.aws.access import Access
from hikkoshi.cli.main import main

BIN = Path(sys.executable).parent
KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
GOOD = "trap 'exit 0' TERM; sleep 600 & wait"
HANGS = {"command": ["CMD-SHELL", "false"], "interval": 300, "startPeriod": 300}
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
         "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]}  # fmt: skip
ROLE = "arn:aws:iam::123456789012:role/ship-execution"


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


def called(arguments: list[str], environment: dict[str, str]) -> Said:
    """The whole command in this process: its start costs more than what it does here."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before, stdin = dict(os.environ), sys.stdin
    code: object = None
    try:
        os.environ.clear()
        os.environ.update({k: v for k, v in environment.items() if v})
        with (
            open(os.devnull) as sys.stdin,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main(arguments)
    except SystemExit as exit_:
        code = exit_.code
    finally:
        sys.stdin = stdin
        os.environ.clear()
        os.environ.update(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Said(int(str(code or 0)), out.getvalue(), err.getvalue())


@dataclass
class RunningRegion:
    home: Path
    url: str = ""
    network: dict = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "TMPDIR")
        return {k: os.environ[k] for k in kept if k in os.environ} | {
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_REGION": "ap-northeast-1",
            "AWS_DEFAULT_REGION": "ap-northeast-1",
        }

    def client(self, service: str):
        return boto3.client(service, endpoint_url=self.url, region_name="ap-northeast-1", **KEYS)

    def ask(self, path: str):
        return Access(self.url, "ap-northeast-1").ask(path)

    def start(self) -> None:
        self.home.mkdir()
        said = self.run(str(BIN / "hikkoshi"), "up", "-d", "--port", "0", "--fast")
        assert said.code == 0, said.err
        self.url = said.out.strip().partition("AWS_ENDPOINT_URL=")[2]
        ec2 = self.client("ec2")
        subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]]
        groups = [g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"]
                  if g["GroupName"] == "default"]  # fmt: skip
        self.network = {"awsvpcConfiguration": {"subnets": subnets[:1],
                        "securityGroups": groups[:1], "assignPublicIp": "DISABLED"}}  # fmt: skip
        self.client("logs").create_log_group(logGroupName="/ship")
        self.client("iam").create_role(
            RoleName="ship-execution", AssumeRolePolicyDocument=json.dumps(TRUST)
        )

    def stop(self) -> None:
        self.run(str(BIN / "hikkoshi"), "down", "--all")

    def run(self, *line: str, cwd: Path | None = None, timeout: float = 60, **more: str) -> Said:
        done = subprocess.run(
            line, env=self.environment | more, cwd=cwd or self.home, capture_output=True,
            stdin=subprocess.DEVNULL, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)


@dataclass
class Files:
    """An ecspresso project; `write` what is to be different."""

    region: RunningRegion
    directory: Path
    cluster: str
    service: str = "web"

    def write(
        self, shell: str = GOOD, *, count: int = 1, cpu: str = "256", breaks: bool = True, **more
    ) -> None:
        container = {
            "name": "web", "image": "localhost/host", "essential": True,
            "command": ["sh", "-c", shell],
            "logConfiguration": {"logDriver": "awslogs", "options": {
                "awslogs-group": "/ship", "awslogs-region": "ap-northeast-1",
                "awslogs-stream-prefix": self.cluster}},
            **more,
        }  # fmt: skip
        task = {
            "family": f"{self.cluster}-{self.service}", "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"], "cpu": cpu, "memory": "1024",
            "executionRoleArn": ROLE, "containerDefinitions": [container],
        }  # fmt: skip
        service = {
            "launchType": "FARGATE", "desiredCount": count, "enableExecuteCommand": True,
            "networkConfiguration": self.region.network,
            "deploymentConfiguration": {
                "deploymentCircuitBreaker": {"enable": breaks, "rollback": breaks},
                "maximumPercent": 200, "minimumHealthyPercent": 100},
        }  # fmt: skip
        config = {
            "region": "ap-northeast-1", "cluster": self.cluster, "service": self.service,
            "service_definition": "ecs-service-def.json",
            "task_definition": "ecs-task-def.json", "timeout": "1m0s",
        }  # fmt: skip
        self.directory.mkdir(exist_ok=True)
        (self.directory / "ecspresso.yml").write_text(json.dumps(config))
        (self.directory / "ecs-task-def.json").write_text(json.dumps(task))
        (self.directory / "ecs-service-def.json").write_text(json.dumps(service))

    def hikkoshi(self, command: str, *more: str, **environment: str) -> Said:
        return called([command, str(self.directory), *more], self.region.environment | environment)

    def live(self) -> dict:
        ecs = self.region.client("ecs")
        return ecs.describe_services(cluster=self.cluster, services=[self.service])["services"][0]

    def revisions(self) -> list[str]:
        ecs = self.region.client("ecs")
        found = ecs.list_task_definitions(familyPrefix=f"{self.cluster}-{self.service}")
        return [arn.rsplit(":", 1)[-1] for arn in found["taskDefinitionArns"]]

    def deployed(self) -> str:
        """The live task definition's revision."""
        return self.live()["taskDefinition"].rsplit(":", 1)[-1]
