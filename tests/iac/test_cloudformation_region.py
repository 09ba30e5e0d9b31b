"""CloudFormation in the local region: what a stack makes serves, and changes, and goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

pytestmark = pytest.mark.region
HIKKOSHI = str(Path(sys.executable).parent / "hikkoshi")
TEMPLATE = Path(__file__).with_name("service.template.yaml").read_text("utf-8")
SETTLED_S = 60


class Region:
    def __init__(self, url: str) -> None:
        self.url = url
        self.cloudformation = self.client("cloudformation")

    def client(self, service: str) -> Any:
        return boto3.client(
            service, endpoint_url=self.url, region_name="ap-northeast-1",
            aws_access_key_id="any", aws_secret_access_key="any",
        )  # fmt: skip

    def parameters(self, **values: str) -> list[dict[str, str]]:
        ec2 = self.client("ec2")
        (vpc,) = [v for v in ec2.describe_vpcs()["Vpcs"] if v["IsDefault"]]
        wanted = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
        subnets = [s["SubnetId"] for s in ec2.describe_subnets(Filters=wanted)["Subnets"]]
        given = {"Vpc": vpc["VpcId"], "Subnets": ",".join(subnets[:2]), **values}
        return [{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()]

    def settled(self, stack: str) -> str:
        """Its status, once nothing is in progress any more."""
        deadline = time.monotonic() + SETTLED_S
        while time.monotonic() < deadline:
            (found,) = self.cloudformation.describe_stacks(StackName=stack)["Stacks"]
            if not found["StackStatus"].endswith("_IN_PROGRESS"):
                return str(found["StackStatus"])
            time.sleep(0.2)
        raise AssertionError(f"{stack} did not settle within {SETTLED_S} s")

    def events(self, stack: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cloudformation.describe_stack_events(StackName=stack)[
            "StackEvents"
        ]
        return found

    def said(self) -> str:
        """What the service behind the one listener answers."""
        with urllib.request.urlopen(f"{self.url}/_hikkoshi/doors", timeout=5) as answer:
            (door,) = json.load(answer)["listeners"].values()
        with urllib.request.urlopen(f"http://{door}/", timeout=5) as answer:
            return str(answer.read().decode().strip())


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    home = tmp_path_factory.mktemp("home")
    kept = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "TMPDIR")
    environment = {k: os.environ[k] for k in kept if k in os.environ} | {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
    }

    def run(*arguments: str) -> str:
        return subprocess.run(
            [HIKKOSHI, *arguments],
            cwd=home, env=environment, capture_output=True, text=True, check=True, timeout=100,
        ).stdout  # fmt: skip

    try:
        yield Region(run("up", "-d", "--port", "0", "--fast").strip().partition("=")[2])
    finally:
        run("down", "--all")


@pytest.mark.slow
def test_a_stack_serves_rolls_rolls_back_and_goes(region: Region) -> None:
    cloudformation = region.cloudformation
    made = cloudformation.create_stack(
        StackName="web", TemplateBody=TEMPLATE, Parameters=region.parameters()
    )["StackId"]
    (now,) = cloudformation.describe_stacks(StackName="web")["Stacks"]
    assert now["StackStatus"] == "CREATE_IN_PROGRESS"
    assert region.settled("web") == "CREATE_COMPLETE", region.events("web")
    assert region.said() == "first me-composed"
    (stack,) = cloudformation.describe_stacks(StackName="web")["Stacks"]
    assert stack["Outputs"][0]["OutputValue"].endswith(".elb.amazonaws.com")
    (export,) = cloudformation.list_exports()["Exports"]
    assert export["Name"] == "web-address"
    remarks = {
        e["LogicalResourceId"]: e["ResourceStatusReason"]
        for e in region.events("web")
        if e.get("ResourceStatusReason")
    }
    assert "waf.fail_open" in remarks["Balancer"] and "drop_invalid" not in remarks["Balancer"]
    assert "Target" not in remarks
    ecs = region.client("ecs")
    cluster = cloudformation.describe_stack_resource(StackName="web", LogicalResourceId="Cluster")[
        "StackResourceDetail"
    ]["PhysicalResourceId"]

    def service() -> dict[str, Any]:
        found: dict[str, Any] = ecs.describe_services(cluster=cluster, services=["web"])[
            "services"
        ][0]
        return found

    # Made with one task; the scalable target brings it to its minimum, in its own time.
    deadline = time.monotonic() + 20
    while service()["desiredCount"] < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert service()["desiredCount"] == 2
    ecs.get_waiter("services_stable").wait(
        cluster=cluster, services=["web"], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )

    cloudformation.update_stack(
        StackName="web", TemplateBody=TEMPLATE, Parameters=region.parameters(Words="second")
    )
    assert region.settled("web") == "UPDATE_COMPLETE", region.events("web")
    assert region.said() == "second me-composed"
    good = service()["taskDefinition"]
    assert good.endswith(":2")
    assert service()["desiredCount"] == 2

    # A listener where the load balancer asks, and nobody there: the breaker says no.
    broken = TEMPLATE.replace('("", 8080)', '("", 9999)')
    cloudformation.update_stack(
        StackName="web", TemplateBody=broken, Parameters=region.parameters(Words="third")
    )
    assert region.settled("web") == "UPDATE_ROLLBACK_COMPLETE", region.events("web")
    (failed,) = [e for e in region.events("web") if e["ResourceStatus"] == "UPDATE_FAILED"]
    assert failed["LogicalResourceId"] == "Service"
    assert "Circuit Breaker was triggered" in failed["ResourceStatusReason"]
    assert region.said() == "second me-composed"
    assert service()["taskDefinition"] == good
    # What the failed update made is gone with it.
    active = ecs.list_task_definitions(familyPrefix="web", status="ACTIVE")["taskDefinitionArns"]
    assert active == [good]

    cloudformation.delete_stack(StackName="web")
    assert region.settled(made) == "DELETE_COMPLETE", region.events(made)
    assert ecs.list_clusters()["clusterArns"] == []
    elb = region.client("elbv2")
    assert elb.describe_load_balancers()["LoadBalancers"] == []
    assert elb.describe_target_groups()["TargetGroups"] == []
    assert region.client("secretsmanager").list_secrets()["SecretList"] == []
    assert region.client("iam").list_roles()["Roles"] == []
    assert cloudformation.list_exports()["Exports"] == []


def test_what_cannot_be_made_takes_the_rest_with_it(region: Region) -> None:
    template = {
        "Resources": {
            "Cluster": {"Type": "AWS::ECS::Cluster", "Properties": {"ClusterName": "doomed"}},
            "Graph": {"Type": "AWS::Neptune::DBCluster", "DependsOn": "Cluster"},
        }
    }
    region.cloudformation.create_stack(StackName="doomed", TemplateBody=json.dumps(template))
    assert region.settled("doomed") == "ROLLBACK_COMPLETE"
    (failed,) = [e for e in region.events("doomed") if e["ResourceStatus"] == "CREATE_FAILED"]
    assert failed["ResourceStatusReason"] == (
        "AWS::Neptune::DBCluster is not implemented by the local region"
    )
    assert region.client("ecs").list_clusters()["clusterArns"] == []
    region.cloudformation.delete_stack(StackName="doomed")


def test_a_clusters_capacity_providers_and_tags_follow_the_template(region: Region) -> None:
    cloudformation, ecs = region.cloudformation, region.client("ecs")

    def template(provider: str, **tags: str) -> str:
        strategy = [{"CapacityProvider": provider, "Weight": 1}]
        cluster = {"ClusterName": "shared", "Tags": [
            {"Key": key, "Value": value} for key, value in tags.items()]}  # fmt: skip
        associated = {"Cluster": {"Ref": "C"}, "CapacityProviders": ["FARGATE", "FARGATE_SPOT"],
                      "DefaultCapacityProviderStrategy": strategy}  # fmt: skip
        return json.dumps({"Resources": {
            "C": {"Type": "AWS::ECS::Cluster", "Properties": cluster},
            "A": {"Type": "AWS::ECS::ClusterCapacityProviderAssociations",
                  "Properties": associated},
        }})  # fmt: skip

    def told() -> tuple[Any, ...]:
        (found,) = ecs.describe_clusters(clusters=["shared"], include=["TAGS"])["clusters"]
        strategy = [one["capacityProvider"] for one in found["defaultCapacityProviderStrategy"]]
        return found["capacityProviders"], strategy, {t["key"]: t["value"] for t in found["tags"]}

    both = ["FARGATE", "FARGATE_SPOT"]
    cloudformation.create_stack(StackName="shared", TemplateBody=template("FARGATE", a="1", b="2"))
    assert region.settled("shared") == "CREATE_COMPLETE", region.events("shared")
    assert told() == (both, ["FARGATE"], {"a": "1", "b": "2"})
    cloudformation.update_stack(StackName="shared", TemplateBody=template("FARGATE_SPOT", a="3"))
    assert region.settled("shared") == "UPDATE_COMPLETE", region.events("shared")
    assert told() == (both, ["FARGATE_SPOT"], {"a": "3"})
    cloudformation.delete_stack(StackName="shared")


def test_a_property_that_is_unknown_is_refused_by_name(region: Region) -> None:
    template = {
        "Resources": {"C": {"Type": "AWS::ECS::Cluster", "Properties": {"ClusterNam": "x"}}}
    }
    region.cloudformation.create_stack(StackName="typo", TemplateBody=json.dumps(template))
    assert region.settled("typo") == "ROLLBACK_COMPLETE"
    (failed,) = [e for e in region.events("typo") if e["ResourceStatus"] == "CREATE_FAILED"]
    assert failed["ResourceStatusReason"] == (
        "AWS::ECS::Cluster: ClusterNam is not known to the local region"
    )
    region.cloudformation.delete_stack(StackName="typo")


def test_a_change_set_makes_a_stack_and_a_used_export_stays(region: Region) -> None:
    cloudformation = region.cloudformation
    gives = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {"T": {"Value": {"Ref": "Topic"}, "Export": {"Name": "the-topic"}}},
    }
    takes = {
        "Resources": {
            "C": {
                "Type": "AWS::ECS::Cluster",
                "Properties": {
                    "ClusterName": {"Fn::Select": [5, {"Fn::Split": [":", {"Fn::ImportValue":
                                                                           "the-topic"}]}]}
                },
            }
        }
    }  # fmt: skip
    for name, template in (("gives", gives), ("takes", takes)):
        cloudformation.create_change_set(
            StackName=name, ChangeSetName="first", ChangeSetType="CREATE",
            TemplateBody=json.dumps(template),
        )  # fmt: skip
        cloudformation.execute_change_set(StackName=name, ChangeSetName="first")
        assert region.settled(name) == "CREATE_COMPLETE", region.events(name)
    with pytest.raises(cloudformation.exceptions.ClientError, match="in use by takes"):
        cloudformation.delete_stack(StackName="gives")
    for name in ("takes", "gives"):
        cloudformation.delete_stack(StackName=name)
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )


def test_a_ring_of_resources_is_refused_at_once(region: Region) -> None:
    def topic(other: str) -> dict[str, Any]:
        return {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": other}}}

    body = json.dumps({"Resources": {"A": topic("B"), "B": topic("A")}})
    with pytest.raises(region.cloudformation.exceptions.ClientError, match="Circular dependency"):
        region.cloudformation.create_stack(StackName="ring", TemplateBody=body)


def test_a_template_is_taken_from_a_bucket_that_denies_http(region: Region) -> None:
    """As the CDK's CLI leaves it: in its own bucket, by the address of the region."""
    denies = {
        "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }  # fmt: skip
    policy = {"Version": "2012-10-17", "Statement": [denies]}
    template = {
        "Resources": {
            "B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "templates"}},
            "P": {
                "Type": "AWS::S3::BucketPolicy",
                "Properties": {"Bucket": {"Ref": "B"}, "PolicyDocument": policy},
            },
        }
    }
    region.cloudformation.create_stack(StackName="bucket", TemplateBody=json.dumps(template))
    assert region.settled("bucket") == "CREATE_COMPLETE"
    told = [e.get("ResourceStatusReason") or "" for e in region.events("bucket")]
    assert any("denies HTTP" in words for words in told)
    body = json.dumps({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}})
    region.client("s3").put_object(Bucket="templates", Key="t.json", Body=body.encode())
    region.cloudformation.create_stack(
        StackName="from-url", TemplateURL=f"{region.url}/templates/t.json"
    )
    assert region.settled("from-url") == "CREATE_COMPLETE"
