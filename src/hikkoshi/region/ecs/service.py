"""The ECS control plane: a `Service` for the front, over a task runtime and load balancers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import NoRecorder, Recorder
from hikkoshi.model.timers import Timers
from hikkoshi.region.ecs.actions import Actions
from hikkoshi.region.ecs.arns import Arns
from hikkoshi.region.ecs.bus import EventBus
from hikkoshi.region.ecs.launch import Launcher
from hikkoshi.region.ecs.naming import TaskNames, Watchers
from hikkoshi.region.ecs.operations.clusters import ClusterOperations
from hikkoshi.region.ecs.operations.definitions import DefinitionOperations
from hikkoshi.region.ecs.operations.deployments import DeploymentOperations
from hikkoshi.region.ecs.operations.execute import ExecuteOperations
from hikkoshi.region.ecs.operations.services import ServiceOperations
from hikkoshi.region.ecs.operations.tags import TagOperations
from hikkoshi.region.ecs.operations.tasks import TaskOperations
from hikkoshi.region.ecs.plane import ControlPlane
from hikkoshi.region.ecs.restore import restore
from hikkoshi.region.ecs.scheduler import ServiceScheduler
from hikkoshi.region.ecs.sessions import Door, ExecSessions
from hikkoshi.region.ecs.shapes import is_counted_running
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.front.port import Caller, Operation
from hikkoshi.region.journal import Journal
from hikkoshi.region.ports import Alarms, LoadBalancers, Names, ServiceRegistries, TaskRuntime


class EcsService:
    """`operations()` for the front; `start()` begins scheduling, `close()` ends it.

    journal: a file; what an earlier, killed region left in it comes back (restore.py), and closing
    in order removes it. registries, dns: where running tasks get their names. alarms: what may
    fail a deployment.

    All of it runs on the region's event loop. Closing leaves the tasks to the runtime, whose
    `close` kills them.
    """

    name = "ecs"

    def __init__(
        self, *, runtime: TaskRuntime, balancers: LoadBalancers, clock: Clock,
        timers: Timers | None = None, recorder: Recorder | None = None,
        account_id: str = "123456789012", region: str = "ap-northeast-1",
        journal: Path | None = None, door: Door | None = None,
        registries: ServiceRegistries | None = None, dns: Names | None = None,
        alarms: Alarms | None = None,
    ) -> None:  # fmt: skip
        timers = timers or Timers.as_aws()
        kept = Journal(journal) if journal is not None else None
        self._store = Store(clock, recorder or NoRecorder(), kept)
        if kept is not None:
            restore(self._store, kept.read(), clock.now())
            kept.rewrite(clock.now(), self._store.everything())
        names = Arns(account_id, region)
        self._bus = EventBus(self._store, names, clock)
        self._task_names = TaskNames(self._store, registries, dns, names)
        self._store.watcher = Watchers(self._bus, self._task_names)
        launcher = Launcher(
            store=self._store, runtime=runtime, clock=clock, names=names, wake=self._wake
        )
        actions = Actions(
            store=self._store,
            runtime=runtime,
            balancers=balancers,
            clock=clock,
            launcher=launcher,
        )
        self.scheduler = ServiceScheduler(
            store=self._store, actions=actions, balancers=balancers, clock=clock, timers=timers,
            alarms=alarms,
        )  # fmt: skip
        self._sessions = ExecSessions(door)
        self._plane = ControlPlane(
            store=self._store,
            names=names,
            clock=clock,
            launcher=launcher,
            runtime=runtime,
            balancers=balancers,
            registries=registries,
            alarms=alarms,
            wake=self._wake,
        )

        self._tasks = TaskOperations(self._plane)
        self._services = ServiceOperations(self._plane)

    def operations(self) -> Mapping[str, Operation]:
        rooms = (
            ClusterOperations(self._plane),
            DefinitionOperations(self._plane),
            self._services,
            DeploymentOperations(self._plane),
            self._tasks,
            ExecuteOperations(self._plane, self._sessions),
            TagOperations(self._plane),
        )
        return {name: operation for room in rooms for name, operation in room.table().items()}

    def interrupt(self, task_arn: str) -> None:
        """A Spot interruption, which AWS has no public call for. AwsError as StopTask's, or for a
        task that does not run on FARGATE_SPOT."""
        self._tasks.interrupt(task_arn)

    def events(self, after: int = 0, limit: int = 1000) -> dict[str, Any]:
        """The newest 5,000 events as EventBridge carries them: bus.EventBus.listing."""
        return self._bus.listing(after, limit)

    def reset(self) -> None:
        """Stop every task and forget everything, as a new account."""
        running = [task.arn for task in self._store.tasks.values() if not task.is_stopped]
        self._store.forget_everything()
        self._task_names.forget()
        for arn in running:
            self._plane.runtime.stop(arn, code="UserInitiated", reason="The region was reset")

    # -- ports.ScalableServices

    def desired_count(self, cluster: str, service: str) -> int | None:
        found = self._store.services.get(self._plane.names.service(cluster, service))
        return found.desired_count if found is not None and found.status == "ACTIVE" else None

    def running_tasks(self, cluster: str, service: str) -> list[str]:
        found = self._store.services.get(self._plane.names.service(cluster, service))
        tasks = self._store.service_tasks(found) if found is not None else []
        return [task.arn for task in tasks if is_counted_running(task)]

    async def set_desired_count(self, cluster: str, service: str, count: int) -> None:
        names = self._plane.names
        caller = Caller(names.account_id, names.region, "autoscaling")
        asked = {"cluster": cluster, "service": service, "desiredCount": count}
        await self._services.update(asked, caller)

    async def start(self) -> None:
        self.scheduler.start()

    async def close(self) -> None:
        await self._sessions.close()
        await self.scheduler.close()
        self._bus.close()
        self._store.close()

    def _wake(self) -> None:
        self.scheduler.wake()
