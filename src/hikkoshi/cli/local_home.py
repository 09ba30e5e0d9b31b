"""A project's definitions in a local region: the names in them lead to what exists there.

In AWS the target group, subnets, database and secrets that the files name are there. A region that
was just started has none of them; `deploy` makes what hikkoshi.yaml describes, as a rehearsal
does, and every other command only finds it. ecspresso's files are taken as they are.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import AwsRefused
from hikkoshi.fargate.references import secret_name
from hikkoshi.model.project import Project
from hikkoshi.project.load import load_project
from hikkoshi.ship.home import Home
from hikkoshi.ship.reading import OWN
from hikkoshi.trials.adapt import adapt_service_definition, adapt_task_definition, lengthen_grace
from hikkoshi.trials.alternate import (
    Document,
    create_alternate,
    find_alternate,
    has_alternate,
    with_alternate,
)
from hikkoshi.trials.balancer import create_balancer, default_network
from hikkoshi.trials.bring_up import create_secrets
from hikkoshi.trials.database import create_database, load_schema

Say = Callable[[str], None]


def adapted(access: Access, home: Home, *, prepares: bool, say: Say) -> Home:
    """The home with the region's own ARNs in its definitions."""
    if home.configuration.name != OWN or home.service_definition is None:
        return home
    project = load_project(home.directory)
    group = _target_group(access, project)
    has_balancer = project.settings.load_balancer is None or group is not None
    arns = _secret_arns(access, project)
    has_secrets = arns.keys() >= project.settings.secrets.keys()
    if prepares and not (has_balancer and has_secrets and _has_cluster(access, project)):
        group, arns = _prepare(access, project, group, arns, say)
    known = {**{name: name for name in _names(project)}, **arns}
    task, _ = adapt_task_definition(project.task_definition, known)
    network = default_network(access)
    service, _ = adapt_service_definition(
        project.service_definition,
        target_group_arn=group,
        subnets=network.subnets,
        security_groups=network.security_groups,
    )
    if group is not None and has_alternate(service):
        service = _with_alternate(access, project, service, group, prepares=prepares, say=say)
    if project.settings.load_balancer is not None and service.get("loadBalancers"):
        service, _ = lengthen_grace(service, project.settings.load_balancer.health_check)
    return dataclasses.replace(home, task_definition=task, service_definition=service)


def _with_alternate(
    access: Access, project: Project, service: Document, group: str, *, prepares: bool, say: Say
) -> Document:
    settings = project.settings.load_balancer
    assert settings is not None, "where there is a target group there are settings of it"
    alternate = find_alternate(access, settings)
    if alternate is None and prepares:
        say("  the region has no alternate target group: making it, and the rules for both")
        alternate = create_alternate(access, settings, group)
    return with_alternate(service, alternate) if alternate is not None else service


def _has_cluster(access: Access, project: Project) -> bool:
    ecs = access.client("ecs")
    name = project.settings.cluster
    found = calling("ecs:DescribeClusters", ecs.describe_clusters, clusters=[name])["clusters"]
    return any(each["status"] == "ACTIVE" for each in found)


def _names(project: Project) -> set[str]:
    return {
        secret_name(secret["valueFrom"])
        for container in project.task_definition["containerDefinitions"]
        for secret in [
            *container.get("secrets", []),
            *container.get("logConfiguration", {}).get("secretOptions", []),
        ]
    }


def _target_group(access: Access, project: Project) -> str | None:
    settings = project.settings.load_balancer
    if settings is None:
        return None
    elb = access.client("elbv2")
    try:
        found = calling(
            "elbv2:DescribeTargetGroups", elb.describe_target_groups, Names=[settings.target_group]
        )
    except AwsRefused as error:
        if "TargetGroupNotFound" in error.what:
            return None
        raise
    return str(found["TargetGroups"][0]["TargetGroupArn"])


def _secret_arns(access: Access, project: Project) -> dict[str, str]:
    names = project.settings.secrets.keys()
    made = {name: name for name in names if name.startswith("/")}
    if len(made) == len(names):
        return made
    manager = access.client("secretsmanager")
    listed = calling("secretsmanager:ListSecrets", manager.list_secrets, MaxResults=100)
    return made | {s["Name"]: s["ARN"] for s in listed["SecretList"] if s["Name"] in names}


def _prepare(
    access: Access, project: Project, group: str | None, arns: dict[str, str], say: Say
) -> tuple[str | None, dict[str, str]]:
    """What is missing, by the calls that a rehearsal makes."""
    settings = project.settings
    with ThreadPoolExecutor(max_workers=2) as pool:
        making = None
        if settings.database is not None and not _has_database(access, settings.database.cluster):
            say(f"  the region has no database {settings.database.cluster}: making it")
            making = pool.submit(create_database, access, settings.database)
        if settings.load_balancer is not None and group is None:
            say(f"  the region has no target group {settings.load_balancer.target_group}: "
                "making it, with a load balancer")  # fmt: skip
            group = create_balancer(access, settings.load_balancer).target_group_arn
        database = making.result() if making else None
    if database is not None and settings.database is not None and settings.database.schema:
        load_schema(project, database)
    missing = {k: v for k, v in settings.secrets.items() if k not in arns}
    if missing:
        partial = dataclasses.replace(settings, secrets=missing)
        arns = arns | create_secrets(
            access, dataclasses.replace(project, settings=partial), database
        )
    _make_roles(access, project, say)
    _open_default_group(access)
    ecs = access.client("ecs")
    calling("ecs:CreateCluster", ecs.create_cluster, clusterName=settings.cluster)
    return group, arns


def _make_roles(access: Access, project: Project, say: Say) -> None:
    """With ECS's trust; the region enforces no permissions, so they have none."""
    iam = access.client("iam")
    for key in ("executionRoleArn", "taskRoleArn"):
        arn = project.task_definition.get(key)
        if arn is None:
            continue
        statement = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                     "Action": "sts:AssumeRole"}  # fmt: skip
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        name = str(arn).rsplit("/", 1)[-1]
        try:
            calling("iam:CreateRole", iam.create_role, RoleName=name,
                    AssumeRolePolicyDocument=policy)  # fmt: skip
            say(f"  the region has no role {name}: making it")
        except AwsRefused as error:
            if "EntityAlreadyExists" not in error.what:
                raise


def _open_default_group(access: Access) -> None:
    """AWS's default security group lets its own members in; the region's has no rule."""
    ec2 = access.client("ec2")
    for group in default_network(access).security_groups:
        rule = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
        try:
            calling("ec2:AuthorizeSecurityGroupIngress", ec2.authorize_security_group_ingress,
                    GroupId=group, IpPermissions=[rule])  # fmt: skip
        except AwsRefused as error:
            if "InvalidPermission.Duplicate" not in error.what:
                raise


def _has_database(access: Access, cluster: str) -> bool:
    rds = access.client("rds")
    try:
        calling("rds:DescribeDBClusters", rds.describe_db_clusters, DBClusterIdentifier=cluster)
    except AwsRefused as error:
        if "DBClusterNotFound" in error.what:
            return False
        raise
    return True
