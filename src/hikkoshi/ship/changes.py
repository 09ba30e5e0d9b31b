"""What would change: the difference between the files and what is live, as data and as text."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import Any

from hikkoshi.ship import normal
from hikkoshi.ship.home import Home

Document = dict[str, Any]


@dataclass(frozen=True)
class Changes:
    """task_diff and service_diff: unified diffs, live to files; empty where nothing differs.
    service: the members that UpdateService is to be given. tags: to be put on the service."""

    task_diff: tuple[str, ...] = ()
    service_diff: tuple[str, ...] = ()
    service: Document | None = None
    tags: tuple[tuple[str, str], ...] = ()
    creates: bool = False

    @property
    def changes_task(self) -> bool:
        return bool(self.task_diff)

    @property
    def is_nothing(self) -> bool:
        return not (self.task_diff or self.service_diff or self.creates)


def compare(home: Home, live: Document | None, live_task: Document | None) -> Changes:
    """live: a service of DescribeServices, with tags; live_task: its task definition. None: there
    is no such service yet."""
    task_diff = compare_tasks(home, live_task)
    wanted = home.service_definition
    if live is None:
        service_diff = () if wanted is None else _diff({}, normal.for_files(wanted), "service")
        return Changes(task_diff, service_diff, {}, creates=wanted is not None)
    if wanted is None:
        return Changes(task_diff)
    want = normal.for_files(wanted)
    have = normal.service(live, beside=wanted)
    service_diff = _diff(have, want, f"service {home.service}")
    if service_diff and "tags" not in want:
        have.pop("tags", None)
    changed = {
        name: wanted.get(name, _emptied(name))
        for name in {*want, *have}
        if name != "tags" and want.get(name) != have.get(name)
    }
    tags: tuple[tuple[str, str], ...] = ()
    if want.get("tags") != have.get("tags") and "tags" in want:
        tags = tuple(normal.tags(wanted).items())
    return Changes(task_diff, service_diff, changed, tags)


def compare_tasks(home: Home, live_task: Document | None) -> tuple[str, ...]:
    want = normal.task_definition(home.task_definition)
    have = normal.task_definition(live_task) if live_task else {}
    name = f"task definition {home.family}"
    if live_task is not None:
        name = str(live_task.get("taskDefinitionArn", name)).rsplit("/", 1)[-1]
    return _diff(have, want, name)


def is_same_task(one: Document, other: Document) -> bool:
    return normal.task_definition(one) == normal.task_definition(other)


def _emptied(name: str) -> Any:
    """What takes a member back to AWS's default, when the files no longer name it."""
    defaults: Document = {
        "healthCheckGracePeriodSeconds": 0,
        "enableECSManagedTags": False,
        "enableExecuteCommand": False,
        "propagateTags": "NONE",
        "deploymentConfiguration": {
            "maximumPercent": 200,
            "minimumHealthyPercent": 100,
            "deploymentCircuitBreaker": {"enable": False, "rollback": False},
        },
        "serviceConnectConfiguration": {"enabled": False},
    }
    return defaults.get(name, [])


def _diff(have: Document, want: Document, name: str) -> tuple[str, ...]:
    if have == want:
        return ()
    before, after = _lines(have), _lines(want)
    return tuple(difflib.unified_diff(before, after, f"live: {name}", "files", lineterm="", n=3))


def _lines(document: Document) -> list[str]:
    if not document:
        return []
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
