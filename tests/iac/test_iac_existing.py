"""Templates of former2 and of the IaC generator, into what is imported."""

from __future__ import annotations

from pathlib import Path

import pytest
from iac_projects import genba, with_iac

from hikkoshi.base.errors import BadInput
from hikkoshi.iac.app import write_app
from hikkoshi.iac.existing import read_existing
from hikkoshi.model.project import ExistingNetwork, Iac

ELB = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012"

# In the form of the IaC generator: ids in the logical names.
GENERATED = """
Metadata: {TemplateId: "arn:aws:cloudformation:ap-northeast-1:123456789012:generatedTemplate/1"}
Resources:
  EC2VPC00vpc0436cc8bb9b7d869a00UXFnL:
    Type: AWS::EC2::VPC
    DeletionPolicy: Retain
    Properties: {CidrBlock: 10.0.0.0/16}
  EC2Subnet00subnet0aaaaaaaaaaaaaaa100AbCdE:
    Type: AWS::EC2::Subnet
    Properties:
      VpcId: {Ref: EC2VPC00vpc0436cc8bb9b7d869a00UXFnL}
      AvailabilityZone: ap-northeast-1a
      MapPublicIpOnLaunch: true
  EC2Subnet00subnet0aaaaaaaaaaaaaaa200AbCdE:
    Type: AWS::EC2::Subnet
    Properties:
      VpcId: !Ref EC2VPC00vpc0436cc8bb9b7d869a00UXFnL
      AvailabilityZone: ap-northeast-1a
      MapPublicIpOnLaunch: false
  EC2SecurityGroup00sg0f248cb26006aaaaa00OBRT1:
    Type: AWS::EC2::SecurityGroup
    Properties: {GroupDescription: the database's}
  RDSDBCluster00genba00zzzzz:
    Type: AWS::RDS::DBCluster
    Properties:
      DBClusterIdentifier: genba
      Port: 5433
      VpcSecurityGroupIds:
        - !GetAtt EC2SecurityGroup00sg0f248cb26006aaaaa00OBRT1.GroupId
"""

# In the form of former2: what was not selected stands by its id or ARN.
FORMER2 = """
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  ElasticLoadBalancingV2LoadBalancer:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    Properties:
      Name: genba
      Type: application
      Subnets: [subnet-0aaaaaaaaaaaaaaa1]
      SecurityGroups: [sg-0123456789abcdef0]
  ElasticLoadBalancingV2ListenerRule:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: {elb}:listener/app/genba/0123456789abcdef/fedcba9876543210
      Actions:
        - Type: forward
          TargetGroupArn: {elb}:targetgroup/genba-ec2/00aa00aa00aa00aa
  EC2Instance:
    Type: AWS::EC2::Instance
    Properties: {SubnetId: subnet-0aaaaaaaaaaaaaaa1, VpcId: vpc-0436cc8bb9b7d869a}
""".replace("{elb}", ELB)


def put(tmp_path: Path, text: str, name: str = "template.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def test_the_iac_generator_s_logical_names_have_the_ids(tmp_path: Path) -> None:
    found = read_existing(put(tmp_path, GENERATED), Iac())
    network, database = found.iac.network, found.iac.database
    assert network is not None and database is not None
    assert network.vpc == "vpc-0436cc8bb9b7d869a"
    assert network.zones == ("ap-northeast-1a",)
    assert network.public_subnets == ("subnet-0aaaaaaaaaaaaaaa1",)
    assert network.private_subnets == ("subnet-0aaaaaaaaaaaaaaa2",)
    assert (database.cluster, database.port) == ("genba", 5433)
    assert database.security_group == "sg-0f248cb26006aaaaa"
    assert found.iac.load_balancer is None
    files = write_app(with_iac(genba(), found.iac)).files
    assert 'DATABASE_SECURITY_GROUP = "sg-0f248cb26006aaaaa"' in files["settings.py"]


def test_former2_s_literal_ids_are_recognised(tmp_path: Path) -> None:
    found = read_existing(put(tmp_path, FORMER2), Iac())
    balancer, network = found.iac.load_balancer, found.iac.network
    assert balancer is not None and network is not None
    assert balancer.arn == f"{ELB}:loadbalancer/app/genba/0123456789abcdef"
    assert balancer.listener == f"{ELB}:listener/app/genba/0123456789abcdef/fedcba9876543210"
    assert balancer.old_target_group == f"{ELB}:targetgroup/genba-ec2/00aa00aa00aa00aa"
    assert balancer.security_group == "sg-0123456789abcdef0"
    assert network == ExistingNetwork("vpc-0436cc8bb9b7d869a")


def test_what_is_there_without_an_id_is_said(tmp_path: Path) -> None:
    text = "Resources: {Lb: {Type: 'AWS::ElasticLoadBalancingV2::LoadBalancer'}}"
    found = read_existing(put(tmp_path, text), Iac())
    assert found.iac.load_balancer is None
    assert "no ARN" in found.missing[0]


def test_what_hikkoshi_yaml_says_wins(tmp_path: Path) -> None:
    own = Iac(network=ExistingNetwork("vpc-00000000000000001"))
    assert read_existing(put(tmp_path, GENERATED), own).iac.network == own.network


# Eleven lines of aliases that stand for 9^11 items.
LAUGHS = "Resources:\n  a0: &a0 [x, x]\n" + "".join(
    f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "no Resources"),
        ("Resources: {A: {Properties: {}}}", "no Type"),
        ("Resources: [", "template.yaml:1"),
        ("Resources: {A: !!python/object:os.system {}}", "template.yaml"),
        (LAUGHS, "aliases counted each time"),
        ("Resources: &r {A: *r}", "aliases counted each time"),
    ],
)
def test_what_is_no_template_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_existing(put(tmp_path, text), Iac())
    assert words in str(refused.value)
