"""What a project's files say today, and what must hold: pure, from a loaded `Project`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.fargate.limits import DEFAULT_MAXIMUM_PERCENT
from hikkoshi.fargate.prices import X86
from hikkoshi.fargate.sizes import parse_cpu, parse_memory
from hikkoshi.model.project import HealthCheck, Project


@dataclass(frozen=True, slots=True)
class Objective:
    """The limits of hikkoshi.yaml. rate None: no load is planned."""

    p99_s: float
    errors: float
    recovery_s: float
    rate: float | None


@dataclass(frozen=True, slots=True)
class PoolVariable:
    """The application's variable that says how many connections each of a task's processes may
    have open. index: its place in the container's `environment`."""

    name: str
    value: int
    processes: int
    index: int

    @property
    def of_a_task(self) -> int:
        return self.value * self.processes


@dataclass(frozen=True, slots=True)
class Present:
    """cpu in units, memory in MiB. None: the files do not say. least_cpu, least_memory: what the
    containers reserve, so that no smaller task is accepted."""

    cpu: int
    memory: int
    architecture: str
    tasks: int
    maximum_percent: int
    container: str
    container_index: int
    nofile: tuple[int, int] | None
    nofile_index: int | None
    has_ulimits: bool
    stop_timeout_s: int | None
    grace_s: int | None
    health_check: HealthCheck | None
    deregistration_delay_s: float | None
    pool_variables: tuple[str, ...]
    least_cpu: int = 0
    least_memory: int = 0
    pool: PoolVariable | None = None

    @property
    def most_in_a_deploy(self) -> int:
        return max(self.tasks, self.tasks * self.maximum_percent // 100)


_POOL_WORDS = ("max_open", "pool_size", "pool_max", "max_conn", "max_pool", "max_idle", "lifetime")


def objective_of(project: Project) -> Objective:
    limits, load = project.settings.limits, project.settings.load
    rate = None if load is None else float(load.rate)
    return Objective(float(limits.p99), float(limits.errors), float(limits.recovery), rate)


def present_of(project: Project, pool: str | None = None) -> Present:
    """pool: NAME or NAME/PROCESSES, as `--pool-variable` takes it. BadInput where the container
    has no such number."""
    task, service = project.task_definition, project.service_definition
    index, container = _application(task, service)
    limits: list[dict[str, Any]] = container.get("ulimits", [])
    place = next((i for i, one in enumerate(limits) if one.get("name") == "nofile"), None)
    balancer = project.settings.load_balancer
    names = [str(one.get("name", "")) for one in container.get("environment", [])]
    return Present(
        cpu=parse_cpu(task["cpu"]),
        memory=parse_memory(task["memory"]),
        architecture=task.get("runtimePlatform", {}).get("cpuArchitecture", X86),
        tasks=int(service.get("desiredCount", 1)),
        maximum_percent=int(
            service.get("deploymentConfiguration", {}).get(
                "maximumPercent", DEFAULT_MAXIMUM_PERCENT
            )
        ),
        container=str(container.get("name", "")),
        container_index=index,
        nofile=None
        if place is None
        else (int(limits[place]["softLimit"]), int(limits[place]["hardLimit"])),
        nofile_index=place,
        has_ulimits="ulimits" in container,
        stop_timeout_s=container.get("stopTimeout"),
        grace_s=service.get("healthCheckGracePeriodSeconds"),
        health_check=balancer.health_check if balancer else None,
        deregistration_delay_s=float(balancer.deregistration_delay) if balancer else None,
        pool_variables=tuple(n for n in names if any(w in n.lower() for w in _POOL_WORDS)),
        least_cpu=sum(int(one.get("cpu", 0)) for one in task["containerDefinitions"]),
        least_memory=sum(
            int(one.get("memory") or one.get("memoryReservation") or 0)
            for one in task["containerDefinitions"]
        ),
        pool=None if pool is None else _pool_variable(container, pool),
    )


def _pool_variable(container: dict[str, Any], asked: str) -> PoolVariable:
    name, _, processes = asked.partition("/")
    if processes and not (processes.isdecimal() and int(processes) > 0):
        raise BadInput(
            f"{asked!r} is no NAME/PROCESSES: {processes!r} is no number of processes",
            fix=f"write {name}/2 where two processes of a task have a pool each",
        )
    variables = container.get("environment", [])
    for index, one in enumerate(variables):
        if one.get("name") == name:
            value = str(one.get("value", ""))
            if not (value.isdecimal() and int(value) > 0):
                raise BadInput(
                    f"{name} of the container {container.get('name')!r} is {value!r}, no number "
                    "of connections",
                    fix="name the variable with the most that may be open",
                )
            return PoolVariable(name, int(value), int(processes or 1), index)
    there = ", ".join(str(one.get("name")) for one in variables) or "none"
    raise BadInput(
        f"the container {container.get('name')!r} has no variable {name!r} in its `environment`",
        fix=f"it has {there}",
    )


def _application(task: dict[str, Any], service: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The container behind the load balancer; without one the first essential one."""
    containers: list[dict[str, Any]] = task["containerDefinitions"]
    for balancer in service.get("loadBalancers", []):
        for index, container in enumerate(containers):
            if container["name"] == balancer.get("containerName"):
                return index, container
    for index, container in enumerate(containers):
        if container.get("essential", True):
            return index, container
    return 0, containers[0]
