"""The new home, brought up by the calls that bring it up in AWS."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hikkoshi.aws.access import Access, calling
from hikkoshi.model.project import Project
from hikkoshi.trials.adapt import (
    adapt_service_definition,
    adapt_task_definition,
    application_container,
    lengthen_grace,
)
from hikkoshi.trials.alternate import create_alternate, has_alternate, with_alternate
from hikkoshi.trials.balancer import create_balancer, default_network
from hikkoshi.trials.database import DatabaseHome, create_database, load_schema
from hikkoshi.trials.home import NewHome
from hikkoshi.trials.watch import wait_steady

BRING_UP_DEADLINE_S = 120.0


def bring_up(access: Access, project: Project, logs: Path, say: Callable[[str], None]) -> NewHome:
    """Database, secrets, load balancer, task definition, service; returns when it is steady.

    Raises AwsRefused, CannotRun or DeadlinePassed, each with the reason that ECS gives.
    """
    settings = project.settings
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="bring-up") as pool:
        making = (
            pool.submit(create_database, access, settings.database) if settings.database else None
        )
        balancer = None
        if settings.load_balancer is not None:
            say("load balancer, target group, listener")
            balancer = create_balancer(access, settings.load_balancer)
        if making is not None:
            say("database cluster")
        database = making.result() if making else None
    if database is not None and settings.database is not None and settings.database.schema:
        say("schema and data")
        load_schema(project, database)
    say("secrets")
    arns = create_secrets(access, project, database)
    task_definition, adapted = adapt_task_definition(project.task_definition, arns)
    network = balancer or default_network(access)
    service, more = adapt_service_definition(
        project.service_definition,
        target_group_arn=balancer.target_group_arn if balancer else None,
        subnets=network.subnets,
        security_groups=network.security_groups,
    )
    if balancer is not None and settings.load_balancer is not None and has_alternate(service):
        say("alternate target group")
        made = create_alternate(access, settings.load_balancer, balancer.target_group_arn)
        service = with_alternate(service, made)
        more.append("alternate target group and rules: made beside the first ones")
    if settings.load_balancer is not None and service.get("loadBalancers"):
        service, note = lengthen_grace(service, settings.load_balancer.health_check)
        more += [note] if note else []
    ecs = access.client("ecs")
    calling("ecs:CreateCluster", ecs.create_cluster, clusterName=settings.cluster)
    registered = calling(
        "ecs:RegisterTaskDefinition", ecs.register_task_definition, **task_definition
    )["taskDefinition"]["taskDefinitionArn"]
    service["taskDefinition"] = registered
    service["cluster"] = settings.cluster
    service["serviceName"] = project.service
    say("service")
    calling("ecs:CreateService", ecs.create_service, **service)
    home = NewHome(
        access,
        project,
        settings.cluster,
        project.service,
        task_definition,
        registered,
        application_container(task_definition, service),
        database,
        balancer,
        (*adapted, *more),
        logs,
    )
    return dataclasses.replace(home, start_s=wait_steady(home, BRING_UP_DEADLINE_S))


def create_secrets(
    access: Access, project: Project, database: DatabaseHome | None
) -> dict[str, str]:
    """Name → ARN (Secrets Manager) or name (SSM, for names that start with /)."""
    made: dict[str, str] = {}
    manager, parameters = access.client("secretsmanager"), access.client("ssm")
    for name, template in project.settings.secrets.items():
        value = template.replace("{generated}", secrets.token_hex(16))
        if database is not None:
            value = database.fill(value)
        if name.startswith("/"):
            calling(
                "ssm:PutParameter",
                parameters.put_parameter,
                Name=name,
                Value=value,
                Type="SecureString",
                Overwrite=True,
            )
            made[name] = name
        else:
            made[name] = calling(
                "secretsmanager:CreateSecret", manager.create_secret, Name=name, SecretString=value
            )["ARN"]
    return made
