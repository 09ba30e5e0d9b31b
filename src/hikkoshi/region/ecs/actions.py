"""Doing what was decided: each step changes the store and calls the runtime or the balancers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from msgspec import structs

from hikkoshi.base.clock import Clock
from hikkoshi.region.ecs.arns import last_part
from hikkoshi.region.ecs.decisions import breaker as breaking
from hikkoshi.region.ecs.decisions import steps
from hikkoshi.region.ecs.launch import Launcher, Wish
from hikkoshi.region.ecs.providers import providers_of
from hikkoshi.region.ecs.records import ServiceRecord, StopRequest, Target, TaskRecord
from hikkoshi.region.ecs.rollouts import fail_deployment, last_good
from hikkoshi.region.ecs.store import Store
from hikkoshi.region.ecs.traffic import record_of, shift
from hikkoshi.region.ecs.view import breaker_of
from hikkoshi.region.front.port import AwsError
from hikkoshi.region.ports import LoadBalancers, TaskRuntime

COMPLETED = "ECS deployment {} completed."
RETRY_REGISTER_S = 10.0


class Actions:
    """The hands of the scheduler. Each method takes a service's ARN and one step."""

    def __init__(
        self, *, store: Store, runtime: TaskRuntime, balancers: LoadBalancers, clock: Clock,
        launcher: Launcher,
    ) -> None:  # fmt: skip
        self._store = store
        self._runtime = runtime
        self._balancers = balancers
        self._clock = clock
        self._launcher = launcher

    async def take(self, service_arn: str, step: steps.Step) -> None:
        """Take one step. A step whose task or deployment has gone meanwhile does nothing."""
        if self.take_now(service_arn, step):
            return
        service = self._store.services[service_arn]
        match step:
            case steps.RegisterTargets():
                await self._register(service, step.task_id)
            case steps.EndTasks():
                await self._end(service, step)
            case steps.DeregisterTargets():
                await self._deregister(service, [step.task_id])
            case steps.ShiftTraffic():
                await self._shift(service, step)

    def take_now(self, service_arn: str, step: steps.Step) -> bool:
        """Take a step that waits for nobody; False: it is one that does, and was not taken."""
        service = self._store.services.get(service_arn)
        if service is None:
            return True
        match step:
            case steps.StartTasks():
                self._start(service, step)
            case steps.MarkHealthy():
                self._mark_healthy(service, step)
            case steps.CountFailure():
                self._count_failure(service, step)
            case steps.TerminateTask():
                self._terminate(service, step.task_id)
            case steps.FailDeployment():
                fail_deployment(
                    self._store, self._clock.now(), service, step.deployment_id,
                    step.roll_back_to, step.reason, step.alarms, is_left=step.is_left,
                )  # fmt: skip
            case steps.BeginBake():
                self._begin_bake(service, step.deployment_id)
            case steps.EnterStage():
                self._enter(service, step)
            case steps.CompleteDeployment():
                self._complete(service, step.deployment_id)
            case steps.RemoveDeployment():
                self._remove(service, step.deployment_id)
            case steps.SayImpaired():
                self._store.change_service(service_arn, is_impaired=True)
                self._store.say(service_arn, "is unable to consistently start tasks successfully.")
            case steps.SaySteady():
                self._store.change_service(service_arn, is_steady=True)
                self._store.say(service_arn, "has reached a steady state.")
            case steps.MakeInactive():
                self._store.change_service(
                    service_arn, status="INACTIVE", deployments=(), inactive_at=self._clock.now()
                )
            case _:
                return False
        return True

    def _task(self, service: ServiceRecord, task_id: str) -> TaskRecord | None:
        suffix = f"task/{service.cluster_name}/{task_id}"
        arn = service.arn.rsplit(":", 1)[0] + ":" + suffix
        return self._store.tasks.get(arn)

    def _start(self, service: ServiceRecord, step: steps.StartTasks) -> None:
        deployment = service.deployment(step.deployment_id)
        if deployment is None:
            return
        revision = self._store.revisions[deployment.revision_arn]
        definition = self._store.definitions[revision.definition_arn]
        strategy = revision.capacity_provider_strategy
        wish = Wish(
            cluster=self._store.clusters[service.cluster_name],
            definition=definition,
            group=f"service:{service.name}",
            started_by=deployment.id,
            service_name=service.name,
            deployment_id=deployment.id,
            launch_type=revision.launch_type or "FARGATE",
            platform_version=revision.platform_version,
            network_configuration=revision.network_configuration,
            load_balancers=revision.resolved_load_balancers,
            enable_execute_command=revision.enable_execute_command,
            tags=self._tags(service, revision.propagate_tags, definition.arn),
        )
        self._store.change_service(service.arn, is_steady=False)
        running = Counter(
            task.capacity_provider or ""
            for task in self._store.service_tasks(service)
            if task.desired_status == "RUNNING" and task.deployment_id == deployment.id
        )
        providers = providers_of(strategy, step.count, running)
        wishes = {name: replace(wish, capacity_provider=name) for name in set(providers)}
        started = [self._launcher.launch(wishes[provider]) for provider in providers]
        text = f"has started {len(started)} tasks: {_task_list(started)}."
        if step.replaced:
            text += f" Amazon ECS replaced {step.replaced} tasks due to an unhealthy status."
        self._store.say(service.arn, text)

    def _tags(
        self, service: ServiceRecord, propagate: str, definition_arn: str
    ) -> tuple[tuple[str, str], ...]:
        source = {"SERVICE": service.arn, "TASK_DEFINITION": definition_arn}.get(propagate)
        tags = dict(self._store.tags.get(source, {})) if source else {}
        if service.enable_managed_tags:
            tags["aws:ecs:clusterName"] = service.cluster_name
            tags["aws:ecs:serviceName"] = service.name
        return tuple(tags.items())

    async def _register(self, service: ServiceRecord, task_id: str) -> None:
        task = self._task(service, task_id)
        if task is None or task.state is None or task.state.address is None:
            return
        address = task.state.address
        targets = list(task.targets)
        done: Counter[str] = Counter()
        for index, target in enumerate(targets):
            if target.address is not None or target.is_deregistered:
                continue
            group = target.target_group_arn
            try:
                await self._balancers.register(group, address, target.port)
            except AwsError as error:
                self._store.say(
                    service.arn,
                    f"failed to register targets in (target-group {group}) with (error {error})",
                )
                retry_at = self._clock.now() + RETRY_REGISTER_S
                targets[index] = structs.replace(target, retry_at=retry_at)
                continue
            targets[index] = structs.replace(target, address=address)
            done[group] += 1
        self._store.change_task(task.arn, targets=tuple(targets))
        for group, count in done.items():
            self._store.say(service.arn, f"registered {count} targets in (target-group {group})")

    async def _deregister(self, service: ServiceRecord, task_ids: Iterable[str]) -> int:
        """Begin draining; the number of tasks that had a target to drain."""
        done: Counter[str] = Counter()
        drained = 0
        for task_id in task_ids:
            task = self._task(service, task_id)
            if task is None or not task.targets:
                continue
            targets, groups = [], []
            for target in task.targets:
                is_held = target.address is not None and not target.is_deregistered
                if is_held and await self._let_go(service, target):
                    groups.append(target.target_group_arn)
                targets.append(structs.replace(target, is_deregistered=True))
            self._store.change_task(task.arn, targets=tuple(targets))
            done.update(groups)
            drained += bool(groups)
        for group, count in done.items():
            self._store.say(service.arn, f"deregistered {count} targets in (target-group {group})")
        return drained

    async def _let_go(self, service: ServiceRecord, target: Target) -> bool:
        """A target group that is gone, or refuses, must not keep the task alive for ever."""
        group = target.target_group_arn
        try:
            await self._balancers.deregister(group, target.address or "", target.port)
        except AwsError as error:
            self._store.say(
                service.arn,
                f"failed to deregister targets in (target-group {group}) with (error {error})",
            )
            return False
        return True

    def _mark_healthy(self, service: ServiceRecord, step: steps.MarkHealthy) -> None:
        task = self._task(service, step.task_id)
        if task is not None:
            self._store.change_task(task.arn, has_been_healthy=True)
        if service.is_impaired:
            self._store.change_service(service.arn, is_impaired=False)
        deployment = service.deployment(step.deployment_id)
        if deployment is not None:
            changes = {"start_failures": 0, "last_failure_at": None}
            if step.resets_failures:
                changes |= {"failures": 0, "failed_tasks": 0}
            self._store.change_deployment(service.arn, deployment.id, **changes)

    def _count_failure(self, service: ServiceRecord, step: steps.CountFailure) -> None:
        task = self._task(service, step.task_id)
        if task is not None:
            self._store.change_task(task.arn, is_failure_counted=True)
        self._store.change_service(service.arn, is_steady=False)
        deployment = service.deployment(step.deployment_id)
        if deployment is None:
            return
        changed = self._store.change_deployment(
            service.arn,
            deployment.id,
            failed_tasks=deployment.failed_tasks + 1,
            failures=deployment.failures + step.feeds_breaker,
            start_failures=deployment.start_failures + step.feeds_backoff,
            last_failure_at=self._clock.now() if step.feeds_backoff else deployment.last_failure_at,
        )
        breaker = breaker_of(service.deployment_configuration)
        self._store.change_service_deployment(
            service.arn,
            deployment.service_deployment_arn,
            failure_count=changed.failures,
            threshold=breaking.threshold(breaker, service.desired_count),
        )

    async def _end(self, service: ServiceRecord, step: steps.EndTasks) -> None:
        request = StopRequest("ServiceSchedulerInitiated", step.reason, self._clock.now())
        ended = []
        with self._store.together():
            for task_id in step.task_ids:
                task = self._task(service, task_id)
                if task is not None and task.desired_status != "STOPPED":
                    ended.append(self._store.change_task(task.arn, stop_request=request))
        if not ended:
            return
        self._store.change_service(service.arn, is_steady=False)
        for _, event in step.ailments:
            self._store.say(service.arn, event)
        self._store.say(
            service.arn, f"has stopped {len(ended)} running tasks: {_task_list(ended)}."
        )
        drained = await self._deregister(service, [task.id for task in ended])
        if drained:
            self._store.say(
                service.arn,
                f", taskSet {step.deployment_id}) has begun draining connections on "
                f"{drained} tasks.",
            )

    def _terminate(self, service: ServiceRecord, task_id: str) -> None:
        task = self._task(service, task_id)
        if task is None or task.stop_request is None or task.is_handed_over:
            return
        self._store.change_task(task.arn, is_handed_over=True)
        self._runtime.stop(task.arn, code=task.stop_request.code, reason=task.stop_request.reason)

    def _complete(self, service: ServiceRecord, deployment_id: str) -> None:
        deployment = self._store.change_deployment(
            service.arn,
            deployment_id,
            rollout="COMPLETED",
            rollout_reason=COMPLETED.format(deployment_id),
            has_completed=True,
        )
        is_rollback = deployment.is_rollback
        now = self._clock.now()
        self._store.change_service_deployment(
            service.arn,
            deployment.service_deployment_arn,
            status="ROLLBACK_SUCCESSFUL" if is_rollback else "SUCCESSFUL",
            finished_at=now,
            **({} if is_rollback else {"breaker_status": "MONITORING_COMPLETE"}),
            **self._alarms_over(service, deployment.service_deployment_arn),
        )
        self._store.change_deployment(service.arn, deployment_id, is_rollback=False)
        self._store.say(service.arn, f"(deployment {deployment_id}) deployment completed.")

    def _alarms_over(self, service: ServiceRecord, record: str) -> dict[str, str]:
        records = self._store.service_deployments.get(service.arn)
        known = records.get(record) if records else None
        is_watched = known is not None and known.alarms_status == "MONITORING"
        return {"alarms_status": "MONITORING_COMPLETE"} if is_watched else {}

    def _begin_bake(self, service: ServiceRecord, deployment_id: str) -> None:
        deployment = service.deployment(deployment_id)
        if deployment is not None:
            self._store.change_service_deployment(
                service.arn, deployment.service_deployment_arn, bakes_since=self._clock.now()
            )

    def _enter(self, service: ServiceRecord, step: steps.EnterStage) -> None:
        deployment = service.deployment(step.deployment_id)
        if deployment is None:
            return
        record = record_of(service, self._store)
        begins = record is not None and record.status == "PENDING"
        self._store.change_service_deployment(
            service.arn,
            deployment.service_deployment_arn,
            stage=step.stage,
            stage_at=self._clock.now(),
            **({"status": "IN_PROGRESS"} if begins else {}),
        )

    async def _shift(self, service: ServiceRecord, step: steps.ShiftTraffic) -> None:
        """A load balancer that refuses fails the deployment, which goes back."""
        deployment = service.deployment(step.deployment_id)
        if deployment is None:
            return
        revision = self._store.revisions[deployment.revision_arn]
        try:
            await shift(self._balancers, revision, step.percent, is_test=step.is_test)
        except AwsError as error:
            back = last_good(service, deployment) if not deployment.is_rollback else None
            fail_deployment(
                self._store, self._clock.now(), service, deployment.id, back.id if back else None,
                f"Traffic could not be shifted: {error}",
            )  # fmt: skip
            return
        self._note_shift(service.arn, step)

    def _note_shift(self, service_arn: str, step: steps.ShiftTraffic) -> None:
        service = self._store.services[service_arn]
        given = {step.deployment_id: step.percent}
        if step.beside is not None:
            given[step.beside] = 100.0 - step.percent
        noted = tuple(
            structs.replace(d, test_weight=given.get(d.id, 0.0))
            if step.is_test
            else structs.replace(d, production_weight=given.get(d.id, 0.0))
            for d in service.deployments
        )
        self._store.change_service(service_arn, deployments=noted)
        record = record_of(service, self._store)
        if record is not None and not step.is_test:
            self._store.change_service_deployment(
                service_arn, record.arn, shifted_at=self._clock.now()
            )

    def _remove(self, service: ServiceRecord, deployment_id: str) -> None:
        rest = tuple(d for d in service.deployments if d.id != deployment_id)
        self._store.change_service(service.arn, deployments=rest)


def _task_list(tasks: list[TaskRecord]) -> str:
    return " ".join(f"(task {last_part(task.arn)})" for task in tasks)
