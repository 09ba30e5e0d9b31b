"""Stop one task of the service, as `aws ecs stop-task` does: ECS must start another."""

from __future__ import annotations

from hikkoshi.aws.access import calling
from hikkoshi.trials.context import Context
from hikkoshi.trials.faults import NotPossible
from hikkoshi.trials.home import NewHome
from hikkoshi.trials.watch import describe, running_tasks


class KillTask:
    name = "kill-task"
    title = "one task is stopped (StopTask)"
    is_over_when_answered = False
    _home: NewHome
    _arn: str

    def prepare(self, context: Context) -> NotPossible | None:
        self._home = context.home
        tasks = running_tasks(context.home)
        if not tasks:
            return NotPossible("no task is running")
        self._arn = tasks[0]["taskArn"]
        return None

    def inject(self) -> None:
        ecs = self._home.access.client("ecs")
        calling(
            "ecs:StopTask",
            ecs.stop_task,
            cluster=self._home.cluster,
            task=self._arn,
            reason="hikkoshi rehearsal: kill-task",
        )

    def proof(self) -> str | None:
        ecs = self._home.access.client("ecs")
        found = calling(
            "ecs:DescribeTasks", ecs.describe_tasks, cluster=self._home.cluster, tasks=[self._arn]
        )["tasks"]
        if found and found[0]["lastStatus"] == "STOPPED":
            task = found[0]
            return f"task {self._arn.rsplit('/', 1)[-1]} is STOPPED ({task.get('stopCode')})"
        return None

    def t_detected(self, t_injected: float) -> float | None:
        times: list[float] = [
            event["createdAt"].timestamp()
            for event in describe(self._home)["events"]
            if "has started" in event["message"] and event["createdAt"].timestamp() >= t_injected
        ]
        return min(times, default=None)

    def is_over(self) -> bool:
        wanted = describe(self._home)["desiredCount"]
        arns = {t["taskArn"] for t in running_tasks(self._home)}
        return self._arn not in arns and len(arns) >= wanted

    def most_failures(self, context: Context, sent: int) -> int:
        return int(sent * context.limits.errors_through_faults)
