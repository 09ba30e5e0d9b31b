"""A service as its files want it: what every command of shipping reads first."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Home:
    """Both definitions are in the shape of the API's input (RegisterTaskDefinition,
    CreateService). service_definition is None where a configuration names none (tasks only)."""

    directory: Path
    configuration: Path
    region: str
    cluster: str
    service: str
    task_definition: dict[str, Any]
    service_definition: dict[str, Any] | None
    timeout_s: float = DEFAULT_TIMEOUT_S
    router_configurations: dict[str, str] = field(default_factory=dict)
    """`IMAGE:PATH` inside it → the file of this machine that is copied there."""

    local_images: frozenset[str] = frozenset()
    """What a local region makes, as hikkoshi.yaml says."""
    database: str | None = None
    """The identifier of the database cluster that the service uses."""

    codedeploy: dict[str, str] = field(default_factory=dict)
    """application_name and deployment_group_name, where the configuration names them."""
    hooks: tuple[dict[str, str], ...] = ()
    """Of the AppSpec: lifecycle event → Lambda function."""

    @property
    def family(self) -> str:
        return str(self.task_definition["family"])

    @property
    def containers(self) -> list[dict[str, Any]]:
        return list(self.task_definition["containerDefinitions"])

    @property
    def main_container(self) -> str:
        """The one behind the load balancer; without one, the first essential one."""
        for balancer in (self.service_definition or {}).get("loadBalancers", []):
            if balancer.get("containerName"):
                return str(balancer["containerName"])
        essential = [c for c in self.containers if c.get("essential", True)]
        return str((essential or self.containers)[0]["name"])
