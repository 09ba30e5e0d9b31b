"""Faults of tasks: one stopped, a zone gone, a sidecar crashed."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from hikkoshi.aws.access import calling
from hikkoshi.base.errors import HikkoshiError
from hikkoshi.faults.inside import run_inside
from hikkoshi.faults.model import NotTried, Place, Plain
from hikkoshi.faults.service import describe_task, running_tasks, short, task_definition


class StopTask(Plain):
    def __init__(self, place: Place) -> None:
        self._place = place
        self._arn = ""

    def prepare(self) -> None:
        tasks = running_tasks(self._place)
        if not tasks:
            raise NotTried("no task is running")
        self._arn = tasks[0]["taskArn"]

    def inject(self) -> None:
        stop_task(self._place, self._arn, "hikkoshi fault: stop-task")

    def proof(self) -> str | None:
        task = describe_task(self._place, self._arn)
        if task.get("lastStatus") in ("STOPPED", None):
            return f"task {short(self._arn)} is STOPPED ({task.get('stopCode', 'gone')})"
        return None


def stop_task(place: Place, arn: str, reason: str) -> None:
    ecs = place.access.client("ecs")
    calling("ecs:StopTask", ecs.stop_task, cluster=place.cluster, task=arn, reason=reason)


class ZoneGone(Plain):
    """The service's tasks in one zone end, and whatever is placed there ends, too, until it is
    undone. The zone's network and other services are left alone."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._zone = ""
        self._stopped: list[str] = []
        self._others = 0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def prepare(self) -> None:
        tasks = running_tasks(self._place)
        zones = sorted({str(task.get("availabilityZone")) for task in tasks})
        if not tasks:
            raise NotTried("no task is running")
        if self._place.zone is not None and self._place.zone not in zones:
            raise NotTried(
                f"no task runs in {self._place.zone}", fix=f"tasks run in {', '.join(zones)}"
            )
        self._zone = self._place.zone or zones[0]
        self._others = sum(task.get("availabilityZone") != self._zone for task in tasks)

    def inject(self) -> None:
        self._sweep()
        if not self._stopped:
            raise NotTried(f"no task runs in {self._zone} any more")
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def _sweep(self) -> None:
        for task in running_tasks(self._place):
            if task.get("availabilityZone") == self._zone:
                stop_task(self._place, task["taskArn"], f"hikkoshi fault: {self._zone} is gone")
                self._stopped.append(task["taskArn"])

    def _go_on(self) -> None:
        while not self._ending.wait(0.5 if self._place.access.is_local else 2.0):
            with contextlib.suppress(HikkoshiError):
                self._sweep()

    def proof(self) -> str | None:
        first = describe_task(self._place, self._stopped[0]) if self._stopped else {}
        if first.get("lastStatus") != "STOPPED":
            return None
        return (
            f"{len(self._stopped)} tasks in {self._zone} were stopped "
            f"({self._others} ran in other zones)"
        )

    def is_held(self) -> bool:
        return True

    def undo(self) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join(10)


class CrashSidecar(Plain):
    """SIGKILL to a sidecar's process. AWS lets nobody kill a container's first process from
    within, so there its termination is asked for (SIGTERM, then SIGABRT) by ECS Exec; in a local
    region, which can, it is killed."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._arn = ""
        self._name = ""
        self._before: dict[str, Any] = {}
        self._exit_code: int | None = None

    def prepare(self) -> None:
        tasks = running_tasks(self._place)
        if not tasks:
            raise NotTried("no task is running")
        definition = task_definition(self._place.access, tasks[0]["taskDefinitionArn"])
        containers = definition["containerDefinitions"]
        names = [c["name"] for c in containers]
        if self._place.container is not None and self._place.container not in names:
            raise NotTried(
                f"the task has no container {self._place.container}",
                fix=f"it has {', '.join(names)}",
            )
        routers = [c["name"] for c in containers if c.get("firelensConfiguration")]
        others = [c["name"] for c in containers if not c.get("essential", True)]
        mapped = [c["name"] for c in containers[1:] if not c.get("portMappings")]
        chosen = self._place.container or next(iter([*routers, *others, *mapped]), None)
        if chosen is None:
            raise NotTried("the task has no sidecar", fix="name one with --container")
        self._arn, self._name = tasks[0]["taskArn"], chosen
        self._before = self._container()

    def inject(self) -> None:
        if self._place.access.is_local:
            asked = {"task": self._arn, "container": self._name}
            self._exit_code = self._place.access.ask("crash", asked)["exit_code"]
            return
        # A first process without a handler takes no signal of its own namespace.
        script = "kill -TERM 1; sleep 1; kill -ABRT 1"
        run_inside(self._place, self._arn, self._name, ["/bin/sh", "-c", script], timeout_s=30)

    def proof(self) -> str | None:
        now = self._container()
        is_other = now.get("runtimeId") != self._before.get("runtimeId")
        if self._exit_code is not None:
            return f"{self._name} ended with exit code {self._exit_code}, and is {_now(now)}"
        if now.get("lastStatus") == "STOPPED":
            return f"{self._name} is STOPPED, exit code {now.get('exitCode')}"
        if is_other or now.get("restartCount", 0) > self._before.get("restartCount", 0):
            return f"{self._name} ended and was started again by its restartPolicy"
        task = describe_task(self._place, self._arn)
        if task.get("lastStatus") == "STOPPED":
            return f"{self._name} ended and took its task along ({task.get('stoppedReason')})"
        return None

    def _container(self) -> dict[str, Any]:
        task = describe_task(self._place, self._arn)
        return next((c for c in task.get("containers", []) if c["name"] == self._name), {})


def _now(container: dict[str, Any]) -> str:
    return str(container.get("lastStatus", "gone"))


class SpotInterruption(Plain):
    """Fargate Spot takes a task back: SIGTERM two minutes before its end. AWS has no call for it:
    only a local region can be asked."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._arn = ""

    def prepare(self) -> None:
        if not self._place.access.is_local:
            raise NotTried("AWS has no call that interrupts a Fargate Spot task")
        tasks = [
            task
            for task in running_tasks(self._place)
            if task.get("capacityProviderName") == "FARGATE_SPOT"
        ]
        if not tasks:
            raise NotTried("no task runs on FARGATE_SPOT")
        self._arn = tasks[0]["taskArn"]

    def inject(self) -> None:
        try:
            self._place.access.ask("interrupt", {"task": self._arn})
        except HikkoshiError as error:
            raise NotTried(error.what) from error

    def proof(self) -> str | None:
        task = describe_task(self._place, self._arn)
        if task.get("stopCode") == "SpotInterruption":
            return f"task {short(self._arn)}: {task.get('stoppedReason')}"
        return None
