"""AWS's documents and hikkoshi.yaml, as values; JSON and YAML are written at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from hikkoshi.plan import front as front_
from hikkoshi.plan.application import Chosen
from hikkoshi.plan.environment import Environment, parameter_name
from hikkoshi.plan.fluent_bit import PARSERS, Router
from hikkoshi.plan.front import Front
from hikkoshi.plan.image import Image
from hikkoshi.plan.size import SIDECAR_MIB
from hikkoshi.plan.traffic import Traffic

ROUTER_BASE = "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable"
XRAY_IMAGE = "public.ecr.aws/xray/aws-xray-daemon:3.x"
OTEL_IMAGE = "public.ecr.aws/aws-observability/aws-otel-collector:latest"
ROUTER_FILE = "/fluent-bit/configs/application.conf"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in AWS it goes."""

    region: str
    account_id: str
    cluster: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    count: int

    def image(self, name: str) -> str:
        return f"{self.account_id}.dkr.ecr.{self.region}.amazonaws.com/{name}:1"

    def parameter(self, name: str) -> str:
        return f"arn:aws:ssm:{self.region}:{self.account_id}:parameter{name}"


def task_definition(
    chosen: Chosen,
    place: Place,
    size: tuple[int, int],
    nofile: tuple[int, int],
    environment: Environment,
    router: Router,
    traces: str,
    more: Mapping[str, str],
    front: Front | None,
) -> dict[str, Any]:
    """traces: `xray`, `otel` or nothing. more: environment beside the unit's."""
    name = chosen.name
    shared = front.shared if front else None
    application: dict[str, Any] = {
        "name": name,
        "image": place.image(name),
        "essential": True,
        "portMappings": [] if shared else [{"containerPort": chosen.port, "protocol": "tcp"}],
        "mountPoints": [front_.mount(shared)] if shared else [],
        "environment": [{"name": k, "value": v} for k, v in {**environment.plain, **more}.items()],
        "secrets": [
            {"name": k, "valueFrom": place.parameter(v)} for k, v in environment.references.items()
        ],
        "ulimits": [{"name": "nofile", "softLimit": nofile[0], "hardLimit": nofile[1]}],
        "stopTimeout": 30,
        "logConfiguration": {"logDriver": "awsfirelens"},
        "dependsOn": [{"containerName": "log-router", "condition": "START"}],
    }
    containers = [application, _router(name, place, router)]
    if front is not None:
        image = place.image(f"{name}-{front.name}")
        containers.append(front_.container(front, image, name, SIDECAR_MIB))
    if traces == "xray":
        containers.append({
            "name": "xray-daemon", "image": XRAY_IMAGE, "essential": False,
            "memoryReservation": SIDECAR_MIB,
            "portMappings": [{"containerPort": 2000, "protocol": "udp"}],
        })  # fmt: skip
    elif traces == "otel":
        containers.append({
            "name": "otel-collector", "image": OTEL_IMAGE, "essential": False,
            "memoryReservation": SIDECAR_MIB,
        })  # fmt: skip
    return {
        "family": name,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": str(size[0]),
        "memory": str(size[1]),
        "executionRoleArn": f"arn:aws:iam::{place.account_id}:role/{name}-execution",
        "taskRoleArn": f"arn:aws:iam::{place.account_id}:role/{name}-task",
        **({"volumes": [{"name": front_.VOLUME}]} if shared else {}),
        "containerDefinitions": [
            {key: value for key, value in c.items() if value != []} for c in containers
        ],
    }


def _router(service: str, place: Place, router: Router) -> dict[str, Any]:
    return {
        "name": "log-router",
        "image": place.image(f"{service}-log-router"),
        "essential": False,
        "memoryReservation": SIDECAR_MIB,
        "secrets": [
            {"name": name, "valueFrom": place.parameter(parameter_name(service, name))}
            for name, is_secret in router.variables.items()
            if is_secret
        ],
        "firelensConfiguration": {
            "type": "fluentbit",
            "options": {
                "enable-ecs-log-metadata": "true",
                "config-file-type": "file",
                "config-file-value": ROUTER_FILE,
            },
        },
        "restartPolicy": {"enabled": True, "restartAttemptPeriod": 60},
    }


def service_definition(chosen: Chosen, place: Place, front: Front | None) -> dict[str, Any]:
    """Behind a target group if it speaks HTTP; else behind none."""
    made = _service_definition(chosen, place)
    if front is not None:
        made["loadBalancers"][0] |= {"containerName": front.name, "containerPort": front.port}
    if not chosen.speaks_http:
        del made["loadBalancers"], made["healthCheckGracePeriodSeconds"]
    return made


def _service_definition(chosen: Chosen, place: Place) -> dict[str, Any]:
    return {
        "serviceName": chosen.name,
        "launchType": "FARGATE",
        "platformVersion": "1.4.0",
        "desiredCount": place.count,
        "healthCheckGracePeriodSeconds": 30,
        "deploymentConfiguration": {
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": list(place.subnets),
                "securityGroups": list(place.security_groups),
                "assignPublicIp": "DISABLED",
            }
        },
        "loadBalancers": [
            {
                "targetGroupArn": f"arn:aws:elasticloadbalancing:{place.region}:{place.account_id}"
                f":targetgroup/{chosen.name[:32]}/0123456789abcdef",
                "containerName": chosen.name,
                "containerPort": chosen.port,
            }
        ],
        "propagateTags": "SERVICE",
    }


def settings(
    chosen: Chosen,
    place: Place,
    image: Image,
    environment: Environment,
    router: Router,
    traffic: Traffic,
    schema: Sequence[str],
    front: Front | None,
    front_image: Mapping[str, Any],
) -> dict[str, Any]:
    name = chosen.name
    router_copies = {"log-router/application.conf": ROUTER_FILE}
    if router.parsers:
        router_copies["log-router/parsers.conf"] = PARSERS
    made: dict[str, Any] = {
        "task_definition": "ecs-task-def.json",
        "service_definition": "ecs-service-def.json",
        "region": place.region,
        "cluster": place.cluster,
        "images": {
            place.image(name): {
                "dockerfile": "Dockerfile",
                **({"embedded": image.embedded} if image.embedded else {}),
            },
            place.image(f"{name}-log-router"): {
                "dockerfile": "log-router/Dockerfile",
                "embedded": {"from": ROUTER_BASE, "copy": router_copies},
            },
        },
        "load_balancer": {
            "target_group": name[:32],
            "listener_port": 80,
            "health_check": {
                "path": chosen.health_path, "interval": "10s", "timeout": "5s",
                "healthy_threshold": 2, "unhealthy_threshold": 2, "matcher": chosen.health_codes,
            },
            "deregistration_delay": "30s",
        },
        "synthetic": "synthetic.yaml",
        "load": {"targets": "targets.http", "rate": f"{traffic.rate}/s"},
    }  # fmt: skip
    if front is not None:
        made["images"][place.image(f"{name}-{front.name}")] = {
            "dockerfile": f"{front.name}/Dockerfile", "embedded": front_image,
        }  # fmt: skip
    if not chosen.speaks_http:
        for key in ("load_balancer", "synthetic", "load"):
            del made[key]
    if environment.database is not None:
        database = environment.database
        made["database"] = {
            "engine": database.engine, "cluster": database.cluster, "name": database.name,
            "user": database.user, "instances": 2, "parameters": dict(database.parameters),
            "schema": list(schema),
        }  # fmt: skip
    secrets = dict(environment.rehearsal)
    for variable, is_secret in router.variables.items():
        if is_secret:
            secrets[parameter_name(name, variable)] = "{generated}"
    if secrets:
        made["secrets"] = secrets
    made |= _rest(chosen, image, environment, place, traffic)
    if front is not None and (front.shared or chosen.speaks != "http"):
        made.pop("old_home", None)  # It is an application behind a port of HTTP's.
    return made


def _rest(
    chosen: Chosen, image: Image, environment: Environment, place: Place, traffic: Traffic
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if traffic.p99_ms is not None:
        # What holds today, doubled: a task shares its machine with others.
        made["limits"] = {"p99": f"{max(500, round(traffic.p99_ms * 2))}ms"}
    if environment.plain.get("PORT") == str(chosen.port):
        made["bad_deploy"] = {"environment": {"PORT": "9999"}}
    program = chosen.program
    if program is not None and image.embedded.get("copy") and not image.reasons_not:
        rehearsed = {
            name: environment.rehearsal[parameter]
            for name, parameter in environment.references.items()
            if "{generated}" not in environment.rehearsal[parameter]
        }
        made["old_home"] = {
            "image": place.image(chosen.name),
            "command": image.embedded["command"],
            "binary": program.path,
            "port": chosen.port,
            "instances": max(1, min(place.count, 4)),
            "restart_delay": f"{chosen.unit.restart_s:g}s",
            "environment": {**environment.plain, **rehearsed},
        }
    return made


def to_yaml(document: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    """Each top key with its comment above; texts are quoted by YAML's own rules."""
    parts = []
    for key, value in document.items():
        if key in comments:
            parts.append(f"\n# {comments[key]}")
        text = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=110)
        parts.append(text.rstrip("\n"))
    return "\n".join(parts).lstrip("\n") + "\n"
