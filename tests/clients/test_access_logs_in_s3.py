"""A load balancer's access log, read from the region's S3 as one reads it from AWS's."""

from __future__ import annotations

import gzip
import json
import urllib.request

import pytest

pytestmark = pytest.mark.region


def ask(address: str, data: bytes | None = None) -> bytes:
    request = urllib.request.Request(
        f"http://{address}", data, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def test_requests_are_lines_in_the_bucket(region) -> None:
    elb, s3 = region.client("elbv2"), region.client("s3")
    subnets = region.client("ec2").describe_subnets()["Subnets"]
    s3.create_bucket(
        Bucket="access-logs", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    (balancer,) = elb.create_load_balancer(
        Name="logged", Subnets=[each["SubnetId"] for each in subnets[:2]]
    )["LoadBalancers"]
    (listener,) = elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=8080,
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}],
    )["Listeners"]  # fmt: skip
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Attributes=[
            {"Key": "access_logs.s3.enabled", "Value": "true"},
            {"Key": "access_logs.s3.bucket", "Value": "access-logs"},
        ],
    )
    api = region.url.removeprefix("http://")
    door = json.loads(ask(f"{api}/_hikkoshi/doors"))["listeners"][listener["ListenerArn"]]
    ask(f"{door}/checklists")
    ask(f"{api}/_hikkoshi/flush", b"{}")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="access-logs")["Contents"]]
    assert any(key.endswith("/ELBAccessLogTestFile") for key in keys)
    (key,) = [key for key in keys if key.endswith(".log.gz")]
    (line,) = (
        gzip.decompress(s3.get_object(Bucket="access-logs", Key=key)["Body"].read())
        .decode()
        .splitlines()
    )
    assert line.startswith("http ") and "/checklists HTTP/1.1" in line
    assert '"fixed-response"' in line
    elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
