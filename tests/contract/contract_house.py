"""One local region an engine; tasks and services in it by boto3."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3

from hikkoshi.aws.access import Access

KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
STAY = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
SERVER = (
    "import http.server as h, signal, sys, time\n"
    "signal.signal(15, lambda *_: sys.exit(0))\n"
    "class H(h.BaseHTTPRequestHandler):\n"
    " def do_GET(s):\n"
    "  time.sleep(1.5 * (s.path == '/slow'))\n"
    "  s.send_response(STATUS); s.end_headers(); s.wfile.write(b'ok')\n"
    " def log_message(s, *a): pass\n"
    "h.ThreadingHTTPServer(('', 8000), H).serve_forever()\n"
)


def shell(name: str, script: str = STAY, **more) -> dict:
    return {"name": name, "image": "localhost/host", "command": ["bash", "-c", script], **more}


def sidecar(name: str, script: str = STAY, **more) -> dict:
    return shell(name, script, **{"essential": False, **more})


def server(status: int = 200, **more) -> dict:
    code = SERVER.replace("STATUS", str(status))
    ports = [{"containerPort": 8000}]
    command = ["python3", "-c", code]
    return {"name": "web", "image": "localhost/python", "command": command, "portMappings": ports,
            **more}  # fmt: skip


class Region:
    def __init__(self, home: Path, engine: str) -> None:
        self.home, self.engine, self.url = home, engine, ""
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {
            "XDG_STATE_HOME": str(home / "state"), "HOME": str(home),
        }  # fmt: skip
        self._count = 0

    def _hikkoshi(self, *arguments: str) -> str:
        said = subprocess.run(
            [sys.executable, "-m", "hikkoshi.cli.main", *arguments], env=self._environment,
            cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        assert said.returncode == 0, said.stderr
        return said.stdout

    def up(self) -> None:
        said = self._hikkoshi("up", "-d", "--port", "0", "--fast", "--engine", self.engine)
        self.url = said.strip().partition("=")[2]
        subnets = self.client("ec2").describe_subnets()["Subnets"]
        self.subnets = [one["SubnetId"] for one in subnets]
        self.network = {"awsvpcConfiguration": {"subnets": self.subnets[:1]}}
        self.ecs = self.client("ecs")
        self.ecs.create_cluster(clusterName="default")

    def down(self) -> None:
        self._hikkoshi("down")

    def client(self, service: str):
        return boto3.client(service, endpoint_url=self.url, region_name="ap-northeast-1", **KEYS)

    def ask(self, call: str, **body) -> dict:
        """One of the region's own calls (docs/architecture.md)."""
        return Access(self.url, "ap-northeast-1").ask(call, body or None, timeout_s=60)

    def register(self, *containers: dict, **more) -> str:
        self._count += 1
        made = self.ecs.register_task_definition(**{
            "family": more.pop("family", f"trial{self._count}"), "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
            "cpu": "256", "memory": "512",
            "containerDefinitions": list(containers), **more,
        })  # fmt: skip
        return made["taskDefinition"]["taskDefinitionArn"]

    def run(self, *containers: dict, **more) -> str:
        answer = self.ecs.run_task(
            taskDefinition=self.register(*containers, **more), launchType="FARGATE",
            networkConfiguration=self.network,
        )  # fmt: skip
        return answer["tasks"][0]["taskArn"]

    def task(self, arn: str) -> dict:
        return self.ecs.describe_tasks(tasks=[arn])["tasks"][0]

    def until(self, arn: str, holds, what: str, deadline_s: float = 40.0) -> dict:
        return wait_for(lambda: self.task(arn), holds, what, deadline_s)

    def running(self, arn: str) -> dict:
        return self.until(arn, lambda t: t["lastStatus"] == "RUNNING", "running")

    def stopped(self, arn: str) -> dict:
        return self.until(arn, lambda t: t["lastStatus"] == "STOPPED", "stopped")

    def stop(self, arn: str) -> dict:
        self.ecs.stop_task(task=arn, reason="over")
        return self.stopped(arn)

    def leave(self, arn: str) -> None:
        """Stop it without waiting: its end is not what the test is about."""
        self.ecs.stop_task(task=arn)

    def execute(self, arn: str, container: str, *command: str) -> str:
        answer = self.ask("execute", task=arn, container=container, command=list(command))
        assert answer["code"] == 0, answer
        return answer["output"]

    def service(self, name: str) -> dict:
        return self.ecs.describe_services(services=[name])["services"][0]

    def events(self, name: str) -> list[str]:
        return [one["message"] for one in reversed(self.service(name)["events"])]

    def create_service(self, name: str, definition: str, **more) -> None:
        self.ecs.create_service(**{
            "serviceName": name, "taskDefinition": definition, "launchType": "FARGATE",
            "desiredCount": 1, "networkConfiguration": self.network, **more,
        })  # fmt: skip

    def steady(self, name: str, deadline_s: float = 60.0) -> dict:
        return wait_for(
            lambda: self.service(name),
            lambda s: len(s["deployments"]) == 1
            and s["deployments"][0]["rolloutState"] == "COMPLETED"
            and s["runningCount"] == s["desiredCount"],
            f"{name} steady", deadline_s,
        )  # fmt: skip

    def delete(self, name: str) -> None:
        self.ecs.delete_service(service=name, force=True)

    def target_group(self, name: str) -> str:
        elb = self.client("elbv2")
        made = elb.create_target_group(
            Name=name, Protocol="HTTP", Port=8000, TargetType="ip", VpcId="vpc-1",
            HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2,
            HealthyThresholdCount=2, UnhealthyThresholdCount=2,
        )  # fmt: skip
        group = made["TargetGroups"][0]["TargetGroupArn"]
        balancer = elb.create_load_balancer(Name=name, Subnets=self.subnets[:2])
        elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancers"][0]["LoadBalancerArn"], Protocol="HTTP",
            Port=80, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
        )  # fmt: skip
        return group

    @contextlib.contextmanager
    def slow_requests(self, balancer: str, count: int):
        """Requests that are under way in the block; after it all of them were answered."""
        doors = self.ask("doors")["listeners"]
        door = next(where for arn, where in doors.items() if f"/{balancer}/" in arn)

        def get(_: int) -> bytes:
            with urllib.request.urlopen(f"http://{door}/slow", timeout=20) as answer:
                return answer.read()

        with ThreadPoolExecutor(count) as threads:
            answers = [threads.submit(get, number) for number in range(count)]
            time.sleep(0.3)  # They are sent; each is answered after 1.5 s.
            yield
            assert [one.result() for one in answers] == [b"ok"] * count

    def targets(self, group: str) -> list[str]:
        found = self.client("elbv2").describe_target_health(TargetGroupArn=group)
        return [one["TargetHealth"]["State"] for one in found["TargetHealthDescriptions"]]


def wait_for(read, holds, what: str, deadline_s: float = 40.0):
    deadline = time.monotonic() + deadline_s
    while not holds(seen := read()):
        assert time.monotonic() < deadline, f"never {what}: {seen}"
        time.sleep(0.1)
    return seen
