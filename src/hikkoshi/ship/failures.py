"""Why tasks of a deployment ended, and whether the next ones will end in the same way. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hikkoshi.ship.calls import short

Document = dict[str, Any]
ENOUGH = 2
"""So many tasks that ended alike, and none that is well, show that the next will, too."""
TRUSTED_AFTER_S = 20.0
_BY_ITSELF = ("TaskFailedToStart", "EssentialContainerExited")
_IDS = re.compile(r"\b[0-9a-f]{32}\b|\b\d+\.\d+\.\d+\.\d+\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b")
_KILLED = (137, 143)
"""What a container that is stopped because another one ended exits with."""


@dataclass(frozen=True, slots=True)
class FailedTask:
    """container and exit_code: of the one that ended the task, where one did. lifetime_s: from
    RUNNING; 0 if it never ran."""

    id: str
    task_definition: str
    stop_code: str
    reason: str
    container: str | None
    exit_code: int | None
    container_reason: str | None
    lifetime_s: float

    @property
    def signature(self) -> tuple[str, ...]:
        parts = (self.stop_code, self.reason, self.container or "", str(self.exit_code),
                 self.container_reason or "")  # fmt: skip
        return tuple(_IDS.sub("…", part) for part in parts)

    @property
    def words(self) -> str:
        said = self.reason or self.stop_code
        if self.container is not None and self.exit_code is not None:
            said += f": container {self.container} exited with code {self.exit_code}"
        elif self.container is not None:
            said += f": container {self.container}"
        if self.container_reason and self.container_reason not in said:
            said += f" ({self.container_reason})"
        return said


def failed_tasks(tasks: Iterable[Document], deployment: str) -> list[FailedTask]:
    """Of stopped or stopping tasks, those of this deployment that failed, the first to end first.

    A task that was stopped by a person, by scaling or by a newer deployment has not failed."""
    found = [task for task in tasks if task.get("startedBy") == deployment and _has_failed(task)]
    found.sort(key=lambda task: str(task.get("stoppingAt") or task.get("stoppedAt") or ""))
    return [read_failed(task) for task in found]


def is_hopeless(failed: Sequence[FailedTask], is_one_well: bool) -> bool:
    """Whether to give up: two or more ended, all of them alike, and none that runs is well."""
    if len(failed) < ENOUGH or is_one_well:
        return False
    return len({task.signature for task in failed}) == 1


def is_well(task: Document, healthy_addresses: set[str] | None, failed_after_s: float) -> bool:
    """A RUNNING task that is not about to fail as the others did.

    healthy_addresses: of the targets that the load balancer calls healthy; None: there is none.
    failed_after_s: how long the longest-lived of the failed ones ran."""
    if task.get("lastStatus") != "RUNNING" or task.get("desiredStatus") != "RUNNING":
        return False
    if task.get("healthStatus") == "UNHEALTHY":
        return False
    if healthy_addresses is not None:
        return bool(addresses(task) & healthy_addresses)
    if task.get("healthStatus") == "HEALTHY":
        return True
    started = task.get("startedAt")
    if started is None:
        return False
    import datetime

    age = (datetime.datetime.now(datetime.UTC) - started).total_seconds()
    return bool(age > max(TRUSTED_AFTER_S, 3 * failed_after_s))


def addresses(task: Document) -> set[str]:
    return {
        detail["value"]
        for attachment in task.get("attachments", [])
        for detail in attachment.get("details", [])
        if detail.get("name") == "privateIPv4Address"
    }


def _has_failed(task: Document) -> bool:
    code, reason = task.get("stopCode"), str(task.get("stoppedReason", ""))
    if code in _BY_ITSELF:
        is_known = code == "TaskFailedToStart" or any(
            c.get("exitCode") is not None or c.get("reason") for c in task.get("containers", [])
        )
        return is_known or task.get("lastStatus") == "STOPPED"
    return code == "ServiceSchedulerInitiated" and reason.startswith("Task failed")


def read_failed(task: Document) -> FailedTask:
    """Of a task of DescribeTasks that has ended."""
    culprit = _culprit(task)
    started, ended = task.get("startedAt"), task.get("stoppingAt") or task.get("stoppedAt")
    return FailedTask(
        id=short(task["taskArn"]),
        task_definition=short(task["taskDefinitionArn"]),
        stop_code=str(task.get("stopCode", "")),
        reason=str(task.get("stoppedReason", "")),
        container=culprit.get("name") if culprit else None,
        exit_code=culprit.get("exitCode") if culprit else None,
        container_reason=culprit.get("reason") if culprit else None,
        lifetime_s=(ended - started).total_seconds() if started and ended else 0.0,
    )


def _culprit(task: Document) -> Document | None:
    if task.get("stopCode") == "ServiceSchedulerInitiated":
        sick = [c for c in task.get("containers", []) if c.get("healthStatus") == "UNHEALTHY"]
        return {"name": sick[0]["name"]} if sick else None
    containers = task.get("containers", [])
    by_itself = [
        c for c in containers if c.get("exitCode") not in (None, 0, *_KILLED) or c.get("reason")
    ]
    ended = [c for c in containers if c.get("exitCode") is not None]
    clean = [c for c in ended if c.get("exitCode") == 0]
    return next(iter(by_itself or clean or ended), None)
