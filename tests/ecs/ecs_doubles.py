"""Doubles of the ports that ECS needs, in memory and driven by the test. Not the real parts:
those are tested in tests/task and tests/elb, and all together in tests/region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hikkoshi.base.clock import Clock
from hikkoshi.region.ports import ContainerState, TargetHealth, TaskOrder, TaskState


@dataclass
class DoubleTask:
    order: TaskOrder
    publish: Callable[[TaskState], None]
    state: TaskState


class DoubleRuntime:
    """Tasks move when the test says so; `behave` decides what `advance_all` does with each.

    behave(order) → "run" (RUNNING and container-healthy), "sick" (RUNNING, checks UNHEALTHY),
    "exit" (RUNNING, then gone), "unpullable" (never RUNNING), "hang" (stays PENDING).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tasks: dict[str, DoubleTask] = {}
        self.stops: list[tuple[str, str, str]] = []
        self.behave: Callable[[TaskOrder], str] = lambda order: "run"
        self.stops_at_once = True
        self._addresses = 0

    def start(self, order: TaskOrder, publish: Callable[[TaskState], None]) -> None:
        containers = tuple(
            ContainerState(name=c["name"], runtime_id="", image=c["image"])
            for c in order.definition["containerDefinitions"]
        )
        state = TaskState(order.task_arn, "PROVISIONING", "RUNNING", containers)
        self.tasks[order.task_arn] = DoubleTask(order, publish, state)
        publish(state)

    def stop(self, task_arn: str, *, code: str, reason: str) -> None:
        task = self.tasks[task_arn]
        if task.state.desired_status == "STOPPED":
            return
        self.stops.append((task_arn, code, reason))
        self._become(
            task, "STOPPING", desired_status="STOPPED", stop_code=code, stopped_reason=reason,
            stopping_at=self._now(),
        )  # fmt: skip
        if self.stops_at_once:
            self.finish(task_arn)

    async def execute(
        self, task_arn: str, container: str | None, command: list[str], timeout_s: float
    ) -> tuple[int, bytes]:
        raise AssertionError("the control plane never executes")

    async def close(self) -> None:
        self.tasks.clear()

    def finish(self, task_arn: str) -> None:
        """The task's last process is gone."""
        task = self.tasks[task_arn]
        self._become(task, "STOPPED", stopped_at=self._now())

    def advance_all(self) -> None:
        """Every task takes the step that its behaviour has for it."""
        for task in list(self.tasks.values()):
            if task.state.desired_status == "RUNNING":
                getattr(self, "_" + self.behave(task.order))(task)

    def _run(self, task: DoubleTask) -> None:
        self._to_running(task, "HEALTHY")

    def _sick(self, task: DoubleTask) -> None:
        self._to_running(task, "UNHEALTHY")

    def _hang(self, task: DoubleTask) -> None:
        if task.state.last_status == "PROVISIONING":
            self._become(task, "PENDING")

    def _unpullable(self, task: DoubleTask) -> None:
        self._end(task, "TaskFailedToStart", "CannotPullContainerError: no such image", None)

    def _exit(self, task: DoubleTask) -> None:
        if task.state.last_status != "RUNNING":
            self._to_running(task, "UNKNOWN")
        self._end(task, "EssentialContainerExited", "Essential container in task exited", 1)

    def crash(self, task_arn: str) -> None:
        self._exit(self.tasks[task_arn])

    def set_health(self, task_arn: str, health: str) -> None:
        self._become(self.tasks[task_arn], "RUNNING", health=health)

    def _to_running(self, task: DoubleTask, health: str) -> None:
        if task.state.last_status == "RUNNING":
            return
        self._addresses += 1
        containers = tuple(
            replace(c, last_status="RUNNING", runtime_id=f"{task.order.task_id}-{c.name}")
            for c in task.state.containers
        )
        has_check = any(c.get("healthCheck") for c in task.order.definition["containerDefinitions"])
        self._become(
            task, "RUNNING", address=f"10.0.{self._addresses // 250 + 1}.{self._addresses % 250}",
            started_at=self._now(), connectivity_at=self._now(), containers=containers,
            health=health if has_check else "UNKNOWN",
        )  # fmt: skip

    def _end(self, task: DoubleTask, code: str, reason: str, exit_code: int | None) -> None:
        containers = tuple(
            replace(c, last_status="STOPPED", exit_code=exit_code) for c in task.state.containers
        )
        self._become(
            task, "STOPPED", desired_status="STOPPED", stop_code=code, stopped_reason=reason,
            containers=containers, stopping_at=self._now(), stopped_at=self._now(),
        )  # fmt: skip

    def _become(self, task: DoubleTask, status: str, **changes: object) -> None:
        task.state = replace(task.state, last_status=status, **changes)  # type: ignore[arg-type]
        task.publish(task.state)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)


@dataclass
class DoubleBalancers:
    """Target groups whose health the test sets. A registered target is `initial` until
    `settle`, and then what `answer(address)` says; a deregistered one is `draining` until
    `drain`."""

    groups: set[str]
    answer: Callable[[str], str] = lambda address: "healthy"
    states: dict[tuple[str, str, int], str] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    rules: dict[str, dict[str, int]] = field(default_factory=dict)

    def weights(self, rule_arn: str) -> dict[str, int] | None:
        return self.rules.get(rule_arn)

    async def set_weights(self, rule_arn: str, weights: dict[str, int]) -> None:
        self.rules[rule_arn] = {**self.rules[rule_arn], **weights}
        self.log.append(("weights", str(sorted(self.rules[rule_arn].values()))))

    def has_target_group(self, target_group_arn: str) -> bool:
        return target_group_arn in self.groups

    async def register(self, target_group_arn: str, address: str, port: int) -> None:
        self.states[target_group_arn, address, port] = "initial"
        self.log.append(("register", address))

    async def deregister(self, target_group_arn: str, address: str, port: int) -> None:
        self.states[target_group_arn, address, port] = "draining"
        self.log.append(("deregister", address))

    def health(self, target_group_arn: str, address: str, port: int) -> TargetHealth:
        state = self.states.get((target_group_arn, address, port), "unused")
        if state == "unhealthy":
            return TargetHealth(
                state, "Target.ResponseCodeMismatch", "Health checks failed with these codes: [500]"
            )
        return TargetHealth(state)

    def settle(self) -> None:
        for key, state in self.states.items():
            if state != "draining" and state != "unused":
                self.states[key] = self.answer(key[1])

    def drain(self) -> None:
        for key, state in self.states.items():
            if state == "draining":
                self.states[key] = "unused"
