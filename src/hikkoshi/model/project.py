"""A project as it is after loading: what hikkoshi.yaml says, and AWS's documents beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Seconds(float):
    """Written as 30s, 1m30s, 300ms or a number of seconds."""


class Rate(float):
    """Requests a second; written as 100/s, 6000/1m or a number."""


class Share(float):
    """Between 0 and 1; written as 0.1% or a number."""


@dataclass(frozen=True, slots=True)
class EmbeddedImageSettings:
    """How the embedded engine makes an image with nothing pulled. `from_` is written `from`.

    include: paths of the machine, or of the disk at `root`, that are in the image with exactly
    what they need to run (see image/stage.py). system_packages: Debian packages of that disk, with
    what they depend on. directories: made in the image, for the service to write into."""

    from_: str = "localhost/host"
    packages: tuple[str, ...] = ()
    copy: Mapping[str, str] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    system_packages: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    root: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str | None = None
    stop_signal: str = "SIGTERM"


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """dockerfile: what Docker builds. embedded: what the embedded engine makes. path: an OCI layout
    or `docker save` archive."""

    dockerfile: str | None = None
    embedded: EmbeddedImageSettings | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """The target group's health check, in ELBv2's terms and with its defaults."""

    path: str = "/"
    interval: Seconds = Seconds(30)
    timeout: Seconds = Seconds(5)
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    matcher: str = "200"


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """listener_port is the port of the listener in AWS; on this machine a free one is opened."""

    target_group: str
    listener_port: int = 80
    health_check: HealthCheck = HealthCheck()
    deregistration_delay: Seconds = Seconds(300)


@dataclass(frozen=True, slots=True)
class Database:
    """The Aurora cluster. `schema`: SQL files, run in order as the master user."""

    cluster: str
    name: str
    user: str
    engine: str = "aurora-postgresql"
    instances: int = 2
    parameters: Mapping[str, str] = field(default_factory=dict)
    schema: tuple[str, ...] = ()
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """targets: a file in vegeta's http or json format. rate: what production sends at its peak."""

    targets: str
    rate: Rate = Rate(100)
    connections: int = 64
    timeout: Seconds = Seconds(10)


@dataclass(frozen=True, slots=True)
class Limits:
    """What must hold at the planned rate, and through faults."""

    p99: Seconds = Seconds(0.5)
    errors: Share = Share(0.001)
    recovery: Seconds = Seconds(15)
    errors_through_faults: Share = Share(0.2)


@dataclass(frozen=True, slots=True)
class OldHome:
    """The service as it runs on EC2 today: a process that a deploy replaces by copy and restart."""

    image: str
    command: tuple[str, ...]
    port: int
    binary: str
    """Path inside the instance of the file that a deploy replaces."""
    instances: int = 2
    environment: Mapping[str, str] = field(default_factory=dict)
    restart_delay: Seconds = Seconds(1)
    """systemd's RestartSec."""


@dataclass(frozen=True, slots=True)
class BadDeploy:
    """How the bad deploy is made bad: this environment is laid over the application container."""

    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ExistingNetwork:
    """A VPC that is there. With its subnets and zones it is imported as written; without, the CDK
    looks it up in the account. zones: one for each private subnet, in the same order."""

    vpc: str
    zones: tuple[str, ...] = ()
    public_subnets: tuple[str, ...] = ()
    private_subnets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExistingLoadBalancer:
    """The Application Load Balancer that stands before the instances today.

    old_target_group: the instances' own, which the listener serves now. priority: of the rule
    that is added to the listener."""

    arn: str
    listener: str
    security_group: str
    old_target_group: str | None = None
    priority: int = 100


@dataclass(frozen=True, slots=True)
class ExistingDatabase:
    """The Aurora cluster that is there; its security group is opened to the service."""

    cluster: str
    security_group: str
    port: int = 5432


@dataclass(frozen=True, slots=True)
class PipelineSource:
    """Where the pipeline takes the source from. repository: owner/name. connection: the ARN of a
    CodeConnections connection to it."""

    repository: str
    connection: str
    branch: str = "main"


@dataclass(frozen=True, slots=True)
class Iac:
    """What `hikkoshi iac` has to know beside the rest. What is named here as existing is imported
    into the CDK app; what is not named is created by it.

    repositories: names of ECR repositories that exist. old_instances: ids of EC2 instances, for
    the old target group when the load balancer is new. directory: of the CDK app."""

    directory: str = "cdk"
    network: ExistingNetwork | None = None
    load_balancer: ExistingLoadBalancer | None = None
    database: ExistingDatabase | None = None
    repositories: tuple[str, ...] = ()
    source: PipelineSource | None = None
    certificate: str | None = None
    alarm_email: str | None = None
    old_instances: tuple[str, ...] = ()
    maximum_tasks: int | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """hikkoshi.yaml, whole. Paths are relative to the directory that holds it."""

    task_definition: str = "ecs-task-def.json"
    service_definition: str = "ecs-service-def.json"
    service: str | None = None
    region: str = "ap-northeast-1"
    cluster: str = "default"
    images: Mapping[str, ImageSettings] = field(default_factory=dict)
    load_balancer: LoadBalancer | None = None
    database: Database | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    synthetic: str | None = None
    load: Load | None = None
    limits: Limits = Limits()
    old_home: OldHome | None = None
    compare_with: str | None = None
    bad_deploy: BadDeploy | None = None
    iac: Iac = Iac()


@dataclass(frozen=True, slots=True)
class Project:
    """Settings with AWS's documents, checked: what `load_project` promises."""

    directory: Path
    settings: Settings
    task_definition: dict[str, Any]
    service_definition: dict[str, Any]
    service: str
    old_home: Project | None = None
    """The project that `compare_with` names, whose old home is set beside this one."""
