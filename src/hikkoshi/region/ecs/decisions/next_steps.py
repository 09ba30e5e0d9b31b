"""What a service needs next: the list of small questions that the scheduler asks each pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hikkoshi.region.ecs.decisions import breaker as breaking
from hikkoshi.region.ecs.decisions.alarming import alarmed
from hikkoshi.region.ecs.decisions.blue_green import blue_green_steps
from hikkoshi.region.ecs.decisions.health import Verdict, ailments, judge
from hikkoshi.region.ecs.decisions.rolling import Counts, plan_moves
from hikkoshi.region.ecs.decisions.snapshot import (
    DeploymentView,
    ServiceSnapshot,
    Stopping,
    TaskView,
)
from hikkoshi.region.ecs.decisions.steps import (
    BeginBake,
    CompleteDeployment,
    CountFailure,
    DeregisterTargets,
    EndTasks,
    FailDeployment,
    MakeInactive,
    MarkHealthy,
    RegisterTargets,
    RemoveDeployment,
    SayImpaired,
    SaySteady,
    StartTasks,
    Step,
    TerminateTask,
)


def next_steps(service: ServiceSnapshot, now: float) -> list[Step]:
    """Everything that is to be done now, in order. Empty when nothing is to be done before the
    snapshot or the time changes. Asking again after the steps were taken never repeats them."""
    steps: list[Step] = []
    for question in (_targets, _drained, _health, _failures):
        steps.extend(question(service, now))
    if service.is_draining:
        steps.extend(_wind_down(service))
        return steps
    tripped = _tripped(service) or alarmed(service)
    if tripped is not None:
        # The next pass sees the deployment as failed, or the old one as primary again.
        return [*steps, tripped]
    if any(isinstance(step, CountFailure) for step in steps):
        # The count decides over what follows (breaker, back-off), so it is taken first.
        return steps
    if service.blue_green is not None:
        return [*steps, *blue_green_steps(service, now)]
    for question in (_moves, _completion, _steadiness):
        steps.extend(question(service, now))
    return steps


def _targets(service: ServiceSnapshot, now: float) -> Iterator[Step]:
    """C19: register after RUNNING; let go of targets whose task ends without draining."""
    for task in service.tasks:
        is_new = any(target.is_due(now) for target in task.targets)
        if task.is_wanted and task.is_running and task.has_address and is_new:
            yield RegisterTargets(task.task_id, "the task is RUNNING")
        is_held = any(
            target.state is not None and not target.is_deregistered for target in task.targets
        )
        if task.stopping in (Stopping.HANDED_OVER, Stopping.STOPPED) and is_held:
            yield DeregisterTargets(task.task_id, "the task is stopping")


def _drained(service: ServiceSnapshot, now: float) -> Iterator[Step]:
    """C20: SIGTERM only after the last target is drained."""
    for task in service.tasks:
        if task.stopping is not Stopping.DRAINING:
            continue
        if all(target.state in (None, "unused") for target in task.targets):
            yield TerminateTask(task.task_id, "draining is over")


def _health(service: ServiceSnapshot, now: float) -> Iterator[Step]:
    for task in service.tasks:
        if not task.is_wanted or task.has_been_healthy:
            continue
        if judge(task, service, now) is Verdict.HEALTHY:
            yield MarkHealthy(
                task.task_id,
                task.deployment_id,
                service.breaker.resets_on_healthy_task,
                "the task is healthy for the first time",
            )


def _failures(service: ServiceSnapshot, now: float) -> Iterator[Step]:
    """C16. Stage 1: tasks that ended by themselves before they were ever healthy (a process that
    exits right after its start is one: AWS rarely sees such a task RUNNING). Stage 2: tasks that
    their checks call unhealthy."""
    rollouts = {deployment.deployment_id: deployment.rollout for deployment in service.deployments}
    for task in service.tasks:
        if task.is_failure_counted:
            continue
        is_rolling_out = rollouts.get(task.deployment_id) == "IN_PROGRESS"
        if task.has_stopped_by_itself and not task.has_been_healthy:
            yield CountFailure(
                task.task_id,
                task.deployment_id,
                feeds_backoff=breaking.is_failed_start(task),
                feeds_breaker=is_rolling_out,
                why="the task ended before it was healthy",
            )
        elif task.is_wanted and judge(task, service, now) is Verdict.UNHEALTHY:
            yield CountFailure(
                task.task_id,
                task.deployment_id,
                feeds_backoff=False,
                feeds_breaker=is_rolling_out,
                why="the task failed its health checks",
            )


def _tripped(service: ServiceSnapshot) -> FailDeployment | None:
    primary = service.primary
    if primary is None or not breaking.has_tripped(service.breaker, primary, service.desired_count):
        return None
    target = None
    if service.breaker.is_rolling_back and not primary.is_rollback:
        target = service.last_good
    count = breaking.threshold(service.breaker, service.desired_count)
    return FailDeployment(
        primary.deployment_id,
        target.deployment_id if target else None,
        f"{primary.failures} failed tasks, the threshold is {count}",
    )


def _moves(service: ServiceSnapshot, now: float) -> Iterator[Step]:
    """C15 and C22: starts and ends, as the rolling arithmetic allows."""
    primary = service.primary
    if primary is None:
        return
    groups = _Groups(service, primary, now)
    is_waiting = breaking.is_waiting_to_restart(
        primary, service.desired_count, service.restart_backoff_s, now
    )
    if is_waiting and not service.is_impaired:
        yield SayImpaired("starts are being delayed")
    moves = plan_moves(
        service.desired_count,
        service.minimum_percent,
        service.maximum_percent,
        groups.counts(),
        may_start=primary.rollout != "FAILED",
        is_rolling_out=primary.rollout == "IN_PROGRESS",
    )
    if moves.start and not is_waiting:
        replaced = min(moves.start, len(groups.new_unhealthy))
        yield StartTasks(
            primary.deployment_id, moves.start, replaced, "fewer tasks than desired, and room"
        )
    idle = groups.old_idle[: moves.end_old_idle]
    sick = [task for task in idle if judge(task, service, now) is Verdict.UNHEALTHY]
    yield from _end_unhealthy([*groups.new_unhealthy[: moves.end_new_unhealthy], *sick])
    yield from _end([t for t in idle if t not in sick], primary, "it gives nothing")
    yield from _end(groups.old_waiting[: moves.end_old_waiting], primary, "it is replaced")
    yield from _end(groups.old_healthy[: moves.end_old_healthy], primary, "it is replaced")
    yield from _end(groups.surplus(), primary, "more tasks than desired")


class _Groups:
    """The wanted tasks of a service by deployment and health; ends are taken from the front."""

    def __init__(self, service: ServiceSnapshot, primary: DeploymentView, now: float) -> None:
        self._desired = service.desired_count
        self.new_healthy: list[TaskView] = []
        self.new_waiting: list[TaskView] = []
        self.new_unhealthy: list[TaskView] = []
        self.old_healthy: list[TaskView] = []
        self.old_waiting: list[TaskView] = []
        self.old_idle: list[TaskView] = []
        self.protected: list[TaskView] = []
        self.protected_healthy = 0
        for task in sorted(service.tasks, key=lambda task: task.created_at):
            if task.is_wanted:
                self._place(task, judge(task, service, now), primary)

    def _place(self, task: TaskView, verdict: Verdict, primary: DeploymentView) -> None:
        if task.deployment_id == primary.deployment_id:
            {
                Verdict.HEALTHY: self.new_healthy,
                Verdict.WAITING: self.new_waiting,
                Verdict.UNHEALTHY: self.new_unhealthy,
            }[verdict].append(task)
        elif task.is_protected and verdict is not Verdict.UNHEALTHY:
            self.protected.append(task)
            self.protected_healthy += verdict is Verdict.HEALTHY
        elif verdict is Verdict.HEALTHY:
            self.old_healthy.append(task)
        elif verdict is Verdict.WAITING and task.is_running:
            self.old_waiting.append(task)
        else:
            self.old_idle.append(task)

    def counts(self) -> Counts:
        return Counts(
            len(self.new_healthy),
            len(self.new_waiting),
            len(self.new_unhealthy),
            len(self.old_healthy),
            len(self.old_waiting),
            len(self.old_idle),
            len(self.protected),
            self.protected_healthy,
        )

    def surplus(self) -> list[TaskView]:
        """Scale-in: what is too much of the primary, those not yet healthy first, then the
        newest; protected tasks stay."""
        excess = len(self.new_healthy) + len(self.new_waiting) - self._desired
        if excess <= 0:
            return []
        order = [*reversed(self.new_waiting), *reversed(self.new_healthy)]
        return [task for task in order if not task.is_protected][:excess]


def _end(tasks: Sequence[TaskView], primary: DeploymentView, why: str) -> Iterator[Step]:
    if not tasks:
        return
    for deployment_id in dict.fromkeys(task.deployment_id for task in tasks):
        ids = tuple(task.task_id for task in tasks if task.deployment_id == deployment_id)
        reason = f"Scaling activity initiated by (deployment {primary.deployment_id})"
        yield EndTasks(deployment_id, ids, reason, (), why)


def _end_unhealthy(tasks: Sequence[TaskView]) -> Iterator[Step]:
    for task in tasks:
        reason, event = ailments(task)[0]
        yield EndTasks(
            task.deployment_id,
            (task.task_id,),
            reason,
            ((task.task_id, event),),
            "it failed its health checks",
        )


def _completion(service: ServiceSnapshot, now: float) -> Iterator[Step]:
    """C21: completed when the primary has its tasks, all healthy, and no other deployment has a
    task that still runs. The others leave the list with it."""
    primary = service.primary
    if primary is None or primary.rollout == "FAILED":
        return
    if primary.rollout == "IN_PROGRESS":
        if not _is_complete(service, primary, now):
            return
        watch = service.alarms
        if watch is not None and watch.bake_s and watch.bakes_since is None:
            yield BeginBake(primary.deployment_id, "its alarms are watched for some time more")
            return
        if watch is not None and now - (watch.bakes_since or 0.0) < watch.bake_s:
            return
        yield CompleteDeployment(primary.deployment_id, "its tasks are healthy, the old are gone")
    for deployment in service.deployments:
        if not deployment.is_primary:
            yield RemoveDeployment(deployment.deployment_id, "it was replaced")


def _is_complete(service: ServiceSnapshot, primary: DeploymentView, now: float) -> bool:
    healthy = 0
    for task in service.tasks:
        is_new = task.deployment_id == primary.deployment_id
        if is_new and task.is_wanted:
            if judge(task, service, now) is not Verdict.HEALTHY:
                return False
            healthy += 1
        elif task.stopping in (Stopping.NOT, Stopping.DRAINING) or task.is_running:
            return False
    return healthy == service.desired_count


def _steadiness(service: ServiceSnapshot, now: float) -> Iterator[Step]:
    primary = service.primary
    if primary is None or primary.rollout == "FAILED" or service.is_steady:
        return
    if _is_complete(service, primary, now):
        yield SaySteady("the desired tasks run and are healthy")


def _wind_down(service: ServiceSnapshot) -> Iterator[Step]:
    """DeleteService: end every task (protection does not hold against it), then be INACTIVE."""
    wanted = [task for task in service.tasks if task.is_wanted]
    primary = service.primary
    if wanted and primary is not None:
        yield from _end(wanted, primary, "the service is being deleted")
    if all(task.stopping is Stopping.STOPPED for task in service.tasks):
        yield MakeInactive("its last task has stopped")
