"""Services end to end, over doubles of the runtime and the load balancers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest
from ecs_house import BALANCED, GROUP, House, definition

BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @wraps(test)
    def wrapper() -> None:
        asyncio.run(test())

    return wrapper


def short(event: str) -> str:
    event = re.sub(r"\(task [0-9a-f]{32}\)", "(task T)", event)
    event = re.sub(r"ecs-svc/\d{19}", "ecs-svc/N", event)
    return event.replace(GROUP, "G")


@run
async def test_a_service_becomes_steady_and_says_so_as_aws_does() -> None:
    house = House()
    await house.open()
    created = await house.create(desired=1, loadBalancers=BALANCED)
    assert created["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    await house.settle()
    assert [short(event) for event in await house.events()] == [
        "(service web) has started 1 tasks: (task T).",
        "(service web) registered 1 targets in (target-group G)",
        "(service web) (deployment ecs-svc/N) deployment completed.",
        "(service web) has reached a steady state.",
    ]
    service = await house.service()
    assert service["deployments"][0]["status"] == "PRIMARY"
    assert service["deployments"][0]["rolloutStateReason"].endswith(" completed.")
    (task,) = await house.tasks()
    assert task["startedBy"] == service["deployments"][0]["id"]
    assert task["group"] == "service:web"
    order = house.runtime.tasks[task["taskArn"]].order
    assert order.deployment == service["deployments"][0]["id"]
    said = [row["message"] for table, row in house.recorder.rows if table == "service_events"]
    assert said == await house.events()


@run
async def test_without_checks_a_task_counts_40_s_after_running() -> None:
    house = House()
    await house.open()
    await house.create(desired=1)
    await house.turns(41)
    assert (await house.service())["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    await house.turns(2)
    assert (await house.service())["deployments"][0]["rolloutState"] == "COMPLETED"


@run
async def test_a_rolling_update_drains_before_sigterm_and_keeps_the_floor() -> None:
    house = House()
    await house.open()
    await house.create(desired=2, loadBalancers=BALANCED)
    await house.settle()
    old = {task["taskArn"] for task in await house.tasks()}
    await house.call("RegisterTaskDefinition", **definition(image="web:next"))
    await house.call("UpdateService", cluster="genba", service="web", taskDefinition="web")
    seen_draining = False
    for _ in range(20):
        await house.turn()
        healthy = [key for key, state in house.balancers.states.items() if state == "healthy"]
        assert len(healthy) >= 2
        stopped = {arn for arn, _, _ in house.runtime.stops}
        if any(state == "draining" for state in house.balancers.states.values()):
            seen_draining = True
            assert not stopped, "SIGTERM was sent while targets drained"
            service = await house.service()
            assert [d["status"] for d in service["deployments"]] == ["PRIMARY", "ACTIVE"]
            draining = await house.tasks("STOPPED")
            assert {task["lastStatus"] for task in draining} == {"DEACTIVATING"}
            assert {task["stopCode"] for task in draining} == {"ServiceSchedulerInitiated"}
            break
    assert seen_draining
    house.balancers.drain()
    await house.settle()
    assert {arn for arn, _, _ in house.runtime.stops} == old
    reasons = {reason for _, _, reason in house.runtime.stops}
    primary = (await house.service())["deployments"][0]
    assert reasons == {f"Scaling activity initiated by (deployment {primary['id']})"}
    events = [short(event) for event in await house.events()]
    second = events.index("(service web) has started 2 tasks: (task T) (task T).", 1)
    assert events[second:] == [
        "(service web) has started 2 tasks: (task T) (task T).",
        "(service web) registered 1 targets in (target-group G)",
        "(service web) registered 1 targets in (target-group G)",
        "(service web) has stopped 2 running tasks: (task T) (task T).",
        "(service web) deregistered 2 targets in (target-group G)",
        "(service web, taskSet ecs-svc/N) has begun draining connections on 2 tasks.",
        "(service web) (deployment ecs-svc/N) deployment completed.",
        "(service web) has reached a steady state.",
    ]


async def _bad_deploy(house: House, kind: str, breaker: dict[str, Any]) -> tuple[str, str]:
    """A good service, then a bad one on top; (good deployment, bad deployment)."""
    await house.open(healthCheck={"command": ["CMD", "true"]})
    await house.create(desired=2, loadBalancers=BALANCED, deploymentConfiguration=breaker)
    await house.settle()
    good = (await house.service())["deployments"][0]["id"]
    bad_definition = definition(image="web:bad", healthCheck={"command": ["CMD", "true"]})
    await house.call("RegisterTaskDefinition", **bad_definition)
    house.runtime.behave = lambda order: (
        kind if order.definition["containerDefinitions"][0]["image"] == "web:bad" else "run"
    )
    await house.call("UpdateService", cluster="genba", service="web", taskDefinition="web:2")
    return good, (await house.service())["deployments"][0]["id"]


@pytest.mark.parametrize("kind", ["sick", "exit", "unpullable"])
def test_the_circuit_breaker_rolls_back(kind: str) -> None:
    async def scenario() -> None:
        house = House()
        good, bad = await _bad_deploy(house, kind, BREAKER)
        assert good != bad
        serving = {
            arn for arn, t in house.runtime.tasks.items() if t.state.last_status == "RUNNING"
        }
        for _ in range(60):
            await house.turns(1)
            service = await house.service()
            if service["deployments"][0]["id"] == good:
                break
        primary, failed = service["deployments"][0], service["deployments"][-1]
        assert primary["status"] == "PRIMARY"
        assert primary["id"] == good
        if len(service["deployments"]) == 2:
            assert failed["id"] == bad
            assert (failed["status"], failed["rolloutState"]) == ("ACTIVE", "FAILED")
            assert failed["rolloutStateReason"] == (
                "ECS deployment circuit breaker: tasks failed to start."
            )
            assert failed["failedTasks"] in (3, 4), "two tasks at a time, three failures allowed"
        await house.settle()
        service = await house.service()
        assert [d["id"] for d in service["deployments"]] == [good]
        assert service["taskDefinition"].endswith(":task-definition/web:1")
        running = {task["taskArn"] for task in await house.tasks()}
        assert running == serving, "the old tasks never stopped"
        events = await house.events()
        failed_at = events.index(
            f"(service web) (deployment {bad}) deployment failed: tasks failed to start."
        )
        assert events[failed_at + 1] == f"(service web) rolling back to deployment {good}."
        assert events[-2:] == [
            f"(service web) (deployment {good}) deployment completed.",
            "(service web) has reached a steady state.",
        ]
        started = [t for t in house.runtime.tasks.values() if t.order.deployment == bad]
        await house.turns(50)
        assert len([t for t in house.runtime.tasks.values() if t.order.deployment == bad]) == len(
            started
        )
        await _check_records(house)

    async def _check_records(house: House) -> None:
        listed = await house.call("ListServiceDeployments", cluster="genba", service="web")
        newest, first = listed["serviceDeployments"]
        assert newest["status"] == "ROLLBACK_SUCCESSFUL"
        assert first["status"] == "SUCCESSFUL"
        described = await house.call(
            "DescribeServiceDeployments", serviceDeploymentArns=[newest["serviceDeploymentArn"]]
        )
        record = described["serviceDeployments"][0]
        assert record["rollback"]["serviceRevisionArn"] == first["targetServiceRevisionArn"]
        assert record["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
        assert record["deploymentCircuitBreaker"]["threshold"] == 3
        revisions = await house.call(
            "DescribeServiceRevisions",
            serviceRevisionArns=[
                newest["targetServiceRevisionArn"],
                first["targetServiceRevisionArn"],
            ],
        )
        names = [r["taskDefinition"].rsplit("/", 1)[-1] for r in revisions["serviceRevisions"]]
        assert names == ["web:2", "web:1"]

    asyncio.run(scenario())


@run
async def test_a_failed_deployment_without_rollback_starts_nothing_more() -> None:
    house = House()
    configuration = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    good, bad = await _bad_deploy(house, "unpullable", configuration)
    await house.turns(40)
    service = await house.service()
    by_id = {d["id"]: d for d in service["deployments"]}
    assert by_id[bad]["status"] == "PRIMARY"
    assert by_id[bad]["rolloutState"] == "FAILED"
    assert by_id[good]["runningCount"] == 2, "what still serves stays"
    count = len(house.runtime.tasks)
    await house.turns(40)
    assert len(house.runtime.tasks) == count
    listed = await house.call("ListServiceDeployments", cluster="genba", service="web")
    assert listed["serviceDeployments"][0]["status"] == "STOPPED"


@run
async def test_a_first_deployment_has_nothing_to_roll_back_to() -> None:
    house = House()
    await house.open(image="web:bad")
    house.runtime.behave = lambda order: "unpullable"
    await house.create(desired=1, deploymentConfiguration=BREAKER)
    await house.turns(40)
    (deployment,) = (await house.service())["deployments"]
    assert deployment["rolloutState"] == "FAILED"
    assert len(house.runtime.tasks) == 3
    listed = await house.call("ListServiceDeployments", cluster="genba", service="web")
    assert listed["serviceDeployments"][0]["status"] == "ROLLBACK_FAILED"


@run
async def test_without_the_breaker_restarts_slow_down_and_the_service_says_so() -> None:
    house = House()
    await house.open()
    house.runtime.behave = lambda order: "unpullable"
    await house.create(desired=1)
    await house.turns(8)
    early = len(house.runtime.tasks)
    await house.turns(60)
    assert 3 <= early <= 4
    assert len(house.runtime.tasks) <= early + 3, "10 s, 20 s, 40 s between tries"
    impaired = "(service web) is unable to consistently start tasks successfully."
    assert (await house.events()).count(impaired) == 1
    house.runtime.behave = lambda order: "run"
    await house.settle()


@run
async def test_stop_task_is_replaced_and_does_not_drain_first() -> None:
    house = House()
    await house.open()
    await house.create(desired=1, loadBalancers=BALANCED)
    await house.settle()
    house.runtime.stops_at_once = False
    (task,) = await house.tasks()
    answer = await house.call(
        "StopTask", cluster="genba", task=task["taskArn"], reason="a rehearsal"
    )
    assert answer["task"]["desiredStatus"] == "STOPPED"
    assert answer["task"]["stopCode"] == "UserInitiated"
    assert answer["task"]["stoppedReason"] == "a rehearsal"
    assert house.runtime.stops == [(task["taskArn"], "UserInitiated", "a rehearsal")]
    await house.turn()
    assert ("deregister", "10.0.1.1") in house.balancers.log
    house.runtime.finish(task["taskArn"])
    await house.settle()
    (replacement,) = await house.tasks()
    assert replacement["taskArn"] != task["taskArn"]
    service = await house.service()
    assert service["deployments"][0]["failedTasks"] == 0, "a caller's stop is no failure"


@run
async def test_in_a_settled_service_the_unhealthy_task_waits_for_its_replacement() -> None:
    house = House()
    await house.open()
    await house.create(desired=1, loadBalancers=BALANCED)
    await house.settle()
    house.balancers.answer = lambda address: "unhealthy" if address == "10.0.1.1" else "initial"
    await house.turns(3)
    assert len(await house.tasks()) == 2
    assert house.runtime.stops == []
    house.balancers.answer = lambda address: "unhealthy" if address == "10.0.1.1" else "healthy"
    await house.settle()
    await house.turns(3)
    (stop,) = house.runtime.stops
    assert stop[1:] == (
        "ServiceSchedulerInitiated",
        f"Task failed ELB health checks in (target-group {GROUP})",
    )
    events = [short(event) for event in await house.events()]
    assert (
        "(service web) has started 1 tasks: (task T). Amazon ECS replaced 1 tasks due to an "
        "unhealthy status." in events
    )
    assert (
        "(service web) (task T) (port 8080) is unhealthy in (target-group G) due to (reason "
        "Health checks failed with these codes: [500])." in events
    )


@run
async def test_the_grace_period_shields_a_slow_start() -> None:
    house = House()
    await house.open()
    await house.create(
        desired=1, loadBalancers=BALANCED, healthCheckGracePeriodSeconds=30,
        deploymentConfiguration=BREAKER,
    )  # fmt: skip
    house.balancers.answer = lambda address: "unhealthy"
    await house.turns(28)
    assert house.runtime.stops == []
    house.balancers.answer = lambda address: "healthy"
    await house.settle()
    assert len(house.runtime.tasks) == 1


@run
async def test_scaling_out_and_in_makes_no_deployment() -> None:
    house = House()
    await house.open()
    await house.create(desired=1, loadBalancers=BALANCED)
    await house.settle()
    before = (await house.service())["deployments"][0]["id"]
    for desired in (3, 1, 0):
        await house.call("UpdateService", cluster="genba", service="web", desiredCount=desired)
        await house.turns(10)
        service = await house.service()
        assert (service["runningCount"], service["pendingCount"]) == (desired, 0)
        assert [d["id"] for d in service["deployments"]] == [before]
        assert (await house.events())[-1] == "(service web) has reached a steady state."


@run
async def test_a_protected_task_outlives_scale_in_and_deployment() -> None:
    house = House()
    await house.open()
    await house.create(desired=2, loadBalancers=BALANCED)
    await house.settle()
    protected, other = await house.tasks()
    answer = await house.call(
        "UpdateTaskProtection", cluster="genba", tasks=[protected["taskArn"]],
        protectionEnabled=True, expiresInMinutes=1,
    )  # fmt: skip
    assert answer["protectedTasks"][0]["protectionEnabled"] is True
    await house.call("UpdateService", cluster="genba", service="web", desiredCount=1)
    await house.turns(5)
    assert [stop[0] for stop in house.runtime.stops] == [other["taskArn"]]
    await house.call("UpdateService", cluster="genba", service="web", forceNewDeployment=True)
    await house.turns(20)
    assert protected["taskArn"] in {task["taskArn"] for task in await house.tasks()}
    assert len((await house.service())["deployments"]) == 2
    await house.turns(60)
    await house.settle()
    assert protected["taskArn"] not in {task["taskArn"] for task in await house.tasks()}


@run
async def test_delete_service_drains_and_becomes_inactive() -> None:
    house = House()
    await house.open()
    await house.create(desired=2, loadBalancers=BALANCED)
    await house.settle()
    error = await house.refused("DeleteService", cluster="genba", service="web")
    assert error.code == "InvalidParameterException"
    deleted = await house.call("DeleteService", cluster="genba", service="web", force=True)
    assert deleted["service"]["status"] == "DRAINING"
    again = await house.refused(
        "CreateService", cluster="genba", serviceName="web", taskDefinition="web",
        desiredCount=1, launchType="FARGATE",
    )  # fmt: skip
    assert again.message == "Unable to Start a service that is still Draining."
    await house.turns(5)
    assert (await house.service())["status"] == "INACTIVE"
    listed = await house.call("ListServices", cluster="genba")
    assert listed["serviceArns"] == []
    refused = await house.refused("UpdateService", cluster="genba", service="web", desiredCount=1)
    assert refused.code == "ServiceNotActiveException"
    await house.call("DeleteCluster", cluster="genba")
    gone = await house.refused("ListTasks", cluster="genba")
    assert gone.code == "ClusterNotFoundException"


@run
async def test_a_deployment_can_be_rolled_back_on_request() -> None:
    house = House()
    await house.open()
    await house.create(desired=1, loadBalancers=BALANCED)
    await house.settle()
    good = (await house.service())["deployments"][0]["id"]
    house.runtime.behave = lambda order: "hang"
    await house.call("UpdateService", cluster="genba", service="web", forceNewDeployment=True)
    await house.turns(3)
    service = await house.service()
    await house.call(
        "StopServiceDeployment", serviceDeploymentArn=service["currentServiceDeployment"]
    )
    await house.settle()
    assert (await house.service())["deployments"][0]["id"] == good
    listed = await house.call("ListServiceDeployments", cluster="genba", service="web")
    assert listed["serviceDeployments"][0]["status"] == "ROLLBACK_SUCCESSFUL"
    refused = await house.refused(
        "StopServiceDeployment",
        serviceDeploymentArn=listed["serviceDeployments"][0]["serviceDeploymentArn"],
    )
    assert refused.code == "ConflictException"


@run
async def test_a_third_deployment_replaces_one_that_hangs() -> None:
    house = House()
    await house.open()
    await house.create(desired=2, loadBalancers=BALANCED)
    await house.settle()
    house.runtime.behave = lambda order: (
        "hang" if order.definition["containerDefinitions"][0]["image"] == "web:slow" else "run"
    )
    for image in ("web:slow", "web:fine"):
        await house.call("RegisterTaskDefinition", **definition(image=image))
        await house.call("UpdateService", cluster="genba", service="web", taskDefinition="web")
        await house.turns(3)
    await house.settle()
    running = {task["taskDefinitionArn"].rsplit("/", 1)[-1] for task in await house.tasks()}
    assert running == {"web:3"}
    listed = await house.call("ListServiceDeployments", cluster="genba", service="web")
    assert [d["status"] for d in listed["serviceDeployments"]] == [
        "SUCCESSFUL", "STOPPED", "SUCCESSFUL",
    ]  # fmt: skip


@run
async def test_a_target_group_that_vanishes_does_not_hold_the_service() -> None:
    house = House()
    await house.open()
    await house.create(desired=1, loadBalancers=BALANCED)
    await house.settle()
    house.balancers.groups.clear()
    await house.call("DeleteService", cluster="genba", service="web", force=True)
    await house.turns(3)
    assert (await house.service())["status"] == "INACTIVE"


@run
async def test_events_are_bounded_and_old_tasks_are_forgotten() -> None:
    house = House()
    await house.open()
    house.runtime.behave = lambda order: "exit"
    await house.create(desired=3)
    for _ in range(220):
        await house.turn(900)
    assert len((await house.service())["events"]) == 100
    stopped = (await house.call("ListTasks", cluster="genba", desiredStatus="STOPPED"))["taskArns"]
    assert 3 <= len(stopped) <= 3 * 5, "an hour of tries, at most every 15 minutes"
