"""C15 to C22: services, the same on every engine. The sums behind them (floor and cap, the
breaker's threshold, the delay between starts) have tables and properties in tests/ecs."""

from __future__ import annotations

import time

import pytest
from contract_house import server, shell, wait_for

pytestmark = pytest.mark.region
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


def test_c15_a_rolling_deploy_keeps_floor_and_cap(region):
    region.create_service("rolling", region.register(shell("app"), family="rolling"),
                          desiredCount=2)  # fmt: skip
    region.steady("rolling")
    region.ecs.update_service(
        service="rolling", taskDefinition=region.register(shell("app"), family="rolling")
    )
    counts = []

    def read() -> dict:
        seen = region.service("rolling")
        counts.append((seen["runningCount"], seen["runningCount"] + seen["pendingCount"]))
        return seen

    wait_for(read, lambda s: len(s["deployments"]) == 1
             and s["deployments"][0]["taskDefinition"].endswith(":2")
             and s["deployments"][0]["rolloutState"] == "COMPLETED", "deployed")  # fmt: skip
    assert min(running for running, _ in counts) >= 2
    assert max(both for _, both in counts) <= 4
    region.delete("rolling")


def _broken(region, name: str) -> dict:
    region.create_service(name, region.register(shell("app"), family=name),
                          deploymentConfiguration=BREAKER)  # fmt: skip
    region.steady(name)
    bad = region.register(shell("app", image="localhost/nowhere:1"), family=name)
    bad_id = region.ecs.update_service(service=name, taskDefinition=bad)["service"]
    failed = next(d["id"] for d in bad_id["deployments"] if d["status"] == "PRIMARY")
    seen = wait_for(
        lambda: region.service(name),
        lambda s: any("rolling back to deployment" in e["message"] for e in s["events"]),
        "rolled back",
    )
    return {"failed": failed, "service": seen}


def test_c16_the_breaker_ends_a_bad_deploy(region):
    seen = _broken(region, "breaking")
    found = region.ecs.list_service_deployments(service="breaking", cluster="default")
    statuses = [one["status"] for one in found["serviceDeployments"]]
    assert any(status.startswith("ROLLBACK") for status in statuses), (statuses, seen)
    region.delete("breaking")


def test_c17_it_rolls_back_to_what_was_completed(region):
    _broken(region, "returning")
    assert region.steady("returning")["taskDefinition"].endswith(":1")
    region.delete("returning")


def test_c18_the_grace_period_shields_a_start(region):
    group = region.target_group("grace")
    region.create_service(
        "grace", region.register(server(500)), healthCheckGracePeriodSeconds=600,
        loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 8000}],
    )  # fmt: skip
    wait_for(lambda: region.targets(group), lambda t: t == ["unhealthy"], "unhealthy")
    (arn,) = region.ecs.list_tasks(serviceName="grace")["taskArns"]
    time.sleep(2.0)  # Without it, the next look of the scheduler would have stopped the task.
    assert region.task(arn)["desiredStatus"] == "RUNNING"
    region.delete("grace")


@pytest.fixture(scope="module")
def balanced(region):
    """A service behind a load balancer that was scaled in; what was seen."""
    group = region.target_group("balanced")
    region.create_service(
        "balanced", region.register(server()), desiredCount=2,
        loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 8000}],
    )  # fmt: skip
    region.steady("balanced")
    healthy = region.targets(group)
    tasks = region.ecs.list_tasks(serviceName="balanced")["taskArns"]
    # Both targets have a request under way, so that one drains for as long as that takes.
    with region.slow_requests("balanced", 8):
        region.ecs.update_service(service="balanced", desiredCount=1)
        draining = wait_for(lambda: region.targets(group), lambda t: "draining" in t, "draining")
        running = [c["lastStatus"] for one in tasks for c in region.task(one)["containers"]]
    wait_for(lambda: region.targets(group), lambda t: t == ["healthy"], "drained")
    wait_for(lambda: [region.task(one)["lastStatus"] for one in tasks],
             lambda s: "STOPPED" in s, "one stopped")  # fmt: skip
    stopped = next(t for t in map(region.task, tasks) if t["lastStatus"] == "STOPPED")
    events = region.service("balanced")["events"]
    region.delete("balanced")
    return {"healthy": healthy, "draining": draining, "running": running, "stopped": stopped,
            "events": events}  # fmt: skip


def test_c19_targets(balanced, region):
    assert balanced["healthy"] == ["healthy", "healthy"]
    assert "draining" in balanced["draining"]


def test_c20_draining_comes_before_sigterm(balanced, region):
    assert balanced["running"] == ["RUNNING", "RUNNING"]
    drained = next(e for e in balanced["events"] if "begun draining" in e["message"])
    assert balanced["stopped"]["executionStoppedAt"] > drained["createdAt"]
    assert balanced["stopped"]["stoppedReason"].startswith("Scaling activity initiated by")


def test_c21_events_in_awss_words(balanced, region):
    text = "\n".join(one["message"] for one in reversed(balanced["events"]))
    for said in (
        "(service balanced) has started 2 tasks: (task ",
        " targets in (target-group arn:aws:elasticloadbalancing:",
        "(service balanced) (deployment ecs-svc/",
        "(service balanced) has reached a steady state.",
        "has begun draining connections on 1 tasks.",
        "(service balanced) has stopped 1 running tasks: (task ",
    ):
        assert said in text, text


def test_c22_starts_that_fail_slow_down(region):
    region.create_service("hopeless", region.register(shell("app", image="localhost/nowhere:1")))
    said = "is unable to consistently start tasks successfully"
    wait_for(lambda: "\n".join(region.events("hopeless")), lambda t: said in t, "slowed down")
    region.delete("hopeless")
