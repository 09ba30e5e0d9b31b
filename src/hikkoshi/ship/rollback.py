"""Back to the last good deployment, and what `wait` makes of one that is in progress or over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from hikkoshi.base.errors import BadInput
from hikkoshi.ship import blue_green
from hikkoshi.ship.audit import Audit
from hikkoshi.ship.calls import Calls, primary, short
from hikkoshi.ship.deployments import find_record, stop_deployment
from hikkoshi.ship.judge import State
from hikkoshi.ship.outcome import Outcome
from hikkoshi.ship.watch import Ended, Show, Watcher, ours_of

Document = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """stops: the deployment in progress is stopped, and ECS itself goes back."""

    task_definition: str
    because: str
    stops: bool = False


def choose_target(
    service: Document, good: list[tuple[str, str]], named: str | None
) -> Target | None:
    """good: (task definition's ARN, when it succeeded), the newest first. Pure."""
    front = primary(service)
    current = front["taskDefinition"]
    is_going = front.get("rolloutState") == "IN_PROGRESS"
    if named is not None:
        return Target(named, "named by --to")
    others = [(arn, at) for arn, at in good if arn != current]
    if is_going and others:
        return Target(others[0][0], f"the last that succeeded ({others[0][1]})", stops=True)
    if others:
        return Target(others[0][0], f"the last other one that succeeded ({others[0][1]})")
    return None


def good_deployments(calls: Calls) -> list[tuple[str, str]]:
    found = calls.service_deployments(["SUCCESSFUL"], most=50)
    revisions = calls.definitions_of_revisions([d["targetServiceRevisionArn"] for d in found])
    return [
        (
            revisions[d["targetServiceRevisionArn"]],
            f"{(d.get('finishedAt') or d['createdAt']).astimezone():%Y-%m-%d %H:%M:%S}",
        )
        for d in found
        if d["targetServiceRevisionArn"] in revisions
    ]


def find_target(calls: Calls, service: Document, named: str | None) -> Target:
    """BadInput: there is none, or the named one does not exist."""
    if named is not None:
        family = short(primary(service)["taskDefinition"]).rpartition(":")[0]
        name = named if ":" in named else f"{family}:{named}"
        found = calls.definition(name)
        if found is None:
            raise BadInput(f"there is no task definition {name}", fix="`hikkoshi revisions`")
        named = str(found["taskDefinitionArn"])
        if named == primary(service)["taskDefinition"]:
            raise BadInput(f"{short(named)} is what is deployed", fix="`hikkoshi revisions`")
    target = choose_target(service, [] if named else good_deployments(calls), named)
    if target is None:
        raise BadInput(
            "no earlier deployment is known to have succeeded",
            fix="name a revision: --to N (`hikkoshi revisions` lists them)",
        )
    return target


def roll_back(
    calls: Calls, service: Document, target: Target, show: Show, audit: Audit, every_s: float,
    timeout_s: float, waits: bool = True,
) -> Outcome:  # fmt: skip
    """The failed revision stays registered. SUCCEEDED here means: the target is back."""
    deadline = time.monotonic() + timeout_s + blue_green.waits_s(service)
    front = primary(service)
    audit.note(
        "rollback begins", cluster=calls.cluster, service=calls.service,
        before=short(front["taskDefinition"]), to=short(target.task_definition),
    )  # fmt: skip
    watcher = Watcher(calls, show, every_s)
    watcher.skip_events(service)
    ours = ours_of(service)
    if target.stops:
        ours = ours if ours.record else find_record(calls, ours)
    if target.stops and stop_deployment(calls, ours):
        show.say(f"stopped {front['id']}; ECS rolls back")
        ended = watcher.watch(ours, deadline, gives_up=False) if waits else _sent()
        if ended.state is State.ROLLED_BACK:
            ended = Ended(State.SUCCEEDED, "rolled back", took_s=ended.took_s)
    else:
        updated = calls(
            "UpdateService", cluster=calls.cluster, service=calls.service,
            taskDefinition=target.task_definition,
        )["service"]  # fmt: skip
        ours = find_record(calls, ours_of(updated))
        show.say(f"deployment {ours.id} of {short(target.task_definition)} began")
        ended = watcher.watch(ours, deadline, gives_up=True) if waits else _sent()
    now = primary(calls.must_describe())
    audit.note(
        "rollback ended", cluster=calls.cluster, service=calls.service, deployment=now["id"],
        task_definition=short(now["taskDefinition"]), outcome=ended.state.value,
        reason=ended.reason,
    )  # fmt: skip
    return Outcome(
        ended.state, ended.reason, calls.cluster, calls.service, now["id"],
        short(now["taskDefinition"]), ended=ended,
    )  # fmt: skip


def _sent() -> Ended:
    return Ended(State.SUCCEEDED, "sent; not waited for")


def wait(calls: Calls, show: Show, every_s: float, timeout_s: float) -> Outcome:
    """Until the newest deployment has ended, in progress or not, judged by its id: after a
    rollback this is ROLLED_BACK however steady the service is."""
    service = calls.must_describe()
    deadline = time.monotonic() + timeout_s + blue_green.waits_s(service)
    watcher = Watcher(calls, show, every_s)
    watcher.skip_events(service)
    newest = next(iter(calls.service_deployments(most=1)), None)
    ours = ours_of(service)
    if newest is not None:
        ours = type(ours)(ours.id, newest["serviceDeploymentArn"], ours.created_at)
    ended = watcher.watch(ours, deadline, gives_up=True)
    if ended.state is State.SUCCEEDED:
        stable = watcher.wait_stable(deadline)
        ended = stable if stable.state is not State.SUCCEEDED else ended
    front = primary(calls.must_describe())
    return Outcome(
        ended.state, ended.reason, calls.cluster, calls.service, front["id"],
        short(front["taskDefinition"]), changed=False, ended=ended,
    )  # fmt: skip
