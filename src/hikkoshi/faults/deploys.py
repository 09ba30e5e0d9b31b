"""Faults that are deploys: a rolling one, and ones that cannot come up."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping
from typing import Any

from hikkoshi.aws.access import calling
from hikkoshi.base.errors import HikkoshiError
from hikkoshi.faults.model import NotTried, Place, Plain
from hikkoshi.faults.service import (
    describe_service,
    running_tasks,
    short,
    task_definition,
    tasks_of,
)

# What DescribeTaskDefinition adds, and RegisterTaskDefinition does not take.
_ADDED = (
    "taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities",
    "registeredAt", "registeredBy", "deregisteredAt", "deleteRequestedAt",
)  # fmt: skip
NO_IMAGE = "hikkoshi-fault/no-such-image:bad-deploy"
NO_SECRET = "hikkoshi-fault-no-such-secret"
FEW_DESCRIPTORS = 24


class RollingDeploy(Plain):
    """The same revision once more (UpdateService with forceNewDeployment)."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._before: set[str] = set()
        self._deployment = ""

    def prepare(self) -> None:
        self._before = {task["taskArn"] for task in running_tasks(self._place)}
        if not self._before:
            raise NotTried("no task is running")

    def inject(self) -> None:
        ecs = self._place.access.client("ecs")
        service = calling(
            "ecs:UpdateService", ecs.update_service, cluster=self._place.cluster,
            service=self._place.needs_service(), forceNewDeployment=True,
        )["service"]  # fmt: skip
        self._deployment = next(
            str(d["id"]) for d in service["deployments"] if d["status"] == "PRIMARY"
        )

    def proof(self) -> str | None:
        now = {task["taskArn"] for task in running_tasks(self._place)}
        if now and not now & self._before:
            return f"{self._deployment}: {len(self._before)} tasks were replaced by {len(now)}"
        return None


Change = Callable[[dict[str, Any], Place], dict[str, Any]]
"""A task definition, broken."""


class BrokenDeploy(Plain):
    """A revision that cannot come up is deployed; the circuit breaker is to take it back. Whether
    it did or not, `undo` leaves the service at the revision it had."""

    def __init__(self, place: Place, change: Change, *, is_held: bool = False) -> None:
        self._place = place
        self._change = change
        self._is_held = is_held
        self._good = ""
        self._definition: dict[str, Any] = {}
        self._bad = ""

    def prepare(self) -> None:
        service = describe_service(self._place)
        if len(service["deployments"]) > 1:
            raise NotTried("another deployment is under way")
        self._good = service["taskDefinition"]
        found = task_definition(self._place.access, self._good)
        plain = {key: value for key, value in found.items() if key not in _ADDED and value}
        self._definition = self._change(copy.deepcopy(plain), self._place)
        breaker = service.get("deploymentConfiguration", {}).get("deploymentCircuitBreaker", {})
        if not self._is_held and not (breaker.get("enable") and breaker.get("rollback")):
            raise NotTried(
                "nothing would roll a bad deploy back",
                fix="set deploymentConfiguration.deploymentCircuitBreaker to enable and rollback",
            )

    def inject(self) -> None:
        ecs = self._place.access.client("ecs")
        made = calling("ecs:RegisterTaskDefinition", ecs.register_task_definition,
                       **self._definition)  # fmt: skip
        self._bad = made["taskDefinition"]["taskDefinitionArn"]
        self._place.keep("a deploy that is to fail", {"good": self._good, "bad": self._bad})
        self._update(self._bad)

    def proof(self) -> str | None:
        """A task of the broken revision ended without having served; or, where the fault is held,
        its tasks run."""
        if self._is_held:
            now = [t for t in running_tasks(self._place) if t["taskDefinitionArn"] == self._bad]
            return f"{len(now)} tasks of {short(self._bad)} run" if now else None
        ended = [
            task for task in tasks_of(self._place, "STOPPED")
            if task["taskDefinitionArn"] == self._bad and task.get("stoppedReason")
        ]  # fmt: skip
        return f"{short(self._bad)}: {ended[0]['stoppedReason']}" if ended else None

    def is_held(self) -> bool:
        return self._is_held

    def is_over(self) -> bool:
        """ECS itself went back, and nothing of the broken revision is left."""
        service = describe_service(self._place)
        is_back = service["deployments"][0]["taskDefinition"] == self._good
        left = [t for t in tasks_of(self._place, "RUNNING") if t["taskDefinitionArn"] == self._bad]
        return is_back and len(service["deployments"]) == 1 and not left

    def undo(self) -> None:
        if not self._bad:
            return
        deployments = describe_service(self._place)["deployments"]
        if deployments[0]["taskDefinition"] == self._bad:
            self._update(self._good)
        ecs = self._place.access.client("ecs")
        with contextlib.suppress(HikkoshiError):
            calling("ecs:DeregisterTaskDefinition", ecs.deregister_task_definition,
                    taskDefinition=self._bad)  # fmt: skip

    @classmethod
    def finish(cls, place: Place, change: Mapping[str, Any]) -> str:
        """Undo what a killed run left; what was deployed since then stays."""
        left = cls(place, lambda definition, _: definition)
        left._good, left._bad = str(change["good"]), str(change["bad"])
        left.undo()
        now = describe_service(place)["deployments"][0]["taskDefinition"]
        return f"service {place.service} is at {short(now)}"

    def _update(self, arn: str) -> None:
        ecs = self._place.access.client("ecs")
        calling(
            "ecs:UpdateService", ecs.update_service, cluster=self._place.cluster,
            service=self._place.needs_service(), taskDefinition=arn,
        )  # fmt: skip


def main_container(definition: dict[str, Any], place: Place) -> dict[str, Any]:
    containers: list[dict[str, Any]] = definition["containerDefinitions"]
    if place.container is not None:
        named = [c for c in containers if c["name"] == place.container]
        if not named:
            raise NotTried(f"the task has no container {place.container}")
        return named[0]
    mapped = [c for c in containers if c.get("portMappings")]
    return next(iter([*mapped, *(c for c in containers if c.get("essential", True))]))


def without_image(definition: dict[str, Any], place: Place) -> dict[str, Any]:
    main_container(definition, place)["image"] = NO_IMAGE
    return definition


def without_secret(definition: dict[str, Any], place: Place) -> dict[str, Any]:
    """One secret leads to one that does not exist, of the same store, account and region."""
    for container in definition["containerDefinitions"]:
        for secret in container.get("secrets", []):
            asked = secret["valueFrom"]
            if ":secretsmanager:" in asked:
                head = asked.split(":secret:", 1)[0]
                secret["valueFrom"] = f"{head}:secret:{NO_SECRET}-AbCdEf"
            else:
                secret["valueFrom"] = f"/{NO_SECRET}"
            return definition
    raise NotTried("the task definition has no secrets")


def with_few_descriptors(definition: dict[str, Any], place: Place) -> dict[str, Any]:
    container = main_container(definition, place)
    others = [u for u in container.get("ulimits", []) if u["name"] != "nofile"]
    few = {"name": "nofile", "softLimit": FEW_DESCRIPTORS, "hardLimit": FEW_DESCRIPTORS}
    container["ulimits"] = [*others, few]
    return definition
