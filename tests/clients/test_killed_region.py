"""A whole region that is killed and started again."""

from __future__ import annotations

import json
import os
import select
import signal
import time

import pytest
from clients_house import Region

pytestmark = pytest.mark.region


@pytest.fixture
def own(tmp_path):
    region = Region(tmp_path)
    region.up()
    yield region
    region.down()


def wait_until_stable(ecs):
    deadline = time.monotonic() + 40
    while True:
        (service,) = ecs.describe_services(cluster="kept", services=["kept"])["services"]
        if service["runningCount"] == 2 and len(service["deployments"]) == 1:
            return
        assert time.monotonic() < deadline, service["events"]
        time.sleep(0.05)


@pytest.mark.parametrize("victim", ["region", pytest.param("door", marks=pytest.mark.slow)])
def test_services_return_after_sigkill_and_are_gone_after_down(own, victim):
    ecs = own.client("ecs")
    ecs.create_cluster(clusterName="kept")
    own.register("kept")
    ecs.create_service(
        cluster="kept", serviceName="kept", taskDefinition="kept", desiredCount=2,
        launchType="FARGATE", networkConfiguration=own.network,
    )  # fmt: skip
    quickly = {"Delay": 1, "MaxAttempts": 60}
    ecs.get_waiter("services_stable").wait(cluster="kept", services=["kept"], WaiterConfig=quickly)
    tasks = ecs.list_tasks(cluster="kept")["taskArns"]
    record = json.loads((own.home / "state" / "hikkoshi" / "region" / "region.json").read_text())
    process = os.pidfd_open(record["door_pid"] if victim == "door" else record["init_pid"])
    door = os.pidfd_open(record["door_pid"])
    signal.pidfd_send_signal(process, signal.SIGKILL)
    assert select.select([door], [], [], 30)[0], "the door outlived what it served"
    os.close(process)
    os.close(door)
    own.up()
    ecs = own.client("ecs")
    ecs.get_waiter("services_stable").wait(cluster="kept", services=["kept"], WaiterConfig=quickly)
    now = ecs.list_tasks(cluster="kept")["taskArns"]
    assert len(now) == 2
    assert not set(now) & set(tasks), "the old ones died with their namespaces"
    (old,) = ecs.describe_tasks(cluster="kept", tasks=tasks[:1])["tasks"]
    assert (old["lastStatus"], old["stopCode"]) == ("STOPPED", "TerminationNotice")
    records = own.home / "state" / "hikkoshi" / "records"
    assert (records / "control-plane.jsonl").exists()
    own.down()
    assert not (records / "control-plane.jsonl").exists(), "what ended in order begins empty"
