"""What ECS and ELBv2 say of a service: whether it is steady, whole, and if not, why."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from hikkoshi.aws.access import calling, wait_until
from hikkoshi.base.errors import CannotRun
from hikkoshi.model.evidence import SETTLING_S
from hikkoshi.trials.home import NewHome

# So many tasks that ended alike show that the next one will, too.
HOPELESS_TASKS = 3


def describe(home: NewHome) -> dict[str, Any]:
    ecs = home.access.client("ecs")
    answer = calling(
        "ecs:DescribeServices", ecs.describe_services, cluster=home.cluster, services=[home.service]
    )
    return dict(answer["services"][0])


def is_steady(service: dict[str, Any]) -> bool:
    """As the waiter ServicesStable sees it, and the deployment says completed."""
    deployments = service["deployments"]
    return (
        len(deployments) == 1
        and service["runningCount"] == service["desiredCount"]
        and deployments[0].get("rolloutState") == "COMPLETED"
    )


def wait_steady(home: NewHome, deadline_s: float) -> float:
    """Seconds until the service was steady. Gives up early when ECS says that the deployment
    failed, or when task after task ends in the same way; the error has the last lines of one."""
    ecs = home.access.client("ecs")

    def is_so() -> bool:
        service = describe(home)
        if any(d.get("rolloutState") == "FAILED" for d in service["deployments"]):
            raise _gives_up(home, stopped_tasks(ecs, home), "the deployment failed")
        stopped = stopped_tasks(ecs, home)
        if len(stopped) >= HOPELESS_TASKS and len({_say_task(task) for task in stopped}) == 1:
            raise _gives_up(home, stopped, f"{len(stopped)} tasks ended in the same way")
        return is_steady(service)

    return wait_until(
        f"service {home.service} steady",
        is_so,
        deadline_s,
        every_s=0.15,
        explain=lambda: explain_tasks(ecs, home),
    )


def stopped_tasks(ecs: Any, home: NewHome) -> list[dict[str, Any]]:
    arns = calling(
        "ecs:ListTasks",
        ecs.list_tasks,
        cluster=home.cluster,
        serviceName=home.service,
        desiredStatus="STOPPED",
    )["taskArns"]
    if not arns:
        return []
    found = calling("ecs:DescribeTasks", ecs.describe_tasks, cluster=home.cluster, tasks=arns)
    return [task for task in found["tasks"] if task["lastStatus"] == "STOPPED"]


def _gives_up(home: NewHome, stopped: list[dict[str, Any]], how: str) -> CannotRun:
    said = _say_task(stopped[-1]) if stopped else "ECS does not say why"
    words = [f"the service {home.service} does not come up: {how}: {said}"]
    for task in stopped[-1:]:
        directory = home.logs / task["taskArn"].rsplit("/", 1)[-1]
        for container in task.get("containers", []):
            lines = last_lines(directory / f"{container['name']}.log")
            if container.get("exitCode") and lines:
                words += [f"  the last lines of {container['name']}:", *(f"    {x}" for x in lines)]
    return CannotRun("\n".join(words), fix=f"all lines of each container are in {home.logs}")


def last_lines(file: Path, count: int = 8) -> list[str]:
    """Without control characters: they come from a container and go to a terminal."""
    try:
        lines = file.read_text("utf-8", "replace").splitlines()[-count:]
    except OSError:
        return []
    return ["".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in x) for x in lines]


def explain_tasks(ecs: Any, home: NewHome) -> str:
    """Why tasks stopped, in ECS's words; else the service's last events."""
    with contextlib.suppress(Exception):
        if stopped := stopped_tasks(ecs, home):
            return "; ".join(sorted({_say_task(task) for task in stopped[-5:]}))
        return "; ".join(e["message"] for e in describe(home)["events"][:3])
    return "and ECS does not say why"


def _say_task(task: dict[str, Any]) -> str:
    parts = [task.get("stoppedReason", "stopped")]
    for container in task.get("containers", []):
        if container.get("exitCode"):
            parts.append(f"{container['name']} exited with {container['exitCode']}")
        if container.get("reason"):
            parts.append(f"{container['name']}: {container['reason']}")
    return ", ".join(parts)


def running_tasks(home: NewHome) -> list[dict[str, Any]]:
    ecs = home.access.client("ecs")
    arns = calling("ecs:ListTasks", ecs.list_tasks, cluster=home.cluster, serviceName=home.service)[
        "taskArns"
    ]
    if not arns:
        return []
    tasks = calling("ecs:DescribeTasks", ecs.describe_tasks, cluster=home.cluster, tasks=arns)
    return [t for t in tasks["tasks"] if t["lastStatus"] == "RUNNING"]


def wait_settled(home: NewHome) -> None:
    """Until the youngest running task is SETTLING_S old, by ECS's startedAt; never longer."""
    started = [t["startedAt"].timestamp() for t in running_tasks(home) if "startedAt" in t]
    if started:
        time.sleep(min(max(0.0, max(started) + SETTLING_S - time.time()), SETTLING_S))


def healthy_targets(home: NewHome) -> int:
    if home.balancer is None:
        return len(running_tasks(home))
    return sum(_healthy_in(home, group) for group in target_groups(describe(home)))


def _healthy_in(home: NewHome, group: str) -> int:
    elb = home.access.client("elbv2")
    found = calling("elbv2:DescribeTargetHealth", elb.describe_target_health, TargetGroupArn=group)[
        "TargetHealthDescriptions"
    ]
    return sum(t["TargetHealth"]["State"] == "healthy" for t in found)


def target_groups(service: dict[str, Any]) -> list[str]:
    """ARNs: all that its tasks may be in. A blue/green service has two, and one of them is empty
    once a deployment is over."""
    found = []
    for balancer in service.get("loadBalancers", []):
        advanced = balancer.get("advancedConfiguration") or {}
        groups = (balancer.get("targetGroupArn"), advanced.get("alternateTargetGroupArn"))
        found += [str(group) for group in groups if group]
    return found


def is_whole(home: NewHome) -> bool:
    """Steady, with every desired task behind the load balancer and healthy there."""
    service = describe(home)
    if not is_steady(service):
        return False
    return healthy_targets(home) >= int(service["desiredCount"])
