"""A whole region that is killed and started again."""

from __future__ import annotations

import json
import os
import select
import signal
import time
import urllib.error
import urllib.request

import pytest
from clients_house import Region

pytestmark = pytest.mark.region


@pytest.fixture
def own(tmp_path):
    region = Region(tmp_path)
    region.up()
    yield region
    region.down()


def wait_until_stable(ecs):
    deadline = time.monotonic() + 40
    while True:
        (service,) = ecs.describe_services(cluster="kept", services=["kept"])["services"]
        if service["runningCount"] == 2 and len(service["deployments"]) == 1:
            return
        assert time.monotonic() < deadline, service["events"]
        time.sleep(0.05)


def kill(own, victim):
    record = json.loads((own.home / "state" / "hikkoshi" / "region" / "region.json").read_text())
    process, door = os.pidfd_open(record[victim]), os.pidfd_open(record["door_pid"])
    signal.pidfd_send_signal(process, signal.SIGKILL)
    assert select.select([door], [], [], 30)[0], "the door outlived what it served"
    os.close(process)
    os.close(door)


@pytest.mark.parametrize("victim", ["region", pytest.param("door", marks=pytest.mark.slow)])
def test_services_return_after_sigkill_and_are_gone_after_down(own, victim):
    ecs = own.client("ecs")
    ecs.create_cluster(clusterName="kept")
    own.register("kept")
    ecs.create_service(
        cluster="kept", serviceName="kept", taskDefinition="kept", desiredCount=2,
        launchType="FARGATE", networkConfiguration=own.network,
    )  # fmt: skip
    quickly = {"Delay": 1, "MaxAttempts": 60}
    ecs.get_waiter("services_stable").wait(cluster="kept", services=["kept"], WaiterConfig=quickly)
    tasks = ecs.list_tasks(cluster="kept")["taskArns"]
    kill(own, "door_pid" if victim == "door" else "init_pid")
    own.up()
    ecs = own.client("ecs")
    ecs.get_waiter("services_stable").wait(cluster="kept", services=["kept"], WaiterConfig=quickly)
    now = ecs.list_tasks(cluster="kept")["taskArns"]
    assert len(now) == 2
    assert not set(now) & set(tasks), "the old ones died with their namespaces"
    (old,) = ecs.describe_tasks(cluster="kept", tasks=tasks[:1])["tasks"]
    assert (old["lastStatus"], old["stopCode"]) == ("STOPPED", "TerminationNotice")
    records = own.home / "state" / "hikkoshi" / "records"
    assert (records / "control-plane.jsonl").exists()
    own.down()
    assert not (records / "control-plane.jsonl").exists(), "what ended in order begins empty"


def make_balanced(own):
    """A service of one web server behind a load balancer; the listener's ARN."""
    ecs, elb = own.client("ecs"), own.client("elbv2")
    subnets = [each["SubnetId"] for each in own.client("ec2").describe_subnets()["Subnets"]]
    (vpc,) = own.client("ec2").describe_vpcs()["Vpcs"]
    (balancer,) = elb.create_load_balancer(Name="kept", Subnets=subnets)["LoadBalancers"]
    (group,) = elb.create_target_group(
        Name="kept", Protocol="HTTP", Port=8080, TargetType="ip", VpcId=vpc["VpcId"],
    )["TargetGroups"]  # fmt: skip
    (listener,) = elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )["Listeners"]  # fmt: skip
    elb.create_rule(
        ListenerArn=listener["ListenerArn"], Priority=5,
        Conditions=[{"Field": "path-pattern", "Values": ["/fixed"]}],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "418"}}],
    )  # fmt: skip
    elb.add_tags(
        ResourceArns=[group["TargetGroupArn"]], Tags=[{"Key": "team", "Value": "genba"}]
    )  # fmt: skip
    ecs.create_cluster(clusterName="kept")
    ecs.register_task_definition(
        family="web", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256",
        memory="512",
        containerDefinitions=[{
            "name": "app", "image": "localhost/host", "portMappings": [{"containerPort": 8080}],
            "command": ["python3", "-m", "http.server", "-d", "/usr/share/doc", "8080"],
        }],
    )  # fmt: skip
    ecs.create_service(
        cluster="kept", serviceName="web", taskDefinition="web", desiredCount=1,
        launchType="FARGATE", networkConfiguration=own.network,
        loadBalancers=[{"targetGroupArn": group["TargetGroupArn"], "containerName": "app",
                        "containerPort": 8080}],
    )  # fmt: skip
    return listener["ListenerArn"]


def door(own, listener):
    with urllib.request.urlopen(f"{own.url}/_hikkoshi/doors", timeout=20) as answer:
        return json.load(answer)["listeners"][listener]


def get(address):
    try:
        with urllib.request.urlopen(f"http://{address}", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def wait_for_200(address):
    deadline = time.monotonic() + 40
    while (status := get(address)) != 200:
        assert time.monotonic() < deadline, f"{address} answers {status}"
        time.sleep(0.1)


def described(own):
    elb = own.client("elbv2")
    (balancer,) = elb.describe_load_balancers()["LoadBalancers"]
    (group,) = elb.describe_target_groups()["TargetGroups"]
    (listener,) = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    rules = elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    tags = elb.describe_tags(ResourceArns=[group["TargetGroupArn"]])["TagDescriptions"]
    return balancer, group, listener, rules, tags


@pytest.mark.slow
def test_a_load_balanced_service_returns_at_its_port_after_sigkill(own):
    listener = make_balanced(own)
    address = door(own, listener)
    wait_for_200(address)
    before = described(own)
    assert get(f"{address}/fixed") == 418
    kill(own, "init_pid")
    own.up()
    assert door(own, listener) == address
    assert described(own) == before
    wait_for_200(address)
    assert get(f"{address}/fixed") == 418
    own.down()
    assert not list((own.home / "state" / "hikkoshi" / "records").glob("load-balancers*"))
