"""The scheduler's decisions: tables from the published behaviour, and properties."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from hikkoshi.region.ecs.decisions import breaker as breaking
from hikkoshi.region.ecs.decisions import steps
from hikkoshi.region.ecs.decisions.health import Verdict, judge
from hikkoshi.region.ecs.decisions.next_steps import next_steps
from hikkoshi.region.ecs.decisions.rolling import Counts, Moves, cap_of, floor_of, plan_moves
from hikkoshi.region.ecs.decisions.snapshot import (
    Breaker,
    DeploymentView,
    ServiceSnapshot,
    Stopping,
    TargetView,
    TaskView,
)

NEW, OLD = "ecs-svc/2", "ecs-svc/1"


@pytest.mark.parametrize(
    ("desired", "low", "high", "floor", "cap"),
    [
        (4, 50, 100, 2, 4),
        (2, 75, 100, 2, 2),
        (3, 100, 125, 3, 3),
        (1, 100, 200, 1, 2),
        (3, 50, 150, 2, 4),
        (10, 33, 110, 4, 11),
        (0, 100, 200, 0, 0),
    ],
)
def test_floor_rounds_up_and_cap_rounds_down(
    desired: int, low: int, high: int, floor: int, cap: int
) -> None:
    assert (floor_of(desired, low), cap_of(desired, high)) == (floor, cap)


@pytest.mark.parametrize(
    ("what", "desired", "low", "high", "counts", "moves"),
    [
        ("a new service starts all", 3, 100, 200, Counts(), Moves(start=3)),
        ("four at min 50, max 100: two make room", 4, 50, 100, Counts(old_healthy=4),
         Moves(end_old_healthy=2)),
        ("then two start", 4, 50, 100, Counts(old_healthy=2), Moves(start=2)),
        ("two at min 75, max 100: stuck, as on AWS", 2, 75, 100, Counts(old_healthy=2), Moves()),
        ("three at max 125: none may start", 3, 100, 125, Counts(old_healthy=3), Moves()),
        ("min 100, max 200: all new start, none ends", 4, 100, 200, Counts(old_healthy=4),
         Moves(start=4)),
        ("each healthy new task lets an old one go", 4, 100, 200,
         Counts(new_healthy=1, new_waiting=3, old_healthy=4), Moves(end_old_healthy=1)),
        ("min 50, max 200 ends nothing before the new are healthy", 4, 50, 200,
         Counts(new_waiting=4, old_healthy=4), Moves()),
        ("an idle old task makes room for the next round", 2, 100, 100,
         Counts(old_idle=1, old_healthy=1), Moves(end_old_idle=1)),
        ("an unhealthy new task is replaced, start first", 1, 100, 200, Counts(new_unhealthy=1),
         Moves(start=1, end_new_unhealthy=1)),
        ("without room the unhealthy one ends first", 1, 100, 200,
         Counts(new_unhealthy=1, old_healthy=1), Moves(end_new_unhealthy=1)),
        ("protected old tasks stay and take room", 2, 100, 150,
         Counts(new_healthy=1, old_protected=2, old_protected_healthy=2), Moves()),
    ],
)  # fmt: skip
def test_moves_of_a_rollout(
    what: str, desired: int, low: int, high: int, counts: Counts, moves: Moves
) -> None:
    assert plan_moves(desired, low, high, counts, may_start=True, is_rolling_out=True) == moves, (
        what
    )


def test_a_failed_deployment_moves_nothing_that_serves() -> None:
    counts = Counts(new_healthy=1, new_unhealthy=1, old_healthy=2, old_idle=1)
    moves = plan_moves(2, 100, 200, counts, may_start=False, is_rolling_out=False)
    assert moves == Moves(end_new_unhealthy=1)


def test_in_a_settled_service_the_unhealthy_task_stays_until_replaced() -> None:
    before = plan_moves(1, 100, 200, Counts(new_unhealthy=1), may_start=True, is_rolling_out=False)
    assert before == Moves(start=1)
    counts = Counts(new_healthy=1, new_unhealthy=1)
    after = plan_moves(1, 100, 200, counts, may_start=True, is_rolling_out=False)
    assert after == Moves(end_new_unhealthy=1)


_SMALL = st.integers(0, 12)


@given(
    st.integers(0, 10), st.integers(0, 100), st.integers(100, 400), st.booleans(), st.booleans(),
    st.builds(Counts, _SMALL, _SMALL, _SMALL, _SMALL, _SMALL, _SMALL, _SMALL, st.just(0)),
)  # fmt: skip
def test_moves_never_break_floor_or_cap(
    desired: int, low: int, high: int, may_start: bool, is_rolling_out: bool, counts: Counts
) -> None:
    moves = plan_moves(
        desired, low, high, counts, may_start=may_start, is_rolling_out=is_rolling_out
    )
    floor, cap = floor_of(desired, low), cap_of(desired, high)
    assert moves.start == 0 or counts.alive + moves.start <= cap
    healthy_left = counts.healthy - moves.end_old_healthy
    assert healthy_left >= min(floor, counts.healthy)
    assert 0 <= moves.start <= desired
    assert 0 <= moves.end_old_idle <= counts.old_idle
    assert 0 <= moves.end_old_waiting <= counts.old_waiting
    assert 0 <= moves.end_old_healthy <= counts.old_healthy
    assert 0 <= moves.end_new_unhealthy <= counts.new_unhealthy


@pytest.mark.parametrize(
    ("desired", "breaker", "expected"),
    [
        (1, Breaker(), 3),
        (25, Breaker(), 13),
        (400, Breaker(), 200),
        (1000, Breaker(), 200),
        (0, Breaker(), 3),
        (10, Breaker(kind="BOUNDED_PERCENT", value=100), 10),
        (10, Breaker(kind="UNBOUNDED_PERCENT", value=10), 1),
        (1000, Breaker(kind="UNBOUNDED_PERCENT", value=50), 500),
        (10, Breaker(kind="COUNT", value=7), 7),
    ],
)
def test_the_breaker_trips_at(desired: int, breaker: Breaker, expected: int) -> None:
    assert breaking.threshold(breaker, desired) == expected
    on = replace(breaker, is_enabled=True)
    deployment = DeploymentView(NEW, 0.0, failures=expected)
    assert breaking.has_tripped(on, deployment, desired)
    assert not breaking.has_tripped(on, replace(deployment, failures=expected - 1), desired)
    assert not breaking.has_tripped(on, replace(deployment, rollout="COMPLETED"), desired)
    assert not breaking.has_tripped(replace(on, is_enabled=False), deployment, desired)


@pytest.mark.parametrize(
    ("failures", "desired", "longest", "delay"),
    [
        (0, 1, 900, 0), (2, 1, 900, 0), (3, 1, 900, 10), (4, 1, 900, 20), (9, 1, 900, 640),
        (10, 1, 900, 900), (10_000, 1, 900, 900), (20, 10, 900, 0), (30, 10, 900, 10),
        (3, 1, 2, 2), (3, 0, 900, 10),
    ],
)  # fmt: skip
def test_the_delay_between_starts(
    failures: int, desired: int, longest: float, delay: float
) -> None:
    assert breaking.restart_delay(failures, desired, longest) == delay


def running(task_id: str = "a", deployment: str = NEW, **more: object) -> TaskView:
    values: dict[str, object] = {"last_status": "RUNNING", "started_at": 100.0, **more}
    return TaskView(task_id, deployment, 90.0, **values)  # type: ignore[arg-type]


def target(state: str | None = "healthy", **more: object) -> TargetView:
    return TargetView("tg", 80, state, **more)  # type: ignore[arg-type]


SERVICE = ServiceSnapshot("web", 1, (DeploymentView(NEW, 0.0),))


@pytest.mark.parametrize(
    ("task", "grace_s", "now", "verdict"),
    [
        (TaskView("a", NEW, 0.0), 0, 500, Verdict.WAITING),
        (running(), 0, 139, Verdict.WAITING),
        (running(), 0, 140, Verdict.HEALTHY),
        (running(targets=(target(),)), 0, 101, Verdict.HEALTHY),
        (running(targets=(target("initial"),)), 0, 999, Verdict.WAITING),
        (running(targets=(target(), target("initial"))), 0, 999, Verdict.WAITING),
        (running(targets=(target("unhealthy"),)), 0, 101, Verdict.UNHEALTHY),
        (running(targets=(target("unhealthy"),)), 60, 159, Verdict.WAITING),
        (running(targets=(target("unhealthy"),)), 60, 160, Verdict.UNHEALTHY),
        (running(targets=(target(),)), 60, 101, Verdict.HEALTHY),
        (running(has_health_check=True), 0, 999, Verdict.WAITING),
        (running(has_health_check=True, health="HEALTHY"), 0, 101, Verdict.HEALTHY),
        (running(has_health_check=True, health="UNHEALTHY"), 0, 101, Verdict.UNHEALTHY),
        (running(has_health_check=True, health="UNHEALTHY"), 60, 101, Verdict.WAITING),
        (running(has_health_check=True, health="HEALTHY", targets=(target("initial"),)), 0, 999,
         Verdict.WAITING),
        (running(has_health_check=True, targets=(target(),)), 0, 999, Verdict.WAITING),
        (running(health="UNHEALTHY", targets=(target(),)), 0, 999, Verdict.HEALTHY),
    ],
)  # fmt: skip
def test_when_a_task_counts_as_healthy(
    task: TaskView, grace_s: float, now: float, verdict: Verdict
) -> None:
    assert judge(task, replace(SERVICE, grace_s=grace_s), now) is verdict


def kinds(service: ServiceSnapshot, now: float = 1000.0) -> list[str]:
    return [type(step).__name__ for step in next_steps(service, now)]


def test_targets_are_registered_after_running_and_retried_later() -> None:
    waiting = replace(SERVICE, tasks=(running(targets=(target(None),)),))
    assert "RegisterTargets" in kinds(waiting)
    refused = replace(SERVICE, tasks=(running(targets=(target(None, retry_at=1001.0),)),))
    assert "RegisterTargets" not in kinds(refused)
    assert "RegisterTargets" in kinds(refused, 1001.0)


def test_sigterm_waits_for_the_last_target() -> None:
    draining = target("draining", is_deregistered=True)
    unused = target("unused", is_deregistered=True)
    task = running(stopping=Stopping.DRAINING, targets=(draining, unused))
    assert "TerminateTask" not in kinds(replace(SERVICE, tasks=(task,)))
    task = structs.replace(task, targets=(unused, unused))
    assert "TerminateTask" in kinds(replace(SERVICE, tasks=(task,)))


def test_a_task_that_dies_lets_go_of_its_targets() -> None:
    task = running(stopping=Stopping.HANDED_OVER, targets=(target(),))
    assert "DeregisterTargets" in kinds(replace(SERVICE, tasks=(task,)))


def test_rollback_goes_to_the_newest_completed_deployment() -> None:
    deployments = (
        DeploymentView("d4", 4.0, failures=3),
        DeploymentView("d3", 3.0, is_primary=False),
        DeploymentView("d2", 2.0, is_primary=False, has_completed=True),
        DeploymentView("d1", 1.0, is_primary=False, has_completed=True),
    )
    service = replace(
        SERVICE, deployments=deployments, breaker=Breaker(is_enabled=True, is_rolling_back=True)
    )
    (step,) = next_steps(service, 5.0)
    assert isinstance(step, steps.FailDeployment)
    assert step.roll_back_to == "d2"
    plain = replace(service, breaker=Breaker(is_enabled=True))
    (step,) = next_steps(plain, 5.0)
    assert isinstance(step, steps.FailDeployment)
    assert step.roll_back_to is None


def test_a_rollback_that_fails_does_not_roll_back_again() -> None:
    deployments = (
        DeploymentView("d2", 2.0, failures=3, is_rollback=True, has_completed=True),
        DeploymentView("d3", 3.0, is_primary=False, rollout="FAILED"),
        DeploymentView("d1", 1.0, is_primary=False, has_completed=True),
    )
    breaker = Breaker(is_enabled=True, is_rolling_back=True)
    (step,) = next_steps(replace(SERVICE, deployments=deployments, breaker=breaker), 5.0)
    assert isinstance(step, steps.FailDeployment)
    assert step.roll_back_to is None


def test_scale_in_takes_unproven_then_newest_and_never_the_protected() -> None:
    tasks = tuple(
        structs.replace(
            running(name, targets=(target(state),)), created_at=float(at), is_protected=kept,
            has_been_healthy=True,
        )
        for name, state, at, kept in [
            ("oldest", "healthy", 1, False), ("newest", "healthy", 3, True),
            ("middle", "healthy", 2, False), ("unproven", "initial", 0, False),
        ]
    )  # fmt: skip
    settled = DeploymentView(NEW, 0.0, rollout="COMPLETED", has_completed=True)
    service = replace(SERVICE, desired_count=2, tasks=tasks, deployments=(settled,))
    ended = [step for step in next_steps(service, 200.0) if isinstance(step, steps.EndTasks)]
    assert [step.task_ids for step in ended] == [("unproven", "middle")]


@pytest.mark.parametrize(
    ("lived_s", "is_failed_start"), [(None, True), (0.1, True), (4.9, True), (5.0, False)]
)
def test_only_quick_ends_are_delayed(lived_s: float | None, is_failed_start: bool) -> None:
    started = None if lived_s is None else 100.0
    ended = None if lived_s is None else 100.0 + lived_s
    task = structs.replace(running(), started_at=started, ended_at=ended, last_status="STOPPED")
    assert breaking.is_failed_start(task) is is_failed_start


# -- A world in miniature: it takes the steps as the real one does, and the properties are watched.


@dataclass
class World:
    """One service whose new tasks become healthy (or not, by `luck`) after a beat or two."""

    service: ServiceSnapshot
    luck: list[str]
    now: float = 1000.0
    made: int = 0
    lowest_healthy: int = 10**9
    highest_alive: int = 0
    trail: list[str] = field(default_factory=list)

    def beat(self) -> bool:
        """Take every step that is asked for; whether there was one."""
        had_steps = False
        for _ in range(30):
            asked = next_steps(self.service, self.now)
            if not asked:
                return had_steps
            had_steps = True
            for step in asked:
                self.trail.append(f"{self.now}: {step}")
                self._take(step)
                self._watch()
        raise AssertionError("the decisions do not settle:\n" + "\n".join(self.trail[-60:]))

    def pass_time(self) -> None:
        self.now += 1.0
        moved = tuple(
            self._move(task)
            for task in self.service.tasks
            if task.stopping is not Stopping.STOPPED or not task.is_failure_counted
        )
        self.service = replace(self.service, tasks=moved)

    def _move(self, task: TaskView) -> TaskView:
        if task.stopping is Stopping.HANDED_OVER:
            return structs.replace(task, stopping=Stopping.STOPPED, last_status="STOPPED")
        if task.stopping is Stopping.DRAINING:
            gone = tuple(structs.replace(t, state="unused") for t in task.targets if t.state)
            return structs.replace(task, targets=gone)
        if task.last_status == "PENDING":
            if self.luck and self.luck.pop() == "fails":
                return structs.replace(
                    task, last_status="STOPPED", stopping=Stopping.STOPPED,
                    has_stopped_by_itself=True,
                )  # fmt: skip
            return structs.replace(task, last_status="RUNNING", started_at=self.now)
        if any(t.state == "initial" for t in task.targets):
            state = "unhealthy" if self.luck and self.luck.pop() == "sick" else "healthy"
            return structs.replace(
                task, targets=tuple(structs.replace(t, state=state) for t in task.targets)
            )
        return task

    def _change(self, task_id: str, **changes: object) -> None:
        self.service = replace(
            self.service,
            tasks=tuple(
                structs.replace(t, **changes) if t.task_id == task_id else t  # type: ignore[arg-type]
                for t in self.service.tasks
            ),
        )

    def _change_deployment(self, deployment_id: str, **changes: object) -> None:
        self.service = replace(
            self.service,
            deployments=tuple(
                replace(d, **changes) if d.deployment_id == deployment_id else d  # type: ignore[arg-type]
                for d in self.service.deployments
            ),
        )

    def _deployment(self, deployment_id: str) -> DeploymentView | None:
        return next((d for d in self.service.deployments if d.deployment_id == deployment_id), None)

    def _take(self, step: steps.Step) -> None:
        match step:
            case steps.StartTasks():
                for _ in range(step.count):
                    self.made += 1
                    task = TaskView(
                        f"new-{self.made}", step.deployment_id, self.now,
                        targets=(TargetView("tg", 80),),
                    )  # fmt: skip
                    self.service = replace(self.service, tasks=(*self.service.tasks, task))
                self.service = replace(self.service, is_steady=False)
            case steps.RegisterTargets():
                self._change(step.task_id, targets=(TargetView("tg", 80, "initial"),))
            case steps.MarkHealthy():
                self._change(step.task_id, has_been_healthy=True)
                changes = {"failures": 0} if step.resets_failures else {}
                self._change_deployment(step.deployment_id, start_failures=0, **changes)
            case steps.CountFailure():
                self._change(step.task_id, is_failure_counted=True)
                deployment = self._deployment(step.deployment_id)
                if deployment is not None:
                    self._change_deployment(
                        step.deployment_id,
                        failures=deployment.failures + step.feeds_breaker,
                        start_failures=deployment.start_failures + step.feeds_backoff,
                        last_failure_at=self.now,
                    )
            case steps.EndTasks():
                for task_id in step.task_ids:
                    task = next(t for t in self.service.tasks if t.task_id == task_id)
                    assert task.is_wanted, "a task is ended twice"
                    state = "draining" if any(t.state for t in task.targets) else None
                    gone = (TargetView("tg", 80, state, is_deregistered=True),)
                    self._change(task_id, stopping=Stopping.DRAINING, targets=gone)
                self.service = replace(self.service, is_steady=False)
            case steps.TerminateTask():
                self._change(step.task_id, stopping=Stopping.HANDED_OVER)
            case steps.DeregisterTargets():
                gone = (TargetView("tg", 80, "draining", is_deregistered=True),)
                self._change(step.task_id, targets=gone)
            case steps.FailDeployment():
                self._change_deployment(step.deployment_id, rollout="FAILED")
                if step.roll_back_to is not None:
                    self._change_deployment(step.deployment_id, is_primary=False)
                    self._change_deployment(
                        step.roll_back_to, is_primary=True, rollout="IN_PROGRESS",
                        is_rollback=True, failures=0, start_failures=0, last_failure_at=None,
                    )  # fmt: skip
            case steps.CompleteDeployment():
                self._change_deployment(
                    step.deployment_id, rollout="COMPLETED", has_completed=True, is_rollback=False
                )
            case steps.RemoveDeployment():
                rest = tuple(
                    d for d in self.service.deployments if d.deployment_id != step.deployment_id
                )
                self.service = replace(self.service, deployments=rest)
            case steps.SaySteady():
                self.service = replace(self.service, is_steady=True)
            case steps.SayImpaired():
                self.service = replace(self.service, is_impaired=True)

    def _watch(self) -> None:
        wanted = [task for task in self.service.tasks if task.is_wanted]
        healthy = sum(judge(t, self.service, self.now) is Verdict.HEALTHY for t in wanted)
        self.lowest_healthy = min(self.lowest_healthy, healthy)
        self.highest_alive = max(self.highest_alive, len(wanted))


def _rollout(desired: int, low: int, high: int, luck: list[str]) -> World:
    old = tuple(
        running(f"old-{i}", OLD, targets=(target(),), has_been_healthy=True) for i in range(desired)
    )
    deployments = (
        DeploymentView(NEW, 2.0),
        DeploymentView(OLD, 1.0, is_primary=False, rollout="COMPLETED", has_completed=True),
    )
    service = ServiceSnapshot(
        "web", desired, deployments, old, minimum_percent=low, maximum_percent=high,
        breaker=Breaker(is_enabled=True, is_rolling_back=True), restart_backoff_s=4.0,
    )  # fmt: skip
    return World(service, luck)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6), st.integers(0, 100), st.integers(100, 300),
    st.lists(st.sampled_from(["fine", "fails", "sick"]), max_size=40),
)  # fmt: skip
def test_a_rollout_keeps_floor_and_cap_and_comes_to_rest(
    desired: int, low: int, high: int, luck: list[str]
) -> None:
    world = _rollout(desired, low, high, list(luck))
    quiet = 0
    for _ in range(400):
        quiet = 0 if world.beat() else quiet + 1
        if quiet > 12:
            break
        world.pass_time()
    assert quiet > 12, "it never comes to rest:\n" + "\n".join(world.trail[-40:])
    assert world.lowest_healthy >= floor_of(desired, low)
    assert world.highest_alive <= max(cap_of(desired, high), desired)
    primary = world.service.primary
    assert primary is not None
    can_move = cap_of(desired, high) > desired or floor_of(desired, low) < desired
    if can_move and not luck:
        assert primary.deployment_id == NEW
        assert primary.rollout == "COMPLETED"
    if world.service.is_steady:
        wanted = [task for task in world.service.tasks if task.is_wanted]
        assert len(wanted) == desired
        assert {task.deployment_id for task in wanted} == {primary.deployment_id}
        assert len(world.service.deployments) == 1


def test_a_hopeless_rollout_ends_where_it_began() -> None:
    world = _rollout(2, 100, 200, ["fails"] * 200)
    for _ in range(60):
        world.beat()
        world.pass_time()
    assert world.service.is_steady
    assert [d.deployment_id for d in world.service.deployments] == [OLD]
    assert {t.task_id for t in world.service.tasks if t.is_wanted} == {"old-0", "old-1"}
    assert world.made == 4, "two rounds of two reach the threshold of three"
