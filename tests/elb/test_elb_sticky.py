"""Clients that stay: with a target group, with a target; and listeners with a certificate."""

from __future__ import annotations

import datetime
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from elb_house import QUICK, Backend, House

MakeBackend = Callable[[str], Backend]


def ask(port: int, cookie: str = "") -> tuple[str, dict[str, str]]:
    """The answering backend's name, and the cookies that were set."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/", headers={"Cookie": cookie} if cookie else {})
    answer = connection.getresponse()
    body = answer.read().decode()
    given = [value for key, value in answer.getheaders() if key.lower() == "set-cookie"]
    connection.close()
    return body, {each.partition("=")[0]: each.partition(";")[0] for each in given}


def sharing(groups: dict[str, int], kept_s: int | None) -> list[dict[str, Any]]:
    config: dict[str, Any] = {
        "TargetGroups": [{"TargetGroupArn": arn, "Weight": w} for arn, w in groups.items()]
    }
    if kept_s is not None:
        config["TargetGroupStickinessConfig"] = {"Enabled": True, "DurationSeconds": kept_s}
    return [{"Type": "forward", "ForwardConfig": config}]


def test_a_client_stays_with_its_group_whatever_the_weights(
    house: House, backends: MakeBackend
) -> None:
    one, two = backends("one"), backends("two")
    old, new = house.create_group("old"), house.create_group("new")
    listener = house.create_listener(house.create_balancer(), sharing({old: 1, new: 0}, 60))
    house.register(old, one)
    house.register(new, two)
    house.wait_for(old, healthy=1)
    house.wait_for(new, healthy=1)
    port = house.door(listener)
    name, cookies = ask(port)
    assert name == "one" and set(cookies) == {"AWSALBTG"}

    def modify(actions: list[dict[str, Any]]) -> None:
        house.client.modify_listener(ListenerArn=listener, DefaultActions=actions)

    modify(sharing({old: 0, new: 1}, 60))
    assert {ask(port, cookies["AWSALBTG"])[0] for _ in range(5)} == {"one"}
    assert {ask(port)[0] for _ in range(5)} == {"two"}
    # Nobody stays with a group that the rule no longer has, nor by a cookie that is no longer due.
    group = cookies["AWSALBTG"].partition("=")[2].partition(".")[0]
    assert ask(port, f"AWSALBTG={group}.1")[0] == "two"
    assert ask(port, "AWSALBTG=x y%[env(HOME)]")[0] == "two"
    modify(sharing({new: 1}, 60))
    assert ask(port, cookies["AWSALBTG"])[0] == "two"
    modify(sharing({old: 1, new: 1}, None))
    assert {ask(port, cookies["AWSALBTG"])[0] for _ in range(40)} == {"one", "two"}


def test_the_duration_has_bounds(house: House) -> None:
    one, two = house.create_group("one"), house.create_group("two")
    balancer = house.create_balancer()
    with pytest.raises(botocore.exceptions.ClientError, match="duration"):
        house.create_listener(balancer, sharing({one: 1, two: 1}, 0))


def test_a_client_stays_with_its_target_until_that_leaves(
    house: House, backends: MakeBackend
) -> None:
    group = house.create_group("app")
    house.client.modify_target_group_attributes(
        TargetGroupArn=group, Attributes=[{"Key": "stickiness.enabled", "Value": "true"}]
    )
    listener = house.create_listener(house.create_balancer(), sharing({group: 1}, None))
    made = {name: backends(name) for name in ("a", "b", "c")}
    house.register(group, *made.values())
    house.wait_for(group, healthy=3)
    port = house.door(listener)
    first, cookies = ask(port)
    assert set(cookies) == {"AWSALB"}
    assert {ask(port, cookies["AWSALB"])[0] for _ in range(9)} == {first}
    assert {ask(port)[0] for _ in range(12)} == {"a", "b", "c"}
    target = {"Id": "127.0.0.1", "Port": made[first].port}
    house.client.deregister_targets(TargetGroupArn=group, Targets=[target])
    others, _ = ask(port, cookies["AWSALB"])
    assert others != first


def make_certificate(name: str) -> tuple[str, str]:
    """(certificate, key), signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


ARNS = {
    name: f"arn:aws:acm:ap-northeast-1:123456789012:certificate/{name}"
    for name in ("one.example", "two.example")
}


@pytest.fixture
def https_house(tmp_path: Path) -> Iterator[House]:
    kept = {arn: make_certificate(name) for name, arn in ARNS.items()}

    async def find(arn: str, region: str) -> str | None:
        return "".join(kept[arn]) if arn in kept else None

    built = House(tmp_path, QUICK, find_certificate=find)
    try:
        yield built
    finally:
        built.close()


def shown_to(port: int, name: str) -> str:
    """The certificate that a client that asks for this name is shown; its subject."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    connection.connect()
    wrapped = connection.sock
    assert isinstance(wrapped, ssl.SSLSocket)
    der = wrapped.getpeercert(binary_form=True)
    connection.close()
    assert der is not None
    return str(x509.load_der_x509_certificate(der).subject.rfc4514_string())


def test_https_with_certificates_of_acm(https_house: House, backends: MakeBackend) -> None:
    house = https_house
    one = backends("one")
    group = house.create_group("app")
    house.register(group, one)
    listener = house.client.create_listener(
        LoadBalancerArn=house.create_balancer(),
        Protocol="HTTPS",
        Port=8443,
        Certificates=[{"CertificateArn": ARNS["one.example"]}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )["Listeners"][0]
    assert listener["Certificates"] == [{"CertificateArn": ARNS["one.example"]}]
    assert listener["SslPolicy"] == "ELBSecurityPolicy-2016-08"
    house.wait_for(group, healthy=1)
    port = house.door(listener["ListenerArn"])
    assert shown_to(port, "one.example") == "CN=one.example"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    connection.request("GET", "/x")
    assert connection.getresponse().read() == b"one"
    connection.close()
    headers = next(h for path, h in one.seen if path == "/x")
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("https", "8443")
    assert "x-amzn-tls-version" not in headers
    prefix = "routing.http.x_amzn_tls_version_and_cipher_suite"
    house.client.modify_load_balancer_attributes(
        LoadBalancerArn=listener["LoadBalancerArn"],
        Attributes=[
            {"Key": f"{prefix}.enabled", "Value": "true"},
            {"Key": "routing.http2.enabled", "Value": "false"},
        ],
    )
    context.set_alpn_protocols(["h2", "http/1.1"])
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    connection.request("GET", "/tls")
    assert connection.sock.selected_alpn_protocol() == "http/1.1"
    assert connection.getresponse().read() == b"one"
    connection.close()
    headers = next(h for path, h in one.seen if path == "/tls")
    assert headers["x-amzn-tls-version"] == "TLSv1.2"
    assert headers["x-amzn-tls-cipher-suite"].startswith("ECDHE-")
    house.client.add_listener_certificates(
        ListenerArn=listener["ListenerArn"],
        Certificates=[{"CertificateArn": ARNS["two.example"]}],
    )
    found = house.client.describe_listener_certificates(ListenerArn=listener["ListenerArn"])
    assert [c["IsDefault"] for c in found["Certificates"]] == [True, False]
    house.client.modify_listener(
        ListenerArn=listener["ListenerArn"],
        Certificates=[{"CertificateArn": ARNS["two.example"]}],
    )
    assert shown_to(port, "") == "CN=two.example"


def test_https_needs_a_certificate_that_there_is(https_house: House) -> None:
    house = https_house
    for certificates in ([], [{"CertificateArn": f"{ARNS['one.example']}x"}]):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            house.client.create_listener(
                LoadBalancerArn=house.create_balancer(),
                Protocol="HTTPS",
                Port=8443,
                Certificates=certificates,
                DefaultActions=[{"Type": "forward", "TargetGroupArn": house.create_group("app")}],
            )
        assert caught.value.response["Error"]["Code"] == "CertificateNotFound"


def test_tls_of_a_network_load_balancer_ends_there_and_begins_anew(https_house: House) -> None:
    """TLS from the client, with the protocol that the policy offers; TLS to the target, whose
    certificate is nobody's."""
    house, seen = https_house, []
    files = house.ground.state / "target.pem"
    files.write_text("".join(make_certificate("target")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
                with context.wrap_socket(connection, server_side=True) as wrapped:
                    wrapped.settimeout(20)
                    seen.append(wrapped.recv(100))
                    wrapped.sendall(b"by TLS")
            except OSError:
                # A health check by TCP connects and goes.
                if listening.fileno() < 0:
                    return

    threading.Thread(target=serve, daemon=True).start()
    balancer = house.client.create_load_balancer(
        Name="net", Type="network", Subnets=["subnet-a", "subnet-c"]
    )["LoadBalancers"][0]["LoadBalancerArn"]
    group = house.client.create_target_group(
        Name="tls", Protocol="TLS", Port=443, VpcId="vpc-1", TargetType="ip"
    )["TargetGroups"][0]["TargetGroupArn"]
    house.client.register_targets(
        TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": listening.getsockname()[1]}]
    )
    listener = house.client.create_listener(
        LoadBalancerArn=balancer, Protocol="TLS", Port=8443, AlpnPolicy=["HTTP2Preferred"],
        Certificates=[{"CertificateArn": ARNS["one.example"]}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )["Listeners"][0]  # fmt: skip
    assert (listener["Protocol"], listener["AlpnPolicy"]) == ("TLS", ["HTTP2Preferred"])
    house.wait_for(group, healthy=1)
    port = house.door(listener["ListenerArn"])
    assert shown_to(port, "one.example") == "CN=one.example"
    ours = ssl.create_default_context()
    ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
    ours.set_alpn_protocols(["http/1.1", "h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        ours.wrap_socket(plain) as wrapped,
    ):
        assert wrapped.selected_alpn_protocol() == "h2"
        wrapped.sendall(b"secret")
        assert wrapped.recv(100) == b"by TLS"
    assert b"secret" in seen
    with pytest.raises(botocore.exceptions.ClientError, match="is not implemented by the local"):
        house.client.modify_listener_attributes(
            ListenerArn=listener["ListenerArn"],
            Attributes=[{"Key": "tcp.idle_timeout.seconds", "Value": "60"}],
        )
    listening.close()


def test_targets_and_health_checks_by_https(https_house: House, backends: MakeBackend) -> None:
    house = https_house
    backend = backends("safe")
    files = house.ground.state / "target.pem"
    files.write_text("".join(make_certificate("target")))
    backend.speak_tls(files)
    group = house.client.create_target_group(
        Name="safe", Protocol="HTTPS", Port=443, VpcId="vpc-1", TargetType="ip",
        HealthCheckProtocol="HTTPS", HealthCheckPath="/health",
    )["TargetGroups"][0]["TargetGroupArn"]  # fmt: skip
    listener = house.create_listener(house.create_balancer(), sharing({group: 1}, None))
    house.register(group, backend)
    house.wait_for(group, healthy=1)
    assert ask(house.door(listener))[0] == "safe"


def test_a_client_stays_by_the_applications_cookie(house: House, backends: MakeBackend) -> None:
    group = house.create_group("app")
    house.client.modify_target_group_attributes(
        TargetGroupArn=group,
        Attributes=[
            {"Key": "stickiness.enabled", "Value": "true"},
            {"Key": "stickiness.type", "Value": "app_cookie"},
            {"Key": "stickiness.app_cookie.cookie_name", "Value": "SESSION"},
        ],
    )
    listener = house.create_listener(house.create_balancer(), sharing({group: 1}, None))
    made = {name: backends(name) for name in ("a", "b", "c")}
    house.register(group, *made.values())
    house.wait_for(group, healthy=3)
    port = house.door(listener)
    assert ask(port)[1] == {}, "the application sets no cookie yet"
    for backend in made.values():
        backend.cookie = "SESSION=1"
    first, cookies = ask(port)
    assert set(cookies) == {"SESSION", "AWSALBAPP-0"}
    for backend in made.values():
        backend.cookie = ""
    both = "; ".join(cookies.values())
    assert {ask(port, both)[0] for _ in range(6)} == {first}
    assert set(ask(port, both)[1]) == {"AWSALBAPP-0"}, "it is renewed with each answer"
    # Neither cookie holds alone, nor what is over, nor what we did not write.
    ours = cookies["AWSALBAPP-0"]
    assert {ask(port, ours)[0] for _ in range(6)} == {"a", "b", "c"}
    assert {ask(port, "SESSION=1")[0] for _ in range(6)} == {"a", "b", "c"}
    over = ours.partition("~")[0] + "~1"
    assert {ask(port, f"SESSION=1; {over}")[0] for _ in range(6)} == {"a", "b", "c"}
    assert ask(port, "SESSION=1; AWSALBAPP-0=%[env(HOME)]~9999999999")[0] in made
    target = {"Id": "127.0.0.1", "Port": made[first].port}
    house.client.deregister_targets(TargetGroupArn=group, Targets=[target])
    assert {ask(port, both)[0] for _ in range(6)} == set(made) - {first}


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "must be given"), ("AWSALBTG-x", "must not begin"), ("a b", "is not the name"),
     ("a$b", "is not implemented")],
)  # fmt: skip
def test_names_of_cookies_that_cannot_be(house: House, name: str, said: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match=said):
        house.client.modify_target_group_attributes(
            TargetGroupArn=house.create_group("app"),
            Attributes=[
                {"Key": "stickiness.enabled", "Value": "true"},
                {"Key": "stickiness.type", "Value": "app_cookie"},
                {"Key": "stickiness.app_cookie.cookie_name", "Value": name},
            ],
        )
