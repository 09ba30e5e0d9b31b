"""What AWS tells of ELBv2 itself, subnets, and refusals in its words."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import botocore.exceptions
import pytest
from elb_house import QUICK, House
from test_elb_sticky import make_certificate

from hikkoshi.region.elb.facts import SSL_POLICIES, tls_versions

ARN = "arn:aws:acm:ap-northeast-1:123456789012:certificate/one"


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("ELBSecurityPolicy-2016-08", ("TLSv1", "TLSv1.1", "TLSv1.2")),
        ("ELBSecurityPolicy-TLS-1-1-2017-01", ("TLSv1.1", "TLSv1.2")),
        ("ELBSecurityPolicy-TLS13-1-2-2021-06", ("TLSv1.2", "TLSv1.3")),
        ("ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04", ("TLSv1.3",)),
        ("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", ("TLSv1.2", "TLSv1.3")),
        ("ELBSecurityPolicy-TLS13-1-4-2021-06", None),
        ("ELBSecurityPolicy-Unknown", None),
    ],
)
def test_protocols_of_a_policy(policy: str, versions: tuple[str, ...] | None) -> None:
    assert tls_versions(policy) == versions


def test_policies_and_limits_are_told(house: House) -> None:
    described = house.client.describe_ssl_policies()["SslPolicies"]
    assert [each["Name"] for each in described] == list(SSL_POLICIES)
    wanted = ["ELBSecurityPolicy-FS-1-2-Res-2020-10"]
    (one,) = house.client.describe_ssl_policies(Names=wanted * 2)["SslPolicies"]
    assert one["SslProtocols"] == ["TLSv1.2"]
    with pytest.raises(house.client.exceptions.SSLPolicyNotFoundException):
        house.client.describe_ssl_policies(Names=["ELBSecurityPolicy-none"])
    limits = house.client.describe_account_limits()["Limits"]
    assert {"Name": "target-groups", "Max": "3000"} in limits
    page = house.client.describe_account_limits(PageSize=2)
    assert page["Limits"] == limits[:2] and page["NextMarker"]


def test_a_listener_speaks_the_protocols_of_its_policy(tmp_path: Path) -> None:
    text = "".join(make_certificate("one"))

    async def find(arn: str, region: str) -> str | None:
        return text if arn == ARN else None

    house = House(tmp_path, QUICK, find_certificate=find)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def spoken(listener: str) -> str | None:
        where = ("127.0.0.1", house.door(listener))
        with (
            socket.create_connection(where, timeout=20) as plain,
            context.wrap_socket(plain) as wrapped,
        ):
            return wrapped.version()

    try:
        balancer = house.create_balancer()
        answer = {"StatusCode": "200", "MessageBody": "x"}
        listener = house.client.create_listener(
            LoadBalancerArn=balancer, Protocol="HTTPS", Port=8443,
            Certificates=[{"CertificateArn": ARN}], SslPolicy="ELBSecurityPolicy-TLS-1-2-2017-01",
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": answer}],
        )["Listeners"][0]["ListenerArn"]  # fmt: skip
        assert spoken(listener) == "TLSv1.2"
        modify = house.client.modify_listener
        modify(ListenerArn=listener, SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06")
        assert spoken(listener) == "TLSv1.3"
        modify(ListenerArn=listener, SslPolicy="ELBSecurityPolicy-TLS13-1-3-2021-06")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(OSError):
            spoken(listener)
        with pytest.raises(house.client.exceptions.SSLPolicyNotFoundException):
            modify(ListenerArn=listener, SslPolicy="ELBSecurityPolicy-none")
    finally:
        house.close()


def test_subnets_are_set(house: House) -> None:
    balancer = house.create_balancer()
    answer = house.client.set_subnets(
        LoadBalancerArn=balancer,
        SubnetMappings=[{"SubnetId": "subnet-a"}, {"SubnetId": "subnet-d"}],
    )
    zones = [
        {"ZoneName": "ap-northeast-1a", "SubnetId": "subnet-a"},
        {"ZoneName": "ap-northeast-1d", "SubnetId": "subnet-d"},
    ]
    assert (answer["AvailabilityZones"], answer["IpAddressType"]) == (zones, "ipv4")
    (described,) = house.client.describe_load_balancers()["LoadBalancers"]
    assert described["AvailabilityZones"] == zones
    with pytest.raises(botocore.exceptions.ClientError, match="At least two subnets"):
        house.client.set_subnets(LoadBalancerArn=balancer, Subnets=["subnet-a"])
    with pytest.raises(house.client.exceptions.SubnetNotFoundException):
        house.client.set_subnets(LoadBalancerArn=balancer, Subnets=["subnet-a", "subnet-z"])


def test_ipv4_is_the_address_type(house: House) -> None:
    balancer, set_type = house.create_balancer(), house.client.set_ip_address_type
    assert set_type(LoadBalancerArn=balancer, IpAddressType="ipv4")["IpAddressType"] == "ipv4"
    with pytest.raises(botocore.exceptions.ClientError, match="IPv6 is not implemented"):
        set_type(LoadBalancerArn=balancer, IpAddressType="dualstack")


@pytest.mark.parametrize(
    ("protocol", "kind", "said"),
    [
        ("HTTP", "source_ip", "Stickiness type 'source_ip' is not supported for target groups "
         "with the HTTP protocol"),
        ("TCP", "app_cookie", "Stickiness type 'app_cookie' is not supported for target groups "
         "with the TCP protocol"),
        ("TLS", "source_ip", "You cannot enable stickiness on target groups with the TLS "
         "protocol"),
        ("TCP", "x", "'Stickiness type' must be one of [app_cookie, lb_cookie, source_ip]"),
    ],
)  # fmt: skip
def test_stickiness_that_a_protocol_has_not(
    house: House, protocol: str, kind: str, said: str
) -> None:
    group = house.client.create_target_group(
        Name="x", Protocol=protocol, Port=80, VpcId="vpc-1", TargetType="ip"
    )["TargetGroups"][0]["TargetGroupArn"]
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        house.client.modify_target_group_attributes(
            TargetGroupArn=group,
            Attributes=[
                {"Key": "stickiness.enabled", "Value": "true"},
                {"Key": "stickiness.type", "Value": kind},
            ],
        )
    assert refused.value.response["Error"]["Message"] == said


@pytest.mark.parametrize(
    ("name", "said"),
    [("a" * 33, "cannot be longer than '32'"), ("a.b", "alphanumeric"), ("a--b", "pattern"),
     ("-a", "pattern")],
)  # fmt: skip
def test_names_of_groups(house: House, name: str, said: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match=said):
        house.create_group(name)
