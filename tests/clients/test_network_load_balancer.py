"""A service of TCP behind a network load balancer, in a whole region."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import urllib.request

import pytest

pytestmark = pytest.mark.region

SERVER = """
import asyncio, signal, sys
async def serve(reader, writer):
    writer.write(sys.argv[1].encode())
    while data := await reader.read(100):
        writer.write(data)
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", 7000)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
asyncio.run(main())
"""


class Callers:
    """Connections that are made one after the other, each asked for an echo; what went wrong."""

    def __init__(self, port: int, count: int = 3) -> None:
        self._port = port
        self._stop = threading.Event()
        self.names: set[bytes] = set()
        self.made = 0
        self.wrong: list[str] = []
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def _call(self) -> None:
        while not self._stop.wait(0.01):
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=30) as one:
                    self.names.add(one.recv(100))
                    one.sendall(b"here")
                    if (answer := one.recv(100)) != b"here":
                        self.wrong.append(repr(answer))
                    self.made += 1
            except OSError as error:
                self.wrong.append(str(error))

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(40)


def register(region, name: str) -> str:
    made = region.client("ecs").register_task_definition(
        family="echo", networkMode="awsvpc", requiresCompatibilities=["FARGATE"],
        cpu="256", memory="512",
        containerDefinitions=[{
            "name": "app", "image": "localhost/python", "portMappings": [{"containerPort": 7000}],
            "command": ["python3", "-c", SERVER, name],
        }],
    )  # fmt: skip
    return made["taskDefinition"]["taskDefinitionArn"]


def test_a_rolling_deployment_loses_no_connection(region) -> None:
    ecs, elb = region.client("ecs"), region.client("elbv2")
    subnets = region.client("ec2").describe_subnets()["Subnets"]
    (balancer,) = elb.create_load_balancer(
        Name="echo", Type="network", Subnets=[subnets[0]["SubnetId"]]
    )["LoadBalancers"]
    # Subnets are EC2's: one that it knows has its zone's name.
    assert [each["ZoneName"] for each in balancer["AvailabilityZones"]] == [
        subnets[0]["AvailabilityZone"]
    ]
    (group,) = elb.create_target_group(
        Name="echo", Protocol="TCP", Port=7000, VpcId=subnets[0]["VpcId"], TargetType="ip"
    )["TargetGroups"]
    group_arn = group["TargetGroupArn"]
    (listener,) = elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="TCP", Port=7000,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group_arn}],
    )["Listeners"]  # fmt: skip
    ecs.create_cluster(clusterName="net")
    ecs.create_service(
        cluster="net", serviceName="echo", taskDefinition=register(region, "old"), desiredCount=2,
        launchType="FARGATE", networkConfiguration=region.network,
        healthCheckGracePeriodSeconds=60,
        loadBalancers=[{"targetGroupArn": group_arn, "containerName": "app",
                        "containerPort": 7000}],
    )  # fmt: skip
    stable, often = ecs.get_waiter("services_stable"), {"Delay": 1, "MaxAttempts": 90}
    stable.wait(cluster="net", services=["echo"], WaiterConfig=often)
    elb.get_waiter("target_in_service").wait(TargetGroupArn=group_arn, WaiterConfig=often)
    with urllib.request.urlopen(f"{region.url}/_hikkoshi/doors", timeout=10) as answer:
        door = json.load(answer)["listeners"][listener["ListenerArn"]]
    port = int(door.rpartition(":")[2])
    with (
        Callers(port) as callers,
        contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as kept,
    ):
        assert kept.recv(100) == b"old"
        ecs.update_service(cluster="net", service="echo", taskDefinition=register(region, "new"))
        stable.wait(cluster="net", services=["echo"], WaiterConfig=often)
        # It went on until its task had its SIGTERM, after the drain, and then ended in order.
        assert kept.recv(100) == b""
        with socket.create_connection(("127.0.0.1", port), timeout=30) as after:
            assert after.recv(100) == b"new"
    assert callers.names == {b"old", b"new"}
    assert callers.wrong == [] and callers.made > 20
    states = elb.describe_target_health(TargetGroupArn=group_arn)["TargetHealthDescriptions"]
    assert [each["TargetHealth"]["State"] for each in states] == ["healthy", "healthy"]
    ecs.delete_service(cluster="net", service="echo", force=True)
    elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
