"""Keeping a number of tasks of one deployment, where two stand side by side (blue/green)."""

from __future__ import annotations

from collections.abc import Iterator

from hikkoshi.region.ecs.decisions import breaker as breaking
from hikkoshi.region.ecs.decisions.health import Verdict, ailments, judge
from hikkoshi.region.ecs.decisions.snapshot import DeploymentView, ServiceSnapshot, TaskView
from hikkoshi.region.ecs.decisions.steps import EndTasks, SayImpaired, StartTasks, Step


class Keeper:
    """One deployment's tasks, and the steps that keep so many of them."""

    def __init__(self, service: ServiceSnapshot, deployment: DeploymentView, now: float) -> None:
        self._service, self._deployment, self._now = service, deployment, now
        self._by: dict[Verdict, list[TaskView]] = {verdict: [] for verdict in Verdict}
        for task in sorted(service.tasks, key=lambda task: task.created_at):
            if task.is_wanted and task.deployment_id == deployment.deployment_id:
                self._by[judge(task, service, now)].append(task)

    @property
    def healthy(self) -> int:
        return len(self._by[Verdict.HEALTHY])

    def steps(self, want: int, is_new: bool = False) -> Iterator[Step]:
        """is_new: it has no traffic, so that an unhealthy task is ended as soon as its replacement
        was ordered; otherwise when the replacement is healthy, as in a settled service."""
        sick = self._by[Verdict.UNHEALTHY]
        good = self.healthy + len(self._by[Verdict.WAITING])
        is_waiting = breaking.is_waiting_to_restart(
            self._deployment, self._service.desired_count, self._service.restart_backoff_s,
            self._now,
        )  # fmt: skip
        if is_waiting and not self._service.is_impaired:
            yield SayImpaired("starts are being delayed")
        missing = max(0, want - good)
        if missing and not is_waiting:
            yield StartTasks(
                self._deployment.deployment_id, missing, min(missing, len(sick)),
                "fewer tasks than it is to have",
            )  # fmt: skip
        if is_new or self.healthy >= want:
            for task in sick:
                reason, event = ailments(task)[0]
                yield EndTasks(
                    self._deployment.deployment_id, (task.task_id,), reason,
                    ((task.task_id, event),), "it failed its health checks",
                )  # fmt: skip
        yield from self._surplus(good - want)

    def _surplus(self, excess: int) -> Iterator[Step]:
        """Scale-in: those not yet healthy first, then the newest; protected tasks stay."""
        order = [*reversed(self._by[Verdict.WAITING]), *reversed(self._by[Verdict.HEALTHY])]
        ids = tuple(task.task_id for task in order if not task.is_protected)[: max(0, excess)]
        if ids:
            name = self._deployment.deployment_id
            reason = f"Scaling activity initiated by (deployment {name})"
            yield EndTasks(name, ids, reason, (), "more tasks than desired")
