"""What the templates are filled with: a project's decisions, in the words of the CDK."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.fargate.references import secret_name
from hikkoshi.iac.code import Call, Name, identifier, title
from hikkoshi.iac.containers import (
    ContainerCode,
    Reference,
    Wanted,
    container_code,
)
from hikkoshi.iac.images import built_images, ecr_images
from hikkoshi.iac.task import task_of
from hikkoshi.model.project import HealthCheck, Project

_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9-]{0,100}$")
_REGION = re.compile(r"^[a-z]{2}(-[a-z]+)+-\d$")


def view_of(project: Project) -> tuple[dict[str, Any], list[str]]:
    """The values of the templates, and what of the definitions the app does not carry over.

    Raises BadInput where the project leaves open what an app needs."""
    settings, iac = project.settings, project.settings.iac
    _check(project)
    wanted = Wanted()
    made = _database_secrets(project)
    database_is_new = settings.database is not None and iac.database is None
    expressions = {each.name: f"database.{each.attribute}" for each in made}
    containers = _containers(project, wanted, expressions if database_is_new else {})
    wanted.left_out += _left_out(project)
    view: dict[str, Any] = {
        "service": project.service,
        "region": settings.region,
        "cluster": _cluster(project),
        "task_file": settings.task_definition,
        "service_file": settings.service_definition,
        "directory": posixpath.normpath(iac.directory),
        "project_path": ".",
        "certificate": iac.certificate,
        "alarm_email": iac.alarm_email,
        "source": iac.source,
        "branch": iac.source.branch if iac.source else "main",
        "vpc": iac.network,
        "database": settings.database or iac.database,
        "database_is_new": database_is_new,
        "existing_database": iac.database,
        "database_secrets": made if database_is_new else (),
        "database_subnets": "PRIVATE_WITH_EGRESS" if iac.network else "PRIVATE_ISOLATED",
        "database_port_code": ("5432" if database_is_new else "settings.DATABASE_PORT"),
        "p99_s": float(settings.limits.p99),
        "connections_alarm": _connections_alarm(project) if database_is_new else None,
    }
    view |= _images(project)
    view |= _numbers(project)
    view |= _balancer(project)
    view |= task_of(project, wanted, containers)
    view |= _service(project, view)
    view |= _words(view)
    return view, wanted.left_out


def _check(project: Project) -> None:
    iac = project.settings.iac
    where = f"{project.directory / 'hikkoshi.yaml'}"
    if not _NAME.match(project.service):
        raise BadInput(
            f"the service's name {project.service!r} cannot name CloudFormation stacks",
            where=where,
            fix="letters, digits and hyphens, a letter first",
        )
    if not _REGION.match(project.settings.region):
        raise BadInput(f"{project.settings.region!r} is no region of AWS", where=where)
    if iac.source and iac.source.repository.count("/") != 1:
        raise BadInput(
            f"iac.source.repository is {iac.source.repository!r}", where=where, fix="OWNER/NAME"
        )
    database = project.settings.database
    if database and database.engine != "aurora-postgresql" and iac.database is None:
        raise BadInput(
            f"a CDK app that creates a cluster of {database.engine} is not implemented",
            where=where,
            fix="name the cluster that is there under iac.database",
        )
    network = iac.network
    if network and network.private_subnets and len(network.zones) != len(network.private_subnets):
        raise BadInput(
            f"iac.network names {len(network.private_subnets)} private subnets and "
            f"{len(network.zones)} zones",
            where=where,
            fix="one zone for each subnet, in the same order; or neither, and the VPC is looked up",
        )
    if network and network.public_subnets and len(network.zones) != len(network.public_subnets):
        raise BadInput(
            f"iac.network names {len(network.public_subnets)} public subnets and "
            f"{len(network.zones)} zones",
            where=where,
            fix="one public subnet for each zone, in the same order",
        )
    directory = posixpath.normpath(iac.directory)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", directory) or directory.startswith(".."):
        raise BadInput(
            f"iac.directory is {iac.directory!r}",
            where=where,
            fix="a path inside the project, of letters, digits, dots and hyphens",
        )


def _cluster(project: Project) -> str:
    cluster = project.service_definition.get("cluster") or project.settings.cluster
    return str(cluster).rpartition("/")[2]


def _database_secrets(project: Project) -> list[Reference]:
    """The secrets whose rehearsal value is made of the database's parts: {endpoint} and so on."""
    return [
        Reference(
            name, identifier(name.rpartition("/")[2]), title(name.rpartition("/")[2]), template
        )
        for name, template in project.settings.secrets.items()
        if "{endpoint}" in template and name in _used_secrets(project)
    ]


def _used_secrets(project: Project) -> set[str]:
    used = set()
    for container in project.task_definition["containerDefinitions"]:
        logging = container.get("logConfiguration") or {}
        for entry in (*container.get("secrets", ()), *logging.get("secretOptions", ())):
            if ":secretsmanager:" in entry["valueFrom"]:
                used.add(secret_name(entry["valueFrom"]))
    return used


def _containers(project: Project, wanted: Wanted, made: Mapping[str, str]) -> list[ContainerCode]:
    documents = project.task_definition["containerDefinitions"]
    return [container_code(each, documents, wanted, made) for each in documents]


def _left_out(project: Project) -> list[str]:
    task = project.task_definition
    carried = {
        "family", "cpu", "memory", "networkMode", "requiresCompatibilities", "runtimePlatform",
        "executionRoleArn", "taskRoleArn", "containerDefinitions", "volumes", "ephemeralStorage",
        "pidMode", "tags", "enableFaultInjection",
    }  # fmt: skip
    found = [f"task definition: {key}" for key in sorted(set(task) - carried) if task[key]]
    for volume in task.get("volumes") or ():
        kinds = sorted(set(volume) - {"name", "host"})
        found += [f"volume {volume['name']}: {kind}" for kind in kinds if volume[kind]]
    service_carried = {
        "serviceName", "cluster", "launchType", "platformVersion", "desiredCount",
        "healthCheckGracePeriodSeconds", "deploymentConfiguration", "networkConfiguration",
        "loadBalancers", "propagateTags", "enableExecuteCommand", "enableECSManagedTags",
        "taskDefinition", "schedulingStrategy", "tags", "deploymentController",
        "capacityProviderStrategy", "availabilityZoneRebalancing", "role",
    }  # fmt: skip
    service = project.service_definition
    found += [f"service: {key}" for key in sorted(set(service) - service_carried) if service[key]]
    if len(service.get("loadBalancers") or ()) > 1:
        found.append("service: loadBalancers after the first")
    return found


def _images(project: Project) -> dict[str, Any]:
    names = [c["image"] for c in project.task_definition["containerDefinitions"]]
    tags = ecr_images(names)
    existing = set(project.settings.iac.repositories)
    built = built_images(project)
    return {
        "repositories": list(tags),
        "image_tags": tags,
        "repository_calls": {name: _repository(name, name in existing) for name in tags},
        "existing_repositories": existing,
        "has_new_repositories": bool(set(tags) - existing),
        "built_images": built,
        "built_names": " ".join(image.repository for image in built),
    }


def _repository(name: str, exists: bool) -> Call:
    verb = "ecr.Repository.from_repository_name" if exists else "self._repository"
    given = (Name("self"),) if exists else ()
    return Call(verb, (*given, title(name), name))


def _numbers(project: Project) -> dict[str, Any]:
    minimum = max(1, int(project.service_definition.get("desiredCount") or 1))
    maximum = project.settings.iac.maximum_tasks or max(4, 4 * minimum)
    if maximum < minimum:
        raise BadInput(
            f"iac.maximum_tasks is {maximum}, and the service wants {minimum} tasks",
            where=str(project.directory / "hikkoshi.yaml"),
            fix=f"at least {minimum}",
        )
    numbers: dict[str, Any] = {"minimum_tasks": minimum, "maximum_tasks": maximum}
    load = project.settings.load
    if load is not None and load.rate > 0:
        rate = load.rate / minimum
        numbers["requests_per_target"] = max(1, math.ceil(rate * 60 / 2))
        numbers["requests_words"] = (
            f"{load.rate:g} a second over {minimum} task{'s' if minimum > 1 else ''}"
        )
    return numbers


def _balancer(project: Project) -> dict[str, Any]:
    settings, iac = project.settings, project.settings.iac
    behind = project.service_definition.get("loadBalancers") or ()
    balancer = settings.load_balancer
    if not behind or balancer is None:
        return {"balancer": None, "requests_per_target": None, "has_old_home": False}
    existing = iac.load_balancer
    old = settings.old_home or (project.old_home.settings.old_home if project.old_home else None)
    has_old = bool(existing.old_target_group) if existing else True
    health: HealthCheck = balancer.health_check
    port = int(behind[0]["containerPort"])
    return {
        "balancer": balancer,
        "balancer_is_new": existing is None,
        "existing_balancer": existing,
        "container": behind[0]["containerName"],
        "container_port": port,
        "listener_port": balancer.listener_port,
        "target_group": balancer.target_group,
        "deregistration_s": _number(balancer.deregistration_delay),
        "health": health,
        "health_interval_s": _number(health.interval),
        "health_timeout_s": _number(health.timeout),
        "has_old_home": has_old,
        "old_group_is_new": existing is None,
        "old_instances": list(iac.old_instances),
        "old_port": old.port if old else port,
        # Until the cutover has begun, who serves today goes on serving.
        "new_home_weight": 0 if iac.old_instances or (existing and has_old) else 100,
    }


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)


def _connections_alarm(project: Project) -> int | None:
    database = project.settings.database
    maximum = (database.parameters if database else {}).get("max_connections", "")
    return int(int(maximum) * 0.8) if maximum.isdigit() else None


def _service(project: Project, view: Mapping[str, Any]) -> dict[str, Any]:
    service = project.service_definition
    deployment = service.get("deploymentConfiguration") or {}
    breaker = deployment.get("deploymentCircuitBreaker") or {"enable": True, "rollback": True}
    version = str(service.get("platformVersion") or "LATEST")
    network = (service.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    is_public = network.get("assignPublicIp") == "ENABLED"
    grace = service.get("healthCheckGracePeriodSeconds")
    arguments: list[tuple[str, Any]] = [
        (
            "platform_version",
            Name(f"ecs.FargatePlatformVersion.{_PLATFORM_VERSIONS.get(version, 'LATEST')}"),
        ),
        ("min_healthy_percent", deployment.get("minimumHealthyPercent", 100)),
        ("max_healthy_percent", deployment.get("maximumPercent", 200)),
    ]
    if breaker.get("enable"):
        rollback = {"rollback": bool(breaker.get("rollback", False))}
        arguments.append(
            (
                "circuit_breaker",
                Call("ecs.DeploymentCircuitBreaker", (), {"enable": True} | rollback),
            )
        )
    if view["balancer"] and grace is not None:
        arguments.append(("health_check_grace_period", Call("cdk.Duration.seconds", (grace,))))
    if is_public:
        arguments.append(("assign_public_ip", True))
    if service.get("enableExecuteCommand"):
        arguments.append(("enable_execute_command", True))
    if service.get("enableECSManagedTags"):
        arguments.append(("enable_ecs_managed_tags", True))
    if service.get("propagateTags") in ("SERVICE", "TASK_DEFINITION"):
        source = Name(f"ecs.PropagatedTagSource.{service['propagateTags']}")
        arguments.append(("propagate_tags", source))
    return {
        "service_arguments": arguments,
        "task_subnets": "PUBLIC" if is_public else "PRIVATE_WITH_EGRESS",
    }


_PLATFORM_VERSIONS = {"1.4.0": "VERSION1_4", "1.3.0": "VERSION1_3", "LATEST": "LATEST"}


def _words(view: Mapping[str, Any]) -> dict[str, Any]:
    """Sentences and signatures that depend on what there is."""
    given = []
    if view["repositories"]:
        given.append(("images", "ImagesStack"))
    if view["database_secrets"]:
        given.append(("database", "DatabaseStack"))
    signature = "self, scope: Construct, id: str"
    if given:
        signature += ", *, " + ", ".join(f"{name}: {kind}" for name, kind in given)
    if len(f"    def __init__({signature}) -> None:") > 100:
        signature = f"\n        {signature}\n    "
    walls = [
        "the load balancer's, " if view["balancer"] else "",
        "the tasks'",
        " and the database's" if view["database"] else "",
    ]
    subnets = "public, tasks, database" if view["database_is_new"] else "public, tasks"
    network_row = (
        f"the VPC `{view['vpc'].vpc}` that is there, security groups"
        if view["vpc"]
        else f"VPC with subnets for {subnets}; security groups"
    )
    return {
        "task_signature": signature,
        "task_arguments": "".join(f", {name}={name}" for name, _ in given),
        "network_words": f"The VPC and the security groups: {''.join(walls)}.",
        "service_words": (
            "What a deploy changes. It ends when the new tasks serve, or with the old ones back."
        ),
        "network_row": network_row,
        "wildcard_reason": (
            "ecr:GetAuthorizationToken and X-Ray's actions take no resource."
            if view["task_statements"]
            else "ecr:GetAuthorizationToken takes no resource."
        ),
    }
