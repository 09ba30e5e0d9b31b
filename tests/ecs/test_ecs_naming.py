"""Cloud Map and Service Connect: which names a service's tasks have, and when."""

from __future__ import annotations

import asyncio

import boto3
import pytest
from ecs_house import House, definition
from moto import mock_aws

from hikkoshi.region.dns.cloudmap import CloudMap
from hikkoshi.region.dns.zone import Zone

CHECK = {"command": ["CMD", "true"]}


@pytest.fixture
def cloud_map(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with mock_aws():
        yield boto3.client("servicediscovery", region_name="ap-northeast-1")


def make_registry(cloud_map, *kinds):
    cloud_map.create_private_dns_namespace(Name="genba.local", Vpc="vpc-1")
    (namespace,) = cloud_map.list_namespaces()["Namespaces"]
    records = [{"Type": kind, "TTL": 10} for kind in kinds]
    made = cloud_map.create_service(
        Name="web", NamespaceId=namespace["Id"], DnsConfig={"DnsRecords": records}
    )["Service"]
    return made["Id"], made["Arn"]


def make_house():
    registries = CloudMap("123456789012", "ap-northeast-1")
    zone = Zone()
    zone.add_source(registries)
    return House(registries=registries, dns=zone), zone


def addresses(zone, name):
    end = zone.find(name).end
    return sorted(end.addresses) if end is not None else None


def test_tasks_are_in_their_registry_as_long_as_they_run(cloud_map):
    registry, arn = make_registry(cloud_map, "A", "SRV")

    async def story() -> None:
        house, zone = make_house()
        await house.open()
        entry = {"registryArn": arn, "containerName": "app", "containerPort": 8080}
        made = await house.create(serviceRegistries=[entry])
        assert made["serviceRegistries"] == [entry]
        assert addresses(zone, "web.genba.local") == [], "nothing runs yet"
        await house.settle()
        running = {task["taskArn"].rpartition("/")[2] for task in await house.tasks()}
        instances = cloud_map.list_instances(ServiceId=registry)["Instances"]
        assert {each["Id"] for each in instances} == running
        attributes = instances[0]["Attributes"]
        assert attributes["AWS_INSTANCE_PORT"] == "8080"
        assert attributes["ECS_SERVICE_NAME"] == "web"
        assert attributes["ECS_CLUSTER_NAME"] == "genba"
        assert attributes["ECS_TASK_DEFINITION_FAMILY"] == "web"
        shown = addresses(zone, "web.genba.local")
        assert len(shown) == 2
        found = zone.find("web.genba.local")
        assert found.end.ttl_s == 10
        targets = [record.data.split() for record in found.records]
        assert [each[:3] for each in targets] == [["1", "1", "8080"]] * 2
        assert sorted(addresses(zone, each[3])[0] for each in targets) == shown
        await house.call("UpdateService", cluster="genba", service="web", desiredCount=0)
        await house.settle()
        assert cloud_map.list_instances(ServiceId=registry)["Instances"] == []
        assert addresses(zone, "web.genba.local") == []

    asyncio.run(story())


def test_an_unhealthy_task_has_no_name(cloud_map):
    _, arn = make_registry(cloud_map, "A")

    async def story() -> None:
        house, zone = make_house()
        await house.open(healthCheck=CHECK)
        await house.create(desired=1, serviceRegistries=[{"registryArn": arn}])
        await house.settle()
        assert len(addresses(zone, "web.genba.local")) == 1
        (task,) = await house.tasks()
        house.runtime.set_health(task["taskArn"], "UNHEALTHY")
        assert addresses(zone, "web.genba.local") == []

    asyncio.run(story())


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"registryArn": "arn:aws:servicediscovery:x:1:service/no"}, "does not exist"),
        ({}, "SRV records"),
        ({"containerName": "app", "containerPort": 9}, "container port 9"),
        ({"containerName": "app", "containerPort": 8080, "port": 8080}, "not both"),
    ],
)
def test_a_registry_that_makes_no_sense_is_refused(cloud_map, entry, words):
    _, arn = make_registry(cloud_map, "SRV")

    async def story() -> None:
        house, _ = make_house()
        await house.open()
        error = await house.refused(
            "CreateService", cluster="genba", serviceName="web", taskDefinition="web",
            desiredCount=1, launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
            serviceRegistries=[{"registryArn": arn, **entry}],
        )  # fmt: skip
        assert error.code == "InvalidParameterException"
        assert words in error.message

    asyncio.run(story())


async def with_named_port(house) -> None:
    await house.call("CreateCluster", clusterName="genba")
    document = definition()
    document["containerDefinitions"][0]["portMappings"] = [{"containerPort": 8080, "name": "http"}]
    await house.call("RegisterTaskDefinition", **document)


def connect(**service):
    return {"enabled": True, "namespace": "genba.local",
            "services": [{"portName": "http", **service}]}  # fmt: skip


def test_service_connect_names_lead_to_the_tasks():
    async def story() -> None:
        house, zone = make_house()
        await with_named_port(house)
        both = [{"port": 8080, "dnsName": "api"}, {"port": 8080}]
        made = await house.create(serviceConnectConfiguration=connect(clientAliases=both))
        assert made["deployments"][0]["serviceConnectConfiguration"]["namespace"] == "genba.local"
        await house.settle()
        assert len(addresses(zone, "api")) == 2
        assert addresses(zone, "http.genba.local") == addresses(zone, "api")
        await house.call(
            "UpdateService", cluster="genba", service="web",
            serviceConnectConfiguration={"enabled": False},
        )  # fmt: skip
        await house.settle()
        assert len(await house.tasks()) == 2
        assert not zone.find("api").is_known

    asyncio.run(story())


def test_service_connect_that_needs_the_proxy_is_refused_in_words():
    async def story() -> None:
        house, _ = make_house()
        await with_named_port(house)
        asked = {
            "cluster": "genba", "serviceName": "web", "taskDefinition": "web", "desiredCount": 1,
            "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        }  # fmt: skip
        other_port = connect(clientAliases=[{"port": 80}])
        error = await house.refused(
            "CreateService", **asked, serviceConnectConfiguration=other_port
        )
        assert error.status == 501
        assert "port 80" in error.message
        unknown = {"enabled": True, "namespace": "n", "services": [{"portName": "grpc"}]}
        error = await house.refused("CreateService", **asked, serviceConnectConfiguration=unknown)
        assert "portName grpc" in error.message
        error = await house.refused(
            "CreateService", **asked, serviceConnectConfiguration={"enabled": True}
        )
        assert "namespace" in error.message

    asyncio.run(story())
