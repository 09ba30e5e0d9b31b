"""Faults by the command, in a real local region: a service of two small tasks and a database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from command import Command

from hikkoshi.aws.access import Access
from hikkoshi.faults import service as looking
from hikkoshi.faults.model import Place

sys.path.insert(0, str(Path(__file__).parents[1] / "ship"))
from throttling import throttling

pytestmark = pytest.mark.region

WAITS = "trap 'exit 7' TERM; while :; do sleep 600 & wait $!; done"
TASK: dict[str, Any] = {
    "family": "small", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
    "cpu": "256", "memory": "512",
    "containerDefinitions": [
        {"name": name, "image": "localhost/host", "essential": name == "app",
         "command": ["sh", "-c", WAITS]}
        for name in ("app", "beside")
    ],
}  # fmt: skip
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


def client(url: str, service: str) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name="ap-northeast-1",
        aws_access_key_id="any", aws_secret_access_key="any",
    )  # fmt: skip


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Command, str]]:
    command = Command(tmp_path_factory.mktemp("faults") / "home")
    said = command("up", "-d", "--port", "0", "--fast")
    assert said.code == 0, said.err
    url = said.out.strip().partition("AWS_ENDPOINT_URL=")[2]
    ecs, ec2, rds = client(url, "ecs"), client(url, "ec2"), client(url, "rds")
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="few", DBParameterGroupFamily="aurora-postgresql17",
        Description="few connections",
    )  # fmt: skip
    few = {"ParameterName": "max_connections", "ParameterValue": "30"}
    rds.modify_db_cluster_parameter_group(
        DBClusterParameterGroupName="few", Parameters=[{**few, "ApplyMethod": "pending-reboot"}]
    )
    rds.create_db_cluster(
        DBClusterParameterGroupName="few", DBClusterIdentifier="db", DatabaseName="app",
        Engine="aurora-postgresql",
        MasterUsername="app", MasterUserPassword="local-only-pw",
    )  # fmt: skip
    for number in (1, 2):
        rds.create_db_instance(
            DBInstanceIdentifier=f"db-{number}", DBInstanceClass="db.r6g.large",
            Engine="aurora-postgresql", DBClusterIdentifier="db",
        )  # fmt: skip
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"][:2]]
    ecs.create_cluster(clusterName="small")
    ecs.register_task_definition(**TASK)
    ecs.create_service(
        cluster="small", serviceName="small", taskDefinition="small", desiredCount=2,
        launchType="FARGATE", enableExecuteCommand=True, deploymentConfiguration=BREAKER,
        networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}},
    )  # fmt: skip
    waiter = ecs.get_waiter("services_stable")
    waiter.wait(cluster="small", services=["small"], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    rds.get_waiter("db_cluster_available").wait(
        DBClusterIdentifier="db", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    yield command, url
    command("down", "--all")


def test_what_is_looked_at_is_right_while_half_of_all_calls_are_throttled(
    region: tuple[Command, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with throttling(region[1], seed=3) as proxy:
        for name, value in {
            # Botocore's own attempts, seconds apart, are left out: each refusal is ours to survive.
            "AWS_MAX_ATTEMPTS": "1", "AWS_ENDPOINT_URL": proxy.url,
            "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        place = Place(Access.to_account(None, "ap-northeast-1"), "small", "small", "db")
        for _ in range(3):
            assert len(looking.running_tasks(place)) == 2
            assert looking.unsteady_because(place) is None
            assert looking.writer_of(looking.describe_database(place)) == "db-1"
        assert proxy.refused > 8


WHERE = ("--local", "--cluster", "small", "--service", "small", "--recovery", "30s")


def inject(region: tuple[Command, str], *names: str, **more: str) -> tuple[int, list[Any]]:
    command, _ = region
    said = command("fault", "run", *names, *WHERE, "--hold", "1s", "--json", **more)
    assert said.out, said.err
    return said.code, json.loads(said.out)


def database_url(url: str) -> str:
    with urllib.request.urlopen(f"{url}/_hikkoshi/doors") as answer:
        doors = json.load(answer)["databases"]
    endpoint = client(url, "rds").describe_db_clusters()["DBClusters"][0]["Endpoint"]
    return f"postgresql://app:local-only-pw@{doors[endpoint]}/app"


@pytest.mark.slow
def test_faults_of_tasks_are_proven_and_recovered_from(region: tuple[Command, str]) -> None:
    names = ("stop-task", "crash-sidecar", "rolling-deploy", "bad-deploy", "cpu-pressure")
    code, results = inject(region, *names)
    told = {each["name"]: (each["outcome"], each["proof"]) for each in results}
    assert code == 0
    assert told["stop-task"][0] == "held" and "UserInitiated" in told["stop-task"][1]
    # Without a restartPolicy the sidecar stays away: the service goes on, its task lacks it.
    assert told["crash-sidecar"][0] == "held", results[1]["reason"]
    assert "beside ended with exit code 137" in told["crash-sidecar"][1]
    assert told["rolling-deploy"][0] == "held" and "2 tasks were" in told["rolling-deploy"][1]
    assert told["bad-deploy"][0] == "held" and "CannotPull" in told["bad-deploy"][1]
    assert told["cpu-pressure"][0] == "held" and "s of CPU" in told["cpu-pressure"][1]
    assert all(each["undo"] == "undone" and each["is_steady_after"] for each in results)


@pytest.mark.slow
def test_a_failover_loses_no_write(region: tuple[Command, str]) -> None:
    command, url = region
    way = {"DATABASE_URL": database_url(url)}
    line = ("fault", "run", *WHERE, "--database", "db", "--hold", "1s", "--json")
    said = command(*line, "failover-database", "--write", "database", **way)
    (failover,) = json.loads(said.out)
    assert said.code == 0, said.err
    assert "the writer was db-1 and is db-2" in failover["proof"]
    assert failover["writes"]["acknowledged"] > 20 and failover["writes"]["missing"] == []
    assert failover["writes"]["retried"] > 0
    others = command(*line, "reboot-database", "exhaust-connections", **way)
    reboot, exhaust = json.loads(others.out)
    assert others.code == 0, others.err
    assert "rebooting" in reboot["proof"] or "restart" in reboot["proof"]
    assert "connections" in exhaust["proof"]
    assert "local-only-pw" not in said.all + others.all


def test_what_cannot_be_tried_here_says_why(region: tuple[Command, str]) -> None:
    code, results = inject(
        region, "secrets-unavailable", "spot-interruption", "exhaust-connections"
    )
    assert code == 3
    assert [each["outcome"] for each in results] == ["not tried"] * 3
    reasons = [each["reason"] for each in results]
    assert "no secrets" in reasons[0] and "FARGATE_SPOT" in reasons[1]
    assert "set DATABASE_URL" in reasons[2]


def test_wrong_use_is_said(region: tuple[Command, str]) -> None:
    command, _ = region
    wrong = command("fault", "run", "stop-tsak", *WHERE)
    assert (wrong.code, "did you mean stop-task?" in wrong.err) == (2, True)
    unnamed = command("fault", "run", "stop-task", "--local")
    assert (unnamed.code, "give --service" in unnamed.err) == (2, True)
    missing = command("fault", "run", "stop-task", "--local", "--service", "other")
    assert missing.code in (2, 3) and "Traceback" not in missing.err


def test_an_interrupted_fault_is_undone(region: tuple[Command, str]) -> None:
    command, url = region
    line = [*command.line, "fault", "run", "zone-gone", *WHERE, "--hold", "600s"]
    process = subprocess.Popen(
        line, env=command.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    said = []
    for text in process.stderr:
        said.append(text)
        if "proven" in text:
            process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert "interrupted; undone" in "".join(said)
    # Nothing goes on stopping tasks.
    ecs = client(url, "ecs")
    waiter = ecs.get_waiter("services_stable")
    waiter.wait(cluster="small", services=["small"], WaiterConfig={"Delay": 1, "MaxAttempts": 30})


@pytest.mark.slow
def test_a_deploy_that_a_killed_run_left_is_taken_back(region: tuple[Command, str]) -> None:
    command, url = region
    ecs = client(url, "ecs")

    def definition() -> str:
        (service,) = ecs.describe_services(cluster="small", services=["small"])["services"]
        return str(service["taskDefinition"])

    before = definition()
    line = [*command.line, "fault", "run", "descriptor-pressure", *WHERE, "--hold", "600s"]
    with subprocess.Popen(
        line, env=command.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        for text in process.stderr:
            if "injected" in text:
                process.kill()
    assert definition() != before
    said = command("fault", "list")
    assert "undone what a killed run left" in said.err, said.err
    assert definition() == before
    assert "killed" not in command("fault", "list").err
    waiter = ecs.get_waiter("services_stable")
    waiter.wait(cluster="small", services=["small"], WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def experiment() -> dict[str, Any]:
    def ours(kind: str, function: str, **arguments: Any) -> dict[str, Any]:
        where = {"cluster": "small", "service": "small", **arguments}
        module = {"type": "python", "module": "hikkoshi.faults.chaos"}
        return {"type": kind, "name": function,
                "provider": {**module, "func": function, "arguments": where}}  # fmt: skip

    probe = {**ours("probe", "wait_until_steady", within_s=30), "tolerance": True}
    mark = {"type": "action", "name": "mark the end",
            "provider": {"type": "process", "path": "touch",
                         "arguments": "rolled-back"}}  # fmt: skip
    return {
        "title": "a task may be stopped", "description": "and another takes its place",
        "steady-state-hypothesis": {"title": "all is steady", "probes": [probe]},
        "method": [ours("action", "inject", fault="stop-task")],
        "rollbacks": [mark],
    }  # fmt: skip


def test_experiments_of_the_chaos_toolkit(region: tuple[Command, str], tmp_path: Path) -> None:
    command, _ = region
    good, bad, wrong = (command.home / name for name in ("good.json", "bad.json", "wrong.json"))
    good.write_text(json.dumps(experiment()))
    said = command("fault", "run", good.name, "--local", "--json")
    (result,) = json.loads(said.out)
    assert (said.code, result["outcome"]) == (0, "held"), said.all
    proof = result["details"]["journal"]["run"][0]["output"]["proof"]
    assert "UserInitiated" in proof
    (command.home / "rolled-back").unlink()
    untried = experiment()
    untried["method"][0]["provider"]["arguments"]["fault"] = "secrets-unavailable"
    bad.write_text(json.dumps(untried))
    failed = command("fault", "run", bad.name, "--local", "--json")
    (result,) = json.loads(failed.out)
    assert (failed.code, result["outcome"]) == (1, "broke")
    assert "no secrets" in result["reason"]
    # chaoslib itself would have skipped it.
    assert os.path.exists(command.home / "rolled-back")
    wrong.write_text('{"title": "t"}')
    refused = command("fault", "run", wrong.name, "--local")
    assert refused.code == 2 and "not a valid experiment" in refused.err


def test_the_list_names_every_fault(hikkoshi: Command) -> None:
    said = hikkoshi("fault", "list", "--json")
    assert {"stop-task", "failover-database"} <= {each["name"] for each in json.loads(said.out)}
