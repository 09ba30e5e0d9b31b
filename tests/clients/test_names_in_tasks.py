"""Names that a task resolves in a whole region: a private zone, Cloud Map, Service Connect."""

from __future__ import annotations

import pytest
from test_events_and_spot import ask

pytestmark = pytest.mark.region


def test_a_task_finds_another_by_every_kind_of_name(region):
    ecs, cloud_map, route53 = (
        region.client(name) for name in ("ecs", "servicediscovery", "route53")
    )
    (vpc,) = region.client("ec2").describe_vpcs()["Vpcs"]
    cloud_map.create_private_dns_namespace(Name="genba.local", Vpc=vpc["VpcId"])
    (namespace,) = cloud_map.list_namespaces()["Namespaces"]
    registry = cloud_map.create_service(
        Name="web", NamespaceId=namespace["Id"],
        DnsConfig={"DnsRecords": [{"Type": "A", "TTL": 5}]},
    )["Service"]  # fmt: skip
    zone = route53.create_hosted_zone(
        Name="genba.internal", CallerReference="1",
        VPC={"VPCRegion": "ap-northeast-1", "VPCId": vpc["VpcId"]},
    )["HostedZone"]["Id"]  # fmt: skip
    alias = {
        "Name": "db.genba.internal", "Type": "CNAME", "TTL": 5,
        "ResourceRecords": [{"Value": "web.genba.local"}],
    }  # fmt: skip
    changes = [{"Action": "CREATE", "ResourceRecordSet": alias}]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    ecs.create_cluster(clusterName="names")
    ecs.register_task_definition(
        family="names", networkMode="awsvpc", requiresCompatibilities=["FARGATE"],
        cpu="256", memory="512",
        containerDefinitions=[{
            "name": "app", "image": "localhost/host", "command": ["sleep", "600"],
            "portMappings": [{"containerPort": 8080, "name": "http"}],
        }],
    )  # fmt: skip
    ecs.create_service(
        cluster="names", serviceName="names", taskDefinition="names", desiredCount=1,
        launchType="FARGATE", networkConfiguration=region.network,
        serviceRegistries=[{"registryArn": registry["Arn"]}],
        serviceConnectConfiguration={
            "enabled": True, "namespace": "genba.local",
            "services": [{"portName": "http", "clientAliases": [{"port": 8080, "dnsName": "api"}]}],
        },
    )  # fmt: skip
    ecs.get_waiter("services_stable").wait(
        cluster="names", services=["names"], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    (task,) = ecs.list_tasks(cluster="names")["taskArns"]
    (described,) = ecs.describe_tasks(cluster="names", tasks=[task])["tasks"]
    details = {d["name"]: d["value"] for d in described["attachments"][0]["details"]}
    for name in ("web.genba.local", "db.genba.internal", "api"):
        said = ask(region, "execute", {"task": task, "command": ["getent", "ahostsv4", name]})
        assert said["code"] == 0, (name, said)
        assert said["output"].split()[0] == details["privateIPv4Address"], name
    (seen,) = cloud_map.list_instances(ServiceId=registry["Id"])["Instances"]
    assert seen["Attributes"]["AWS_INSTANCE_IPV4"] == details["privateIPv4Address"]
    ecs.delete_service(cluster="names", service="names", force=True)
