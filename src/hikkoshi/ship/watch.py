"""Watching one deployment until it has ended: what happens is told, what it means is judged."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from hikkoshi.aws.access import calling
from hikkoshi.base.errors import AwsRefused
from hikkoshi.ship import blue_green
from hikkoshi.ship.calls import Calls, primary, short
from hikkoshi.ship.failures import FailedTask, failed_tasks, is_hopeless, is_well
from hikkoshi.ship.judge import Ours, State, judge
from hikkoshi.ship.lines import last_lines

Document = dict[str, Any]


class Show(Protocol):
    """Hears what happens, in words for people. `now`: how it stands, to be written over."""

    def say(self, text: str) -> None: ...

    def now(self, text: str) -> None: ...


@dataclass(frozen=True)
class Ended:
    """lines: of the container that ended the last failed task; why_no_lines: if there are none."""

    state: State
    reason: str
    failed: tuple[FailedTask, ...] = ()
    lines: tuple[str, ...] = ()
    why_no_lines: str | None = None
    took_s: float = 0.0


@dataclass
class Watcher:
    """every_s: between two looks. gives_up: end early when task after task fails alike."""

    calls: Calls
    show: Show
    every_s: float
    _events: set[str] = field(default_factory=set)
    _rows: dict[str, str] = field(default_factory=dict)
    _failed: dict[str, FailedTask] = field(default_factory=dict)
    _settled: dict[str, Document] = field(default_factory=dict)
    _definitions: dict[str, Document] = field(default_factory=dict)
    _said: dict[tuple[str, ...], tuple[tuple[str, ...], str | None]] = field(default_factory=dict)
    _groups_known: bool = True
    _stage: str | None = None

    def skip_events(self, service: Document | None) -> None:
        """What had happened before is not told again."""
        self._events |= {event["id"] for event in (service or {}).get("events", [])}

    def watch(self, ours: Ours, deadline: float, *, gives_up: bool) -> Ended:
        """deadline: of time.monotonic. State.HOPELESS and TIMED_OUT leave the deployment going."""
        began = time.monotonic()
        while True:
            ended = self._look(ours, gives_up)
            if ended is None and time.monotonic() >= deadline:
                ended = Ended(State.TIMED_OUT, "the deployment goes on; `hikkoshi wait` waits")
            if ended is not None:
                return self._with_evidence(ended, time.monotonic() - began)
            time.sleep(self.every_s)

    def wait_stable(self, deadline: float) -> Ended:
        """After a change that begins no deployment, such as of the count."""
        began = time.monotonic()
        while True:
            service = self.calls.must_describe()
            self._tell(service)
            is_whole = service["runningCount"] == service["desiredCount"]
            # CodeDeploy's services have task sets, and no deployment.
            is_one = len(service["deployments"]) <= 1
            if is_whole and not service["pendingCount"] and is_one:
                return Ended(State.SUCCEEDED, "the service is stable",
                             took_s=time.monotonic() - began)  # fmt: skip
            if time.monotonic() >= deadline:
                return Ended(State.TIMED_OUT, "the service is not stable yet",
                             took_s=time.monotonic() - began)  # fmt: skip
            time.sleep(self.every_s)

    def _look(self, ours: Ours, gives_up: bool) -> Ended | None:
        service = self.calls.must_describe()
        record = self._record(ours)
        self._tell_stage(record)
        self._tell(service)
        stopped = self._stopped()
        fresh = [t for t in failed_tasks(stopped, ours.id) if t.id not in self._failed]
        for task in fresh:
            self._failed[task.id] = task
            self.show.say(f"task {task.id} of {task.task_definition} failed: {task.words}")
            self._tell_lines(task)
        state, reason = judge(service, record, ours)
        if state.is_final:
            return Ended(state, reason)
        failed = list(self._failed.values())
        may_give_up = gives_up and state is State.GOING and is_hopeless(failed, False)
        if may_give_up and is_hopeless(failed, self._is_one_well(service, ours)):
            return Ended(
                State.HOPELESS, f"{len(failed)} new tasks failed alike: {failed[-1].words}"
            )
        return None

    def _record(self, ours: Ours) -> Document | None:
        if ours.record is None:
            return None
        try:
            return self.calls.service_deployment(ours.record)
        except AwsRefused as error:
            if "AccessDenied" in error.what or "may not call" in error.what:
                return None
            raise

    def _tell_stage(self, record: Document | None) -> None:
        stage = blue_green.describe_stage(record) if record is not None else None
        if stage is not None and stage != self._stage:
            self._stage = stage
            self.show.say(f"stage {stage}")

    def _tell(self, service: Document) -> None:
        for event in reversed(service.get("events", [])):
            if event["id"] not in self._events:
                self._events.add(event["id"])
                self.show.say(f"{event['createdAt'].astimezone():%H:%M:%S} {event['message']}")
        rows = {d["id"]: row_of(d) for d in service["deployments"]}
        for key in self._rows.keys() - rows.keys():
            del self._rows[key]
        if rows != self._rows:
            self._rows = rows
            self.show.now("   ".join(rows.values()))

    def _stopped(self) -> list[Document]:
        """Tasks that end or have ended. One that has ended is not asked for again."""
        arns = self.calls(
            "ListTasks", cluster=self.calls.cluster, serviceName=self.calls.service,
            desiredStatus="STOPPED",
        )["taskArns"]  # fmt: skip
        found = self.calls.describe_tasks([a for a in arns if a not in self._settled])
        self._settled |= {t["taskArn"]: t for t in found if t.get("lastStatus") == "STOPPED"}
        return [*self._settled.values(), *(t for t in found if t["taskArn"] not in self._settled)]

    def _is_one_well(self, service: Document, ours: Ours) -> bool:
        running = self.calls.tasks("RUNNING", serviceName=self.calls.service)
        mine = [t for t in running if t.get("startedBy") == ours.id]
        if not mine:
            return False
        healthy = self._healthy_addresses(service)
        longest = max((t.lifetime_s for t in self._failed.values()), default=0.0)
        return any(is_well(task, healthy, longest) for task in mine)

    def _healthy_addresses(self, service: Document) -> set[str] | None:
        groups = blue_green.target_groups(service.get("loadBalancers", [])[:1])
        if not groups or not self._groups_known:
            return None
        elb = self.calls.access.client("elbv2")
        healthy: set[str] = set()
        for group in groups:
            try:
                found = calling("elasticloadbalancing:DescribeTargetHealth",
                                elb.describe_target_health, TargetGroupArn=group)  # fmt: skip
            except AwsRefused as error:
                self._groups_known = False
                self.show.say(f"warning: the health of targets is not known: {error.what}")
                return None
            healthy |= {
                each["Target"]["Id"]
                for each in found["TargetHealthDescriptions"]
                if each["TargetHealth"]["State"] == "healthy"
            }
        return healthy

    def _tell_lines(self, task: FailedTask) -> None:
        if task.signature in self._said:
            return
        lines, why = self._lines_of(task)
        self._said[task.signature] = (tuple(lines), why)
        for line in lines:
            self.show.say(f"  {task.container} | {line}")
        if why is not None:
            self.show.say(f"  ({why})")

    def _lines_of(self, task: FailedTask) -> tuple[list[str], str | None]:
        if task.container is None or task.stop_code == "TaskFailedToStart":
            return [], None
        if task.task_definition not in self._definitions:
            found = self.calls.definition(task.task_definition)
            self._definitions[task.task_definition] = found or {"containerDefinitions": []}
        for container in self._definitions[task.task_definition]["containerDefinitions"]:
            if container["name"] == task.container:
                return last_lines(self.calls.access, container, task.id, self.calls.kept_logs)
        return [], None

    def _with_evidence(self, ended: Ended, took_s: float) -> Ended:
        failed = tuple(self._failed.values())
        lines: tuple[str, ...] = ()
        why = None
        if failed and ended.state is not State.SUCCEEDED:
            # Asked for again: awslogs delivers some seconds after the container has ended.
            found, why = self._lines_of(failed[-1])
            lines = tuple(found)
        return Ended(ended.state, ended.reason, failed, lines, why, took_s)


def row_of(deployment: Document) -> str:
    words = [
        f"{deployment['id']} {short(deployment['taskDefinition'])}",
        f"{deployment['status']}{_rollout(deployment)}:",
        f"{deployment['runningCount']}/{_desired(deployment)} running",
    ]
    for key, word in (("pendingCount", "pending"), ("failedTasks", "failed")):
        if deployment.get(key):
            words.append(f"{deployment[key]} {word}")
    return " ".join(words)


def _desired(deployment: Document) -> int:
    """Of a deployment, or of a task set."""
    return int(deployment.get("desiredCount") or deployment.get("computedDesiredCount") or 0)


def _rollout(deployment: Document) -> str:
    return f" {deployment['rolloutState']}" if deployment.get("rolloutState") else ""


def ours_of(service: Document) -> Ours:
    """The PRIMARY deployment of a service as something to watch."""
    front = primary(service)
    return Ours(
        front["id"], service.get("currentServiceDeployment"), front["createdAt"].timestamp()
    )
