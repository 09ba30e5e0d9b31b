"""Events as EventBridge carries them."""

from __future__ import annotations

import asyncio
import json
import time

import boto3
import pytest
from ecs_house import BALANCED, NETWORK, House
from moto import mock_aws


async def run_one(house: House) -> str:
    ran = await house.call(
        "RunTask", cluster="genba", taskDefinition="web", launchType="FARGATE",
        networkConfiguration=NETWORK,
    )  # fmt: skip
    return ran["tasks"][0]["taskArn"]


def test_each_change_of_a_task_is_an_event_and_nothing_else_is():
    async def story() -> None:
        house = House()
        await house.open()
        task = await run_one(house)
        await house.turns(3)
        await house.call("StopTask", cluster="genba", task=task, reason="enough")
        listing = house.ecs.events()
        events = listing["events"]
        assert {e["detail-type"] for e in events} == {"ECS Task State Change"}
        told = [(e["detail"]["lastStatus"], e["detail"]["desiredStatus"]) for e in events]
        assert told[0] == ("PROVISIONING", "RUNNING")
        assert ("RUNNING", "RUNNING") in told
        assert told[-1] == ("STOPPED", "STOPPED")
        assert len(set(map(json.dumps, told))) == 5, (
            "PROVISIONING, RUNNING, asked, STOPPING, STOPPED"
        )
        last = events[-1]
        assert {k: last[k] for k in ("version", "source", "account", "region", "resources")} == {
            "version": "0", "source": "aws.ecs", "account": "123456789012",
            "region": "ap-northeast-1", "resources": [task],
        }  # fmt: skip
        assert last["detail"]["stoppedReason"] == "enough"
        assert last["detail"]["stoppedAt"].endswith("Z")
        versions = [e["detail"]["version"] for e in events]
        assert versions == sorted(versions)
        assert house.ecs.events(after=listing["last"])["events"] == []
        assert house.ecs.events(after=listing["last"] - 1)["events"] == [last]

    asyncio.run(story())


def test_a_service_tells_of_its_deployments_and_of_its_steadiness():
    async def story() -> None:
        house = House()
        await house.open()
        service = await house.create(desired=1, loadBalancers=BALANCED)
        await house.settle()
        await house.turns(3)
        await house.call("UpdateService", cluster="genba", service="web", desiredCount=2)
        await house.settle()
        await house.turns(3)
        events = [
            e for e in house.ecs.events()["events"] if e["resources"] == [service["serviceArn"]]
        ]
        assert [e["detail"]["eventName"] for e in events] == [
            "SERVICE_DEPLOYMENT_IN_PROGRESS",
            "SERVICE_DEPLOYMENT_COMPLETED",
            "SERVICE_STEADY_STATE",
            "SERVICE_DESIRED_COUNT_UPDATED",
            "SERVICE_STEADY_STATE",
        ]
        assert events[0]["detail"]["deploymentId"] == service["deployments"][0]["id"]
        assert events[0]["detail-type"] == "ECS Deployment State Change"
        assert events[2]["detail-type"] == "ECS Service Action"

    asyncio.run(story())


@pytest.fixture
def bridge(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with mock_aws():
        yield lambda name: boto3.client(name, region_name="ap-northeast-1")


def test_a_rule_delivers_to_a_log_group_and_a_queue(bridge):
    """Rules, queues and log groups are moto's, as they are in a region."""
    events, logs, sqs = bridge("events"), bridge("logs"), bridge("sqs")
    logs.create_log_group(logGroupName="/ecs/events")
    queue = sqs.create_queue(QueueName="stopped")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    for name, statuses, target in (
        ("all", ["RUNNING", "STOPPED"],
         "arn:aws:logs:ap-northeast-1:123456789012:log-group:/ecs/events"),
        ("stopped", ["STOPPED"], arn["QueueArn"]),
        ("off", ["STOPPED"], arn["QueueArn"]),
    ):  # fmt: skip
        pattern = {"source": ["aws.ecs"], "detail": {"lastStatus": statuses}}
        state = "DISABLED" if name == "off" else "ENABLED"
        events.put_rule(Name=name, EventPattern=json.dumps(pattern), State=state)
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": target}])

    async def story() -> str:
        house = House()
        await house.open()
        task = await run_one(house)
        await house.turns(2)
        await house.call("StopTask", cluster="genba", task=task)
        await asyncio.to_thread(house.ecs._bus._thread.shutdown, True)
        assert house.ecs.events()["dropped"] == 0
        return task

    task = asyncio.run(story())
    deadline = time.monotonic() + 5
    (message,) = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    body = json.loads(message["Body"])
    assert body["detail"]["taskArn"] == task
    assert body["detail-type"] == "ECS Task State Change"
    logged = logs.filter_log_events(logGroupName="/ecs/events")["events"]
    assert time.monotonic() < deadline
    statuses = [json.loads(e["message"])["detail"]["lastStatus"] for e in logged]
    assert statuses.count("STOPPED") == 1
    assert "RUNNING" in statuses
