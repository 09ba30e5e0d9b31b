"""A service that is up in the region, as the trials know it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import CannotRun
from hikkoshi.model.project import Project
from hikkoshi.trials.balancer import BalancerHome
from hikkoshi.trials.database import DatabaseHome


@dataclass(frozen=True)
class NewHome:
    """A service that is up. `task_definition` is the adapted one, as it was registered."""

    access: Access
    project: Project
    cluster: str
    service: str
    task_definition: dict[str, Any]
    task_definition_arn: str
    container: str
    database: DatabaseHome | None
    balancer: BalancerHome | None
    adapted: tuple[str, ...]
    logs: Path
    """Where the region writes each container's lines: `<task id>/<container>.log`."""
    start_s: float = 0.0
    """Seconds from CreateService until the service was steady for the first time."""

    @property
    def base_url(self) -> str:
        if self.balancer is None:
            raise CannotRun("the service has no load balancer, so nothing can be sent to it")
        return f"http://{self.balancer.door}"
