"""chaostoolkit-aws's probes and actions for ECS, unmodified, in a process of their own."""

from __future__ import annotations

import json
import sys
import time

import pytest

pytestmark = pytest.mark.region

CALL = (
    "import importlib, json, sys\n"
    "module, name, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])\n"
    "answer = getattr(importlib.import_module(module), name)(**arguments)\n"
    "print(json.dumps(answer, default=str))\n"
)


@pytest.fixture(scope="module")
def service(region):
    ecs = region.client("ecs")
    ecs.create_cluster(clusterName="chaos")
    region.register("chaos")
    ecs.create_service(
        cluster="chaos", serviceName="app", taskDefinition="chaos", desiredCount=2,
        launchType="FARGATE", networkConfiguration=region.network,
    )  # fmt: skip
    deadline = time.monotonic() + 40
    while not _is_steady(ecs):
        assert time.monotonic() < deadline, "the service did not become steady"
        time.sleep(0.1)
    yield ecs
    ecs.delete_service(cluster="chaos", service="app", force=True)


def _is_steady(ecs):
    (found,) = ecs.describe_services(cluster="chaos", services=["app"])["services"]
    return found["runningCount"] == 2 and found["deployments"][0]["rolloutState"] == "COMPLETED"


def chaos(region, module, name, **arguments):
    done = region.run(
        sys.executable, "-W", "ignore", "-c", CALL, f"chaosaws.ecs.{module}", name,
        json.dumps(arguments),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_probes_see_the_service(region, service):
    assert chaos(region, "probes", "service_is_deploying", cluster="chaos", service="app") is False
    assert (
        chaos(region, "probes", "are_all_desired_tasks_running", cluster="chaos", service="app")
        is True
    )


def test_a_stopped_task_is_replaced(region, service):
    before = set(service.list_tasks(cluster="chaos")["taskArns"])
    chaos(
        region, "actions", "stop_random_tasks", cluster="chaos", service="app", task_count=1,
        reason="chaos",
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while True:
        now = set(service.list_tasks(cluster="chaos")["taskArns"])
        if _is_steady(service) and len(now) == 2 and now != before:
            break
        assert time.monotonic() < deadline, f"it was not replaced: {before}, {now}"
        time.sleep(0.1)
    (gone,) = before - now
    (task,) = service.describe_tasks(cluster="chaos", tasks=[gone])["tasks"]
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "chaos")


def test_the_desired_count_is_changed(region, service):
    chaos(
        region, "actions", "update_desired_count", cluster="chaos", service="app", desired_count=1
    )
    (found,) = service.describe_services(cluster="chaos", services=["app"])["services"]
    assert found["desiredCount"] == 1
