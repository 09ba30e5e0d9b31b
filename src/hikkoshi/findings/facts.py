"""What rules need to know of a service beside what is measured: text for the evidence's `meta`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hikkoshi.model.project import Project

# Destinations that the region plays, so that what arrives is seen.
PLAYED = frozenset({"datadog", "cloudwatch_logs", "cloudwatch"})


def facts_of(project: Project, left_out: Sequence[str]) -> dict[str, str]:
    """Pure. left_out: the trials that the user did not ask for. The keys are told in
    docs/evidence.md; "none" says that the service has no such thing."""
    service, task = project.service_definition, project.task_definition
    database = project.settings.database
    desired = int(service.get("desiredCount", 1))
    percent = int(service.get("deploymentConfiguration", {}).get("maximumPercent", 200))
    is_asked = project.settings.load is not None and bool(service.get("loadBalancers"))
    containers = task["containerDefinitions"]
    application, port = application_of(project)
    facts = {
        "task_cpu": str(task.get("cpu", "")),
        "task_memory": str(task.get("memory", "")),
        "desired_count": str(desired),
        "maximum_tasks": str(desired * percent // 100),
        "database": "none" if database is None else database.engine,
        "reader": "yes" if database is not None and database.instances > 1 else "none",
        "load": "yes" if is_asked else "none",
        "router": "yes" if any(c.get("firelensConfiguration") for c in containers) else "none",
        "container": str(application.get("name", "")),
        "container_port": port or "none",
        "log_mode": log_mode(application),
        "log_destination": destination_of(application),
        "start_s": str(start_allowed_s(project, application)),
        "left_out": ",".join(left_out),
    }
    return {key: value for key, value in facts.items() if value}


def application_of(project: Project) -> tuple[dict[str, Any], str]:
    """(container, port) behind the load balancer; without one the first essential one, no port."""
    containers = project.task_definition["containerDefinitions"]
    by_name = {container["name"]: container for container in containers}
    for balancer in project.service_definition.get("loadBalancers", []):
        found = by_name.get(balancer["containerName"], {})
        return found, str(balancer.get("containerPort", ""))
    essential = [c for c in containers if c.get("essential", True)]
    return (essential or containers)[0], ""


def log_mode(container: dict[str, Any]) -> str:
    """blocking only where it is asked for: AWS made non-blocking the default in June 2025."""
    log = container.get("logConfiguration", {})
    if log.get("logDriver") != "awslogs":
        return "non-blocking"
    return str(log.get("options", {}).get("mode", "non-blocking"))


def destination_of(container: dict[str, Any]) -> str:
    """A destination that is played here; "none" for what is not; "" where only the router's own
    file knows."""
    log = container.get("logConfiguration", {})
    if log.get("logDriver") == "awslogs":
        return "cloudwatch_logs"
    if log.get("logDriver") != "awsfirelens":
        return "none"
    name = str(log.get("options", {}).get("Name", "")).lower()
    if not name:
        return ""
    return name if name in PLAYED else "none"


def start_allowed_s(project: Project, container: dict[str, Any]) -> int:
    """How long AWS leaves a task until its health has to be good, in whole seconds: the longer of
    the grace period and the load balancer's failed checks; and the container's own check."""
    balancer = project.settings.load_balancer
    allowed = float("inf")
    if balancer is not None:
        check = balancer.health_check
        grace = float(project.service_definition.get("healthCheckGracePeriodSeconds") or 0)
        allowed = max(grace, float(check.interval) * check.unhealthy_threshold)
    own = container.get("healthCheck")
    if own:
        interval, retries = float(own.get("interval", 30)), int(own.get("retries", 3))
        allowed = min(allowed, float(own.get("startPeriod", 0)) + interval * retries)
    return math.floor(allowed) if math.isfinite(allowed) else 300
