"""boto3's own client and waiters, over the operations: only the HTTP between them is skipped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError
from ecs_house import BALANCED, NETWORK, House, definition
from ecs_shapecheck import as_json, check_output

from hikkoshi.region.front.port import AwsError, Caller

CALLER = Caller("123456789012", "ap-northeast-1", "test")


class Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


class Wire:
    """Answers boto3's requests from the control plane; each call moves the world by a second."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.house = House()
        self.client = boto3.client(
            "ecs", region_name="ap-northeast-1", aws_access_key_id="a",
            aws_secret_access_key="b", config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip
        self.client.meta.events.register("before-send.ecs.*", self._answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        operation = request.headers["X-Amz-Target"].decode().rsplit(".", 1)[-1]
        status, body = self.runner.run(self._call(operation, json.loads(request.body)))
        headers = {"content-type": "application/x-amz-json-1.1", "x-amzn-requestid": "test"}
        return AWSResponse(request.url, status, headers, Raw(body))

    async def _call(self, operation: str, parameters: dict[str, Any]) -> tuple[int, bytes]:
        await self.house.turns(1)
        try:
            answer = await self.house.operations[operation](parameters, CALLER)
        except AwsError as error:
            body = json.dumps({"__type": error.code, "message": error.message}).encode()
            return error.status, body
        check_output(operation, answer)
        return 200, as_json(answer)


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    try:
        yield wire
    finally:
        wire.runner.close()


FAST = {"Delay": 0, "MaxAttempts": 80}


def refusal(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def set_up(wire: Wire, desired: int = 2) -> None:
    wire.client.create_cluster(clusterName="genba")
    wire.client.register_task_definition(**definition())
    wire.client.create_service(
        cluster="genba", serviceName="web", taskDefinition="web", desiredCount=desired,
        launchType="FARGATE", networkConfiguration=NETWORK, loadBalancers=BALANCED,
    )  # fmt: skip


def test_the_waiters_of_services(wire: Wire) -> None:
    ecs = wire.client
    set_up(wire)
    ecs.get_waiter("services_stable").wait(cluster="genba", services=["web"], WaiterConfig=FAST)
    service = ecs.describe_services(cluster="genba", services=["web"])["services"][0]
    assert (service["runningCount"], len(service["deployments"])) == (2, 1)
    ecs.delete_service(cluster="genba", service="web", force=True)
    ecs.get_waiter("services_inactive").wait(cluster="genba", services=["web"], WaiterConfig=FAST)
    with pytest.raises(WaiterError, match="MISSING"):
        ecs.get_waiter("services_stable").wait(
            cluster="genba", services=["nothing"], WaiterConfig=FAST
        )


def test_the_waiters_of_tasks(wire: Wire) -> None:
    ecs = wire.client
    ecs.create_cluster(clusterName="genba")
    ecs.register_task_definition(**definition())
    started = ecs.run_task(
        cluster="genba", taskDefinition="web", count=2, launchType="FARGATE", startedBy="me",
        networkConfiguration=NETWORK, tags=[{"key": "team", "value": "genba"}],
        overrides={"containerOverrides": [
            {"name": "app", "command": ["migrate"], "environment": [{"name": "A", "value": "1"}]},
        ]},
    )  # fmt: skip
    arns = [task["taskArn"] for task in started["tasks"]]
    ecs.get_waiter("tasks_running").wait(cluster="genba", tasks=arns, WaiterConfig=FAST)
    task = ecs.describe_tasks(cluster="genba", tasks=arns, include=["TAGS"])["tasks"][0]
    assert task["tags"] == [{"key": "team", "value": "genba"}]
    assert task["group"] == "family:web"
    assert task["overrides"]["containerOverrides"][0]["command"] == ["migrate"]
    details = {d["name"]: d["value"] for d in task["attachments"][0]["details"]}
    assert details["privateIPv4Address"].startswith("10.0.1.")
    order = wire.house.runtime.tasks[arns[0]].order
    assert order.definition["containerDefinitions"][0]["environment"] == [
        {"name": "A", "value": "1"}
    ]
    for arn in arns:
        ecs.stop_task(cluster="genba", task=arn)
    ecs.get_waiter("tasks_stopped").wait(cluster="genba", tasks=arns, WaiterConfig=FAST)
    assert ecs.list_tasks(cluster="genba", startedBy="me")["taskArns"] == []
    stopped = ecs.list_tasks(cluster="genba", startedBy="me", desiredStatus="STOPPED")
    assert sorted(stopped["taskArns"]) == sorted(arns)


def test_the_same_token_runs_the_same_tasks(wire: Wire) -> None:
    ecs = wire.client
    ecs.create_cluster()
    ecs.register_task_definition(**definition())
    asked = {
        "taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": NETWORK,
        "clientToken": "once",
    }  # fmt: skip
    first, second = ecs.run_task(**asked), ecs.run_task(**asked)
    assert first["tasks"][0]["taskArn"] == second["tasks"][0]["taskArn"]
    assert refusal(ecs.run_task, **asked, count=2)[0] == "ConflictException"


def test_task_definitions_by_revision_page_and_status(wire: Wire) -> None:
    ecs = wire.client
    for _ in range(5):
        ecs.register_task_definition(**definition(), tags=[{"key": "k", "value": "v"}])
    ecs.register_task_definition(**definition(family="batch"))
    newest = ecs.describe_task_definition(taskDefinition="web", include=["TAGS"])
    assert newest["taskDefinition"]["revision"] == 5
    assert newest["tags"] == [{"key": "k", "value": "v"}]
    pages = ecs.get_paginator("list_task_definitions").paginate(
        familyPrefix="web", sort="DESC", PaginationConfig={"PageSize": 2}
    )
    arns = [arn for page in pages for arn in page["taskDefinitionArns"]]
    assert [arn.rsplit(":", 1)[-1] for arn in arns] == ["5", "4", "3", "2", "1"]
    ecs.deregister_task_definition(taskDefinition="web:5")
    assert ecs.describe_task_definition(taskDefinition="web")["taskDefinition"]["revision"] == 4
    assert ecs.describe_task_definition(taskDefinition=arns[0])["taskDefinition"]["status"] == (
        "INACTIVE"
    )
    assert ecs.register_task_definition(**definition())["taskDefinition"]["revision"] == 6
    deleted = ecs.delete_task_definitions(taskDefinitions=["web:5", "web:4", "web:99"])
    assert [d["revision"] for d in deleted["taskDefinitions"]] == [5]
    assert len(deleted["failures"]) == 2
    assert ecs.list_task_definition_families()["families"] == ["batch", "web"]
    assert refusal(ecs.describe_task_definition, taskDefinition="no") == (
        "ClientException", "Unable to describe task definition.",
    )  # fmt: skip
    for odd in ("web:" + "9" * 5000, "../web:1", "web:0", "web:1:1", "arn:aws:ecs:x:1:task/web:1"):
        assert refusal(ecs.describe_task_definition, taskDefinition=odd)[0] == "ClientException"
    bad = definition()
    bad["memory"] = "1"
    assert refusal(ecs.register_task_definition, **bad) == (
        "ClientException", "No Fargate configuration exists for given values.",
    )  # fmt: skip


def test_what_aws_refuses_is_refused_in_its_words(wire: Wire) -> None:
    ecs = wire.client
    assert refusal(ecs.list_tasks) == ("ClusterNotFoundException", "Cluster not found.")
    set_up(wire)
    common = {
        "cluster": "genba", "serviceName": "other", "taskDefinition": "web", "desiredCount": 1,
        "launchType": "FARGATE", "networkConfiguration": NETWORK,
    }  # fmt: skip
    group = BALANCED[0]["targetGroupArn"]
    table = [
        ({"serviceName": "web"}, "Creation of service was not idempotent."),
        ({"taskDefinition": "none"}, "TaskDefinition not found."),
        ({"networkConfiguration": {}}, "Network Configuration must be provided when networkMode"),
        ({"loadBalancers": [{"targetGroupArn": group, "containerName": "x", "containerPort": 1}]},
         "The container x does not exist in the task definition."),
        ({"loadBalancers": [{"targetGroupArn": group, "containerName": "app",
                             "containerPort": 1}]},
         "The container app did not have a container port 1 defined."),
        ({"healthCheckGracePeriodSeconds": 5},
         "Health check grace period is only valid for services configured to use load balancers"),
        ({"deploymentController": {"type": "CODE_DEPLOY"}}, "not implemented by the local region"),
        ({"deploymentConfiguration": {"strategy": "BLUE_GREEN"}}, "bakeTimeInMinutes"),
        ({"launchType": "EC2"}, "not implemented by the local region"),
    ]  # fmt: skip
    for change, words in table:
        _, message = refusal(ecs.create_service, **{**common, **change})
        assert words in message, (change, message)
    missing = ecs.describe_services(cluster="genba", services=["nope"])
    assert missing["failures"] == [
        {"arn": "arn:aws:ecs:ap-northeast-1:123456789012:service/genba/nope", "reason": "MISSING"}
    ]
    assert refusal(ecs.update_service, cluster="genba", service="nope")[0] == (
        "ServiceNotFoundException"
    )
    assert refusal(ecs.stop_task, cluster="genba", task="nope") == (
        "InvalidParameterException", "The referenced task was not found.",
    )  # fmt: skip
    task = ecs.describe_tasks(cluster="genba", tasks=["0" * 32])
    assert task["failures"][0]["reason"] == "MISSING"
    code, message = refusal(ecs.delete_cluster, cluster="genba")
    assert code == "ClusterContainsServicesException"
    assert "cannot be deleted" in message
    arns = ecs.list_tasks(cluster="genba")["taskArns"]
    _, message = refusal(
        ecs.execute_command, cluster="genba", task=arns[0], command="sh", interactive=True
    )
    assert message.startswith("The execute command failed because execute command was not enabled")
    assert refusal(ecs.list_tasks, cluster="genba", nextToken="%%%")[0] == (
        "InvalidParameterException"
    )


def test_clusters_tags_settings_and_capacity_providers(wire: Wire) -> None:
    ecs = wire.client
    first = ecs.create_cluster(clusterName="genba", tags=[{"key": "a", "value": "1"}])["cluster"]
    assert ecs.create_cluster(clusterName="genba")["cluster"]["clusterArn"] == first["clusterArn"]
    ecs.put_cluster_capacity_providers(
        cluster="genba", capacityProviders=["FARGATE", "FARGATE_SPOT"],
        defaultCapacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
    )  # fmt: skip
    ecs.register_task_definition(**definition())
    task = ecs.run_task(cluster="genba", taskDefinition="web", networkConfiguration=NETWORK)
    assert task["tasks"][0]["capacityProviderName"] == "FARGATE_SPOT"
    assert "launchType" not in task["tasks"][0]
    described = ecs.describe_clusters(
        clusters=["genba", "none"], include=["TAGS", "SETTINGS", "STATISTICS"]
    )
    assert described["clusters"][0]["runningTasksCount"] == 1
    assert described["failures"][0]["reason"] == "MISSING"
    arn = first["clusterArn"]
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}])
    ecs.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert ecs.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "2"}]
    ecs.put_account_setting(name="containerInsights", value="enabled")
    effective = ecs.list_account_settings(effectiveSettings=True, name="containerInsights")
    assert effective["settings"][0]["value"] == "enabled"
    providers = ecs.describe_capacity_providers()["capacityProviders"]
    assert [p["name"] for p in providers] == ["FARGATE", "FARGATE_SPOT"]
    assert ecs.list_clusters()["clusterArns"] == [arn]


def test_a_cluster_s_setting_has_a_name(wire: Wire) -> None:
    ecs, nameless = wire.client, [{"value": "enabled"}]
    for call, words in (
        (ecs.create_cluster, {"clusterName": "genba"}),
        (ecs.update_cluster_settings, {"cluster": "genba"}),
    ):
        code, message = refusal(call, settings=nameless, **words)
        assert (code, "must have a name" in message) == ("InvalidParameterException", True)
        ecs.create_cluster(clusterName="genba")
    named = [{"name": "containerInsights", "value": "enabled"}]
    changed = ecs.update_cluster_settings(cluster="genba", settings=named)["cluster"]
    assert changed["settings"] == named


def test_updating_a_service_with_nothing_new_makes_no_deployment(wire: Wire) -> None:
    ecs = wire.client
    set_up(wire)
    ecs.get_waiter("services_stable").wait(cluster="genba", services=["web"], WaiterConfig=FAST)
    before = ecs.describe_services(cluster="genba", services=["web"])["services"][0]
    for nothing_new in ({"taskDefinition": "web:1"}, {"healthCheckGracePeriodSeconds": 9}, {}):
        after = ecs.update_service(cluster="genba", service="web", **nothing_new)["service"]
        assert [d["id"] for d in after["deployments"]] == [before["deployments"][0]["id"]]
    configuration = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    after = ecs.update_service(
        cluster="genba", service="web", forceNewDeployment=True,
        deploymentConfiguration=configuration,
    )["service"]  # fmt: skip
    assert [d["status"] for d in after["deployments"]] == ["PRIMARY", "ACTIVE"]
    assert after["deploymentConfiguration"]["maximumPercent"] == 200
    assert after["deploymentConfiguration"]["deploymentCircuitBreaker"]["enable"] is True
