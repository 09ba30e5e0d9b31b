"""Ports between the rooms of the region. A room imports these, never another room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from hikkoshi.region.engine.port import Sandbox, Terminal, Usage


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """A task to run. `definition` is the registered task definition in AWS's shape, with the
    overrides of RunTask already applied; `environment` in it is a list of {name, value}."""

    task_arn: str
    task_id: str
    cluster_arn: str
    cluster_name: str
    definition: dict[str, Any]
    group: str
    """`service:NAME` or `family:NAME`."""
    deployment: str | None = None
    """`ecs-svc/N` for a service's task; else None."""
    availability_zone: str = "ap-northeast-1a"
    region: str = "ap-northeast-1"
    account_id: str = "123456789012"
    platform_version: str = "1.4.0"
    enable_execute_command: bool = False
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerState:
    """AWS's `Container` shape, as a value; None where AWS leaves the member out."""

    name: str
    runtime_id: str
    image: str
    last_status: str = "PENDING"
    exit_code: int | None = None
    reason: str | None = None
    health: str = "UNKNOWN"
    image_digest: str | None = None
    cpu: str | None = None
    memory: str | None = None


@dataclass(frozen=True, slots=True)
class TaskState:
    """One immutable snapshot of a task's life; the runtime publishes a new one at each change."""

    task_arn: str
    last_status: str
    desired_status: str
    containers: tuple[ContainerState, ...]
    health: str = "UNKNOWN"
    address: str | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    connectivity_at: datetime | None = None
    pull_started_at: datetime | None = None
    pull_stopped_at: datetime | None = None
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    execution_stopped_at: datetime | None = None
    stopped_at: datetime | None = None


class TaskRuntime(Protocol):
    """Runs tasks. All calls are made on the region's event loop."""

    def start(self, order: TaskOrder, publish: Callable[[TaskState], None]) -> None:
        """Begin the task's life; returns at once. `publish` is called on the loop for every
        change, the last time with last_status STOPPED."""
        ...

    def stop(self, task_arn: str, *, code: str, reason: str) -> None:
        """Ask a task to stop (AWS: desiredStatus becomes STOPPED at once). Idempotent."""
        ...

    async def execute(
        self, task_arn: str, container: str | None, command: list[str], timeout_s: float
    ) -> tuple[int, bytes]:
        """Run a command in a running container (container None: the first essential one)."""
        ...

    async def open_terminal(
        self, task_arn: str, container: str | None, command: list[str]
    ) -> Terminal:
        """A command at a terminal in a running container. LookupError, CannotStartContainer."""
        ...

    async def close(self) -> None:
        """Kill everything, at once."""
        ...


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """AWS's words: initial, healthy, unhealthy, draining, unused; reason as `Target.Timeout`."""

    state: str
    reason: str | None = None
    description: str | None = None


class LoadBalancers(Protocol):
    """What the ECS scheduler needs of ELBv2. Targets are (address, port)."""

    def has_target_group(self, target_group_arn: str) -> bool: ...

    async def register(self, target_group_arn: str, address: str, port: int) -> None: ...

    async def deregister(self, target_group_arn: str, address: str, port: int) -> None:
        """Begin draining; `health` says draining until it is over, then unused."""
        ...

    def health(self, target_group_arn: str, address: str, port: int) -> TargetHealth: ...

    def weights(self, rule_arn: str) -> Mapping[str, int] | None:
        """Target group → weight of a rule's forward action, a listener's default rule included;
        None: there is no such rule, or it does not forward."""
        ...

    async def set_weights(self, rule_arn: str, weights: Mapping[str, int]) -> None:
        """Change the weights of these groups in a rule that forwards, adding those that it has
        not; the rest of the action stays. AwsError as ModifyRule's."""
        ...


@dataclass(frozen=True, slots=True)
class Alarm:
    """A CloudWatch alarm. looks_back_s: its period times its evaluation periods."""

    is_in_alarm: bool
    looks_back_s: float = 0.0


class Alarms(Protocol):
    """CloudWatch's alarms, as far as deployments ask for them. Called on the region's loop."""

    async def find(self, names: Sequence[str]) -> Mapping[str, Alarm]:
        """By name; without those that do not exist. May take seconds the first time."""
        ...

    def now(self, names: Sequence[str]) -> Mapping[str, Alarm]:
        """The same at once, once `find` was called; before that none is known."""
        ...


@dataclass(frozen=True, slots=True)
class RegistryFacts:
    """A Cloud Map service; kinds: of its DNS records (A, SRV, …), none for an HTTP namespace."""

    kinds: frozenset[str]


class ServiceRegistries(Protocol):
    """What the ECS scheduler needs of Cloud Map: an entry for each running task."""

    def facts(self, registry_arn: str) -> RegistryFacts | None:
        """None: there is no such service."""
        ...

    def register(self, registry_arn: str, instance: str, attributes: Mapping[str, str]) -> None:
        """Idempotent; nothing where the service has gone meanwhile, as with `deregister`."""
        ...

    def deregister(self, registry_arn: str, instance: str) -> None: ...


class SecretStore(Protocol):
    async def resolve(self, value_from: str, region: str) -> str:
        """The value behind a `valueFrom`: a Secrets Manager ARN (with `:json-key:stage:version`),
        an SSM parameter's name or ARN. Raises SecretNotFound with AWS's words."""
        ...


@runtime_checkable
class ObjectStore(Protocol):
    """What a SecretStore is, too, where S3 can be asked."""

    async def read_object(self, arn: str, region: str) -> bytes:
        """`arn:aws:s3:::BUCKET/KEY` → its content. Raises ObjectNotFound with S3's words."""
        ...


class ObjectNotFound(Exception):
    """An object of S3 that is not there, or may not be read."""


class SecretNotFound(Exception):
    """The text continues `ResourceInitializationError: unable to pull secrets or registry auth: `
    (`execution resource retrieval failed: unable to retrieve secret from asm: …`)."""


@dataclass(frozen=True, slots=True)
class LogTarget:
    """One container's log driver: `driver` and `options` are the task definition's own.

    fluentd_socket: the FireLens router's socket on this machine, where there is a router.
    metadata: what the driver adds to each record (container_id, container_name, source)."""

    task_id: str
    container: str
    container_id: str
    driver: str
    options: Mapping[str, str]
    fluentd_socket: str | None = None
    tag: str | None = None
    region: str = "ap-northeast-1"
    labels: Mapping[str, str] = field(default_factory=dict)


class LogDriver(Protocol):
    """Takes one container's output. Bounded: when its destination is away it keeps at most its
    buffer, then drops and counts; it never blocks the container for good."""

    def write(self, stream: str, data: bytes) -> None:
        """Raw bytes as read from the container (`stdout` or `stderr`), in any pieces."""
        ...

    async def close(self, timeout_s: float) -> None:
        """Deliver what is left, for at most that long."""
        ...


class LogDrivers(Protocol):
    async def prepare(self, target: LogTarget) -> None:
        """Before any container starts: is the destination there (awslogs' log group)?
        ValueError in the words that follow `ResourceInitializationError: `."""
        ...

    def open(self, target: LogTarget) -> LogDriver:
        """Raises ValueError for a driver or option that Fargate does not know."""
        ...

    def last_lines(self, task_id: str, container: str, count: int = 20) -> list[str]: ...


class Names(Protocol):
    """The region's DNS: private names and where they point."""

    def set(self, name: str, addresses: list[str], ttl_s: int = 60) -> None: ...

    def set_alias(self, name: str, target: str, ttl_s: int = 5) -> None:
        """A CNAME, as RDS endpoints are."""
        ...

    def remove(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class UsageSample:
    """A container's usage, read at t (seconds since the epoch)."""

    t: float
    usage: Usage


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """One container as the metadata endpoint tells it; state has AWS's words for its life."""

    state: ContainerState
    container_arn: str
    labels: Mapping[str, str]
    log_driver: str
    log_options: Mapping[str, str]
    cpu_units: int
    memory_mib: int | None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    samples: tuple[UsageSample, ...] = ()
    """The newest two, oldest first; fewer while the container is young."""


class TaskFacts(Protocol):
    """A task as the metadata endpoint reads it, at the moment it is asked."""

    @property
    def order(self) -> TaskOrder: ...

    @property
    def address(self) -> str:
        """The task's, from which alone its metadata may be read."""
        ...

    @property
    def credentials_id(self) -> str | None:
        """None: the task has no taskRoleArn, hence no credentials."""
        ...

    @property
    def sandbox(self) -> Sandbox | None:
        """Where its network can be spoiled, if its engine can."""
        ...

    def state(self) -> TaskState: ...

    def containers(self) -> Sequence[ContainerFacts]: ...


class MetadataEndpoint(Protocol):
    """Where a task's metadata is served, while it is registered."""

    base_url: str
    """As containers write it: `http://169.254.170.2`."""

    def register(self, task: TaskFacts) -> None: ...

    def withdraw(self, task_arn: str) -> None:
        """Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class TaskUse:
    """What a task uses now beside what it reserved. cpu_s is cumulative."""

    cpu_s: float
    cpu_vcpu: float
    memory_bytes: int
    memory_limit_bytes: int


class ScalableServices(Protocol):
    """What application-autoscaling needs of ECS. Services are named by cluster and name."""

    def desired_count(self, cluster: str, service: str) -> int | None:
        """None: there is no such ACTIVE service."""
        ...

    def running_tasks(self, cluster: str, service: str) -> list[str]:
        """ARNs of those that are RUNNING and wanted."""
        ...

    async def set_desired_count(self, cluster: str, service: str, count: int) -> None:
        """As UpdateService. Raises its errors."""
        ...
