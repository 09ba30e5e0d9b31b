"""ELBv2's API by boto3: what is described again, what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import botocore.exceptions
import pytest
from elb_house import House, wait_until
from test_elb_traffic import forward, get

from hikkoshi.region.elb.model import forwarded
from hikkoshi.region.elb.weights import with_weights
from hikkoshi.region.front.port import AwsError

NOT_HERE = "not implemented by the local region"


def refused(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_load_balancer_from_creation_to_deletion(house: House) -> None:
    client = house.client
    made = client.create_load_balancer(
        Name="web", Subnets=["subnet-c", "subnet-a"], Tags=[{"Key": "team", "Value": "a"}]
    )["LoadBalancers"][0]
    client.get_waiter("load_balancer_available").wait(Names=["web"])
    assert client.describe_load_balancers(Names=["web"])["LoadBalancers"] == [made]
    assert made["State"] == {"Code": "active"} and made["VpcId"] == "vpc-1"
    assert made["DNSName"].startswith("web-")
    assert made["DNSName"].endswith(".ap-northeast-1.elb.amazonaws.com")
    assert [zone["ZoneName"] for zone in made["AvailabilityZones"]] == [
        "ap-northeast-1a",
        "ap-northeast-1c",
    ]
    assert list(house.names.names) == [made["DNSName"].lower()]
    arn = made["LoadBalancerArn"]
    client.add_tags(ResourceArns=[arn], Tags=[{"Key": "x", "Value": ""}])
    client.remove_tags(ResourceArns=[arn], TagKeys=["team"])
    tags = client.describe_tags(ResourceArns=[arn])["TagDescriptions"]
    assert tags == [{"ResourceArn": arn, "Tags": [{"Key": "x", "Value": ""}]}]
    listener = house.create_listener(arn, forward(house.create_group("app")))
    port = house.door(listener)
    assert get(port)[0] == 503
    client.delete_load_balancer(LoadBalancerArn=arn)
    client.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[arn])
    assert (house.names.names, house.service.doors()) == ({}, {})
    with pytest.raises(ConnectionRefusedError):
        get(port)
    client.delete_load_balancer(LoadBalancerArn=arn)


def test_creating_the_same_again_gives_the_same(house: House) -> None:
    assert house.create_balancer() == house.create_balancer()
    assert house.create_group("app") == house.create_group("app")
    code, _ = refused(
        house.client.create_load_balancer,
        Name="web",
        Subnets=["subnet-a", "subnet-c"],
        Scheme="internal",
    )
    assert code == "DuplicateLoadBalancerName"


def test_a_target_group_is_described_with_awss_defaults(house: House) -> None:
    arn = house.create_group("app")
    group = house.client.describe_target_groups(Names=["app"])["TargetGroups"][0]
    assert group == {
        "TargetGroupArn": arn,
        "TargetGroupName": "app",
        "Protocol": "HTTP",
        "ProtocolVersion": "HTTP1",
        "Port": 80,
        "VpcId": "vpc-1",
        "TargetType": "ip",
        "IpAddressType": "ipv4",
        "HealthCheckEnabled": True,
        "HealthCheckProtocol": "HTTP",
        "HealthCheckPort": "traffic-port",
        "HealthCheckPath": "/health",
        "HealthCheckIntervalSeconds": 30,
        "HealthCheckTimeoutSeconds": 5,
        "HealthyThresholdCount": 5,
        "UnhealthyThresholdCount": 2,
        "Matcher": {"HttpCode": "200"},
        "LoadBalancerArns": [],
    }
    attributes = house.client.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    found = {item["Key"]: item["Value"] for item in attributes}
    assert found["deregistration_delay.timeout_seconds"] == "300"
    assert found["load_balancing.algorithm.type"] == "round_robin"


def test_a_group_that_no_listener_uses_is_not_in_use(house: House) -> None:
    group = house.create_group("app")
    house.client.register_targets(
        TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": 1}, {"Id": "127.0.0.2"}]
    )
    found = house.client.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    assert [item["TargetHealth"]["Reason"] for item in found] == ["Target.NotInUse"] * 2
    assert [item["Target"]["Port"] for item in found] == [1, 80]
    house.client.deregister_targets(TargetGroupArn=group, Targets=[{"Id": "127.0.0.2"}])
    assert list(house.states(group)) == [1]


def test_what_is_in_use_cannot_be_deleted(house: House) -> None:
    group = house.create_group("app")
    balancer = house.create_balancer()
    listener = house.create_listener(balancer, forward(group))
    assert refused(house.client.delete_target_group, TargetGroupArn=group)[0] == "ResourceInUse"
    used = house.client.describe_target_groups(LoadBalancerArn=balancer)["TargetGroups"]
    assert [item["TargetGroupArn"] for item in used] == [group]
    house.client.delete_listener(ListenerArn=listener)
    house.client.delete_target_group(TargetGroupArn=group)
    assert house.client.describe_target_groups()["TargetGroups"] == []


def test_rules_are_kept_in_order_of_priority(house: House) -> None:
    group = house.create_group("app")
    listener = house.create_listener(house.create_balancer(), forward(group))
    client = house.client
    rules = {}
    for priority in (30, 10, 20):
        rules[priority] = client.create_rule(
            ListenerArn=listener,
            Priority=priority,
            Conditions=[{"Field": "path-pattern", "Values": [f"/{priority}/*"]}],
            Actions=forward(group),
        )["Rules"][0]["RuleArn"]

    def order() -> list[str]:
        found = client.describe_rules(ListenerArn=listener)["Rules"]
        return [rule["Priority"] for rule in found]

    assert order() == ["10", "20", "30", "default"]
    code, _ = refused(
        client.set_rule_priorities,
        RulePriorities=[{"RuleArn": rules[10], "Priority": 30}],
    )
    assert code == "PriorityInUse"
    client.set_rule_priorities(
        RulePriorities=[
            {"RuleArn": rules[10], "Priority": 30},
            {"RuleArn": rules[30], "Priority": 10},
        ]
    )
    assert order() == ["10", "20", "30", "default"]
    assert client.describe_rules(RuleArns=[rules[10]])["Rules"][0]["Priority"] == "30"
    first = client.describe_rules(ListenerArn=listener, PageSize=3)
    assert len(first["Rules"]) == 3
    rest = client.describe_rules(ListenerArn=listener, Marker=first["NextMarker"])
    assert [rule["IsDefault"] for rule in rest["Rules"]] == [True]


def fixed(status: int, text: str) -> list[dict[str, Any]]:
    config = {"StatusCode": str(status), "ContentType": "text/plain", "MessageBody": text}
    return [{"Type": "fixed-response", "FixedResponseConfig": config}]


# Everything that HAProxy's reader could take for something of its own.
HOSTILE = "a \"b\" 'c' $HOME ${HOME} %[src] %% \\n # \\ {x} é\nnew line: backend x\r\n"


def test_a_fixed_response_is_given_to_the_letter(house: House) -> None:
    listener = house.create_listener(house.create_balancer(), fixed(503, HOSTILE))
    status, body, headers = get(house.door(listener))
    assert (status, body, headers["content-type"]) == (503, HOSTILE, "text/plain")


@pytest.mark.parametrize(
    ("condition", "path", "headers", "is_matched"),
    [
        ({"Field": "path-pattern", "Values": ["/a/*"]}, "/a/b?x=1", {}, True),
        ({"Field": "path-pattern", "Values": ["/a/*"]}, "/A/b", {}, False),
        ({"Field": "path-pattern", "Values": ["/a.?", "/b"]}, "/a.c", {}, True),
        ({"Field": "path-pattern", "Values": ["/a.?"]}, "/abc", {}, False),
        ({"Field": "host-header", "Values": ["*.Example.com"]}, "/",
         {"Host": "api.example.COM:80"}, True),
        ({"Field": "host-header", "Values": ["*.example.com"]}, "/",
         {"Host": "example.com"}, False),
        ({"Field": "http-header",
          "HttpHeaderConfig": {"HttpHeaderName": "X-Kind", "Values": ["*b, c*"]}}, "/",
         {"x-kind": "a b, cd"}, True),
        ({"Field": "query-string",
          "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1?"}]}}, "/?a=b&V=12", {}, True),
        ({"Field": "query-string",
          "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1"}]}}, "/?v=12", {}, False),
        ({"Field": "query-string", "QueryStringConfig": {"Values": [{"Value": "x"}]}},
         "/?k=x", {}, True),
        ({"Field": "source-ip", "SourceIpConfig": {"Values": ["127.0.0.0/8"]}}, "/", {}, True),
        ({"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}, "/",
         {"X-Forwarded-For": "10.0.0.1"}, False),
        ({"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}}, "/",
         {}, True),
    ],
)  # fmt: skip
def test_conditions(
    house: House, condition: dict[str, Any], path: str, headers: dict[str, str], is_matched: bool
) -> None:
    listener = house.create_listener(house.create_balancer(), fixed(404, "default"))
    house.client.create_rule(
        ListenerArn=listener, Priority=1, Conditions=[condition], Actions=fixed(200, "rule")
    )
    # As at AWS a rule is at work a moment later: the HAProxy before it still accepts till it ends.
    port, expected = house.door(listener), "rule" if is_matched else "default"
    wait_until(lambda: get(port, path, headers)[1] == expected, f"the answer {expected}")


def test_redirects(house: House) -> None:
    config = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    listener = house.create_listener(
        house.create_balancer(), [{"Type": "redirect", "RedirectConfig": config}]
    )
    port = house.door(listener)
    moved = {"Host": "shop.example:80"}
    status, _, headers = get(port, "/a/b?c=d&e", moved)
    assert (status, headers["location"]) == (301, "https://shop.example:443/a/b?c=d&e")
    assert get(port, "/a", moved)[2]["location"] == "https://shop.example:443/a"
    config = {"Path": "/new/#{path}", "Query": "from=#{port}", "StatusCode": "HTTP_302"}
    house.client.modify_listener(
        ListenerArn=listener, DefaultActions=[{"Type": "redirect", "RedirectConfig": config}]
    )
    wait_until(lambda: get(port, "/a?gone=1", moved)[0] == 302, "the new redirect")
    headers = get(port, "/a?gone=1", moved)[2]
    assert headers["location"] == "http://shop.example:8000/new/a?from=8000"


def test_weights_share_the_requests(house: House) -> None:
    def answering(name: str) -> str:
        return house.create_listener(house.create_balancer(f"lb-{name}"), fixed(200, name))

    many, few, none = (house.create_group(name) for name in ("many", "few", "none"))
    for group, name in ((many, "many"), (few, "few"), (none, "none")):
        port = house.door(answering(name))
        house.client.register_targets(
            TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": port}]
        )
        house.client.modify_target_group(TargetGroupArn=group, Matcher={"HttpCode": "200-299"})
    listener = house.create_listener(
        house.create_balancer(), forward((many, 90), (few, 10), (none, 0))
    )
    house.wait_for(many, healthy=1)
    house.wait_for(few, healthy=1)
    port = house.door(listener)
    answers = [get(port)[1] for _ in range(400)]
    # 400 draws of 10 %: fewer than 10 or more than 90 come about once in many millions of runs.
    assert 10 <= answers.count("few") <= 90
    assert answers.count("many") + answers.count("few") == 400


@pytest.mark.parametrize(
    ("call", "arguments", "code", "words"),
    [
        ("create_load_balancer", {"Name": "-x", "Subnets": ["subnet-a", "subnet-c"]},
         "ValidationError", "hyphen"),
        ("create_load_balancer", {"Name": "x", "Subnets": ["subnet-a"]},
         "ValidationError", "At least two subnets"),
        ("create_load_balancer", {"Name": "x", "Subnets": ["subnet-a", "subnet-z"]},
         "SubnetNotFound", "subnet-z"),
        ("create_load_balancer", {"Name": "x", "Type": "gateway", "Subnets": ["subnet-a"]},
         "NotImplementedException", NOT_HERE),
        ("create_target_group", {"Name": "x", "TargetType": "lambda"},
         "NotImplementedException", "target type lambda"),
        ("create_target_group", {"Name": "x", "Protocol": "HTTP", "Port": 80, "TargetType": "ip",
                                 "HealthCheckPath": "/a\nserver x"}, "ValidationError", "path"),
        ("create_target_group", {"Name": "x", "Protocol": "HTTP", "Port": 80, "TargetType": "ip",
                                 "Matcher": {"HttpCode": "200 or so"}},
         "ValidationError", "200 or"),
        ("create_target_group", {"Name": "x", "Protocol": "HTTP", "Port": 80, "TargetType": "ip",
                                 "HealthCheckTimeoutSeconds": 40},
         "ValidationError", "must be smaller than the interval"),
        ("create_target_group", {"Name": "x", "Protocol": "MAGIC", "Port": 80},
         "ValidationError", "Value 'MAGIC' at 'protocol' failed to satisfy constraint"),
        ("describe_target_groups", {"Names": ["nope"]}, "TargetGroupNotFound", "not found"),
        ("describe_load_balancers", {"Names": ["nope"]}, "LoadBalancerNotFound", "[nope]"),
        ("create_listener", {"LoadBalancerArn": "nope", "Port": 1, "Protocol": "HTTP",
                             "DefaultActions": []}, "LoadBalancerNotFound", "nope"),
        ("describe_tags", {"ResourceArns": ["nope"]}, "ValidationError", "nope"),
        ("describe_load_balancers", {"Marker": "x"}, "ValidationError", "marker"),
        ("create_trust_store", {"Name": "x", "CaCertificatesBundleS3Bucket": "b",
                                "CaCertificatesBundleS3Key": "k"},
         "NotImplementedException", "elbv2:CreateTrustStore is " + NOT_HERE),
    ],
)  # fmt: skip
def test_refusals(
    house: House, call: str, arguments: dict[str, Any], code: str, words: str
) -> None:
    found, message = refused(getattr(house.client, call), **arguments)
    assert found == code and words in message


def test_a_refused_listener_leaves_nothing_open(house: House) -> None:
    balancer = house.create_balancer()
    group = house.create_group("app")
    listener = house.create_listener(balancer, forward(group))
    for arguments, code in (
        ({"Port": 8000}, "DuplicateListener"),
        ({"Port": 9, "Protocol": "HTTPS"}, "CertificateNotFound"),
        ({"Port": 9, "Protocol": "GENEVE"}, "ValidationError"),
        ({"Port": 9, "DefaultActions": forward("arn:nope")}, "TargetGroupNotFound"),
        ({"Port": 9, "DefaultActions": fixed(200, "x") * 2}, "InvalidLoadBalancerAction"),
        ({"Port": 9, "DefaultActions": fixed(300, "x")}, "ValidationError"),
    ):
        given = {"Protocol": "HTTP", "DefaultActions": forward(group)} | arguments
        found, _ = refused(house.client.create_listener, LoadBalancerArn=balancer, **given)
        assert found == code
    assert list(house.service.doors()) == [listener]
    assert len(house.ground.doors) == 1


@pytest.mark.parametrize(
    "condition",
    [
        {"Field": "path-pattern", "Values": ["/a b"]},
        {"Field": "path-pattern", "Values": []},
        {"Field": "host-header", "Values": ["a\nb"]},
        {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.1/99"]}},
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "a b", "Values": ["x"]}},
        {"Field": "weather", "Values": ["sunny"]},
    ],
)
def test_conditions_that_make_no_sense(house: House, condition: dict[str, Any]) -> None:
    listener = house.create_listener(house.create_balancer(), fixed(200, "x"))
    found, _ = refused(
        house.client.create_rule,
        ListenerArn=listener, Priority=1, Conditions=[condition], Actions=fixed(200, "y"),
    )  # fmt: skip
    assert found == "ValidationError"
    assert get(house.door(listener))[1] == "x"


def test_attributes(house: House) -> None:
    group = house.create_group("app")
    modify = house.client.modify_target_group_attributes

    def attribute(key: str, value: str) -> dict[str, Any]:
        return {"TargetGroupArn": group, "Attributes": [{"Key": key, "Value": value}]}

    modify(**attribute("load_balancing.algorithm.type", "least_outstanding_requests"))
    assert refused(modify, **attribute("no.such", "1"))[0] == "ValidationError"
    code, words = refused(modify, **attribute("deregistration_delay.timeout_seconds", "3601"))
    assert (code, "between 0 and 3600" in words) == ("ValidationError", True)
    # Slow start goes with round robin alone.
    assert refused(modify, **attribute("slow_start.duration_seconds", "60"))[0] == "ValidationError"
    code, words = refused(modify, **attribute("load_balancing.algorithm.type", "weighted_random"))
    assert (code, NOT_HERE in words) == ("NotImplementedException", True)


def test_weights_of_a_rule_are_changed_and_the_rest_of_it_kept() -> None:
    sticky = {"Enabled": True, "DurationSeconds": 60}
    two = [{"TargetGroupArn": "a", "Weight": 1}, {"TargetGroupArn": "b", "Weight": 0}]
    action = {"Type": "forward", "Order": 1, "ForwardConfig": {
        "TargetGroups": two, "TargetGroupStickinessConfig": sticky}}  # fmt: skip
    (changed,) = with_weights((action,), {"a": 0, "b": 100})
    assert forwarded((changed,)) == [("a", 0), ("b", 100)]
    assert changed["ForwardConfig"]["TargetGroupStickinessConfig"] == sticky
    plain = {"Type": "forward", "Order": 1, "TargetGroupArn": "a"}
    (added,) = with_weights((plain,), {"a": 0, "b": 100})
    assert forwarded((added,)) == [("a", 0), ("b", 100)]
    assert "TargetGroupArn" not in added
    with pytest.raises(AwsError, match="no forward action"):
        with_weights(({"Type": "redirect"},), {"a": 1})


def test_priorities_and_certificates_without_their_arns_are_refused(house: House) -> None:
    """AWS's model lets them be left out; fuzzing found that they then were a 500."""
    listener = house.create_listener(house.create_balancer(), fixed(200, "x"))
    found, _ = refused(house.client.set_rule_priorities, RulePriorities=[{"Priority": 512}])
    assert found == "ValidationError"
    for call in (house.client.add_listener_certificates, house.client.remove_listener_certificates):
        found, _ = refused(call, ListenerArn=listener, Certificates=[{}])
        assert found == "ValidationError"
