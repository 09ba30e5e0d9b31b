"""Spot interruptions and EventBridge in a whole region, by boto3."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request

import pytest

pytestmark = pytest.mark.region


def ask(region, path, body=None):
    request = urllib.request.Request(
        f"{region.url}/_hikkoshi/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_an_interruption_reaches_the_task_and_a_rule_s_queue(region):
    ecs, events, sqs = (region.client(name) for name in ("ecs", "events", "sqs"))
    ecs.create_cluster(clusterName="spot", capacityProviders=["FARGATE", "FARGATE_SPOT"])
    region.register("spot")
    queue = sqs.create_queue(QueueName="spot")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    pattern = {"source": ["aws.ecs"], "detail": {"stopCode": ["SpotInterruption"]}}
    events.put_rule(Name="spot", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="spot", Targets=[{"Id": "queue", "Arn": arn["QueueArn"]}])
    (task,) = ecs.run_task(
        cluster="spot", taskDefinition="spot", networkConfiguration=region.network,
        capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
    )["tasks"]  # fmt: skip
    quickly = {"Delay": 1, "MaxAttempts": 60}
    ecs.get_waiter("tasks_running").wait(
        cluster="spot", tasks=[task["taskArn"]], WaiterConfig=quickly
    )
    assert ask(region, "interrupt", {"task": task["taskArn"]}) == {}
    ecs.get_waiter("tasks_stopped").wait(
        cluster="spot", tasks=[task["taskArn"]], WaiterConfig=quickly
    )
    (gone,) = ecs.describe_tasks(cluster="spot", tasks=[task["taskArn"]])["tasks"]
    assert gone["stopCode"] == "SpotInterruption"
    assert gone["stoppedReason"] == "Your Spot Task was interrupted."
    assert gone["containers"][0]["exitCode"] == 7, "it heard SIGTERM and left in its own way"
    deadline, bodies = time.monotonic() + 10, []
    while not any(body["detail"]["lastStatus"] == "STOPPED" for body in bodies):
        assert time.monotonic() < deadline, "the queue did not get the end of the task"
        got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        bodies += [json.loads(message["Body"]) for message in got]
    assert {body["detail"]["taskArn"] for body in bodies} == {task["taskArn"]}
    kept = ask(region, "events?limit=5000")["events"]
    mine = [e["detail"]["lastStatus"] for e in kept if e["resources"] == [task["taskArn"]]]
    assert mine[0] == "PROVISIONING"
    assert mine[-1] == "STOPPED"


@pytest.mark.parametrize(
    ("path", "body"),
    [("interrupt", {"task": "no/such"}), ("interrupt", {}), ("events?after=x", None)],
)
def test_a_wrong_private_call_is_refused_in_words(region, path, body):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(region, path, body)
    assert caught.value.code == 400
    assert json.load(caught.value)["message"]
