"""Services whose traffic ECS shifts, in a local region, under load, through its HAProxy."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field

import pytest
from ship_house import ROLE, Files, called

pytestmark = pytest.mark.region


@dataclass(eq=False)
class Client(threading.Thread):
    """One request after the other, each on a connection of its own; what was answered."""

    door: str
    answers: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__(daemon=True)
        self._is_over = threading.Event()

    def run(self):
        while not self._is_over.wait(0.02):
            try:
                self.answers.append(asked(self.door))
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append(f"{len(self.answers)}: {error!r}")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self.join(30)


def asked(door: str) -> str:
    connection = http.client.HTTPConnection(door, timeout=20)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        text = answer.read().decode().strip()
        assert answer.status == 200, f"{answer.status} {text}"
        return text
    finally:
        connection.close()


def until(what, holds, within_s=60.0):
    deadline = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline, f"did not happen in {within_s:g} s: {what}"
        time.sleep(0.05)
    return found


@dataclass
class Home:
    """Two target groups, a rule for production and one for tests."""

    files: Files
    name: str

    def __post_init__(self):
        region = self.files.region
        elb, ec2 = region.client("elbv2"), region.client("ec2")
        subnets = ec2.describe_subnets()["Subnets"]
        self.groups = [
            elb.create_target_group(
                Name=f"{self.name}-{colour}", Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"],
                TargetType="ip", HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2,
            )["TargetGroups"][0]["TargetGroupArn"]
            for colour in ("blue", "green")
        ]  # fmt: skip
        balancer = elb.create_load_balancer(
            Name=self.name, Subnets=[s["SubnetId"] for s in subnets[:2]], Scheme="internal",
            SecurityGroups=region.network["awsvpcConfiguration"]["securityGroups"],
        )["LoadBalancers"][0]["LoadBalancerArn"]  # fmt: skip
        both = [{"TargetGroupArn": arn, "Weight": 1 - i} for i, arn in enumerate(self.groups)]
        listeners = [
            elb.create_listener(
                LoadBalancerArn=balancer, Protocol="HTTP", Port=port,
                DefaultActions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": both}}],
            )["Listeners"][0]["ListenerArn"]
            for port in (80, 8443)
        ]  # fmt: skip
        rules = [
            elb.describe_rules(ListenerArn=listener)["Rules"][0]["RuleArn"]
            for listener in listeners
        ]
        doors = region.ask("doors")["listeners"]
        self.door, self.test_door = (doors[listener] for listener in listeners)
        self.advanced = {
            "alternateTargetGroupArn": self.groups[1], "productionListenerRule": rules[0],
            "testListenerRule": rules[1], "roleArn": ROLE,
        }  # fmt: skip

    def write(self, version: str, *, shell: str = "", **configuration):
        serves = (
            f"mkdir -p /tmp/www && echo {version} > /tmp/www/index.html && "
            "{ python3 -m http.server 8080 --directory /tmp/www & } && "
            "trap 'kill %1; exit 0' TERM && wait"
        )
        self.files.write(shell or serves, portMappings=[{"containerPort": 8080}], breaks=False)
        path = self.files.directory / "ecs-service-def.json"
        service = json.loads(path.read_text())
        service["loadBalancers"] = [
            {"targetGroupArn": self.groups[0], "containerName": "web", "containerPort": 8080,
             "advancedConfiguration": self.advanced}
        ]  # fmt: skip
        service["deploymentConfiguration"] |= {
            "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1, **configuration
        }  # fmt: skip
        path.write_text(json.dumps(service))

    def stage(self) -> dict:
        return json.loads(self.files.hikkoshi("status", "--json").out)

    def baking(self) -> dict:
        return until("it bakes", lambda: (s := self.stage())["lifecycleStage"] == "BAKE_TIME" and s)


def test_blue_green_under_load(files):
    """Not one request fails, forwards or back, and a bad one gets no traffic."""
    home = Home(files, "bluegreen")
    home.write("one")
    first = files.hikkoshi("deploy")
    assert first.code == 0, first.all
    assert "stage SCALE_UP (the new tasks start, without traffic)" in first.err
    verified = files.hikkoshi("verify")
    assert "both target groups are in the rules" in verified.out
    with Client(home.door) as client:
        until("it answers", lambda: "one" in client.answers)
        home.write("two")
        said = files.hikkoshi("deploy")
        assert said.code == 0, said.all
        assert "stage BAKE_TIME, 100% of production traffic" in said.err
        assert "stage CLEAN_UP" in said.err
        assert files.hikkoshi("diff").code == 0
        since = len(client.answers)
        until("it is asked again", lambda: len(client.answers) > since + 5)
        assert set(client.answers[since + 1 :]) == {"two"}

        home.write("three")
        assert files.hikkoshi("deploy", "--no-wait").code == 0
        baking = home.baking()
        assert baking["strategy"] == "BLUE_GREEN"
        assert baking["productionTrafficPercent"] == 100.0
        assert asked(home.door) == asked(home.test_door) == "three"
        back = files.hikkoshi("rollback")
        assert back.code == 0, back.all
        assert "stage CLEAN_UP (going back: the new tasks end)" in back.err
        assert asked(home.door) == asked(home.test_door) == "two"
        assert files.deployed() == "2"
        ecs = files.region.client("ecs")
        ecs.get_waiter("services_stable").wait(cluster=files.cluster, services=["web"])

        since = len(client.answers)
        home.write("bad", shell="echo no database; exit 9")
        bad = files.hikkoshi("deploy")
        assert bad.code == 4, bad.all
        assert "no database" in bad.out
        assert "production traffic goes" not in bad.err
    assert client.failed == []
    assert set(client.answers[since + 1 :]) == {"two"}
    assert files.hikkoshi("wait").code == 4
    refused = files.hikkoshi("deploy", "--canary", "5s", "--force-new-deployment")
    assert refused.code == 2
    assert "BLUE_GREEN keeps the two apart" in refused.err


ACCOUNT = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012"
SHIFTED = {
    "targetGroupArn": f"{ACCOUNT}:targetgroup/own/0123456789abcdef", "containerName": "web",
    "containerPort": 8080, "advancedConfiguration": {
        "alternateTargetGroupArn": f"{ACCOUNT}:targetgroup/own-2/0123456789abcdef",
        "productionListenerRule": f"{ACCOUNT}:listener-rule/app/own/1/2/3", "roleArn": ROLE},
}  # fmt: skip


def own_files(directory, cluster: str, version: str, settings: str = "", **service) -> None:
    """A project of hikkoshi's own, with the names of an account in it."""
    container = {
        "name": "web", "image": "localhost/host", "portMappings": [{"containerPort": 8080}],
        "command": ["sh", "-c", f"mkdir -p /tmp/www && echo {version} > /tmp/www/index.html && "
                    "exec python3 -m http.server 8080 --directory /tmp/www"],
    }  # fmt: skip
    task = {
        "family": cluster, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512", "containerDefinitions": [container],
    }  # fmt: skip
    whole = {
        "serviceName": "web", "launchType": "FARGATE", "desiredCount": 1,
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-0a1b2c3d4e5f60718"]}},
    }  # fmt: skip
    directory.mkdir(exist_ok=True)
    (directory / "hikkoshi.yaml").write_text(f"cluster: {cluster}\n{settings}")
    (directory / "ecs-task-def.json").write_text(json.dumps(task))
    (directory / "ecs-service-def.json").write_text(json.dumps(whole | service))


def local(region, command: str, directory, *more: str):
    return called([command, "--local", str(directory), *more], region.environment)


def test_own_files_with_nothing_beside_the_service(ship_region, tmp_path):
    """No load balancer and no secret: the cluster is made all the same."""
    own_files(tmp_path / "bare", "bare", "one")
    said = local(ship_region, "deploy", tmp_path / "bare")
    assert said.code == 0, said.all
    again = local(ship_region, "deploy", tmp_path / "bare")
    assert "nothing to change" in again.out
    assert local(ship_region, "delete", tmp_path / "bare", "--force").code == 0


def test_own_files_get_the_second_target_group_that_they_name(ship_region, tmp_path):
    settings = "load_balancer: {target_group: own, health_check: {path: /}}\n"
    shifting = {
        "loadBalancers": [SHIFTED],
        "deploymentConfiguration": {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0},
    }
    for version in ("one", "two"):
        own_files(tmp_path / "own", "own", version, settings, **shifting)
        said = local(ship_region, "deploy", tmp_path / "own")
        assert said.code == 0, said.all
    assert "stage PRODUCTION_TRAFFIC_SHIFT" in said.err or "stage CLEAN_UP" in said.err
    doors = ship_region.ask("doors")["listeners"]
    (listener,) = [arn for arn in doors if ":listener/app/own/" in arn and port_of(
        ship_region, arn) == 80]  # fmt: skip
    assert asked(doors[listener]) == "two"
    assert local(ship_region, "diff", tmp_path / "own").code == 0
    assert local(ship_region, "delete", tmp_path / "own", "--force").code == 0


def port_of(region, listener: str) -> int:
    found = region.client("elbv2").describe_listeners(ListenerArns=[listener])
    return found["Listeners"][0]["Port"]
