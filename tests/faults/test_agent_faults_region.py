"""The agent's fault endpoint in a real local region, asked from inside tasks, with what happens to
their packets measured there."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from command import Command

from hikkoshi.region.boot.cleanup import find_regions
from two_engines import ENGINES, need

pytestmark = pytest.mark.region

SERVER = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(100): self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
Server(("0.0.0.0", 7007), Echo).serve_forever()
"""
# Asks the agent, then times round trips on ONE connection that was there before any fault.
CLIENT = """
import json, os, socket, statistics, sys, time, urllib.error, urllib.request
peer = (sys.argv[1], 7007)
def ask(kind, action, body=None):
    url = os.environ["ECS_AGENT_URI"] + "/fault/v1/" + kind + "/" + action
    data = json.dumps(body).encode() if body is not None else b""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
            return [answer.status, json.load(answer)]
    except urllib.error.HTTPError as error:
        return [error.code, json.load(error)]
def trip(many=5):
    took = []
    for _ in range(many):
        start = time.perf_counter(); kept.send(b"x"); kept.recv(1)
        took.append(time.perf_counter() - start)
    return statistics.median(took)
def connects():
    try:
        with socket.create_connection(peer, timeout=0.5): return True
    except OSError: return False
kept = socket.create_connection(peer, timeout=5)
kept.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
told = {}
exec(sys.argv[2])
print(json.dumps(told))
"""


def definition(family: str, code: str, **more: Any) -> dict[str, Any]:
    return {
        "family": family, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512", **more,
        "containerDefinitions": [
            {"name": "app", "image": "localhost/python", "essential": True,
             "command": ["python3", "-c", code]}
        ],
    }  # fmt: skip


class Tasks:
    """Two tasks: `server` echoes; `client` may be impaired; `plain` may not."""

    def __init__(self, command: Command, url: str) -> None:
        self.command = command
        self.url = url
        self.ecs = boto3.client(
            "ecs", endpoint_url=url, region_name="ap-northeast-1",
            aws_access_key_id="any", aws_secret_access_key="any",
        )  # fmt: skip
        ecs = self.ecs
        ec2 = boto3.client(
            "ec2", endpoint_url=url, region_name="ap-northeast-1",
            aws_access_key_id="any", aws_secret_access_key="any",
        )  # fmt: skip
        self.subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"][:1]]
        ecs.create_cluster(clusterName="net")
        idle = "import time; time.sleep(1000)"
        ecs.register_task_definition(**definition("server", SERVER))
        ecs.register_task_definition(**definition("client", idle, enableFaultInjection=True))
        ecs.register_task_definition(**definition("plain", idle))
        self.arn = {name: self.start(name) for name in ("server", "client", "plain")}
        self.address = {name: self.address_of(arn) for name, arn in self.arn.items()}

    def start(self, family: str) -> str:
        arn = self.ecs.run_task(
            cluster="net", taskDefinition=family, launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": self.subnets}},
        )["tasks"][0]["taskArn"]  # fmt: skip
        self.ecs.get_waiter("tasks_running").wait(
            cluster="net", tasks=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )
        return str(arn)

    def address_of(self, arn: str) -> str:
        (task,) = self.ecs.describe_tasks(cluster="net", tasks=[arn])["tasks"]
        details = {d["name"]: d["value"] for d in task["attachments"][0]["details"]}
        return str(details["privateIPv4Address"])

    def inside(self, name: str, code: str) -> dict[str, Any]:
        """What `code` put into `told`, run in that task with CLIENT's functions."""
        command = ["python3", "-c", CLIENT, self.address["server"], code]
        body = json.dumps({"task": self.arn[name], "command": command, "timeout_s": 30}).encode()
        asked = urllib.request.Request(
            f"{self.url}/_hikkoshi/execute", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=40) as answer:
            said = json.load(answer)
        assert said["code"] == 0, said["output"]
        told: dict[str, Any] = json.loads(said["output"].strip().splitlines()[-1])
        return told


@pytest.fixture(scope="module", params=ENGINES)
def tasks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tasks]:
    engine = need(request.param)
    command = Command(tmp_path_factory.mktemp("agent") / "home")
    said = command("up", "-d", "--port", "0", "--fast", "--engine", engine)
    assert said.code == 0, said.err
    try:
        yield Tasks(command, said.out.strip().partition("AWS_ENDPOINT_URL=")[2])
    finally:
        command("down", "--all")


def test_latency_reaches_connections_that_were_there_before(tasks: Tasks) -> None:
    told = tasks.inside(
        "client",
        """
body = {"DelayMilliseconds": 150, "JitterMilliseconds": 0, "Sources": [peer[0]]}
told["before"] = trip()
told["status before"] = ask("network-latency", "status")
told["start"] = ask("network-latency", "start", body)
told["status"] = ask("network-latency", "status")
told["during"] = trip()
told["again"] = ask("network-latency", "start", body)
told["loss beside"] = ask("network-packet-loss", "start", {"LossPercent": 9, "Sources": [peer[0]]})
told["loss status"] = ask("network-packet-loss", "status")
told["stop"] = ask("network-latency", "stop")
told["status after"] = ask("network-latency", "status")
told["after"] = trip()
told["stop again"] = ask("network-latency", "stop")
""",
    )
    assert told["before"] < 0.05 and told["after"] < 0.05
    assert 0.15 <= told["during"] < 0.25
    assert told["start"] == [200, {"Status": "running"}]
    assert told["status"] == [200, {"Status": "running"}]
    assert told["status before"] == told["status after"] == [200, {"Status": "not-running"}]
    assert told["loss status"] == [200, {"Status": "not-running"}]
    assert told["again"] == told["loss beside"]
    assert told["again"] == [409, {"Error": "There is already one network latency fault running"}]
    assert told["stop"] == told["stop again"] == [200, {"Status": "stopped"}]


def test_sources_that_are_filtered_are_spared(tasks: Tasks) -> None:
    told = tasks.inside(
        "client",
        """
body = {"DelayMilliseconds": 150, "JitterMilliseconds": 20, "Sources": ["0.0.0.0/0"]}
ask("network-latency", "start", {**body, "SourcesToFilter": [peer[0] + "/32"]})
told["spared"] = trip()
ask("network-latency", "stop")
ask("network-latency", "start", body)
told["hit"] = trip()
told["stop"] = ask("network-latency", "stop")
""",
    )
    assert told["spared"] < 0.05 and 0.1 < told["hit"] < 0.3
    assert told["stop"] == [200, {"Status": "stopped"}]


def test_packets_are_lost(tasks: Tasks) -> None:
    told = tasks.inside(
        "client",
        """
told["before"] = [connects() for _ in range(5)]
told["start"] = ask("network-packet-loss", "start", {"LossPercent": 100, "Sources": [peer[0]]})
told["during"] = [connects() for _ in range(2)]
ask("network-packet-loss", "stop")
told["after"] = [connects() for _ in range(5)]
""",
    )
    assert told["start"] == [200, {"Status": "running"}]
    assert all(told["before"]) and not any(told["during"]) and all(told["after"])


@pytest.mark.parametrize("traffic", ["egress", "ingress"])
def test_a_black_hole_swallows_one_port(tasks: Tasks, traffic: str) -> None:
    """Ingress is that of the task that asks: here another port of it is what is shut."""
    told = tasks.inside(
        "client",
        f"""
hole = {{"Port": 7007, "Protocol": "tcp", "TrafficType": "{traffic}"}}
other = {{**hole, "Port": 7008}}
told["start"] = [ask("network-blackhole-port", "start", each) for each in (hole, other)]
told["during"] = connects()
told["udp"] = ask("network-blackhole-port", "status", {{**hole, "Protocol": "udp"}})
told["stop"] = ask("network-blackhole-port", "stop", hole)
told["other"] = ask("network-blackhole-port", "status", other)
told["after"] = connects()
ask("network-blackhole-port", "stop", other)
""",
    )
    assert told["start"] == [[200, {"Status": "running"}]] * 2
    assert told["during"] is (traffic == "ingress")
    assert told["udp"] == [200, {"Status": "not-running"}]
    assert told["stop"] == [200, {"Status": "stopped"}]
    assert told["other"] == [200, {"Status": "running"}]
    assert told["after"] is True


def test_an_ingress_black_hole_shuts_the_task_from_its_callers(tasks: Tasks) -> None:
    """The server itself shuts its port; the client is the one that notices."""
    server = tasks.ecs.register_task_definition(
        **definition("shut", SERVER, enableFaultInjection=True)
    )["taskDefinition"]["taskDefinitionArn"]
    tasks.arn["shut"] = tasks.start(server)
    address = tasks.address_of(tasks.arn["shut"])
    hole = {"Port": 7007, "Protocol": "tcp", "TrafficType": "ingress"}
    look = f'peer = ("{address}", 7007); told["is_open"] = connects()'
    shut = f'told["said"] = ask("network-blackhole-port", "start", {hole!r})'
    assert tasks.inside("client", look)["is_open"] is True
    assert tasks.inside("shut", shut)["said"] == [200, {"Status": "running"}]
    assert tasks.inside("client", look)["is_open"] is False
    # The task ends with its fault: nothing of it is left, and the region goes on.
    tasks.ecs.stop_task(cluster="net", task=tasks.arn["shut"])
    tasks.ecs.get_waiter("tasks_stopped").wait(
        cluster="net", tasks=[tasks.arn["shut"]], WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    await_no_carrier(tasks.command)


def test_a_carrier_that_dies_is_noticed_and_the_network_is_whole(tasks: Tasks) -> None:
    body = {"Port": 7007, "Protocol": "tcp", "TrafficType": "egress"}
    start = f'told["said"] = ask("network-blackhole-port", "start", {body!r})'
    status = f"""
told["status"] = ask("network-blackhole-port", "status", {body!r})
told["is_open"] = connects()
"""
    assert tasks.inside("client", start)["said"] == [200, {"Status": "running"}]
    (carrier,) = carriers(tasks.command)
    os.kill(carrier, 9)
    await_no_carrier(tasks.command)
    told = tasks.inside("client", status)
    assert told == {"status": [200, {"Status": "not-running"}], "is_open": True}


def test_a_task_that_did_not_ask_for_faults_gets_none(tasks: Tasks) -> None:
    told = tasks.inside(
        "plain",
        'told["said"] = ask("network-latency", "start", '
        '{"DelayMilliseconds": 1, "JitterMilliseconds": 0, "Sources": ["10.0.0.0/16"]})',
    )
    arn = tasks.arn["plain"]
    assert told["said"] == [
        400, {"Error": f"enableFaultInjection is not enabled for task: {arn}"},
    ]  # fmt: skip


@pytest.mark.slow
def test_the_command_proves_each_network_fault_by_what_the_task_feels(tasks: Tasks) -> None:
    network = {"awsvpcConfiguration": {"subnets": tasks.subnets}}
    tasks.ecs.create_service(
        cluster="net", serviceName="client", taskDefinition="client", desiredCount=1,
        launchType="FARGATE", enableExecuteCommand=True, networkConfiguration=network,
    )  # fmt: skip
    tasks.ecs.get_waiter("services_stable").wait(
        cluster="net", services=["client"], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    said = tasks.command(
        "fault", "run", "network-latency", "network-blackhole-port", "network-packet-loss",
        "--local", "--cluster", "net", "--service", "client", "--recovery", "30s",
        "--peer", f"{tasks.address['server']}:7007", "--hold", "0s", "--delay", "200",
        "--loss", "60", "--json",
    )  # fmt: skip
    results = json.loads(said.out)
    assert said.code == 0, said.all
    proofs = [each["proof"] for each in results]
    assert "a connection took" in proofs[0] and "DelayMilliseconds 200" in proofs[0]
    assert "none of 10 connections gets through" in proofs[1]
    assert "of 10 connections lost packets" in proofs[2]
    assert all(each["undo"] == "undone" and each["is_steady_after"] for each in results)
    await_no_carrier(tasks.command)
    assert a_killed_run_is_finished_by_the_next_command(tasks) == "network-latency"


def a_killed_run_is_finished_by_the_next_command(tasks: Tasks) -> str:
    """The fault that was left, of the service of the test above."""
    line = [
        *tasks.command.line, "fault", "run", "network-latency", "--local", "--cluster", "net",
        "--service", "client", "--peer", f"{tasks.address['server']}:7007", "--hold", "600s",
    ]  # fmt: skip
    with subprocess.Popen(
        line, env=tasks.command.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for text in process.stderr:
            if "proven" in text:
                process.kill()
    assert len(carriers(tasks.command)) == 1
    said = tasks.command("fault", "list")
    assert said.code == 0 and "network-latency of task" in said.err and "stopped" in said.err
    await_no_carrier(tasks.command)
    assert "killed" not in tasks.command("fault", "list").err
    return said.err.partition("left: ")[2].partition(":")[0]


def await_no_carrier(command: Command) -> None:
    """STOPPED is told before the last of a task is taken away."""
    deadline = time.monotonic() + 20
    while (left := carriers(command)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def carriers(command: Command) -> list[int]:
    """The programs that carry frames in that command's region."""
    kept = Path(command.environment["XDG_STATE_HOME"]) / "hikkoshi"
    regions = {record.init_pid for record, is_running in find_regions(kept) if is_running}
    assert regions
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and regions & set(ancestors(int(entry.name))):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                found += [int(entry.name)] if any(w.endswith(b"/cable.py") for w in words) else []
    return found


def ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        pid = int(status.partition("PPid:")[2].split()[0])
        yield pid
