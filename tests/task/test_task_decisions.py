"""The pure decisions of a task: tables, then properties over random dependency graphs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hikkoshi.region.task.decisions import (
    ContainerView,
    GiveUp,
    HealthRecord,
    Phase,
    Start,
    StopTask,
    Verdict,
    after_probe,
    circle,
    has_started,
    judge_dependency,
    may_be_signalled,
    may_restart,
    moves_to_run,
    next_deadline,
    task_health,
)
from hikkoshi.region.task.definition import Condition, Dependency, HealthCheck, RestartPolicy

RUNNING = ContainerView("db", Phase.RUNNING, started_at=100.0, has_health_check=True)
STOPPED = ContainerView("db", Phase.STOPPED, started_at=100.0, exit_code=0)


@pytest.mark.parametrize(
    ("condition", "on", "verdict"),
    [
        ("START", ContainerView("db"), "not yet"),
        ("START", ContainerView("db", Phase.STARTING), "not yet"),
        ("START", RUNNING, "met"),
        ("START", replace(STOPPED, exit_code=1), "met"),
        ("COMPLETE", RUNNING, "not yet"),
        ("COMPLETE", replace(STOPPED, exit_code=1), "met"),
        ("SUCCESS", RUNNING, "not yet"),
        ("SUCCESS", STOPPED, "met"),
        ("SUCCESS", replace(STOPPED, exit_code=1), "never"),
        ("SUCCESS", replace(STOPPED, exit_code=None), "never"),
        ("HEALTHY", RUNNING, "not yet"),
        ("HEALTHY", replace(RUNNING, health="UNHEALTHY"), "not yet"),
        ("HEALTHY", replace(RUNNING, health="HEALTHY"), "met"),
        ("HEALTHY", replace(STOPPED, has_health_check=True, health="HEALTHY"), "never"),
        # Only the task definition's healthCheck counts; without one it can never be HEALTHY.
        ("HEALTHY", replace(RUNNING, has_health_check=False), "never"),
        # startTimeout is the dependency's, from its start, and not for START.
        ("HEALTHY", replace(RUNNING, start_timeout_s=50.0), "not yet"),
        ("HEALTHY", replace(RUNNING, start_timeout_s=10.0), "timed out"),
        ("SUCCESS", replace(RUNNING, start_timeout_s=10.0), "timed out"),
        ("COMPLETE", replace(RUNNING, start_timeout_s=10.0), "timed out"),
        ("COMPLETE", ContainerView("db", start_timeout_s=10.0), "not yet"),
        ("START", ContainerView("db", start_timeout_s=10.0), "not yet"),
        ("SUCCESS", replace(STOPPED, start_timeout_s=10.0), "met"),
    ],
)
def test_dependency(condition, on, verdict):
    assert judge_dependency(Condition(condition), on, now=120.0).verdict == Verdict(verdict)


APP = ContainerView("app", depends_on=(Dependency("db", Condition.HEALTHY),))
DB = ContainerView("db", is_essential=False, has_health_check=True)


@pytest.mark.parametrize(
    ("views", "moves"),
    [
        ([APP, DB], (Start("db"),)),
        ([APP, replace(DB, phase=Phase.RUNNING, started_at=1.0)], ()),
        (
            [APP, replace(DB, phase=Phase.RUNNING, started_at=1.0, health="HEALTHY")],
            (Start("app"),),
        ),
        (
            [APP, replace(DB, phase=Phase.STOPPED, started_at=1.0, exit_code=0)],
            (GiveUp("app", "dependency db stopped before it was healthy"),),
        ),
        (
            [APP, replace(DB, phase=Phase.RUNNING, started_at=1.0, start_timeout_s=2.0)],
            (
                GiveUp(
                    "app",
                    "dependency db did not reach HEALTHY within its startTimeout of 2 s",
                ),
                StopTask("TaskFailedToStart", "Task failed to start"),
            ),
        ),
        (
            [replace(APP, phase=Phase.STOPPED, started_at=1.0, exit_code=0), DB],
            (StopTask("EssentialContainerExited", "Essential container in task exited"),),
        ),
        (
            [replace(APP, phase=Phase.STOPPED, exit_code=143), DB],
            (StopTask("TaskFailedToStart", "Task failed to start"),),
        ),
        (
            [replace(APP, depends_on=(Dependency("ghost", Condition.START),)), DB],
            (GiveUp("app", "dependency ghost is not in the task"), Start("db")),
        ),
    ],
)
def test_moves(views, moves):
    assert moves_to_run(views, now=10.0) == moves


def test_the_next_deadline_is_that_of_a_dependency_that_someone_waits_for():
    waited = replace(DB, phase=Phase.RUNNING, started_at=5.0, start_timeout_s=20.0)
    assert next_deadline([APP, waited]) == 25.0
    assert next_deadline([waited]) is None
    assert next_deadline([replace(APP, phase=Phase.RUNNING), waited]) is None


def test_dependents_are_signalled_first():
    def up(name, *needs):
        return ContainerView(
            name,
            Phase.RUNNING,
            depends_on=tuple(Dependency(n, Condition.START) for n in needs),
        )

    views = [up("app", "router", "db"), up("db", "router"), up("router"), up("alone")]
    assert may_be_signalled(views) == ("app", "alone")
    views[0] = replace(views[0], phase=Phase.STOPPED)
    assert may_be_signalled(views) == ("db", "alone")
    views[1] = replace(views[1], phase=Phase.STOPPED)
    assert may_be_signalled(views) == ("router", "alone")


CHECK = HealthCheck(("true",), retries=3, start_period_s=10.0)


@pytest.mark.parametrize(
    ("probes", "status"),
    [
        ([], "UNKNOWN"),
        ([(20, True)], "HEALTHY"),
        ([(20, False)] * 2, "UNKNOWN"),
        ([(20, False)] * 3, "UNHEALTHY"),
        ([(20, False), (21, False), (22, True), (23, False), (24, False)], "HEALTHY"),
        ([(20, False)] * 3 + [(30, True)], "HEALTHY"),
        # Within startPeriod failures do not count …
        ([(1, False)] * 9, "UNKNOWN"),
        ([(1, False)] * 9 + [(11, False)] * 2, "UNKNOWN"),
        ([(1, False)] * 9 + [(11, False)] * 3, "UNHEALTHY"),
        # … until a probe has passed.
        ([(1, True)] + [(2, False)] * 3, "UNHEALTHY"),
    ],
)
def test_container_health(probes, status):
    record = HealthRecord()
    for since_start_s, has_passed in probes:
        record = after_probe(record, CHECK, has_passed=has_passed, since_start_s=since_start_s)
    assert record.status == status


@pytest.mark.parametrize(
    ("essential", "sidecars", "health"),
    [
        (["HEALTHY", "HEALTHY"], ["UNHEALTHY"], "HEALTHY"),
        (["HEALTHY", "UNKNOWN"], [], "UNKNOWN"),
        (["HEALTHY", "UNKNOWN", "UNHEALTHY"], [], "UNHEALTHY"),
        ([], ["HEALTHY"], "UNKNOWN"),
    ],
)
def test_task_health_counts_essential_containers_only(essential, sidecars, health):
    views = [
        ContainerView(f"{is_essential}{i}", is_essential=is_essential, health=h,
                      has_health_check=True)
        for is_essential, group in ((True, essential), (False, sidecars))
        for i, h in enumerate(group)
    ]  # fmt: skip
    views.append(ContainerView("no check"))
    assert task_health(views) == health


@pytest.mark.parametrize(
    ("policy", "code", "ran_for_s", "is_stopping", "answer"),
    [
        (None, 1, 1000, False, False),
        (RestartPolicy(), 1, 299, False, False),
        (RestartPolicy(), 1, 300, False, True),
        (RestartPolicy(), 0, 300, False, True),
        (RestartPolicy(frozenset({0})), 0, 300, False, False),
        (RestartPolicy(attempt_period_s=60), 1, 61, False, True),
        (RestartPolicy(attempt_period_s=60), 1, 61, True, False),
    ],
)
def test_restart_policy(policy, code, ran_for_s, is_stopping, answer):
    assert may_restart(policy, code, ran_for_s, is_stopping=is_stopping) is answer


def test_a_circle_is_named():
    def waits(name, *needs):
        return ContainerView(name, depends_on=tuple(Dependency(n, Condition.START) for n in needs))

    assert circle([waits("a", "b"), waits("b", "c"), waits("c", "a"), waits("d")]) == (
        "a",
        "b",
        "c",
    )
    assert circle([waits("a", "b", "c"), waits("b", "c"), waits("c")]) == ()


@st.composite
def tasks(draw):
    """Views of a task without circles: each container depends on later ones only."""
    count = draw(st.integers(1, 7))
    views = []
    for i in range(count):
        targets = draw(st.sets(st.integers(i + 1, count - 1))) if i < count - 1 else set()
        views.append(
            ContainerView(
                f"c{i}",
                is_essential=i == 0 or draw(st.booleans()),
                depends_on=tuple(
                    Dependency(f"c{t}", draw(st.sampled_from(Condition))) for t in sorted(targets)
                ),
                has_health_check=draw(st.booleans()),
                start_timeout_s=draw(st.sampled_from([None, 2.0, 5.0])),
            )
        )
    return views


@given(tasks(), st.data())
def test_any_task_settles_in_order_and_then_stops_in_order(views, data):
    """Whatever containers do, a task starts in the order of its dependencies, and ends."""
    state = {v.name: v for v in views}
    now, stop = 0.0, None
    for _ in range(200):
        moves = moves_to_run(tuple(state.values()), now)
        for move in moves:
            if isinstance(move, Start):
                view = state[move.container]
                for dependency in view.depends_on:
                    on = state[dependency.container]
                    assert judge_dependency(dependency.condition, on, now).verdict == "met"
                fails = data.draw(st.booleans(), label=f"{view.name} cannot start")
                state[view.name] = (
                    replace(view, phase=Phase.STOPPED)
                    if fails
                    else replace(view, phase=Phase.RUNNING, started_at=now)
                )
            elif isinstance(move, GiveUp):
                view = state[move.container]
                assert view.phase is Phase.WAITING
                state[view.name] = replace(view, phase=Phase.STOPPED, exit_code=143)
            else:
                stop = move
        if stop is not None:
            break
        if not moves:
            running = [v for v in state.values() if v.phase is Phase.RUNNING]
            if has_started(tuple(state.values())) and not data.draw(st.booleans()):
                break
            # Every waiting container waits for a running one: else nothing could ever happen.
            assert running
            view = data.draw(st.sampled_from(running))
            if view.has_health_check and data.draw(st.booleans()):
                state[view.name] = replace(view, health="HEALTHY")
            else:
                code = data.draw(st.sampled_from([0, 1]))
                state[view.name] = replace(view, phase=Phase.STOPPED, exit_code=code)
            now += 1.0
    else:
        raise AssertionError("the task never settled")
    _stop_in_order(state)


def _stop_in_order(state):
    for name, view in state.items():
        if view.phase is Phase.WAITING:
            state[name] = replace(view, phase=Phase.STOPPED)
    for _ in range(len(state) + 1):
        names = may_be_signalled(tuple(state.values()))
        if not names:
            break
        for name in names:
            for other in state.values():
                if other.phase is Phase.RUNNING:
                    assert all(d.container != name for d in other.depends_on)
        for name in names:
            state[name] = replace(state[name], phase=Phase.STOPPED, exit_code=143)
    assert all(view.phase is Phase.STOPPED for view in state.values())
