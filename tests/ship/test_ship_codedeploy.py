"""Deploys by CodeDeploy. The decisions as tables; the calls against moto as far as it has them, and
against botocore's Stubber, which holds both sides to AWS's model but does nothing. No account was
tried, and the local region has no CodeDeploy."""

from __future__ import annotations

import datetime
import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.ship import codedeploy, codedeploying
from hikkoshi.ship.audit import Audit
from hikkoshi.ship.calls import Calls
from hikkoshi.ship.codedeploy import Group
from hikkoshi.ship.codedeploying import CodeDeploy, last_other
from hikkoshi.ship.deploy import Deployer, Options
from hikkoshi.ship.home import Home
from hikkoshi.ship.judge import State
from hikkoshi.ship.verify_codedeploy import check_codedeploy

REGION = "ap-northeast-1"
KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
TASKS = f"arn:aws:ecs:{REGION}:123456789012:task-definition"
NOW = datetime.datetime(2026, 7, 1, tzinfo=datetime.UTC)
SERVICE = {
    "serviceName": "web", "desiredCount": 1, "launchType": "FARGATE",
    "deploymentController": {"type": "CODE_DEPLOY"},
    "networkConfiguration": {"awsvpcConfiguration": {
        "subnets": ["subnet-1"], "assignPublicIp": "DISABLED"}},
    "loadBalancers": [{"targetGroupArn": "arn:blue", "containerName": "web",
                       "containerPort": 8080}],
}  # fmt: skip
PRIMARY = {"id": "ecs-svc/1", "status": "PRIMARY", "taskDefinition": f"{TASKS}/web:1"}


# -- decisions


def test_an_appspec_has_what_the_service_says() -> None:
    spec = json.loads(
        codedeploy.appspec(f"{TASKS}/web:2", {**SERVICE, "platformVersion": "1.4.0"},
                           [{"BeforeAllowTraffic": "check"}])
    )  # fmt: skip
    (resource,) = spec["Resources"]
    assert spec["version"] == 0.0
    assert spec["Hooks"] == [{"BeforeAllowTraffic": "check"}]
    assert resource["TargetService"] == {
        "Type": "AWS::ECS::Service",
        "Properties": {
            "TaskDefinition": f"{TASKS}/web:2",
            "LoadBalancerInfo": {"ContainerName": "web", "ContainerPort": 8080},
            "PlatformVersion": "1.4.0",
            "NetworkConfiguration": {"AwsvpcConfiguration": {
                "Subnets": ["subnet-1"], "AssignPublicIp": "DISABLED"}},
        },
    }  # fmt: skip
    spot = {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]}
    (resource,) = json.loads(codedeploy.appspec("td", spot))["Resources"]
    assert resource["TargetService"]["Properties"]["CapacityProviderStrategy"] == [
        {"CapacityProvider": "FARGATE_SPOT", "Weight": 1}
    ]


def content(text: str) -> dict[str, Any]:
    return {"revisionType": "AppSpecContent", "appSpecContent": {"content": text}}


@pytest.mark.parametrize(
    ("revision", "found"),
    [
        (content(codedeploy.appspec("td:2", SERVICE)), "td:2"),
        (content("version: 0.0\nResources:\n- TargetService:\n    Type: AWS::ECS::Service\n"
                 "    Properties: {TaskDefinition: 'td:3'}\n"), "td:3"),
        ({"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k"}}, None),
        (content("Resources: ["), None),
        (content("[]"), None),
        (content("Resources: [{TargetService: 1}]"), None),
    ],
)  # fmt: skip
def test_the_task_definition_of_a_revision(revision: dict[str, Any], found: str | None) -> None:
    assert codedeploy.definition_in(revision) == found


def info(status: str, **more: Any) -> dict[str, Any]:
    return {"status": status, **more}


FAILED = info("Failed", errorInformation={"code": "TIMEOUT", "message": "tasks never became well"},
              rollbackInfo={"rollbackDeploymentId": "d-2"})  # fmt: skip


@pytest.mark.parametrize(
    ("deployment", "rollback", "state", "reason"),
    [
        (info("Created"), None, State.GOING, "Created"),
        (info("Ready"), None, State.GOING, "Ready"),
        (info("Succeeded"), None, State.SUCCEEDED, "Succeeded"),
        (info("Stopped"), None, State.FAILED, "Stopped"),
        (info("Failed", errorInformation={"message": "no"}), None, State.FAILED, "no"),
        (FAILED, None, State.ROLLING_BACK, "tasks never became well"),
        (FAILED, info("InProgress"), State.ROLLING_BACK, "tasks never became well"),
        (FAILED, info("Succeeded"), State.ROLLED_BACK, "tasks never became well"),
        (FAILED, info("Failed", errorInformation={"message": "no capacity"}), State.FAILED,
         "tasks never became well; the rollback failed, too: no capacity"),
        (info("Stopped", rollbackInfo={"rollbackDeploymentId": "d-2"}), info("Succeeded"),
         State.ROLLED_BACK, "Stopped"),
    ],
)  # fmt: skip
def test_how_a_deployment_stands(
    deployment: dict[str, Any], rollback: dict[str, Any] | None, state: State, reason: str
) -> None:
    assert codedeploy.judge(deployment, rollback) == (state, reason)


def test_what_a_deployment_waits_by_its_group() -> None:
    waits = {
        "deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 2},
        "terminateBlueInstancesOnDeploymentSuccess": {"terminationWaitTimeInMinutes": 60},
    }
    assert codedeploy.waits_s({"blueGreenDeploymentConfiguration": waits}) == 62 * 60
    assert codedeploy.waits_s({}) == 0


def test_which_group_deploys_the_service() -> None:
    groups = [
        {"applicationName": "a", "deploymentGroupName": name,
         "ecsServices": [{"clusterName": cluster, "serviceName": service}]}
        for name, cluster, service in [
            ("mine", "home", "web"), ("other cluster", "away", "web"), ("other", "home", "api")]
    ]  # fmt: skip
    assert codedeploy.groups_of_service(groups, "home", "web") == [Group("a", "mine")]
    assert codedeploy.groups_of_service(groups, "arn:aws:ecs:r:1:cluster/away", "web") == [
        Group("a", "other cluster")
    ]
    assert codedeploy.groups_of_service([{"applicationName": "a"}], "home", "web") == []


def test_what_a_target_shows() -> None:
    target = {
        "lifecycleEvents": [
            {"lifecycleEventName": "Install", "status": "Succeeded"},
            {"lifecycleEventName": "AfterInstall", "status": "Failed",
             "diagnostics": {"message": "the function said no"}},
            {"lifecycleEventName": "AllowTraffic", "status": "Pending"},
        ],
        "taskSetsInfo": [
            {"taskSetLabel": "Blue", "runningCount": 2, "desiredCount": 2, "trafficWeight": 90.0},
            {"taskSetLabel": "Green", "runningCount": 1, "desiredCount": 2, "trafficWeight": 10.0},
        ],
    }  # fmt: skip
    assert codedeploy.describe_target(target) == [
        "Install Succeeded", "AfterInstall Failed: the function said no"
    ]  # fmt: skip
    assert codedeploy.describe_sets(target) == (
        "Blue 2/2 running, 90% of traffic   Green 1/2 running, 10% of traffic"
    )


def test_the_last_other_one_that_succeeded() -> None:
    done = [
        {"revision": content(codedeploy.appspec(f"{TASKS}/web:{n}", SERVICE))} for n in (3, 3, 2)
    ]
    at_3 = {"taskSets": [{**PRIMARY, "taskDefinition": f"{TASKS}/web:3"}]}
    assert last_other(done, at_3) == f"{TASKS}/web:2"
    assert last_other(done[:2], at_3) is None


# -- calls


class Kept:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    now = say


class Stubbed(Access):
    """Whose clients are stubbed; each is asked for once and kept."""

    def __init__(self, **clients: Any) -> None:
        super().__init__(None, REGION)
        object.__setattr__(self, "_clients", clients)

    __slots__ = ("_clients",)

    def client(self, service: str) -> Any:
        return self._clients[service]


def stubbed(named: dict[str, str] | None = None) -> tuple[CodeDeploy, Stubber, Stubber, Kept]:
    clients = {
        name: boto3.client(name, region_name=REGION, **KEYS) for name in ("codedeploy", "ecs")
    }
    deploy, ecs = Stubber(clients["codedeploy"]), Stubber(clients["ecs"])
    deploy.activate()
    ecs.activate()
    kept = Kept()
    home = Home(None, None, REGION, "home", "web", {}, SERVICE,  # type: ignore[arg-type]
                codedeploy=named or {})  # fmt: skip
    by = CodeDeploy(Calls(Stubbed(**clients), "home", "web"), home, kept, 0.0)
    return by, deploy, ecs, kept


NAMED = {"application_name": "app", "deployment_group_name": "group"}


def got(name: str, status: str, **more: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    answer = {"deploymentInfo": {"deploymentId": name, "status": status, "createTime": NOW, **more}}
    return "get_deployment", answer, {"deploymentId": name}


def targets(name: str, *events: tuple[str, str]) -> list[tuple[str, dict[str, Any], Any]]:
    shown = [{"lifecycleEventName": event, "status": status} for event, status in events]
    return [
        ("list_deployment_targets", {"targetIds": ["home:web"]}, {"deploymentId": name}),
        ("batch_get_deployment_targets",
         {"deploymentTargets": [{"deploymentTargetType": "ECSTarget",
                                 "ecsTarget": {"lifecycleEvents": shown}}]},
         {"deploymentId": name, "targetIds": ["home:web"]}),
    ]  # fmt: skip


def script(stubber: Stubber, *steps: tuple[str, dict[str, Any], Any]) -> None:
    for operation, answer, expected in steps:
        stubber.add_response(operation, answer, expected)


def describes(ecs: Stubber, task_definition: str) -> None:
    sets = [{"id": "ecs-svc/1", "status": "PRIMARY", "taskDefinition": task_definition}]
    ecs.add_response("describe_services", {"services": [
        {"serviceName": "web", "status": "ACTIVE", "taskSets": sets}]})  # fmt: skip


def test_a_failed_one_is_followed_through_its_rollback() -> None:
    by, deploy, _, kept = stubbed(NAMED)
    back = {"rollbackInfo": {"rollbackDeploymentId": "d-2"},
            "errorInformation": {"code": "HEALTH_CONSTRAINTS", "message": "unhealthy"}}  # fmt: skip
    script(
        deploy,
        got("d-1", "InProgress"), *targets("d-1", ("Install", "InProgress")),
        got("d-1", "Failed", **back), got("d-2", "InProgress"), *targets("d-2"),
        got("d-1", "Failed", **back), got("d-2", "Succeeded"),
        *targets("d-2", ("AllowTraffic", "Succeeded")),
    )  # fmt: skip
    ended = by.watch("d-1", float("inf"))
    assert (ended.state, ended.reason) == (State.ROLLED_BACK, "unhealthy")
    assert kept.said == [
        "d-1 Install InProgress", "CodeDeploy rolls back by d-2", "d-2 AllowTraffic Succeeded"
    ]  # fmt: skip
    deploy.assert_no_pending_responses()


def test_a_deadline_leaves_it_going() -> None:
    by, deploy, _, _ = stubbed(NAMED)
    script(deploy, got("d-1", "InProgress"), *targets("d-1"))
    assert by.watch("d-1", 0.0).state is State.TIMED_OUT


def test_a_rollback_stops_what_is_in_progress(tmp_path: Any) -> None:
    by, deploy, ecs, kept = stubbed(NAMED)
    flying = {"applicationName": "app", "deploymentGroupName": "group",
              "includeOnlyStatuses": list(codedeploy.IN_FLIGHT)}  # fmt: skip
    new = content(codedeploy.appspec(f"{TASKS}/web:2", SERVICE))
    script(
        deploy,
        ("list_deployments", {"deployments": ["d-1"]}, flying),
        got("d-1", "InProgress", revision=new),
        ("stop_deployment", {"status": "Pending"},
         {"deploymentId": "d-1", "autoRollbackEnabled": True}),
        got("d-1", "Stopped", rollbackInfo={"rollbackDeploymentId": "d-2"}),
        got("d-2", "Succeeded"), *targets("d-2"),
    )  # fmt: skip
    service = {**SERVICE, "taskSets": [PRIMARY]}
    plan = codedeploying.plan_rollback(by, service, None)
    assert plan.words == "stop d-1 of web:2: back to web:1"
    describes(ecs, f"{TASKS}/web:1")
    audit = Audit(by.calls.access, tmp_path, None, kept.say)
    audit._who = "a test"
    outcome = codedeploying.roll_back(by, service, plan, audit, 60.0, waits=True)
    assert (outcome.exit_code, outcome.task_definition) == (0, "web:1")
    deploy.assert_no_pending_responses()


def test_waiting_for_a_rollback_is_waiting_for_what_it_rolls_back() -> None:
    by, deploy, ecs, _ = stubbed(NAMED)
    of = {"rollbackTriggeringDeploymentId": "d-1"}
    listed = {"applicationName": "app", "deploymentGroupName": "group"}
    script(
        deploy,
        ("list_deployments", {"deployments": ["d-2"]}, listed),
        got("d-2", "Succeeded", rollbackInfo=of),
        got("d-1", "Failed", rollbackInfo={"rollbackDeploymentId": "d-2"}),
        got("d-2", "Succeeded"), *targets("d-2"),
    )  # fmt: skip
    describes(ecs, f"{TASKS}/web:1")
    assert codedeploying.wait(by, 60.0).exit_code == 4


@pytest.mark.parametrize(
    ("services", "says"),
    [
        ([], "no deployment group of CodeDeploy deploys home/web"),
        (["one", "two"], "several deployment groups deploy this service: app/one, app/two"),
    ],
)
def test_a_group_is_found_or_it_is_said_why_not(services: list[str], says: str) -> None:
    by, deploy, _, _ = stubbed()
    groups = [
        {"applicationName": "app", "deploymentGroupName": name,
         "ecsServices": [{"clusterName": "home", "serviceName": "web"}]}
        for name in services
    ]  # fmt: skip
    script(
        deploy,
        ("list_applications", {"applications": ["app"]}, {}),
        ("list_deployment_groups", {"deploymentGroups": services}, {"applicationName": "app"}),
    )
    if services:
        script(deploy, ("batch_get_deployment_groups", {"deploymentGroupsInfo": groups},
                        {"applicationName": "app", "deploymentGroupNames": services}))  # fmt: skip
    with pytest.raises(BadInput, match=says):
        by.group()


# -- moto: registering, creating and listing deployments


def files(image: str) -> dict[str, Any]:
    return {
        "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512", "containerDefinitions": [
            {"name": "web", "image": image, "essential": True,
             "portMappings": [{"containerPort": 8080, "protocol": "tcp"}]}],
    }  # fmt: skip


@mock_aws
def test_a_deploy_makes_codedeploys_deployment(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    access = Access(None, REGION)
    ecs, deploy = access.client("ecs"), access.client("codedeploy")
    ecs.create_cluster(clusterName="home")
    first = ecs.register_task_definition(**files("web:1"))["taskDefinition"]["taskDefinitionArn"]
    ec2 = access.client("ec2")
    network = {"awsvpcConfiguration": {
        "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "securityGroups": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
        "assignPublicIp": "DISABLED"}}  # fmt: skip
    service = {**SERVICE, "networkConfiguration": network}
    ecs.create_service(cluster="home", taskDefinition=first, **service)
    made = ecs.create_task_set(cluster="home", service="web", taskDefinition=first)["taskSet"]
    ecs.update_service_primary_task_set(
        cluster="home", service="web", primaryTaskSet=made["taskSetArn"]
    )
    deploy.create_application(applicationName="app", computePlatform="ECS")
    deploy.create_deployment_group(
        applicationName="app", deploymentGroupName="group",
        serviceRoleArn="arn:aws:iam::123456789012:role/codedeploy",
        ecsServices=[{"clusterName": "home", "serviceName": "web"}],
    )  # fmt: skip
    kept = Kept()
    home = Home(tmp_path, tmp_path / "ecspresso.yml", REGION, "home", "web", files("web:2"),
                service, codedeploy=NAMED)  # fmt: skip

    def deployer() -> Deployer:
        return Deployer(
            Calls(access, "home", "web"), home, Options(60.0, waits=False), kept,
            Audit(access, tmp_path, None, kept.say), 0.0,
        )  # fmt: skip

    outcome = deployer().run()
    assert outcome.exit_code == 0, outcome
    assert outcome.task_definition == "web:2"
    (name,) = deploy.list_deployments(applicationName="app", deploymentGroupName="group")[
        "deployments"
    ]
    assert outcome.deployment == name
    info = deploy.get_deployment(deploymentId=name)["deploymentInfo"]
    assert codedeploy.definition_in(info["revision"]) == first.replace("web:1", "web:2")
    assert info["autoRollbackConfiguration"]["enabled"] is True
    with pytest.raises(CannotRun, match=f"CodeDeploy has {name} in progress"):
        deployer().run()
    lines = (tmp_path / ".hikkoshi" / "audit.jsonl").read_text().splitlines()
    actions = [json.loads(line)["action"] for line in lines]
    assert actions[:3] == ["deploy begins", "deploy sent", "deploy ended"]


def test_verify_says_whose_group_it_is() -> None:
    by, deploy, _, _ = stubbed(NAMED)
    for service, mark in (("web", "OK"), ("api", "WRONG")):
        info = {"applicationName": "app", "deploymentGroupName": "group",
                "ecsServices": [{"clusterName": "home", "serviceName": service}]}  # fmt: skip
        script(deploy, ("get_deployment_group", {"deploymentGroupInfo": info},
                        {"applicationName": "app", "deploymentGroupName": "group"}))  # fmt: skip
        (check,) = check_codedeploy(by.calls.access, by.home)
        assert check.mark.value == mark
    (local,) = check_codedeploy(Access("http://127.0.0.1:1", REGION), by.home)
    assert "the local region has no CodeDeploy" in local.why


def test_a_local_region_says_that_it_has_no_codedeploy(tmp_path: Any) -> None:
    clients = {"ecs": boto3.client("ecs", region_name=REGION, **KEYS)}
    ecs = Stubber(clients["ecs"])
    ecs.activate()
    ecs.add_response("describe_services", {"services": []})
    access = Stubbed(**clients)
    object.__setattr__(access, "endpoint", "http://127.0.0.1:1")
    home = Home(tmp_path, tmp_path / "x", REGION, "home", "web", files("web:1"), SERVICE)
    kept = Kept()
    audit = Audit(access, tmp_path, None, kept.say)
    deployer = Deployer(Calls(access, "home", "web"), home, Options(1.0), kept, audit, 0.0)
    with pytest.raises(CannotRun, match="not implemented by the local region"):
        deployer.run()
