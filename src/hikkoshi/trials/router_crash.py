"""Kill the log router's process in one task: the application must carry on."""

from __future__ import annotations

from typing import Any

from hikkoshi.aws.access import calling
from hikkoshi.trials.context import Context
from hikkoshi.trials.faults import NotPossible
from hikkoshi.trials.home import NewHome
from hikkoshi.trials.watch import running_tasks


class RouterCrash:
    """AWS has no call that kills one container; the region's own `crash` stands in for SIGKILL."""

    name = "router-crash"
    title = "the log router of one task crashes (SIGKILL)"
    is_over_when_answered = False
    _home: NewHome
    _task: str
    _container: str
    _exit_code: int | None = None

    def prepare(self, context: Context) -> NotPossible | None:
        self._home = context.home
        routers = [
            c
            for c in context.home.task_definition["containerDefinitions"]
            if c.get("firelensConfiguration")
        ]
        if not routers:
            return NotPossible("the task definition has no log router (firelensConfiguration)")
        tasks = running_tasks(context.home)
        if not tasks:
            return NotPossible("no task is running")
        self._task, self._container = tasks[0]["taskArn"], routers[0]["name"]
        return None

    def inject(self) -> None:
        answer = self._home.access.ask("crash", {"task": self._task, "container": self._container})
        self._exit_code = answer["exit_code"]

    def proof(self) -> str | None:
        """Its process ended; ECS then shows it stopped, or (restartPolicy) running again."""
        if self._exit_code is None:
            return None
        ecs = self._home.access.client("ecs")
        task = calling(
            "ecs:DescribeTasks",
            ecs.describe_tasks,
            cluster=self._home.cluster,
            tasks=[self._task],
        )["tasks"][0]
        status = self._find(task).get("lastStatus")
        now = "was restarted by its restartPolicy" if status == "RUNNING" else f"is {status}"
        return f"{self._container} ended with exit code {self._exit_code} and {now}"

    def t_detected(self, t_injected: float) -> float | None:
        return None

    def is_over(self) -> bool:
        return True

    def most_failures(self, context: Context, sent: int) -> int:
        return int(sent * context.limits.errors)

    def _find(self, task: dict[str, Any]) -> dict[str, Any]:
        return next((c for c in task["containers"] if c["name"] == self._container), {})
