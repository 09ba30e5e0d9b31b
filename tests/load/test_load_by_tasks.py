"""One load by several tasks of a local region: ECS and S3 as in an account."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "clients"))

from clients_house import Region

from hikkoshi.aws.access import Access
from hikkoshi.cli.load import load
from hikkoshi.load.pacer import constant
from hikkoshi.load.results import read_results

HERE = Path(sys.prefix).resolve()
pytestmark = [
    pytest.mark.region,
    pytest.mark.slow,
    pytest.mark.skipif(
        HERE.is_relative_to("/tmp"),
        reason="NOT CHECKED: this checkout lies under /tmp; a container has a /tmp of its own, so "
        "no task can run this hikkoshi",
    ),
]
CLUSTER, BUCKET = "loads", "loads"
ROLE = "arn:aws:iam::123456789012:role/load"
WITHIN_S = 150.0


class Ground:
    """A region with a service to be loaded, and definitions of tasks that send: `generator`, and
    `idle`, which never does."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.ecs, self.s3 = region.client("ecs"), region.client("s3")
        region.register("service", command="exec python3 -m http.server 8080 -d /etc/ssl")
        arn = region.start(CLUSTER, "service")
        (task,) = self.ecs.describe_tasks(cluster=CLUSTER, tasks=[arn])["tasks"]
        details = {each["name"]: each["value"] for each in task["attachments"][0]["details"]}
        self.service = f"http://{details['privateIPv4Address']}:8080"
        self.network = region.network["awsvpcConfiguration"]["subnets"][0]
        region.register("roleless")
        region.register("idle", taskRoleArn=ROLE)
        region.register(
            "generator", command=f"exec {sys.executable} -P -m hikkoshi.cli.main load share --json",
            taskRoleArn=ROLE,
        )  # fmt: skip
        self.s3.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
        )

    def arguments(self, definition: str, *more: str) -> list[str]:
        return [
            "--tasks", "2", "--cluster", CLUSTER, "--task-definition", definition,
            "--bucket", f"s3://{BUCKET}/of/me", "--subnets", self.network,
            "--base-url", self.service, "--connections", "50", *more,
        ]  # fmt: skip

    def start(self, definition: str, *more: str) -> subprocess.Popen[str]:
        (self.region.home / "targets").write_text("GET /\n")
        arguments = self.arguments(definition, "--targets", "targets", *more)
        return subprocess.Popen(
            [sys.executable, "-m", "hikkoshi.cli.main", "load", *arguments],
            env=self.region.environment, cwd=self.region.home, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def tasks(self, status: str) -> list[str]:
        found = self.ecs.list_tasks(
            cluster=CLUSTER, startedBy="hikkoshi-load", desiredStatus=status
        )
        return found["taskArns"]

    def objects(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [each["Key"] for each in listed]

    def assert_nothing_is_left(self) -> None:
        assert self.objects() == []
        assert self.tasks("RUNNING") == []
        stopped = self.tasks("STOPPED")
        described = self.ecs.describe_tasks(cluster=CLUSTER, tasks=stopped)["tasks"]
        assert {task["lastStatus"] for task in described} == {"STOPPED"}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    region = Region(tmp_path_factory.mktemp("loads"))
    region.up()
    try:
        yield Ground(region)
    finally:
        region.down()


def until(condition, what: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"in {WITHIN_S} s it did not happen: {what}"
        time.sleep(0.2)


def test_two_tasks_send_what_one_generator_would(ground: Ground) -> None:
    process = ground.start(
        "generator", "--rate", "50/s", "--duration", "2s", "--json", "-o", "run.load"
    )
    said, told = process.communicate(timeout=WITHIN_S)
    assert process.returncode in (0, 1), told
    found = json.loads(said)
    # On a machine that is busy with else the figures are rightly called invalid.
    assert process.returncode == (0 if found["is_valid"] else 1), found
    assert (found["planned"], found["done"], found["statuses"]) == (100, 100, {"200": 100})
    assert [(each["task"], each["requests"]) for each in found["tasks"]] == [(0, 50), (1, 50)]
    files = [ground.region.home / f"run.load.{at}" for at in (0, 1)]
    sent = sorted((r.seq, r.intended) for path in files for r in read_results(path))
    assert sent == list(enumerate(constant(50, 2).schedule()))
    # Each task says at its end, in its own log, how its share ended.
    logs = [path.read_text() for path in ground.region.home.rglob("*.log")]
    assert len([text for text in logs if '"began_late_s"' in text]) == 2
    report = CliRunner().invoke(load, ["report", *map(str, files), "--json"])
    assert json.loads(report.stdout)["latency_s"] == found["latency_s"]
    ground.assert_nothing_is_left()


def test_a_task_that_is_lost_ends_the_load_and_what_it_sent_is_kept(ground: Ground) -> None:
    process = ground.start("generator", "--rate", "40/s", "--duration", "1h", "-o", "lost.load")
    try:
        until(
            # The first piece may have the file's head alone: it comes as the load begins.
            lambda: sum(key.endswith("/00000001") for key in ground.objects()) == 2,
            "second pieces of the results of both tasks", process,
        )  # fmt: skip
        lost = sorted(ground.tasks("RUNNING"))[0]
        door = Access(ground.region.url, "ap-northeast-1")
        door.ask("crash", {"task": lost, "container": "app"})
        said, told = process.communicate(timeout=WITHIN_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1, told
    assert "ended before its time" in told
    (doubt,) = [line for line in said.splitlines() if "is missing" in line]
    assert doubt.startswith("INVALID") and "; 0 of its requests" not in doubt, doubt
    assert {path.name for path in ground.region.home.glob("lost.load.*")} == {
        "lost.load.0", "lost.load.1",
    }  # fmt: skip
    ground.assert_nothing_is_left()


def test_a_threshold_that_all_tasks_together_break_aborts_the_load(ground: Ground) -> None:
    (ground.region.home / "targets").write_text("GET /\n\nGET /missing\n")
    arguments = ground.arguments(
        "generator", "--targets", "targets", "--rate", "100/s", "--duration", "1h", "--abort",
        "--abort-after", "1s", "--expect", "errors<30%", "-o", "abort.load",
    )  # fmt: skip
    terminal, end = pty.openpty()
    with (ground.region.home / "said").open("w+") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "hikkoshi.cli.main", "load", *arguments], stdout=out, stderr=end,
            env=ground.region.environment | {"TERM": "xterm", "COLUMNS": "160"},
            cwd=ground.region.home, start_new_session=True,
        )  # fmt: skip
        os.close(end)
        try:
            told = read_to_end(terminal)
            process.wait(WITHIN_S)
        finally:
            process.kill()
            process.wait()
            os.close(terminal)
        out.seek(0)
        said = out.read()
    assert process.returncode == 1, told
    (aborted,) = [line for line in said.splitlines() if line.startswith("ABORTED")]
    why = aborted.removeprefix("ABORTED").strip()
    assert why.startswith("errors<30%: errors was "), said
    # Who asked for the load has stopped its tasks: that is no doubt about them.
    assert "is missing" not in said and "was stopped before its end" not in said, said
    assert "stopped before its end; the figures are those until then" in said, said
    # The live view is of the whole load.
    assert "2 tasks" in told and "HTTP 404" in told and "at work" in told, told
    assert f"{why}; stopping the tasks" in told, told
    files = sorted(ground.region.home.glob("abort.load.*"))
    assert len(files) == 2 and all(list(read_results(path)) for path in files)
    ground.assert_nothing_is_left()


def read_to_end(terminal: int) -> str:
    """What a program wrote to its terminal until it ended."""
    told = b""
    deadline = time.monotonic() + WITHIN_S
    while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            told += os.read(terminal, 65536)
        except OSError:  # the other end is closed: EIO
            return told.decode()
    raise AssertionError(f"the program did not end in {WITHIN_S} s: {told.decode()}")


def test_ctrl_c_before_the_start_leaves_nothing(ground: Ground) -> None:
    process = ground.start("idle", "--rate", "40/s", "--duration", "1h")
    try:
        until(lambda: len(ground.tasks("RUNNING")) == 2, "two tasks", process)
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=WITHIN_S)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, said) == (3, "")
    assert "nothing was sent" in told
    ground.assert_nothing_is_left()


def test_what_is_wrong_is_told_before_a_task_starts(ground: Ground) -> None:
    before = ground.tasks("STOPPED")
    for wrong, words in (
        (["--bucket", "s3://not-there"], "there is no bucket not-there"),
        (["--cluster", "none"], "there is no cluster none"),
        (["--task-definition", "nothing"], "there is no task definition nothing"),
        (["--task-definition", "roleless"], "roleless has no taskRoleArn"),
        (["--container", "web"], "there is no container web"),
    ):
        arguments = [*ground.arguments("generator", "--rate", "9/s"), *wrong]
        found = CliRunner(env=ground.region.environment).invoke(load, arguments, input="GET /\n")
        assert found.exit_code == 2, (wrong, found.output)
        assert words in found.stderr and "fix: " in found.stderr, found.stderr
    needy = CliRunner(env=ground.region.environment).invoke(
        load, ground.arguments("generator", "--rate", "9/s"), input="GET /${env:SOME_TOKEN}\n"
    )
    assert needy.exit_code == 2 and "has no SOME_TOKEN" in needy.stderr, needy.output
    assert (ground.tasks("RUNNING"), ground.tasks("STOPPED")) == ([], before)
    assert ground.objects() == []
