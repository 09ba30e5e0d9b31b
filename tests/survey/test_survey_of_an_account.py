"""The account, through boto3, against moto: what is there is written down, page by page."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput
from hikkoshi.plan.account import health_check_path, instance_count, network
from hikkoshi.survey.account import survey_account
from hikkoshi.survey.template import read_template


@pytest.fixture(scope="module")
def access() -> Iterator[Access]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # moto keeps one account a process, and other tests of this process have used it.
    urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"", timeout=30).close()
    yield Access(f"http://{host}:{port}", "ap-northeast-1")
    server.stop()


@pytest.fixture(scope="module")
def account(access: Access) -> Access:
    """Two instances behind a load balancer, a cluster, and enough besides for several pages."""
    ec2, elb, iam = access.client("ec2"), access.client("elbv2"), access.client("iam")
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]][:2]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    iam.create_role(RoleName="genba-instance", AssumeRolePolicyDocument=trust)
    iam.create_instance_profile(InstanceProfileName="genba")
    iam.add_role_to_instance_profile(InstanceProfileName="genba", RoleName="genba-instance")
    group_id = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    ids = [
        i["InstanceId"]
        for i in ec2.run_instances(ImageId="ami-12c6146b", MinCount=2, MaxCount=2,
                                   SubnetId=subnets[0], SecurityGroupIds=[group_id],
                                   IamInstanceProfile={"Name": "genba"})["Instances"]
    ]  # fmt: skip
    balancer = elb.create_load_balancer(Name="genba", Subnets=subnets)["LoadBalancers"][0]
    group = elb.create_target_group(Name="genba", Protocol="HTTP", Port=8080, VpcId=vpc,
                                    HealthCheckPath="/health")["TargetGroups"][0]  # fmt: skip
    elb.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": i} for i in ids])
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )  # fmt: skip
    ec2.create_launch_template(
        LaunchTemplateName="genba", LaunchTemplateData={"InstanceType": "t3.small"}
    )
    logs = access.client("logs")
    for number in range(60):
        logs.create_log_group(logGroupName=f"/genba/{number:03}")
    return access


def test_everything_is_written_down(account: Access) -> None:
    asked = survey_account(account, lambda words: None)
    found = asked.account
    assert found is not None
    kinds = {resource.kind for resource in found.resources}
    assert kinds >= {
        "AWS::EC2::Instance", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup",
        "AWS::EC2::LaunchTemplate", "LaunchTemplateVersion", "TargetHealth",
        "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::ElasticLoadBalancingV2::TargetGroup",
        "AWS::ElasticLoadBalancingV2::Listener", "AWS::ElasticLoadBalancingV2::ListenerRule",
        "AWS::IAM::Role", "AWS::Logs::LogGroup",
    }  # fmt: skip
    assert sum(r.kind == "AWS::Logs::LogGroup" for r in found.resources) == 60
    assert found.account_id == "123456789012" and asked.unseen == ()
    json.dumps([dict(r.properties) for r in found.resources])


def test_a_plan_reads_its_network_count_and_health_check(account: Access) -> None:
    found = survey_account(account, lambda words: None).account
    assert found is not None
    subnets, groups = network(found)
    assert len(subnets) == 1 and groups[0].startswith("sg-")
    assert instance_count(found) == 2
    assert health_check_path(found, 8080) == "/health"


TEMPLATE = """
Parameters: {Env: {Type: String, Default: production}}
Resources:
  Web:
    Type: AWS::EC2::Instance
    Properties: {SubnetId: subnet-1, SecurityGroupIds: [!GetAtt Group.GroupId]}
  Targets:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties: {Name: !Sub "web-${Env}", Port: "8080", HealthCheckPath: /alive}
"""


def test_a_template_stands_in_for_credentials(tmp_path: Path) -> None:
    path = tmp_path / "former2.yaml"
    path.write_text(TEMPLATE)
    found = read_template(path)
    assert health_check_path(found, 8080) == "/alive"
    assert instance_count(found) == 1 and network(found)[0] == ("subnet-1",)


@pytest.mark.parametrize("text", ["", "[1]", "Resources: {}", "Resources: [", "{"])
def test_what_is_no_template_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(BadInput):
        read_template(path)


LAUGHS = "Resources:\n  a0: &a0 [x, x]\n" + "".join(
    f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize("text", [LAUGHS, "Resources: &r {a: *r}\n"])
def test_aliases_that_stand_for_billions_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match="keys and items"):
        read_template(path)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("HIKKOSHI_LONG"), reason="the measure: HIKKOSHI_LONG=1")
def test_two_thousand_resources_take_less_than_a_minute(access: Access) -> None:
    logs: object = boto3.client("logs", endpoint_url=access.endpoint, region_name=access.region,
                                aws_access_key_id="x", aws_secret_access_key="x")  # fmt: skip
    for number in range(2000):
        logs.create_log_group(logGroupName=f"/many/{number:04}")  # type: ignore[attr-defined]
    started = time.monotonic()
    found = survey_account(access, lambda words: None).account
    assert found is not None
    assert len(found.resources) >= 2000
    assert time.monotonic() - started < 60
