"""What differs, what has failed, how a deployment stands: pure functions, in tables."""

from __future__ import annotations

import datetime
from pathlib import Path

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError

from hikkoshi.aws.access import calling
from hikkoshi.base.errors import AwsRefused
from hikkoshi.ship import normal
from hikkoshi.ship.changes import compare
from hikkoshi.ship.failures import failed_tasks, is_hopeless
from hikkoshi.ship.home import Home
from hikkoshi.ship.judge import Ours, State, judge
from hikkoshi.ship.rollback import choose_target

TASK = {
    "family": "web", "cpu": "256", "memory": "512", "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "containerDefinitions": [
        {"name": "web", "image": "web:1", "portMappings": [{"containerPort": 80}],
         "environment": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
         "healthCheck": {"command": ["CMD", "true"]}},
    ],
}  # fmt: skip
SHOWN_TASK = {
    **TASK,
    "taskDefinitionArn": "arn:aws:ecs:r:1:task-definition/web:1", "revision": 1,
    "status": "ACTIVE", "compatibilities": ["EC2", "FARGATE"], "volumes": [],
    "placementConstraints": [], "enableFaultInjection": False,
    "containerDefinitions": [
        {"name": "web", "image": "web:1", "cpu": 0, "essential": True, "mountPoints": [],
         "volumesFrom": [], "systemControls": [],
         "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}],
         "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
         "healthCheck": {"command": ["CMD", "true"], "interval": 30, "timeout": 5, "retries": 3}},
    ],
}  # fmt: skip
SERVICE = {
    "serviceName": "web", "launchType": "FARGATE", "desiredCount": 2,
    "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-2", "subnet-1"]}},
}  # fmt: skip
SHOWN_SERVICE = {
    **SERVICE,
    "serviceArn": "arn:s", "status": "ACTIVE", "runningCount": 2, "pendingCount": 0,
    "platformVersion": "LATEST", "platformFamily": "Linux", "schedulingStrategy": "REPLICA",
    "networkConfiguration": {"awsvpcConfiguration": {
        "subnets": ["subnet-1", "subnet-2"], "securityGroups": [], "assignPublicIp": "DISABLED"}},
    "deploymentConfiguration": {
        "deploymentCircuitBreaker": {"enable": False, "rollback": False,
                                     "resetOnHealthyTask": True},
        "maximumPercent": 200, "minimumHealthyPercent": 100, "strategy": "ROLLING",
        "bakeTimeInMinutes": 0},
    "placementConstraints": [], "placementStrategy": [], "healthCheckGracePeriodSeconds": 0,
    "deploymentController": {"type": "ECS"}, "enableECSManagedTags": False,
    "propagateTags": "NONE", "enableExecuteCommand": False, "loadBalancers": [],
    "serviceRegistries": [], "tags": [], "availabilityZoneRebalancing": "ENABLED",
    "deployments": [], "events": [],
}  # fmt: skip


def home(task=TASK, service=SERVICE) -> Home:
    return Home(Path("d"), Path("d/ecspresso.yml"), "r", "c", "web", task, service)


def test_defaults_that_aws_fills_in_are_no_difference():
    found = compare(home(), SHOWN_SERVICE, SHOWN_TASK)
    assert (found.task_diff, found.service_diff, found.service) == ((), (), {})
    assert found.is_nothing


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"cpu": "0.25 vCPU", "memory": "0.5 GB"}, None),
        ({"cpu": "512", "memory": "1024"}, '+  "cpu": "512",'),
        ({"taskRoleArn": "arn:aws:iam::1:role/r"}, '+  "taskRoleArn": "arn:aws:iam::1:role/r"'),
    ],
)
def test_a_task_definition_differs_only_in_what_means_something(change, line):
    diff = compare(home({**TASK, **change}), SHOWN_SERVICE, SHOWN_TASK).task_diff
    assert (line in diff) if line else diff == ()


def test_what_the_files_no_longer_say_of_a_task_is_taken_away():
    shown = {**SHOWN_TASK, "taskRoleArn": "arn:aws:iam::1:role/r"}
    assert any(x.startswith("-") and "taskRoleArn" in x
               for x in compare(home(), SHOWN_SERVICE, shown).task_diff)  # fmt: skip


def test_essential_false_is_no_default():
    other = {**TASK, "containerDefinitions": [{**TASK["containerDefinitions"][0]},
             {"name": "side", "image": "s:1", "essential": False}]}  # fmt: skip
    one = normal.task_definition(other)["containerDefinitions"][1]
    assert one["essential"] is False


@pytest.mark.parametrize(
    ("files", "live", "updates"),
    [
        ({"desiredCount": 3}, {}, {"desiredCount": 3}),
        ({"platformVersion": "1.4.0"}, {}, {}),
        ({"deploymentConfiguration": {"minimumHealthyPercent": 50}}, {},
         {"deploymentConfiguration": {"minimumHealthyPercent": 50}}),
        ({}, {"healthCheckGracePeriodSeconds": 60}, {"healthCheckGracePeriodSeconds": 0}),
        ({}, {"loadBalancers": [{"targetGroupArn": "a", "containerName": "web",
                                 "containerPort": 80}]}, {"loadBalancers": []}),
        ({}, {"desiredCount": 2}, {}),
    ],
)  # fmt: skip
def test_what_an_update_is_given(files, live, updates):
    found = compare(home(service={**SERVICE, **files}), {**SHOWN_SERVICE, **live}, SHOWN_TASK)
    assert found.service == updates
    assert bool(found.service_diff) == bool(updates)


def test_a_file_that_is_silent_about_the_count_leaves_it():
    files = {k: v for k, v in SERVICE.items() if k != "desiredCount"}
    assert compare(home(service=files), {**SHOWN_SERVICE, "desiredCount": 9}, SHOWN_TASK).is_nothing


NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


EXITED = ("EssentialContainerExited", "Essential container in task exited")


def task(number=1, code=1, stop=EXITED[0], reason=EXITED[1], started_by="ecs-svc/1", **container):
    return {
        "taskArn": f"arn:aws:ecs:r:1:task/c/{number:032x}", "startedBy": started_by,
        "taskDefinitionArn": "arn:aws:ecs:r:1:task-definition/web:2", "lastStatus": "STOPPED",
        "stopCode": stop, "stoppedReason": reason, "stoppingAt": NOW,
        "containers": [{"name": "side", "exitCode": 143}, {"name": "web", "exitCode": code,
                                                         **container}],
    }  # fmt: skip


def scaled(number):
    return task(number, 143, "ServiceSchedulerInitiated", "Scaling activity initiated by (…)")


def unpullable(number, image):
    return task(number, None, "TaskFailedToStart", f"CannotPullContainerError: {image}")


@pytest.mark.parametrize(
    ("tasks", "is_one_well", "gives_up"),
    [
        ([task(1)], False, False),
        ([task(1), task(2)], False, True),
        ([task(1), task(2)], True, False),
        ([task(1, 1), task(2, 2)], False, False),
        ([task(1), task(2, started_by="ecs-svc/0")], False, False),
        ([task(1), scaled(2), scaled(3)], False, False),
        ([unpullable(1, "a"), unpullable(2, "a")], False, True),
        ([unpullable(1, "a"), unpullable(2, "b")], False, False),
    ],
)
def test_when_to_give_up(tasks, is_one_well, gives_up):
    assert is_hopeless(failed_tasks(tasks, "ecs-svc/1"), is_one_well) is gives_up


def test_the_container_that_ended_the_task_is_named():
    (found,) = failed_tasks([task(1, 3)], "ecs-svc/1")
    assert found.words == ("Essential container in task exited: container web exited with code 3")


def deployment(number, status="PRIMARY", rollout="IN_PROGRESS", task=2):
    return {
        "id": f"ecs-svc/{number}", "status": status, "rolloutState": rollout,
        "rolloutStateReason": "why", "taskDefinition": f"arn:…/web:{task}",
        "createdAt": NOW + datetime.timedelta(seconds=number),
    }  # fmt: skip


def service(*deployments):
    return {"deployments": list(deployments), "runningCount": 1, "desiredCount": 1}


OURS = Ours("ecs-svc/5", "arn:record", NOW.timestamp() + 5)


@pytest.mark.parametrize(
    ("status", "deployments", "state"),
    [
        ("IN_PROGRESS", [deployment(5)], State.GOING),
        ("SUCCESSFUL", [deployment(5, rollout="COMPLETED")], State.SUCCEEDED),
        # the breaker went back: the service is steady again, and that is no success
        ("ROLLBACK_IN_PROGRESS", [deployment(1), deployment(5, "ACTIVE")], State.ROLLING_BACK),
        ("ROLLBACK_SUCCESSFUL", [deployment(1, rollout="COMPLETED")], State.ROLLED_BACK),
        ("ROLLBACK_FAILED", [deployment(5, rollout="FAILED")], State.FAILED),
        ("STOPPED", [deployment(5, rollout="FAILED")], State.FAILED),
        ("STOPPED", [deployment(9), deployment(5, "ACTIVE")], State.SUPERSEDED),
        # without the newer API only the list of deployments tells
        (None, [deployment(5)], State.GOING),
        (None, [deployment(5, rollout="COMPLETED")], State.SUCCEEDED),
        (None, [deployment(1), deployment(5, "ACTIVE", "FAILED")], State.ROLLING_BACK),
        (None, [deployment(1, rollout="COMPLETED")], State.ROLLED_BACK),
        (None, [deployment(9)], State.SUPERSEDED),
        (None, [deployment(5, rollout="FAILED")], State.FAILED),
    ],
)
def test_a_deployment_is_judged_by_its_own_id(status, deployments, state):
    record = None if status is None else {"status": status}
    assert judge(service(*deployments), record, OURS)[0] is state


def test_where_a_rollback_goes():
    good = [("arn:…/web:2", "t2"), ("arn:…/web:1", "t1")]
    steady = service(deployment(5, rollout="COMPLETED", task=2))
    assert choose_target(steady, good, None).task_definition == "arn:…/web:1"
    going = service(deployment(6, task=3), deployment(5, "ACTIVE", "COMPLETED", task=2))
    chosen = choose_target(going, good, None)
    assert (chosen.task_definition, chosen.stops) == ("arn:…/web:2", True)
    assert choose_target(steady, good[:1], None) is None
    assert choose_target(steady, good, "arn:…/web:9").task_definition == "arn:…/web:9"


def answered(code, message):
    class Client:
        def call(self, **_):
            details = {"Error": {"Code": code, "Message": message}}
            raise ClientError(details, "UpdateService")

    return Client().call


@pytest.mark.parametrize(
    ("code", "message", "says"),
    [
        ("AccessDeniedException",
         "User: arn:aws:iam::1:user/me is not authorized to perform: ecs:UpdateService on "
         "resource: arn:aws:ecs:r:1:service/c/web because no identity-based policy allows it",
         ["arn:aws:iam::1:user/me may not call ecs:UpdateService on arn:aws:ecs:r:1:service/c/web",
          '{"Effect": "Allow", "Action": "ecs:UpdateService", '
          '"Resource": "arn:aws:ecs:r:1:service/c/web"}']),
        ("ExpiredTokenException", "The security token included in the request is expired",
         ["the credentials have expired", "aws sso login"]),
        ("UnrecognizedClientException", "The security token included in the request is invalid.",
         ["AWS does not know these credentials", "aws sts get-caller-identity"]),
    ],
)  # fmt: skip
def test_a_refusal_says_what_mends_it(code, message, says):
    with pytest.raises(AwsRefused) as caught:
        calling("ecs:UpdateService", answered(code, message))
    for words in says:
        assert words in str(caught.value)


def test_a_region_that_is_none_is_said():
    config = botocore.config.Config(retries={"max_attempts": 0}, connect_timeout=1)
    ecs = boto3.client("ecs", region_name="eu-nowhere-1", aws_access_key_id="x",
                       aws_secret_access_key="y", config=config,
                       endpoint_url="https://ecs.eu-nowhere-1.invalid")  # fmt: skip
    with pytest.raises(AwsRefused) as caught:
        calling("ecs:ListClusters", ecs.list_clusters)
    assert "does AWS have that region" in str(caught.value)
