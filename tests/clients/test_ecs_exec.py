"""ECS Exec in a local region: by our own client, and by AWS's CLI with its plugin."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from botocore.exceptions import ClientError
from clients_house import BIN

from hikkoshi.session import Outcome, Session, attend, run

pytestmark = pytest.mark.region


@pytest.fixture(scope="module")
def task(region):
    region.register("exec", "app", "side")
    return region.start("exec", "exec", enableExecuteCommand=True)


@pytest.fixture
def execute(region, task):
    ecs = region.client("ecs")

    def execute(command, **more):
        asked = {"cluster": "exec", "task": task, "container": "app", "interactive": True, **more}
        return ecs.execute_command(command=command, **asked)

    return execute


def test_the_answer_has_aws_s_shape(execute, task):
    answer = execute("true")
    del answer["ResponseMetadata"]
    session = answer.pop("session")
    assert answer.pop("containerArn").startswith(task.replace(":task/", ":container/") + "/")
    assert answer == {
        "clusterArn": "arn:aws:ecs:ap-northeast-1:123456789012:cluster/exec",
        "containerName": "app",
        "interactive": True,
        "taskArn": task,
    }
    assert session["sessionId"].startswith("ecs-execute-command-")
    assert session["streamUrl"].startswith("ws://127.0.0.1:")
    assert len(session["tokenValue"]) > 60


def test_a_command_runs_inside_the_container(execute):
    outcome = run(execute, ["sh", "-c", "echo $FLUENT_HOST-$HOME; cat /proc/1/cmdline; exit 4"])
    assert outcome.code == 4
    assert "sleep 600" in outcome.text
    assert run(execute, ["nosuch"]) == Outcome(b"/bin/sh: 1: nosuch: not found\n", 127)


def test_a_program_that_is_not_there_is_told_in_aws_s_words(execute):
    read, write = os.pipe()
    with os.fdopen(read, "rb") as shown:
        attend(Session.of(execute("nosuch --now")), os.open(os.devnull, os.O_RDONLY), write)
        os.close(write)
        assert b'exec: "nosuch": executable file not found in $PATH' in shown.read()


def test_what_cannot_be_executed_is_refused_as_aws_refuses(region, execute):
    def refused(command="true", **more):
        with pytest.raises(ClientError) as caught:
            execute(command, **more)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

    code, words = refused(task=region.start("exec", "exec"))
    assert code == "InvalidParameterException"
    assert "execute command was not enabled when the task was run" in words
    assert refused(interactive=False) == (
        "InvalidParameterException",
        "Interactive is the only mode supported currently.",
    )
    assert refused(container="nosuch")[0] == "InvalidParameterException"
    assert refused(task="0" * 32)[0] == "InvalidParameterException"
    assert refused(command="echo 'half")[0] == "InvalidParameterException"


def test_describe_tasks_tells_of_the_agent(region, task):
    (found,) = region.client("ecs").describe_tasks(cluster="exec", tasks=[task])["tasks"]
    for container in found["containers"]:
        (agent,) = container["managedAgents"]
        assert agent["name"] == "ExecuteCommandAgent"
        assert agent["lastStatus"] == "RUNNING"
        assert agent["lastStartedAt"]


@pytest.mark.skipif(
    shutil.which("session-manager-plugin") is None,
    reason="AWS's session-manager-plugin is not installed: ECS Exec is tried by our client only",
)
def test_aws_s_own_plugin_at_a_terminal(region, task, tmp_path):
    line = [
        str(BIN / "aws"), "ecs", "execute-command", "--cluster", "exec", "--task", task,
        "--container", "app", "--interactive", "--command", "/bin/sh",
    ]  # fmt: skip
    drive = tmp_path / "drive.py"
    drive.write_text(
        "import os, pty, sys, time\n"
        "pid, fd = pty.fork()\n"
        "if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n"
        "seen = b''\n"
        "while b'Starting session' not in seen: seen += os.read(fd, 4096)\n"
        "os.write(fd, b'echo typed $((6*7))\\n')\n"
        "while b'typed 42' not in seen: seen += os.read(fd, 4096)\n"
        "os.write(fd, b'exit\\n')\n"
        "try:\n"
        "    while data := os.read(fd, 4096): seen += data\n"
        "except OSError: pass\n"
        "sys.stdout.buffer.write(seen)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, str(drive), *line], env=region.environment, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "typed 42" in done.stdout
    assert "Exiting session with sessionId: ecs-execute-command-" in done.stdout
