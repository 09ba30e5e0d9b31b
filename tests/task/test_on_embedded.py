"""The task runtime on the real embedded engine, with its real neighbours, in a real region."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hikkoshi.region.boot import LaunchSettings, launch

pytestmark = pytest.mark.region


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    directory = tmp_path_factory.mktemp("region")
    root = Path(__file__).parents[2]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(root)
    try:
        handle = launch(
            LaunchSettings(
                state=directory / "state",
                record_directory=directory / "records",
                entry_point="tests.task.embedded_scenarios:main",
                index=directory / "index",
            )
        )
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    try:
        handle.wait_ready(150)
    finally:
        handle.stop()
    return json.loads((directory / "records" / "answers.json").read_text())


@pytest.fixture
def answer(answers, request):
    """The answer of the scenario that the test is named after."""
    given = answers[request.node.originalname.removeprefix("test_")]
    if isinstance(given, dict) and "fault" in given:
        pytest.fail(given["fault"])
    return given


def test_life(answer):
    assert answer["statuses"] == [
        "PROVISIONING",
        "PENDING",
        "RUNNING",
        "DEACTIVATING",
        "STOPPING",
        "DEPROVISIONING",
        "STOPPED",
    ]
    assert answer["address"].startswith("10.0.")
    assert answer["exit"] == 0
    assert answer["lines"] == ["up", "bye"]
    assert answer["left"] == []


def test_killed(answer):
    assert answer == 137


def test_orphans(answer):
    assert answer == [3, ["1"]]


def test_volumes(answer):
    assert answer[:2] == ["written", "written"]
    assert "read-only" in answer[2:]


def test_one_network(answer):
    assert answer == ["hello from the sidecar"]


def test_metadata(answer):
    assert answer["container"] == "app"
    assert answer["task"] == [True, 2]
    assert answer["credentials"] == [
        "AccessKeyId",
        "Expiration",
        "RoleArn",
        "SecretAccessKey",
        "Token",
    ]
    assert "TaskARN" not in "".join(answer["spy"])
    assert "no container" in "".join(answer["spy"])


def test_environment(answer):
    lines, address = answer
    host = f"ip-{address.replace('.', '-')}.ap-northeast-1.compute.internal"
    assert lines == ["1234", "/usr", host, "s3cret", "123", "0", "read-only"]


def test_out_of_memory(answer):
    if answer is None:
        pytest.skip("memory limits cannot be enforced here: no writable cgroup")
    assert answer == [137, "OutOfMemoryError: Container killed due to memory usage"]


def test_health(answer):
    assert answer == [0, "RUNNING"]


def test_firelens(answer):
    assert answer["started"] == ["RUNNING", "RUNNING"]
    routed = "\n".join(answer["routed"])
    assert "first line" in routed
    assert "second line" not in routed
    assert "ecs_task_arn" in routed
    assert f"app-firelens-{answer['task']}" in routed
    assert answer["after the crash"] == [0, "alive\n"]
    assert answer["app"] in (137, 143)


def test_refusals(answer):
    missing, program, code = answer
    assert missing.startswith("CannotPullContainerError: ")
    assert program.startswith("CannotStartContainerError: ")
    assert code == "TaskFailedToStart"


def test_samples(answer):
    assert answer == ["app", 1, True]


def test_crowd(answer, answers):
    addresses, statuses, left, tasks = answer
    assert addresses == 10
    assert statuses == ["STOPPED"] * 10
    assert left == []
    # Of the runtime's own nothing runs any more.
    assert tasks <= answers["tasks before"] + 1
