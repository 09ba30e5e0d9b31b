"""A canary: one task of the new definition behind the same target groups, before any other.

It takes its share of the traffic (one of desired + 1) for a while. If it ends, or is called
unhealthy, nothing is deployed. ECS leaves targets alone that are not its service's own.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from typing import Any

from hikkoshi.aws.access import calling
from hikkoshi.base.errors import HikkoshiError
from hikkoshi.ship.calls import Calls, short
from hikkoshi.ship.failures import addresses, read_failed
from hikkoshi.ship.lines import last_lines
from hikkoshi.ship.watch import Show

Document = dict[str, Any]
HEALTHY_WITHIN_S = 180.0
DRAINED_WITHIN_S = 330.0


class CanaryFailed(HikkoshiError):
    """The canary ended or was unhealthy; nothing was deployed."""

    exit_code = 1


def started_by(service: str) -> str:
    return f"hikkoshi-canary/{service}"[:128]


def left_over(calls: Calls) -> list[Document]:
    """Canaries of a deploy that was killed."""
    return calls.tasks("RUNNING", startedBy=started_by(calls.service))


@contextlib.contextmanager
def canary(
    calls: Calls, service: Document, definition: str, hold_s: float, show: Show, every_s: float
) -> Iterator[None]:
    """Returns when it has held; the canary is taken away when the block ends. CanaryFailed."""
    task = _start(calls, service, definition)
    balancers = [b for b in service.get("loadBalancers", []) if b.get("targetGroupArn")]
    show.say(f"canary: task {short(task['taskArn'])} of {short(definition)}")
    try:
        task = _until_running(calls, task, show, every_s)
        _register(calls, task, balancers)
        _until_healthy(calls, task, balancers, every_s)
        share = f"1 of {service['desiredCount'] + 1} targets" if balancers else "no traffic"
        show.say(f"canary: healthy; it takes {share} for {hold_s:g} s")
        _hold(calls, task, balancers, hold_s, every_s)
        show.say("canary: held")
        yield
    finally:
        take_away(calls, [task], balancers, show, every_s)


def take_away(
    calls: Calls, tasks: list[Document], balancers: list[Document], show: Show, every_s: float
) -> None:
    """Deregister, let it drain, stop."""
    elb = calls.access.client("elbv2")
    for task in tasks:
        for balancer in balancers:
            targets = _targets(task, balancer)
            if not targets:
                continue
            group = balancer["targetGroupArn"]
            calling("elasticloadbalancing:DeregisterTargets", elb.deregister_targets,
                    TargetGroupArn=group, Targets=targets)  # fmt: skip
            deadline = time.monotonic() + DRAINED_WITHIN_S
            while _state(calls, group, targets[0]) not in (None, "unused"):
                if time.monotonic() > deadline:
                    break
                time.sleep(every_s)
        calls("StopTask", cluster=calls.cluster, task=task["taskArn"], reason="canary is over")
        show.say(f"canary: task {short(task['taskArn'])} was taken away")


def _start(calls: Calls, service: Document, definition: str) -> Document:
    where: Document = {"networkConfiguration": service["networkConfiguration"]}
    if service.get("capacityProviderStrategy"):
        where["capacityProviderStrategy"] = service["capacityProviderStrategy"]
    else:
        where["launchType"] = service.get("launchType") or "FARGATE"
    answer = calls(
        "RunTask", cluster=calls.cluster, taskDefinition=definition, count=1,
        startedBy=started_by(calls.service), clientToken=secrets.token_hex(16), **where,
    )  # fmt: skip
    if answer.get("failures"):
        raise CanaryFailed(f"ECS could not place the canary: {answer['failures'][0].get('reason')}")
    return dict(answer["tasks"][0])


def _look(calls: Calls, task: Document) -> Document:
    """The task as it is. CanaryFailed if it is ending, or unhealthy."""
    (now,) = calls.describe_tasks([task["taskArn"]])
    if now["desiredStatus"] == "STOPPED":
        # Its exit code is there a moment after it was told to end.
        for _ in range(20):
            if now["lastStatus"] == "STOPPED":
                break
            time.sleep(0.5)
            (now,) = calls.describe_tasks([task["taskArn"]])
        raise CanaryFailed(_words(calls, now))
    if now.get("healthStatus") == "UNHEALTHY":
        raise CanaryFailed("the canary failed its own health check, and nothing was deployed")
    return now


def _words(calls: Calls, task: Document) -> str:
    """Why it ended, with the last lines of the container that ended it."""
    failed = read_failed(task)
    words = [f"the canary failed, and nothing was deployed: {failed.words}"]
    definition = calls.definition(task["taskDefinitionArn"]) or {}
    for container in definition.get("containerDefinitions", []):
        if container["name"] == failed.container:
            lines, why = last_lines(calls.access, container, failed.id, calls.kept_logs)
            words += [f"    {failed.container} | {line}" for line in lines]
            words += [f"    ({why})"] if why else []
    return "\n".join(words)


def _until_running(calls: Calls, task: Document, show: Show, every_s: float) -> Document:
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    while True:
        now = _look(calls, task)
        if now["lastStatus"] == "RUNNING" and addresses(now):
            return now
        if time.monotonic() > deadline:
            raise CanaryFailed(f"the canary is {now['lastStatus']} after {HEALTHY_WITHIN_S:g} s")
        time.sleep(every_s)


def _register(calls: Calls, task: Document, balancers: list[Document]) -> None:
    elb = calls.access.client("elbv2")
    for balancer in balancers:
        calling("elasticloadbalancing:RegisterTargets", elb.register_targets,
                TargetGroupArn=balancer["targetGroupArn"],
                Targets=_targets(task, balancer))  # fmt: skip


def _until_healthy(calls: Calls, task: Document, balancers: list[Document], every_s: float) -> None:
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    for balancer in balancers:
        target = _targets(task, balancer)[0]
        while (state := _state(calls, balancer["targetGroupArn"], target)) != "healthy":
            _look(calls, task)
            if time.monotonic() > deadline:
                raise CanaryFailed(
                    f"the canary's target {target['Id']}:{target['Port']} is {state}, and nothing "
                    "was deployed"
                )
            time.sleep(every_s)


def _hold(
    calls: Calls, task: Document, balancers: list[Document], hold_s: float, every_s: float
) -> None:
    deadline = time.monotonic() + hold_s
    while time.monotonic() < deadline:
        _look(calls, task)
        for balancer in balancers:
            target = _targets(task, balancer)[0]
            if _state(calls, balancer["targetGroupArn"], target) == "unhealthy":
                raise CanaryFailed("the load balancer calls the canary unhealthy, and nothing was "
                                   "deployed")  # fmt: skip
        time.sleep(min(every_s, max(0.0, deadline - time.monotonic())))


def _targets(task: Document, balancer: Document) -> list[Document]:
    return [{"Id": a, "Port": balancer["containerPort"]} for a in sorted(addresses(task))]


def _state(calls: Calls, group: str, target: Document) -> str | None:
    elb = calls.access.client("elbv2")
    found = calling("elasticloadbalancing:DescribeTargetHealth", elb.describe_target_health,
                    TargetGroupArn=group, Targets=[target])  # fmt: skip
    states = [d["TargetHealth"]["State"] for d in found["TargetHealthDescriptions"]]
    return states[0] if states else None
