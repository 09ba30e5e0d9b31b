"""The account, read only, through AWS's own describe and list calls; paged, throttling waited out.

A call that is refused is listed under `not_seen` and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import AwsRefused
from hikkoshi.model.survey import Account, Resource, Unseen

Client = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class _List:
    """One paged call. operation: boto3's method; path: keys to the things; id: key of the id."""

    kind: str
    service: str
    operation: str
    path: tuple[str, ...]
    id: str


_LISTS: tuple[_List, ...] = (
    _List("AWS::EC2::Instance", "ec2", "describe_instances", ("Reservations", "Instances"),
          "InstanceId"),
    _List("AWS::EC2::LaunchTemplate", "ec2", "describe_launch_templates", ("LaunchTemplates",),
          "LaunchTemplateId"),
    _List("AWS::EC2::SecurityGroup", "ec2", "describe_security_groups", ("SecurityGroups",),
          "GroupId"),
    _List("AWS::EC2::Subnet", "ec2", "describe_subnets", ("Subnets",), "SubnetId"),
    _List("AWS::AutoScaling::AutoScalingGroup", "autoscaling", "describe_auto_scaling_groups",
          ("AutoScalingGroups",), "AutoScalingGroupName"),
    _List("AWS::ElasticLoadBalancingV2::LoadBalancer", "elbv2", "describe_load_balancers",
          ("LoadBalancers",), "LoadBalancerArn"),
    _List("AWS::ElasticLoadBalancingV2::TargetGroup", "elbv2", "describe_target_groups",
          ("TargetGroups",), "TargetGroupArn"),
    _List("AWS::RDS::DBCluster", "rds", "describe_db_clusters", ("DBClusters",),
          "DBClusterIdentifier"),
    _List("AWS::RDS::DBInstance", "rds", "describe_db_instances", ("DBInstances",),
          "DBInstanceIdentifier"),
    _List("AWS::CodeDeploy::Application", "codedeploy", "list_applications", ("applications",), ""),
    _List("AWS::CodePipeline::Pipeline", "codepipeline", "list_pipelines", ("pipelines",), "name"),
    _List("AWS::CloudWatch::Alarm", "cloudwatch", "describe_alarms", ("MetricAlarms",),
          "AlarmName"),
    _List("AWS::Logs::LogGroup", "logs", "describe_log_groups", ("logGroups",), "logGroupName"),
)  # fmt: skip
_THREADS = 6
_MOST_PAGES = 500


def survey_account(
    access: Access, say: Callable[[str], None]
) -> tuple[Account, tuple[Unseen, ...]]:
    """AwsRefused only if nothing at all could be asked (no credentials)."""
    say("the account: who it is")
    identity = calling("sts:GetCallerIdentity", access.client("sts").get_caller_identity)
    resources: list[Resource] = []
    unseen: list[Unseen] = []
    say(f"the account: {len(_LISTS)} kinds of resources")
    clients = {entry.service: access.client(entry.service) for entry in _LISTS}
    with ThreadPoolExecutor(_THREADS) as pool:
        jobs = [(entry, pool.submit(_all, clients[entry.service], entry)) for entry in _LISTS]
        for entry, job in jobs:
            try:
                resources += job.result()
            except AwsRefused as error:
                unseen.append(Unseen(entry.kind, error.what, f"allow {_action(entry)}"))
    say(f"the account: details of {len(resources)} resources")
    clients["iam"] = access.client("iam")
    for step in (_listeners, _target_health, _launch_data, _parameters, _roles, _pipelines,
                 _deployment_groups):  # fmt: skip
        try:
            resources += list(step(clients, resources))
        except AwsRefused as error:
            unseen.append(Unseen(step.__name__.strip("_").replace("_", " "), error.what))
    account = Account(
        f"account {identity['Account']}", access.region, str(identity["Account"]), tuple(resources)
    )
    return account, tuple(unseen)


def _action(entry: _List) -> str:
    words = "".join(part.title() for part in entry.operation.split("_"))
    return f"{entry.service}:{words}"


def _pages(
    client: Any, operation: str, what: str, **parameters: Any
) -> Iterator[Mapping[str, Any]]:
    """Every page; a call without pages is one. Throttling is waited out by botocore's retries."""
    if not client.can_paginate(operation):
        yield calling(what, getattr(client, operation), **parameters)
        return
    pages = iter(client.get_paginator(operation).paginate(**parameters))
    for _ in range(_MOST_PAGES):
        page = calling(what, lambda: next(pages, None))
        if page is None:
            return
        yield page


def _all(client: Any, entry: _List) -> list[Resource]:
    found = []
    for page in _pages(client, entry.operation, _action(entry)):
        items: list[Any] = [page]
        for key in entry.path:
            items = [inner for item in items for inner in item.get(key, [])]
        for item in items:
            if isinstance(item, str):
                found.append(Resource(entry.kind, item, {}))
            else:
                found.append(Resource(entry.kind, str(item.get(entry.id, "")), plain(item)))
    return found


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
Clients = Mapping[str, Any]


def _of(resources: list[Resource], kind: str) -> list[Resource]:
    return [resource for resource in resources if resource.kind == kind]


def _listeners(clients: Clients, resources: list[Resource]) -> Step:
    elb = clients["elbv2"]
    for balancer in _of(resources, "AWS::ElasticLoadBalancingV2::LoadBalancer"):
        pages = _pages(elb, "describe_listeners", "elasticloadbalancing:DescribeListeners",
                       LoadBalancerArn=balancer.id)  # fmt: skip
        for listener in (one for page in pages for one in page["Listeners"]):
            arn = listener["ListenerArn"]
            yield Resource("AWS::ElasticLoadBalancingV2::Listener", arn, plain(listener))
            answer = calling("elasticloadbalancing:DescribeRules", elb.describe_rules,
                             ListenerArn=arn)  # fmt: skip
            for rule in answer["Rules"]:
                kind = "AWS::ElasticLoadBalancingV2::ListenerRule"
                yield Resource(kind, rule["RuleArn"], plain(rule))


def _target_health(clients: Clients, resources: list[Resource]) -> Step:
    for group in _of(resources, "AWS::ElasticLoadBalancingV2::TargetGroup"):
        answer = calling(
            "elasticloadbalancing:DescribeTargetHealth",
            clients["elbv2"].describe_target_health,
            TargetGroupArn=group.id,
        )
        yield Resource("TargetHealth", group.id,
                       {"Targets": plain(answer["TargetHealthDescriptions"])})  # fmt: skip


def _launch_data(clients: Clients, resources: list[Resource]) -> Step:
    for template in _of(resources, "AWS::EC2::LaunchTemplate"):
        answer = calling(
            "ec2:DescribeLaunchTemplateVersions",
            clients["ec2"].describe_launch_template_versions,
            LaunchTemplateId=template.id,
            Versions=["$Default"],
        )
        for version in answer["LaunchTemplateVersions"]:
            data = plain(version.get("LaunchTemplateData", {}))
            yield Resource("LaunchTemplateVersion", template.id, data)


def _parameters(clients: Clients, resources: list[Resource]) -> Step:
    """Parameters that somebody set, of the groups that are in use."""
    for kind, thing, key, operation, name in (
        ("AWS::RDS::DBClusterParameterGroup", "AWS::RDS::DBCluster", "DBClusterParameterGroup",
         "describe_db_cluster_parameters", "DBClusterParameterGroupName"),
        ("AWS::RDS::DBParameterGroup", "AWS::RDS::DBInstance", "DBParameterGroups",
         "describe_db_parameters", "DBParameterGroupName"),
    ):  # fmt: skip
        used: dict[str, None] = {}
        for resource in _of(resources, thing):
            value = resource.properties.get(key)
            for group in value if isinstance(value, list) else [value]:
                text = group.get("DBParameterGroupName") if isinstance(group, Mapping) else group
                if text:
                    used[str(text)] = None
        for group_name in used:
            pages = _pages(clients["rds"], operation, f"rds:{operation}",
                           **{name: group_name, "Source": "user"})  # fmt: skip
            values = {
                p["ParameterName"]: p.get("ParameterValue")
                for page in pages
                for p in page.get("Parameters", [])
                if p.get("ParameterValue") is not None
            }
            yield Resource(kind, group_name, {"Parameters": values})


def _roles(clients: Clients, resources: list[Resource]) -> Step:
    profiles = {
        str(profile.get("Arn", "")).rpartition("/")[2]
        for instance in _of(resources, "AWS::EC2::Instance")
        if isinstance(profile := instance.properties.get("IamInstanceProfile"), Mapping)
    }
    iam = clients["iam"]
    for name in sorted(profiles - {""}):
        answer = calling("iam:GetInstanceProfile", iam.get_instance_profile,
                         InstanceProfileName=name)  # fmt: skip
        for role in answer["InstanceProfile"]["Roles"]:
            role_name = role["RoleName"]
            attached = [
                policy["PolicyArn"]
                for page in _pages(iam, "list_attached_role_policies",
                                   "iam:ListAttachedRolePolicies", RoleName=role_name)
                for policy in page["AttachedPolicies"]
            ]  # fmt: skip
            inline = {
                policy: plain(calling("iam:GetRolePolicy", iam.get_role_policy,
                                      RoleName=role_name, PolicyName=policy)["PolicyDocument"])
                for page in _pages(iam, "list_role_policies", "iam:ListRolePolicies",
                                   RoleName=role_name)
                for policy in page["PolicyNames"]
            }  # fmt: skip
            properties = {**plain(role), "AttachedPolicies": attached, "InlinePolicies": inline}
            yield Resource("AWS::IAM::Role", role_name, properties)


def _pipelines(clients: Clients, resources: list[Resource]) -> Step:
    for pipeline in _of(resources, "AWS::CodePipeline::Pipeline"):
        answer = calling("codepipeline:GetPipeline", clients["codepipeline"].get_pipeline,
                         name=pipeline.id)  # fmt: skip
        yield Resource("PipelineStructure", pipeline.id, plain(answer["pipeline"]))


def _deployment_groups(clients: Clients, resources: list[Resource]) -> Step:
    for application in _of(resources, "AWS::CodeDeploy::Application"):
        pages = _pages(clients["codedeploy"], "list_deployment_groups",
                       "codedeploy:ListDeploymentGroups",
                       applicationName=application.id)  # fmt: skip
        for name in (one for page in pages for one in page["deploymentGroups"]):
            properties = {"ApplicationName": application.id}
            yield Resource("AWS::CodeDeploy::DeploymentGroup", name, properties)
