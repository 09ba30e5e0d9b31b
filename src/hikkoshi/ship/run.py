"""One task of its own: started, followed, and its exit code."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.ship.audit import Audit
from hikkoshi.ship.calls import Calls, primary, short
from hikkoshi.ship.home import Home
from hikkoshi.ship.logs import Line, Reader

Document = dict[str, Any]
NEVER_STARTED = 3
TIMED_OUT = 5


@dataclass(frozen=True)
class Wish:
    """container: whose command and environment are laid over, and whose exit code counts."""

    definition: str
    container: str
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Done:
    task: str
    exit_code: int
    reason: str


def overrides(wish: Wish) -> Document:
    override: Document = {"name": wish.container}
    if wish.command:
        override["command"] = list(wish.command)
    if wish.environment:
        override["environment"] = [{"name": k, "value": v} for k, v in wish.environment]
    return {"containerOverrides": [override]} if len(override) > 1 else {}


def start(calls: Calls, home: Home, wish: Wish, audit: Audit) -> str:
    """The task's ARN. BadInput where no network is known for it."""
    settings = dict(home.service_definition or {})
    if not settings.get("networkConfiguration"):
        live = calls.describe() if home.service else None
        settings = {**(live or {}), **settings}
        settings.setdefault("networkConfiguration", (live or {}).get("networkConfiguration"))
    if not settings.get("networkConfiguration"):
        raise BadInput(
            "no network is known for the task",
            fix="the service definition's networkConfiguration is used; add one",
        )
    where: Document = {"networkConfiguration": settings["networkConfiguration"]}
    for name in ("capacityProviderStrategy", "platformVersion", "enableExecuteCommand"):
        if settings.get(name):
            where[name] = settings[name]
    if "capacityProviderStrategy" not in where:
        where["launchType"] = settings.get("launchType") or "FARGATE"
    answer = calls(
        "RunTask", cluster=calls.cluster, taskDefinition=wish.definition, count=1,
        startedBy="hikkoshi run", overrides=overrides(wish), clientToken=secrets.token_hex(16),
        **where,
    )  # fmt: skip
    if answer.get("failures"):
        failure = answer["failures"][0]
        raise BadInput(f"ECS could not place the task: {failure.get('reason')}")
    arn = str(answer["tasks"][0]["taskArn"])
    audit.note(
        "task started", cluster=calls.cluster, task=short(arn),
        task_definition=short(wish.definition), container=wish.container,
        command=list(wish.command) or None,
    )  # fmt: skip
    return arn


def follow(
    calls: Calls, arn: str, wish: Wish, reader: Reader, tell: Callable[[Line], None],
    say: Callable[[str], None], every_s: float, timeout_s: float,
) -> Done:  # fmt: skip
    """Until the task has stopped. The task is left running at a timeout."""
    deadline = time.monotonic() + timeout_s
    status = ""
    while True:
        (task,) = calls.describe_tasks([arn])
        for line in reader.read():
            tell(line)
        if task["lastStatus"] != status:
            status = task["lastStatus"]
            say(f"task {short(arn)} is {status}")
        if status == "STOPPED":
            break
        if time.monotonic() > deadline:
            return Done(short(arn), TIMED_OUT, "it runs on; `hikkoshi tasks --stop ID` ends it")
        time.sleep(every_s)
    for _ in range(3):  # awslogs delivers what was written last a moment after the end
        time.sleep(every_s)
        for line in reader.read():
            tell(line)
    return read_end(task, wish)


def read_end(task: Document, wish: Wish) -> Done:
    """The container's exit code; NEVER_STARTED with the reason if it has none."""
    container = next(c for c in task["containers"] if c["name"] == wish.container)
    code = container.get("exitCode")
    reasons = [task.get("stoppedReason", ""), container.get("reason", "")]
    reason = ": ".join(r for r in dict.fromkeys(reasons) if r)
    if code is None or task.get("stopCode") == "TaskFailedToStart":
        return Done(short(task["taskArn"]), NEVER_STARTED, f"it never started: {reason}")
    return Done(short(task["taskArn"]), int(code), reason)


def find_definition(calls: Calls, home: Home, revision: str) -> str:
    """revision: 12, family:12, or `live`: what the service has."""
    if revision == "live":
        return str(primary(calls.must_describe())["taskDefinition"])
    name = revision if ":" in revision else f"{home.family}:{revision}"
    found = calls.definition(name)
    if found is None:
        raise BadInput(f"there is no task definition {name}", fix="`hikkoshi revisions`")
    return str(found["taskDefinitionArn"])
