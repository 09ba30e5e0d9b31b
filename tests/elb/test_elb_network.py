"""Network load balancers: connections that a real HAProxy passes on."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.exceptions
import pytest
from elb_house import Backend, House, wait_until

Make = Callable[[], "Echo"]


class Echo:
    """A target of TCP: says its name to whoever connects, then sends back what it is sent."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self.name = f"{self.port}\n".encode()
        self.first: list[bytes] = []
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.sendall(self.name)
            while data := connection.recv(4096):
                self.first.append(data)
                connection.sendall(data)
        except OSError:
            return
        finally:
            connection.close()

    def stop_listening(self) -> None:
        # A thread within accept() keeps the socket alive.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def close(self) -> None:
        self.stop_listening() if self._listening.fileno() >= 0 else None
        for connection in self._open:
            connection.close()


class Client:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.name = self.socket.recv(100)

    def says(self, text: bytes) -> bytes:
        self.socket.sendall(text)
        return self.socket.recv(4096)

    def is_cut(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def echo() -> Iterator[Make]:
    made: list[Echo] = []

    def make() -> Echo:
        made.append(Echo())
        return made[-1]

    yield make
    for each in made:
        each.close()


def create_balancer(house: House, name: str = "net") -> str:
    answer = house.client.create_load_balancer(Name=name, Type="network", Subnets=["subnet-a"])
    return str(answer["LoadBalancers"][0]["LoadBalancerArn"])


def create_group(house: House, name: str = "tcp", **more: Any) -> str:
    asked = {"Protocol": "TCP", "Port": 80, "VpcId": "vpc-1", "TargetType": "ip"} | more
    answer = house.client.create_target_group(Name=name, **asked)
    return str(answer["TargetGroups"][0]["TargetGroupArn"])


def listen(house: House, balancer: str, *groups: tuple[str, int], port: int = 5000) -> str:
    pairs = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in groups]
    answer = house.client.create_listener(
        LoadBalancerArn=balancer,
        Protocol="TCP",
        Port=port,
        DefaultActions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": pairs}}],
    )
    return str(answer["Listeners"][0]["ListenerArn"])


def register(house: House, group: str, *targets: Echo | Backend) -> None:
    house.client.register_targets(
        TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": each.port} for each in targets]
    )


def serving(house: House, *targets: Echo | Backend, **more: Any) -> tuple[str, str, int]:
    """(target group, listener, port on the host) with these targets healthy."""
    group = create_group(house, **more)
    listener = listen(house, create_balancer(house), (group, 1))
    register(house, group, *targets)
    house.wait_for(group, healthy=len(targets))
    return group, listener, house.door(listener)


def set_attribute(house: House, group: str, key: str, value: str) -> None:
    house.client.modify_target_group_attributes(
        TargetGroupArn=group, Attributes=[{"Key": key, "Value": value}]
    )


def deregister(house: House, group: str, target: Echo) -> None:
    house.client.deregister_targets(
        TargetGroupArn=group, Targets=[{"Id": "127.0.0.1", "Port": target.port}]
    )


def test_connections_go_round_the_targets_and_carry_bytes_both_ways(
    house: House, echo: Make
) -> None:
    one, two = echo(), echo()
    _, listener, port = serving(house, one, two)
    clients = [Client(port) for _ in range(8)]
    assert Counter(client.name for client in clients) == {one.name: 4, two.name: 4}
    assert [client.says(b"\x00not HTTP\xff") for client in clients] == [b"\x00not HTTP\xff"] * 8
    for client in clients:
        client.close()
    described = house.client.describe_listeners(ListenerArns=[listener])["Listeners"][0]
    assert (described["Protocol"], described["Port"]) == ("TCP", 5000)
    balancer = house.client.describe_load_balancers()["LoadBalancers"][0]
    assert balancer["Type"] == "network" and ":loadbalancer/net/net/" in balancer["LoadBalancerArn"]
    address = house.names.names[balancer["DNSName"].lower()][0]
    with socket.create_connection((address, 5000), timeout=10) as inside:
        assert inside.recv(100) in (one.name, two.name)


def test_defaults_are_those_of_aws(house: House) -> None:
    group = create_group(house)
    described = house.client.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]
    assert "Matcher" not in described and "HealthCheckPath" not in described
    assert (described["HealthCheckProtocol"], described["HealthCheckTimeoutSeconds"]) == ("TCP", 10)
    answer = house.client.describe_target_group_attributes(TargetGroupArn=group)
    found = {item["Key"]: item["Value"] for item in answer["Attributes"]}
    assert found["preserve_client_ip.enabled"] == found["proxy_protocol_v2.enabled"] == "false"
    assert found["stickiness.type"] == "source_ip"
    assert found["deregistration_delay.connection_termination.enabled"] == "false"
    by_http = create_group(house, "by-http", HealthCheckProtocol="HTTP")
    described = house.client.describe_target_groups(TargetGroupArns=[by_http])["TargetGroups"][0]
    assert described["Matcher"] == {"HttpCode": "200-399"}
    assert (described["HealthCheckPath"], described["HealthCheckTimeoutSeconds"]) == ("/", 6)
    instances = create_group(house, "instances", TargetType="instance")
    answer = house.client.describe_target_group_attributes(TargetGroupArn=instances)
    assert {"Key": "preserve_client_ip.enabled", "Value": "true"} in answer["Attributes"]
    assert len(house.service.not_done()) == 1


def test_health_by_tcp_and_what_becomes_of_connections(house: House, echo: Make) -> None:
    """An unhealthy target's connections are ended, as AWS's default has it."""
    bad, good = echo(), echo()
    group, _, port = serving(house, bad, good)
    clients = [Client(port) for _ in range(4)]
    bad.stop_listening()
    house.wait_for(group, unhealthy=1, healthy=1)
    on_bad = [client for client in clients if client.name == bad.name]
    assert len(on_bad) == 2 and all(client.is_cut() for client in on_bad)
    on_good = [client for client in clients if client.name == good.name]
    assert all(client.says(b"still here") == b"still here" for client in on_good)
    assert {Client(port).name for _ in range(4)} == {good.name}
    set_attribute(
        house, group, "target_health_state.unhealthy.connection_termination.enabled", "false"
    )
    good.stop_listening()
    house.wait_for(group, unhealthy=2)
    assert all(client.says(b"and now") == b"and now" for client in on_good)


def test_health_by_http(house: House, backends: Callable[[str], Backend]) -> None:
    backend = backends("web")
    group, _, _ = serving(house, backend, HealthCheckProtocol="HTTP", HealthCheckPath="/health")
    backend.status = 503
    house.wait_for(group, unhealthy=1)
    health = house.client.describe_target_health(TargetGroupArn=group)
    assert health["TargetHealthDescriptions"][0]["TargetHealth"]["Reason"] == (
        "Target.ResponseCodeMismatch"
    )


def test_a_draining_target_keeps_its_connections(house: House, echo: Make) -> None:
    """Past the delay as well, unless the group says that they end with it."""
    leaving, staying = echo(), echo()
    group, _, port = serving(house, leaving, staying)
    clients = {client.name: client for client in (Client(port), Client(port))}
    kept = clients[leaving.name]
    deregister(house, group, leaving)
    assert house.states(group)[leaving.port] == "draining"
    assert {Client(port).name for _ in range(4)} == {staying.name}
    assert kept.says(b"draining") == b"draining"
    house.wait_for(group, healthy=1, draining=0)
    assert kept.says(b"drained") == b"drained"
    # The name can be given again while the old connection goes on.
    register(house, group, leaving)
    house.wait_for(group, healthy=2)
    assert {Client(port).name for _ in range(4)} == {leaving.name, staying.name}
    assert kept.says(b"again") == b"again"
    set_attribute(house, group, "deregistration_delay.connection_termination.enabled", "true")
    deregister(house, group, leaving)
    house.wait_for(group, healthy=1, draining=0)
    assert kept.is_cut()
    assert clients[staying.name].says(b"untouched") == b"untouched"


def test_changes_lose_no_connection(house: House, echo: Make) -> None:
    """Each is a new HAProxy; the connections of the old ones go on, one to the second group too."""
    one, two = echo(), echo()
    group, listener, port = serving(house, one)
    other = create_group(house, "other")
    clients = [Client(port)]
    for weight in (1, 2, 3):
        pairs = [(group, 1), (other, weight)] if weight > 1 else [(other, 1)]
        documents = [{"TargetGroupArn": arn, "Weight": n} for arn, n in pairs]
        house.client.modify_listener(
            ListenerArn=listener,
            DefaultActions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": documents}}],
        )
        if weight == 1:
            register(house, other, two)
            house.wait_for(other, healthy=1)
            assert {Client(port).name for _ in range(3)} == {two.name}
        clients.append(Client(port))
        assert [client.says(b"kept") for client in clients] == [b"kept"] * len(clients)
    assert {Client(port).name for _ in range(30)} == {one.name, two.name}


def test_the_proxy_protocol_tells_the_client(house: House, echo: Make) -> None:
    target = echo()
    group, _, port = serving(house, target)
    set_attribute(house, group, "proxy_protocol_v2.enabled", "true")
    client = Client(port)
    client.says(b"hello")
    # A health check has the signature as well, but speaks for the load balancer itself.
    signature = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11"

    def begun() -> list[bytes]:
        return [data for data in target.first if data.startswith(signature)]

    wait_until(lambda: bool(begun()), "a connection that begins with its client")
    assert begun()[0][16:20] == socket.inet_aton("127.0.0.1")


def test_clients_of_one_address_stay_with_a_target(house: House, echo: Make) -> None:
    targets = [echo() for _ in range(3)]
    group, _, port = serving(house, *targets)
    set_attribute(house, group, "stickiness.enabled", "true")
    assert len({Client(port).name for _ in range(9)}) == 1
    late = echo()
    register(house, group, late)
    house.wait_for(group, healthy=4)
    assert len({Client(port).name for _ in range(9)}) == 1


def test_flows_are_counted_as_cloudwatch_does(house: House, echo: Make) -> None:
    group, _, port = serving(house, echo())
    clients = [Client(port) for _ in range(3)]
    assert clients[0].says(b"x" * 1000) == b"x" * 1000
    balancer = house.client.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    name = balancer.partition(":loadbalancer/")[2]

    def ask(metric: str, statistic: str, group: str | None = None) -> float:
        dimensions = [{"Name": "LoadBalancer", "Value": name}]
        if group is not None:
            dimensions.append({"Name": "TargetGroup", "Value": group.rpartition(":")[2]})
        stat = {
            "Metric": {
                "Namespace": "AWS/NetworkELB", "MetricName": metric, "Dimensions": dimensions
            },
            "Stat": statistic, "Period": 3600,
        }  # fmt: skip
        now = datetime.now(UTC)
        get = house.service.metrics.wrapping(lambda *_: [])
        asked = [{"Id": "a", "MetricStat": stat}]
        answer = get(None, asked, now - timedelta(hours=1), now + timedelta(hours=1))
        return float({"Sum": sum, "Maximum": max}[statistic](answer[0]["values"] or [0]))

    wait_until(lambda: ask("NewFlowCount", "Sum") == 3, "three flows")
    wait_until(lambda: ask("ActiveFlowCount", "Maximum") == 3, "three flows at once")
    clients[1].socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    clients[1].close()
    wait_until(lambda: ask("TCP_Client_Reset_Count", "Sum") == 1, "a reset")
    clients[0].close()
    wait_until(lambda: ask("ProcessedBytes", "Sum") >= 2000, "the bytes")
    wait_until(lambda: ask("HealthyHostCount", "Maximum", group) == 1, "a healthy host")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"Protocol": "UDP"}, "NotImplementedException"),
        ({"Protocol": "TCP_UDP"}, "NotImplementedException"),
        ({"Protocol": "GENEVE", "Port": 6081}, "NotImplementedException"),
        ({"ProtocolVersion": "HTTP1"}, "ValidationError"),
        ({"HealthCheckPath": "/"}, "ValidationError"),
        ({"Matcher": {"HttpCode": "200"}}, "ValidationError"),
        ({"TargetType": "alb"}, "NotImplementedException"),
    ],
)
def test_groups_that_cannot_be(house: House, asked: dict[str, Any], code: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        create_group(house, **asked)
    assert refused.value.response["Error"]["Code"] == code


def test_what_does_not_go_together(house: House) -> None:
    balancer, group = create_balancer(house), create_group(house)
    web, by_http = house.create_balancer(), house.create_group("app")
    listener = listen(house, balancer, (group, 1))
    errors = house.client.exceptions
    forward = [{"Type": "forward", "TargetGroupArn": by_http}]
    with pytest.raises(errors.IncompatibleProtocolsException):
        house.client.modify_listener(ListenerArn=listener, DefaultActions=forward)
    with pytest.raises(errors.IncompatibleProtocolsException):
        house.create_listener(web, [{"Type": "forward", "TargetGroupArn": group}])
    with pytest.raises(errors.ClientError, match="must be one of 'HTTP, HTTPS'"):
        listen(house, web, (group, 1), port=5001)
    with pytest.raises(errors.ClientError, match="UDP is not implemented by the local region"):
        house.client.create_listener(
            LoadBalancerArn=balancer, Protocol="UDP", Port=53, DefaultActions=forward
        )
    with pytest.raises(errors.ClientError, match="Rules are not supported"):
        house.client.create_rule(
            ListenerArn=listener, Priority=1, Actions=forward,
            Conditions=[{"Field": "path-pattern", "Values": ["/"]}],
        )  # fmt: skip
    with pytest.raises(errors.ClientError, match=r"client_ip\.enabled=true is not impl"):
        set_attribute(house, group, "preserve_client_ip.enabled", "true")
    with pytest.raises(errors.ClientError, match="is not recognized"):
        set_attribute(house, group, "slow_start.duration_seconds", "30")


def test_the_idle_time_is_the_listeners(house: House, echo: Make) -> None:
    _, listener, port = serving(house, echo())
    client = Client(port)
    answer = house.client.modify_listener_attributes(
        ListenerArn=listener, Attributes=[{"Key": "tcp.idle_timeout.seconds", "Value": "60"}]
    )
    assert answer["Attributes"] == [{"Key": "tcp.idle_timeout.seconds", "Value": "60"}]
    assert client.says(b"older") == b"older" and Client(port).says(b"new") == b"new"
    written = next((house.ground.state / "elb").glob("haproxy-*.cfg")).read_text()
    assert "timeout client 60s" in written and "timeout server 60s" in written
    with pytest.raises(botocore.exceptions.ClientError, match="between 60 and 6000"):
        house.client.modify_listener_attributes(
            ListenerArn=listener, Attributes=[{"Key": "tcp.idle_timeout.seconds", "Value": "1"}]
        )
