"""Shipping into a local region, as its user does it: exit codes, words, and what is there after."""

from __future__ import annotations

import json
import os
import random
import signal
import time

import boto3
import pytest
from click.testing import CliRunner
from ship_house import GOOD, HANGS, called
from throttling import throttling

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import CannotRun
from hikkoshi.cli.deploy import deploy as deploy_command
from hikkoshi.ship import lock
from hikkoshi.ship.audit import Audit
from hikkoshi.ship.calls import Calls
from hikkoshi.ship.deploy import Deployer, Options
from hikkoshi.ship.reading import no_access, read_home

pytestmark = pytest.mark.region
BAD = "echo no database; exit 9"
KILLS = int(os.environ.get("SHIP_KILLS", "4"))


class Silent:
    def say(self, text):
        pass

    def now(self, text):
        pass


def access_of(files):
    return Access(files.region.url, "ap-northeast-1")


def test_a_service_is_made_changed_and_taken_back(files):
    made = files.hikkoshi("deploy", "--json")
    assert (made.code, json.loads(made.out)["outcome"]) == (0, "succeeded")
    assert "registered" in made.err
    again = files.hikkoshi("deploy")
    assert again.code == 0
    assert "nothing to change" in again.out
    assert files.revisions() == ["1"]
    assert files.hikkoshi("diff").code == 0

    files.write(cpu="512")
    differs = files.hikkoshi("diff")
    assert differs.code == 1
    assert '-  "cpu": "256",' in differs.out
    assert '+  "cpu": "512",' in differs.out
    assert files.hikkoshi("deploy").code == 0
    assert files.deployed() == "2"
    back = files.hikkoshi("rollback")
    assert back.code == 0, back.all
    assert files.deployed() == "1"
    assert files.revisions() == ["1", "2"], "what was left is evidence"
    assert files.hikkoshi("rollback", "--to", "2", "--no-wait").code == 0
    assert files.hikkoshi("wait").code == 0
    shown = json.loads(files.hikkoshi("status", "--json").out)
    assert shown["taskDefinition"].endswith(":2")
    audit = (files.directory / ".hikkoshi" / "audit.jsonl").read_text().splitlines()
    actions = [json.loads(line)["action"] for line in audit]
    assert actions.count("deploy begins") == actions.count("deploy ended") == 2
    assert actions.count("rollback begins") == actions.count("rollback ended") == 2


def test_an_unchanged_deploy_makes_few_calls(files, monkeypatch):
    assert files.hikkoshi("deploy").code == 0
    for name, value in files.region.environment.items():
        monkeypatch.setenv(name, value)
    session = boto3.Session()
    calls = []
    session.events.register("before-send.*", lambda **_: calls.append(1))
    monkeypatch.setattr(
        Access,
        "to_account",
        classmethod(
            lambda cls, profile=None, region=None: cls(None, "ap-northeast-1", None, [session])
        ),
    )
    began = time.process_time()
    result = CliRunner().invoke(deploy_command, [str(files.directory)])  # fmt: skip
    own_s = time.process_time() - began  # the rest is the API's time, and the machine's load
    assert "nothing to change" in result.output
    assert result.exit_code == 0
    assert 1 <= len(calls) <= 6
    assert own_s < 1.0


def test_a_bad_deploy_is_given_up_with_the_reason_and_taken_back(files):
    assert files.hikkoshi("deploy").code == 0
    files.write(BAD)
    said = files.hikkoshi("deploy", "--json")
    assert said.code == 4, said.all
    document = json.loads(said.out)
    assert document["outcome"] == "rolled back"
    first, *rest = document["failedTasks"]
    assert (first["container"], first["exit_code"]) == ("web", 9)
    assert rest, "one failure alone is not enough"
    assert document["lastLines"][-1] == "no database"
    assert document["seconds"] < 10
    assert files.deployed() == "1"
    assert files.revisions() == ["1", "2"], "the failed one is evidence"
    # the service is steady again, and that is no success
    assert files.hikkoshi("wait").code == 4
    files.write(BAD, breaks=False)
    left = files.hikkoshi("deploy", "--on-failure", "leave")
    assert left.code == 1
    assert "container web exited with code 9" in left.out
    assert "    web | no database" in left.out


def test_a_bad_image_is_given_up_with_the_reason(files):
    # With a breaker it is a race which of the two ends it first.
    files.write(image="nowhere.example/none:1", breaks=False)
    said = files.hikkoshi("deploy")
    assert said.code == 1, said.all
    assert "CannotPullContainerError" in said.out
    assert "there is no earlier deployment to go back to" in said.err


def test_a_deployment_in_progress_is_refused_adopted_and_stopped(files):
    assert files.hikkoshi("deploy").code == 0
    files.write(healthCheck=HANGS)
    assert files.hikkoshi("deploy", "--no-wait").code == 0
    late = files.hikkoshi("deploy", "--timeout", "1s")
    assert late.code == 5, "adopted, and it does not end"
    assert "in progress already" in late.err
    files.write(cpu="512")
    refused = files.hikkoshi("deploy")
    assert refused.code == 3
    assert "is in progress" in refused.err
    assert files.hikkoshi("rollback").code == 0
    assert files.deployed() == "1"


def test_what_someone_else_changes_meanwhile_is_refused_and_shown(files):
    assert files.hikkoshi("deploy").code == 0
    files.write(cpu="512")

    class Interrupted(Calls):
        looks = 0

        def describe(self):
            self.looks += 1
            if self.looks == 2:
                self.ecs.update_service(cluster=self.cluster, service=self.service,
                                        desiredCount=2)  # fmt: skip
            return super().describe()

    access = access_of(files)
    home = read_home(files.directory, {}, no_access)
    calls = Interrupted(access, files.cluster, files.service)
    audit = Audit(access, files.directory, None, print)
    deployer = Deployer(calls, home, Options(20.0), Silent(), audit, 0.2)
    with pytest.raises(CannotRun) as caught:
        deployer.run()
    assert "someone else changed the service meanwhile" in str(caught.value)
    assert '+ "desiredCount": 2' in str(caught.value)
    assert files.revisions() == ["1"], "nothing was registered"


def test_a_canary_goes_first_and_is_taken_away(files):
    assert files.hikkoshi("deploy").code == 0
    files.write(f"sleep 0.3; {BAD}")
    failed = files.hikkoshi("deploy", "--canary", "20s")
    assert failed.code == 1
    assert "container web exited with code 9" in failed.err
    assert "    web | no database" in failed.err
    assert files.deployed() == "1", "nothing was deployed"
    files.write(cpu="512")
    held = files.hikkoshi("deploy", "--canary", "1s")
    assert held.code == 0, held.all
    assert files.deployed() == "3"
    ecs = files.region.client("ecs")
    mark = {"cluster": files.cluster, "startedBy": "hikkoshi-canary/web"}
    assert ecs.list_tasks(**mark)["taskArns"] == []
    # one that a killed deploy left behind
    ecs.run_task(**mark, taskDefinition=f"{files.cluster}-web:3", launchType="FARGATE",
                 networkConfiguration=files.region.network)  # fmt: skip
    assert files.hikkoshi("deploy").code == 0
    assert ecs.list_tasks(**mark)["taskArns"] == []


def test_a_canary_of_no_time_is_refused(files):
    for given in ("0", "0s"):
        said = files.hikkoshi("deploy", "--canary", given)
        assert said.code == 2
        assert f"{given} is no time for a canary" in said.err
        assert "--canary 5m" in said.err
    assert files.region.client("ecs").list_services(cluster=files.cluster)["serviceArns"] == []


def test_behind_a_load_balancer(files):
    """The canary is a target among the others, and what is verified is what is there."""
    elb, ec2 = files.region.client("elbv2"), files.region.client("ec2")
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]][:2]
    vpc = ec2.describe_subnets()["Subnets"][0]["VpcId"]
    group = elb.create_target_group(
        Name="canary", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip",
        HealthyThresholdCount=2, HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2,
    )["TargetGroups"][0]["TargetGroupArn"]  # fmt: skip
    balancer = elb.create_load_balancer(Name="canary", Subnets=subnets, Scheme="internal",
        SecurityGroups=files.region.network["awsvpcConfiguration"]["securityGroups"],
    )["LoadBalancers"][0]["LoadBalancerArn"]  # fmt: skip
    elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80,
                        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])  # fmt: skip

    def write(shell):
        files.write(shell, portMappings=[{"containerPort": 8080}])
        path = files.directory / "ecs-service-def.json"
        service = json.loads(path.read_text())
        service["loadBalancers"] = [{"targetGroupArn": group, "containerName": "web",
                                     "containerPort": 8080}]  # fmt: skip
        path.write_text(json.dumps(service))

    serves = "exec python3 -m http.server 8080 --directory /tmp"
    write(serves)
    assert files.hikkoshi("deploy").code == 0
    write(f"true; {serves}")
    said = files.hikkoshi("deploy", "--canary", "1s")
    assert said.code == 0, said.all
    assert "it takes 1 of 2 targets" in said.err
    targets = json.loads(files.hikkoshi("status", "--json").out)["targets"]
    assert [t["state"] for t in targets].count("healthy") == 1
    write("sleep 600")
    unhealthy = files.hikkoshi("deploy")
    assert unhealthy.code == 4, unhealthy.all
    assert "failed ELB health checks" in unhealthy.out


def test_the_lock(files):
    access = access_of(files)
    with lock.held(access, files.cluster, files.service, "deploys", 60):
        refused = files.hikkoshi("deploy")
        assert refused.code == 3
        assert "holds the lock of web: deploys" in refused.err
        assert files.hikkoshi("deploy", "--break-lock").code == 0
    # one whose process is gone holds nothing
    dead = lock.Held("who@there", lock._machine(), 2**22 + 1, 1, "deploys", time.time() + 600, "n")
    ssm = files.region.client("ssm")
    name = lock.name_of(files.cluster, files.service)
    value = json.dumps({f: getattr(dead, f) for f in dead.__dataclass_fields__})
    ssm.put_parameter(Name=name, Value=value, Type="String")
    files.write(cpu="512")
    assert files.hikkoshi("deploy").code == 0
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name=name)


def test_tasks_by_themselves(files):
    assert files.hikkoshi("deploy").code == 0
    ran = files.hikkoshi("run", "--", "sh", "-c", "echo out; exit 7")
    assert (ran.code, ran.out) == (7, "out\n")
    never = files.hikkoshi("run", "--", "/no/such")
    assert never.code == 3
    assert "it never started" in never.err
    inside = files.hikkoshi("exec", "--", "sh", "-c", "echo in; exit 6")
    assert (inside.code, inside.out) == (6, "in\n")
    assert files.hikkoshi("scale", "--tasks", "2").code == 0
    rows = json.loads(files.hikkoshi("tasks", "--json").out)
    running = [row for row in rows if row["status"] == "RUNNING"]
    assert len(running) == 2
    assert files.hikkoshi("tasks", "--stop", running[0]["id"][:12]).code == 0
    lines = files.hikkoshi("logs", "--since", "5m").out.splitlines()
    assert any(line.endswith(" web | out") for line in lines)
    asked = files.hikkoshi("delete")
    assert asked.code == 2
    assert files.hikkoshi("delete", "--force").code == 0
    assert files.live()["status"] == "INACTIVE"


def test_files_from_a_live_service_change_nothing(files, tmp_path):
    assert files.hikkoshi("deploy").code == 0
    for more in ([], ["--ecspresso"]):
        out = tmp_path / f"copy{len(more)}"
        line = ["init", "--service", "web", "--cluster", files.cluster, "-o", str(out), *more]
        made = called(line, files.region.environment)
        assert made.code == 0, made.all
        same = called(["diff", str(out)], files.region.environment)
        assert same.code == 0, same.all


def test_verify_says_what_is_there_and_what_is_not(files):
    def leaves(document):
        if "children" not in document:
            return {document["name"]: document}
        return {k: v for child in document["children"] for k, v in leaves(child).items()}

    found = leaves(json.loads(files.hikkoshi("verify", "--json").out))
    assert found[f"executionRoleArn {'arn:aws:iam::123456789012:role/ship-execution'}"]["mark"] == (
        "OK"
    )
    assert found["log group /ship"]["mark"] == "OK"
    assert found[f"cluster {files.cluster}"]["mark"] == "OK"
    files.write(
        secrets=[{"name": "KEY", "valueFrom": "/ship/none"}],
        logConfiguration={"logDriver": "awslogs", "options": {
            "awslogs-group": "/none", "awslogs-region": "ap-northeast-1",
            "awslogs-stream-prefix": "x"}},
        image="123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/none:1",
    )  # fmt: skip
    said = files.hikkoshi("verify", "--json")
    assert said.code == 1
    found = leaves(json.loads(said.out))
    assert found["secret KEY"]["mark"] == "WRONG"
    assert found["log group /none"]["mark"] == "WRONG"
    image = "image 123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/none:1"
    assert found[image]["mark"] == "WRONG"


@pytest.mark.parametrize(
    ("options", "environment", "code", "says"),
    [
        ([], {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, 3, "aws configure"),
        (["--profile", "none"], {}, 2, "aws configure list-profiles"),
    ],
)
def test_no_way_to_aws_is_said(files, options, environment, code, says):
    said = files.hikkoshi("status", *options, **environment)
    assert said.code == code, said.all
    assert says in said.err
    assert "Traceback" not in said.err


def test_no_cluster_is_said_with_those_there_are(files):
    files.cluster += "-not"
    files.write()
    said = files.hikkoshi("deploy")
    assert said.code == 2
    assert "there is no cluster" in said.err
    assert files.cluster.removesuffix("-not") in said.err


def deploys_in_a_child(files) -> int:
    """The child's process id. A fork, so that the moment of its end is not lost in its start."""
    child = os.fork()
    if child == 0:
        try:
            files.hikkoshi("deploy")
        finally:
            os._exit(0)
    return child


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_it_is_consistent(files):
    assert files.hikkoshi("deploy").code == 0
    moments = [random.uniform(0.0, 1.3) for _ in range(KILLS)]
    for number, moment in enumerate(moments):
        files.write(f"echo {number}; {GOOD}")
        child = deploys_in_a_child(files)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        again = files.hikkoshi("deploy")
        assert again.code == 0, (moment, again.all)
        assert files.hikkoshi("diff").code == 0, moment
        live = files.live()
        assert [d["rolloutState"] for d in live["deployments"]] == ["COMPLETED"], moment
    assert len(files.revisions()) == KILLS + 1, "nothing was registered twice"
    with pytest.raises(Exception, match="ParameterNotFound"):
        files.region.client("ssm").get_parameter(Name=lock.name_of(files.cluster, "web"))


@pytest.mark.slow
def test_throttling_of_every_second_call_is_survived(files):
    """Half of them, at random: some calls are refused more often than botocore tries."""
    assert files.hikkoshi("deploy").code == 0
    files.write(cpu="512")
    home = read_home(files.directory, {}, no_access)
    with throttling(files.region.url) as proxy:
        access = Access(proxy.url, "ap-northeast-1")
        calls = Calls(access, files.cluster, files.service)
        audit = Audit(access, files.directory, None, print)
        outcome = Deployer(calls, home, Options(120.0, waits=False), Silent(), audit, 1.0).run()
        assert outcome.exit_code == 0, outcome
        assert proxy.refused > 3
    assert files.deployed() == "2"
    assert files.revisions() == ["1", "2"]
