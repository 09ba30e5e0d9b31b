"""The account, read only, through AWS's own describe and list calls; paged, throttling waited out.

A call that is refused is listed under `not_seen` and the rest goes on. So is one that AWS throttled
for too long or did not answer; then the survey is cut short: asked again, it may say more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from hikkoshi.aws.access import THROTTLED_S, Access, calling_for
from hikkoshi.aws.refusals import THROTTLED
from hikkoshi.base.errors import AwsRefused, CannotRun, HikkoshiError
from hikkoshi.model.survey import Account, Resource, Unseen


@dataclass(frozen=True, slots=True)
class AccountSurvey:
    """cut_short: why something was not answered that may be another time. account: None if nothing
    was answered."""

    account: Account | None
    unseen: tuple[Unseen, ...]
    cut_short: HikkoshiError | None = None


@dataclass(frozen=True, slots=True)
class _List:
    """One paged call. action: as IAM names it; path: keys to the things; id: key of the id."""

    kind: str
    action: str
    operation: str
    path: tuple[str, ...]
    id: str


_LISTS: tuple[_List, ...] = (
    _List("AWS::EC2::Instance", "ec2:DescribeInstances", "describe_instances",
          ("Reservations", "Instances"), "InstanceId"),
    _List("AWS::EC2::LaunchTemplate", "ec2:DescribeLaunchTemplates", "describe_launch_templates",
          ("LaunchTemplates",), "LaunchTemplateId"),
    _List("AWS::EC2::SecurityGroup", "ec2:DescribeSecurityGroups", "describe_security_groups",
          ("SecurityGroups",), "GroupId"),
    _List("AWS::EC2::Subnet", "ec2:DescribeSubnets", "describe_subnets", ("Subnets",), "SubnetId"),
    _List("AWS::AutoScaling::AutoScalingGroup", "autoscaling:DescribeAutoScalingGroups",
          "describe_auto_scaling_groups", ("AutoScalingGroups",), "AutoScalingGroupName"),
    _List("AWS::ElasticLoadBalancingV2::LoadBalancer", "elasticloadbalancing:DescribeLoadBalancers",
          "describe_load_balancers", ("LoadBalancers",), "LoadBalancerArn"),
    _List("AWS::ElasticLoadBalancingV2::TargetGroup", "elasticloadbalancing:DescribeTargetGroups",
          "describe_target_groups", ("TargetGroups",), "TargetGroupArn"),
    _List("AWS::RDS::DBCluster", "rds:DescribeDBClusters", "describe_db_clusters", ("DBClusters",),
          "DBClusterIdentifier"),
    _List("AWS::RDS::DBInstance", "rds:DescribeDBInstances", "describe_db_instances",
          ("DBInstances",), "DBInstanceIdentifier"),
    _List("AWS::CodeDeploy::Application", "codedeploy:ListApplications", "list_applications",
          ("applications",), ""),
    _List("AWS::CodePipeline::Pipeline", "codepipeline:ListPipelines", "list_pipelines",
          ("pipelines",), "name"),
    _List("AWS::CloudWatch::Alarm", "cloudwatch:DescribeAlarms", "describe_alarms",
          ("MetricAlarms",), "AlarmName"),
    _List("AWS::Logs::LogGroup", "logs:DescribeLogGroups", "describe_log_groups", ("logGroups",),
          "logGroupName"),
)  # fmt: skip
_THREADS = 6
_MOST_PAGES = 500
# boto3's names of the services that IAM calls otherwise.
_CLIENTS = {"elasticloadbalancing": "elbv2"}


@dataclass(slots=True)
class _Door:
    """Calls by their action as IAM names it (`ec2:DescribeSubnets`); each is made anew while AWS
    throttles it, for throttled_s. A service that does not answer at all is not called again, for
    each call would wait as long."""

    access: Access
    throttled_s: float
    clients: dict[str, Any] = field(default_factory=dict)
    silent: dict[str, AwsRefused] = field(default_factory=dict)

    def client(self, action: str) -> Any:
        service = action.partition(":")[0]
        if service not in self.clients:
            self.clients[service] = self.access.client(_CLIENTS.get(service, service))
        return self.clients[service]

    def call(self, action: str, operation: str, **parameters: Any) -> Any:
        service = action.partition(":")[0]
        method = getattr(self.client(action), operation)
        if service in self.silent:
            raise self.silent[service]
        try:
            return calling_for(self.throttled_s, action, method, **parameters)
        except AwsRefused as error:
            if isinstance(error.__cause__, BotoCoreError):
                self.silent[service] = error
            raise

    def pages(self, action: str, operation: str, **parameters: Any) -> Iterator[Mapping[str, Any]]:
        """Every page; a call without pages is one."""
        client = self.client(action)
        if not client.can_paginate(operation):
            yield self.call(action, operation, **parameters)
            return
        paginator = client.get_paginator(operation)
        # The call for a page is made anew inside the paginator: one that an error has passed
        # through has ended, and would say that there is no more.
        paginator._method = partial(self.call, action, operation)
        yield from islice(paginator.paginate(**parameters), _MOST_PAGES)


def survey_account(
    access: Access, say: Callable[[str], None], throttled_s: float = THROTTLED_S
) -> AccountSurvey:
    """AwsRefused only if nothing at all could be asked (no credentials). What came before a
    refusal is kept."""
    say("the account: who it is")
    door = _Door(access, throttled_s)
    identity = door.call("sts:GetCallerIdentity", "get_caller_identity")
    resources: list[Resource] = []
    refusals: list[tuple[str, str, AwsRefused]] = []
    for entry in _LISTS:
        door.client(entry.action)  # Before the threads: boto3's session is none for several.
    with ThreadPoolExecutor(_THREADS) as pool:
        jobs = [(entry, pool.submit(_taken, _all(door, entry))) for entry in _LISTS]
        for number, (entry, job) in enumerate(jobs, 1):
            found, refused = job.result()
            if refused is not None:
                refusals.append((entry.kind, entry.action, refused))
            resources += found
            say(f"the account: {len(resources)} resources of {number} kinds of {len(_LISTS)}")
    for step in (_listeners, _target_health, _launch_data, _parameters, _roles, _pipelines,
                 _deployment_groups):  # fmt: skip
        words = step.__name__.strip("_").replace("_", " ")
        say(f"the account: {words}")
        found, refused = _taken(step(door, resources))
        if refused is not None:
            refusals.append((words, "", refused))
        resources += found
    account = Account(
        f"account {identity['Account']}", access.region, str(identity["Account"]), tuple(resources)
    )
    unseen = tuple(_unseen(what, action, error) for what, action, error in refusals)
    passing = [what for what, _, error in refusals if _may_pass(error)]
    cut_short = CannotRun(
        f"AWS did not answer everything: {', '.join(passing)}",
        fix="survey again; a longer --timeout tries a throttled call for longer",
    )
    return AccountSurvey(account, unseen, cut_short if passing else None)


def _taken(resources: Iterator[Resource]) -> tuple[list[Resource], AwsRefused | None]:
    """What came, and what ended it early."""
    found: list[Resource] = []
    try:
        found.extend(resources)
    except AwsRefused as error:
        return found, error
    return found, None


def _may_pass(error: AwsRefused) -> bool:
    """Whether the same call may be answered another time: it was throttled, or not answered."""
    cause = error.__cause__
    if isinstance(cause, ClientError):
        return cause.response.get("Error", {}).get("Code") in THROTTLED
    return isinstance(cause, BotoCoreError)


def _unseen(what: str, action: str, error: AwsRefused) -> Unseen:
    if _may_pass(error):
        return Unseen(what, error.what, "survey again")
    return Unseen(what, error.what, f"allow {action}" if action else error.fix or "")


def _all(door: _Door, entry: _List) -> Iterator[Resource]:
    for page in door.pages(entry.action, entry.operation):
        items: list[Any] = [page]
        for key in entry.path:
            items = [inner for item in items for inner in item.get(key, [])]
        for item in items:
            if isinstance(item, str):
                yield Resource(entry.kind, item, {})
            else:
                yield Resource(entry.kind, str(item.get(entry.id, "")), plain(item))


def plain(value: Any) -> Any:
    """What JSON can hold: moments as ISO text."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items() if k != "ResponseMetadata"}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


Step = Iterator[Resource]


def _of(resources: list[Resource], kind: str) -> list[Resource]:
    return [resource for resource in resources if resource.kind == kind]


def _listeners(door: _Door, resources: list[Resource]) -> Step:
    for balancer in _of(resources, "AWS::ElasticLoadBalancingV2::LoadBalancer"):
        pages = door.pages("elasticloadbalancing:DescribeListeners", "describe_listeners",
                           LoadBalancerArn=balancer.id)  # fmt: skip
        for listener in (one for page in pages for one in page["Listeners"]):
            arn = listener["ListenerArn"]
            yield Resource("AWS::ElasticLoadBalancingV2::Listener", arn, plain(listener))
            answer = door.call("elasticloadbalancing:DescribeRules", "describe_rules",
                               ListenerArn=arn)  # fmt: skip
            for rule in answer["Rules"]:
                kind = "AWS::ElasticLoadBalancingV2::ListenerRule"
                yield Resource(kind, rule["RuleArn"], plain(rule))


def _target_health(door: _Door, resources: list[Resource]) -> Step:
    for group in _of(resources, "AWS::ElasticLoadBalancingV2::TargetGroup"):
        answer = door.call(
            "elasticloadbalancing:DescribeTargetHealth",
            "describe_target_health",
            TargetGroupArn=group.id,
        )
        yield Resource("TargetHealth", group.id,
                       {"Targets": plain(answer["TargetHealthDescriptions"])})  # fmt: skip


def _launch_data(door: _Door, resources: list[Resource]) -> Step:
    for template in _of(resources, "AWS::EC2::LaunchTemplate"):
        answer = door.call(
            "ec2:DescribeLaunchTemplateVersions",
            "describe_launch_template_versions",
            LaunchTemplateId=template.id,
            Versions=["$Default"],
        )
        for version in answer["LaunchTemplateVersions"]:
            data = plain(version.get("LaunchTemplateData", {}))
            yield Resource("LaunchTemplateVersion", template.id, data)


def _parameters(door: _Door, resources: list[Resource]) -> Step:
    """Parameters that somebody set, of the groups that are in use."""
    for kind, thing, key, action, operation, name in (
        ("AWS::RDS::DBClusterParameterGroup", "AWS::RDS::DBCluster", "DBClusterParameterGroup",
         "rds:DescribeDBClusterParameters", "describe_db_cluster_parameters",
         "DBClusterParameterGroupName"),
        ("AWS::RDS::DBParameterGroup", "AWS::RDS::DBInstance", "DBParameterGroups",
         "rds:DescribeDBParameters", "describe_db_parameters", "DBParameterGroupName"),
    ):  # fmt: skip
        used: dict[str, None] = {}
        for resource in _of(resources, thing):
            value = resource.properties.get(key)
            for group in value if isinstance(value, list) else [value]:
                text = group.get("DBParameterGroupName") if isinstance(group, Mapping) else group
                if text:
                    used[str(text)] = None
        for group_name in used:
            pages = door.pages(action, operation, **{name: group_name, "Source": "user"})
            values = {
                p["ParameterName"]: p.get("ParameterValue")
                for page in pages
                for p in page.get("Parameters", [])
                if p.get("ParameterValue") is not None
            }
            yield Resource(kind, group_name, {"Parameters": values})


def _roles(door: _Door, resources: list[Resource]) -> Step:
    profiles = {
        str(profile.get("Arn", "")).rpartition("/")[2]
        for instance in _of(resources, "AWS::EC2::Instance")
        if isinstance(profile := instance.properties.get("IamInstanceProfile"), Mapping)
    }
    for name in sorted(profiles - {""}):
        answer = door.call("iam:GetInstanceProfile", "get_instance_profile",
                           InstanceProfileName=name)  # fmt: skip
        for role in answer["InstanceProfile"]["Roles"]:
            role_name = role["RoleName"]
            attached = [
                policy["PolicyArn"]
                for page in door.pages("iam:ListAttachedRolePolicies",
                                       "list_attached_role_policies", RoleName=role_name)
                for policy in page["AttachedPolicies"]
            ]  # fmt: skip
            inline = {
                policy: plain(door.call("iam:GetRolePolicy", "get_role_policy",
                                        RoleName=role_name, PolicyName=policy)["PolicyDocument"])
                for page in door.pages("iam:ListRolePolicies", "list_role_policies",
                                       RoleName=role_name)
                for policy in page["PolicyNames"]
            }  # fmt: skip
            properties = {**plain(role), "AttachedPolicies": attached, "InlinePolicies": inline}
            yield Resource("AWS::IAM::Role", role_name, properties)


def _pipelines(door: _Door, resources: list[Resource]) -> Step:
    for pipeline in _of(resources, "AWS::CodePipeline::Pipeline"):
        answer = door.call("codepipeline:GetPipeline", "get_pipeline", name=pipeline.id)
        yield Resource("PipelineStructure", pipeline.id, plain(answer["pipeline"]))


def _deployment_groups(door: _Door, resources: list[Resource]) -> Step:
    for application in _of(resources, "AWS::CodeDeploy::Application"):
        pages = door.pages("codedeploy:ListDeploymentGroups", "list_deployment_groups",
                           applicationName=application.id)  # fmt: skip
        for name in (one for page in pages for one in page["deploymentGroups"]):
            properties = {"ApplicationName": application.id}
            yield Resource("AWS::CodeDeploy::DeploymentGroup", name, properties)
