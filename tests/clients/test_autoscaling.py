"""Application Auto Scaling of a real service in a whole region, by boto3."""

from __future__ import annotations

import json
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.region

WHERE = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}
BUSY = "trap 'exit 7' TERM; while [ ! -e /tmp/calm ]; do :; done; sleep 600 & wait"


@pytest.fixture(scope="module")
def service(region):
    ecs = region.client("ecs")
    ecs.create_cluster(clusterName="scaled")
    region.register("busy", command=BUSY)
    ecs.create_service(
        cluster="scaled", serviceName="busy", taskDefinition="busy", desiredCount=1,
        launchType="FARGATE", networkConfiguration=region.network,
    )  # fmt: skip
    yield "service/scaled/busy"
    ecs.delete_service(cluster="scaled", service="busy", force=True)


def desired(region):
    found = region.client("ecs").describe_services(cluster="scaled", services=["busy"])
    return found["services"][0]["desiredCount"]


def wait_for(region, count, seconds):
    deadline = time.monotonic() + seconds
    while desired(region) != count:
        assert time.monotonic() < deadline, f"desiredCount is {desired(region)}, not {count}"
        time.sleep(0.1)


def test_a_busy_service_is_scaled_out_and_its_bounds_hold(region, service):
    scaling = region.client("application-autoscaling")
    scaling.register_scalable_target(ResourceId=service, MinCapacity=1, MaxCapacity=2, **WHERE)
    put = scaling.put_scaling_policy(
        ResourceId=service, PolicyName="cpu", PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 40.0, "ScaleOutCooldown": 60, "ScaleInCooldown": 60,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ECSServiceAverageCPUUtilization"
            },
        }, **WHERE,
    )  # fmt: skip
    assert [alarm["AlarmName"].split("-")[-2] for alarm in put["Alarms"]] == [
        "AlarmHigh",
        "AlarmLow",
    ]
    wait_for(region, 2, 20)
    (activity,) = scaling.describe_scaling_activities(ResourceId=service, **WHERE)[
        "ScalingActivities"
    ]
    assert activity["StatusCode"] == "Successful"
    assert activity["Description"] == "Setting desired count to 2."
    assert "in state ALARM triggered policy cpu" in activity["Cause"]
    scaling.delete_scaling_policy(ResourceId=service, PolicyName="cpu", **WHERE)
    # A bound that moves below what runs takes effect without any policy.
    scaling.register_scalable_target(ResourceId=service, MinCapacity=1, MaxCapacity=1, **WHERE)
    wait_for(region, 1, 5)


def test_requests_through_the_load_balancer_scale_the_service(region):
    ecs, elb = region.client("ecs"), region.client("elbv2")
    scaling = region.client("application-autoscaling")
    subnets = region.client("ec2").describe_subnets()["Subnets"]
    balancer = elb.create_load_balancer(Name="web", Subnets=[s["SubnetId"] for s in subnets[:2]])
    balancer = balancer["LoadBalancers"][0]["LoadBalancerArn"]
    group = elb.create_target_group(
        Name="web", Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"], TargetType="ip",
    )["TargetGroups"][0]["TargetGroupArn"]  # fmt: skip
    listener = elb.create_listener(
        LoadBalancerArn=balancer, Protocol="HTTP", Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )["Listeners"][0]["ListenerArn"]  # fmt: skip
    definition = region.client("ecs").register_task_definition(
        family="web", networkMode="awsvpc", requiresCompatibilities=["FARGATE"],
        cpu="256", memory="512",
        containerDefinitions=[{
            "name": "app", "image": "localhost/python", "portMappings": [{"containerPort": 8080}],
            "command": ["python3", "-m", "http.server", "-d", "/etc/ssl", "8080"],
        }],
    )["taskDefinition"]["taskDefinitionArn"]  # fmt: skip
    ecs.create_cluster(clusterName="scaled")
    ecs.create_service(
        cluster="scaled", serviceName="web", taskDefinition=definition, desiredCount=1,
        launchType="FARGATE", networkConfiguration=region.network,
        healthCheckGracePeriodSeconds=60,  # A busy machine starts it slowly.
        loadBalancers=[{"targetGroupArn": group, "containerName": "app", "containerPort": 8080}],
    )  # fmt: skip
    ecs.get_waiter("services_stable").wait(
        cluster="scaled", services=["web"], WaiterConfig={"Delay": 1, "MaxAttempts": 40}
    )
    elb.get_waiter("target_in_service").wait(
        TargetGroupArn=group, WaiterConfig={"Delay": 1, "MaxAttempts": 40}
    )
    where = {"ResourceId": "service/scaled/web", **WHERE}
    scaling.register_scalable_target(MinCapacity=1, MaxCapacity=2, **where)
    label = balancer.partition("loadbalancer/")[2] + "/" + group.rpartition(":")[2]
    scaling.put_scaling_policy(
        PolicyName="requests", PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 60.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label,
            },
        }, **where,
    )  # fmt: skip
    with urllib.request.urlopen(f"{region.url}/_hikkoshi/doors", timeout=10) as answer:
        door = json.load(answer)["listeners"][listener]
    deadline = time.monotonic() + 30
    while (
        ecs.describe_services(cluster="scaled", services=["web"])["services"][0]["desiredCount"]
        == 1
    ):
        assert time.monotonic() < deadline, "20 requests a second did not scale it"
        urllib.request.urlopen(f"http://{door}/", timeout=10).close()
        time.sleep(0.05)
    (activity,) = scaling.describe_scaling_activities(**where)["ScalingActivities"]
    assert "triggered policy requests" in activity["Cause"]
    ecs.delete_service(cluster="scaled", service="web", force=True)


def test_a_scheduled_action_moves_the_bounds(region, service):
    scaling = region.client("application-autoscaling")
    scaling.register_scalable_target(ResourceId=service, MinCapacity=1, MaxCapacity=2, **WHERE)
    moment = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
    scaling.put_scheduled_action(
        ResourceId=service, ScheduledActionName="morning", Schedule=f"at({moment})",
        ScalableTargetAction={"MinCapacity": 2, "MaxCapacity": 3}, **WHERE,
    )  # fmt: skip
    wait_for(region, 2, 10)
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 3)
    causes = [a["Cause"] for a in scaling.describe_scaling_activities(**WHERE)["ScalingActivities"]]
    assert causes[:2] == [
        "minimum capacity was set to 2",
        "scheduled action name morning was triggered",
    ]
    assert scaling.describe_scheduled_actions(ServiceNamespace="ecs")["ScheduledActions"] == []


@pytest.mark.parametrize(
    ("operation", "more", "code"),
    [
        ("register_scalable_target", {"MinCapacity": 3, "MaxCapacity": 2}, "ValidationException"),
        ("register_scalable_target", {"ResourceId": "service/scaled/none", "MinCapacity": 1,
                                      "MaxCapacity": 2}, "ValidationException"),
        ("put_scaling_policy", {"PolicyName": "x", "PolicyType": "StepScaling"},
         "NotImplementedException"),
        ("put_scaling_policy", {"PolicyName": "x", "PolicyType": "TargetTrackingScaling"},
         "ValidationException"),
        ("delete_scaling_policy", {"PolicyName": "none"}, "ObjectNotFoundException"),
        ("put_scheduled_action", {"ScheduledActionName": "x", "Schedule": "soon"},
         "ValidationException"),
    ],
)  # fmt: skip
def test_what_aws_refuses_is_refused(region, service, operation, more, code):
    scaling = region.client("application-autoscaling")
    scaling.register_scalable_target(ResourceId=service, MinCapacity=1, MaxCapacity=2, **WHERE)
    with pytest.raises(ClientError) as caught:
        getattr(scaling, operation)(**{"ResourceId": service, **WHERE, **more})
    assert caught.value.response["Error"]["Code"] == code
