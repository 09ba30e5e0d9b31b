"""Projects to generate from: the example, and others made of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from hikkoshi.model.project import (
    ExistingDatabase,
    ExistingLoadBalancer,
    ExistingNetwork,
    Iac,
    Project,
)
from hikkoshi.project.load import load_project

EXAMPLE = Path(__file__).parents[2] / "examples" / "genba" / "after"
ACCOUNT = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012"


def genba() -> Project:
    return load_project(EXAMPLE)


def with_iac(project: Project, iac: Iac) -> Project:
    return dataclasses.replace(project, settings=dataclasses.replace(project.settings, iac=iac))


def everything_exists() -> Project:
    """genba in the account where its old home runs: network, load balancer, database."""
    return with_iac(
        genba(),
        Iac(
            network=ExistingNetwork(
                "vpc-0a1b2c3d4e5f60718",
                ("ap-northeast-1a", "ap-northeast-1c"),
                ("subnet-0a1b2c3d4e5f60001", "subnet-0a1b2c3d4e5f60002"),
                ("subnet-0a1b2c3d4e5f60718", "subnet-18070f6e5d4c3b2a1"),
            ),
            load_balancer=ExistingLoadBalancer(
                f"{ACCOUNT}:loadbalancer/app/genba/0123456789abcdef",
                f"{ACCOUNT}:listener/app/genba/0123456789abcdef/0123456789abcdef",
                "sg-0123456789abcdef0",
                f"{ACCOUNT}:targetgroup/genba-ec2/0123456789abcdef",
            ),
            database=ExistingDatabase("genba", "sg-0fedcba9876543210"),
            repositories=("genba",),
        ),
    )


def worker() -> Project:
    """No load balancer, no database, every kind of key that a container may have."""
    project = genba()
    task: dict[str, Any] = {
        "family": "mail-worker",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "1 vCPU",
        "memory": "2 GB",
        "volumes": [{"name": "scratch"}],
        "ephemeralStorage": {"sizeInGiB": 30},
        "containerDefinitions": [
            {
                "name": "class",
                "image": 'registry.example.com/mail"worker:1',
                "command": ["run", "--shape={a: 'b'}", 'say "hi"'],
                "healthCheck": {"command": ["CMD-SHELL", "true || exit 1"], "interval": 10},
                "secrets": [{"name": "TOKEN", "valueFrom": "/mail/token"}],
                "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/scratch"}],
                "linuxParameters": {"initProcessEnabled": True},
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": "/mail/worker",
                        "awslogs-region": "ap-northeast-1",
                        "awslogs-stream-prefix": "mail",
                    },
                },
                "dependsOn": [{"containerName": "2nd", "condition": "HEALTHY"}],
                "repositoryCredentials": {"credentialsParameter": "arn:x"},
            },
            {
                "name": "2nd",
                "image": "public.ecr.aws/aws-observability/aws-otel-collector:latest",
                "essential": False,
                "healthCheck": {"command": ["CMD", "/healthcheck"]},
            },
        ],
    }
    settings = dataclasses.replace(
        project.settings,
        load_balancer=None,
        database=None,
        load=None,
        images={},
        secrets={"/mail/token": "x"},
        iac=Iac(),
    )
    service = {"serviceName": "mail-worker", "desiredCount": 3, "launchType": "FARGATE"}
    return Project(project.directory, settings, task, service, "mail-worker")
