"""A task's life over real processes: facts C2 to C8, C11, C12."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from task_stage import PYTHON, Watched, arn, container, eventually, on, order, play, sidecar

from hikkoshi.model.evidence import TABLES
from hikkoshi.model.timers import Timers
from hikkoshi.region.engine.port import Image


def test_a_task_goes_through_aws_states_with_their_times(tmp_path):
    async def scenario(stage):
        seen = stage.run(container("app", "echo hello; exec sleep 60"))
        running = await seen.status("RUNNING")
        assert running.desired_status == "RUNNING"
        assert running.started_at >= running.pull_stopped_at >= running.pull_started_at
        assert running.pull_started_at >= running.connectivity_at
        assert running.containers[0].image_digest == "sha256:5e"
        await stage.said("app", "hello")
        stage.stop()
        # desiredStatus changes at once, while lastStatus is still RUNNING (C2).
        assert seen.states[-1].last_status == "RUNNING"
        assert seen.states[-1].desired_status == "STOPPED"
        stopped = await seen.status("STOPPED")
        assert seen.statuses() == [
            "PROVISIONING",
            "PENDING",
            "RUNNING",
            "DEACTIVATING",
            "STOPPING",
            "DEPROVISIONING",
            "STOPPED",
        ]
        assert (stopped.stop_code, stopped.stopped_reason) == (
            "UserInitiated",
            "the test is over",
        )
        assert stopped.stopped_at >= stopped.execution_stopped_at >= stopped.stopping_at
        assert seen.container("app").exit_code == 143

    play(scenario, tmp_path)


@pytest.mark.parametrize("code", [0, 1, 42])
def test_any_exit_of_an_essential_container_stops_the_task(tmp_path, code):
    async def scenario(stage):
        seen = stage.run(container("app", f"exit {code}"), container("other"))
        stopped = await seen.status("STOPPED")
        assert stopped.stop_code == "EssentialContainerExited"
        assert stopped.stopped_reason == "Essential container in task exited"
        assert seen.container("app").exit_code == code

    play(scenario, tmp_path)


def test_a_sidecar_that_crashes_leaves_the_task_running(tmp_path):
    async def scenario(stage):
        seen = stage.run(container("app"), sidecar("router", "exit 1"))
        state = await seen.until(
            lambda s: s.containers[1].last_status == "STOPPED" and s.last_status == "RUNNING",
            "running without its sidecar",
        )
        assert state.containers[1].exit_code == 1
        assert state.containers[0].last_status == "RUNNING"
        code, output = await stage.runtime.execute(
            state.task_arn, None, ["/bin/echo", "still here"], 5.0
        )
        assert (code, output) == (0, b"still here\n")
        assert seen.states[-1].desired_status == "RUNNING"

    play(scenario, tmp_path)


def test_a_container_that_ignores_its_signal_is_killed(tmp_path):
    async def scenario(stage):
        seen = stage.run(container("app", "trap '' TERM; echo up; while :; do sleep 0.01; done"))
        await seen.status("RUNNING")
        await stage.said("app", "up")
        stage.stop()
        await seen.status("STOPPED")
        assert seen.container("app").exit_code == 137

    play(scenario, tmp_path, timers=Timers(stop_timeout_s=0.1))


def test_the_images_stop_signal_is_used(tmp_path):
    async def scenario(stage):
        stage.engine.images["sh"] = Image("sh", "sha256:5e", stop_signal="SIGINT")
        seen = stage.run(container("app", "exec sleep 60"))
        await seen.status("RUNNING")
        stage.stop()
        await seen.status("STOPPED")
        assert stage.engine.sandboxes[0].containers[0].signals == ["SIGINT"]
        assert seen.container("app").exit_code == 130

    play(scenario, tmp_path)


def test_containers_start_in_the_order_of_depends_on_and_stop_in_reverse(tmp_path):
    order_file = tmp_path / "order"
    order_file.touch()

    def told(name):
        return (
            f"trap 'echo stop {name} >> {order_file}; exit 0' TERM; "
            f"echo start {name} >> {order_file}; touch {order_file}.{name}; "
            "while :; do sleep 0.01; done"
        )

    def healthy(name):
        return {"command": ["CMD", "/usr/bin/test", "-f", f"{order_file}.{name}"]}

    directory = tmp_path / "run"
    directory.mkdir()

    async def scenario(stage):
        seen = stage.run(
            container(
                "app", told("app"), dependsOn=on(("db", "HEALTHY")), healthCheck=healthy("app")
            ),
            container(
                "db", told("db"), dependsOn=on(("init", "SUCCESS")), healthCheck=healthy("db")
            ),
            sidecar("init", f"echo start init >> {order_file}"),
        )
        await seen.until(lambda s: s.health == "HEALTHY", "healthy")
        stage.stop()
        await seen.status("STOPPED")
        assert order_file.read_text().splitlines() == [
            "start init",
            "start db",
            "start app",
            "stop app",
            "stop db",
        ]

    play(scenario, directory)


def test_a_dependency_that_fails_ends_its_dependent_with_143(tmp_path):
    async def scenario(stage):
        seen = stage.run(
            container("app", dependsOn=on(("migrate", "SUCCESS"))), sidecar("migrate", "exit 3")
        )
        stopped = await seen.status("STOPPED")
        app = seen.container("app")
        assert app.exit_code == 143
        assert app.reason.startswith("CannotStartContainerError: dependency migrate exited with 3")
        assert stopped.stop_code == "TaskFailedToStart"
        assert "RUNNING" not in seen.statuses()
        assert stage.engine.started == ["migrate"]

    play(scenario, tmp_path)


def test_start_timeout_stops_the_task(tmp_path):
    async def scenario(stage):
        never = {"command": ["CMD", "/bin/false"]}
        seen = stage.run(
            container("app", dependsOn=on(("db", "HEALTHY"))),
            sidecar("db", startTimeout=2, healthCheck=never),
        )
        stopped = await seen.status("STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        assert "startTimeout of 2 s" in seen.container("app").reason
        assert "app" not in stage.engine.started

    play(scenario, tmp_path)


def test_an_image_that_is_not_there_stops_the_task_even_for_a_sidecar(tmp_path):
    async def scenario(stage):
        seen = stage.run(container("app"), sidecar("agent") | {"image": "nowhere/agent:1"})
        stopped = await seen.status("STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        assert stopped.stopped_reason.startswith("CannotPullContainerError: ")
        assert "nowhere/agent:1" in stopped.stopped_reason
        assert stage.engine.started == []
        assert stopped.pull_stopped_at is not None

    play(scenario, tmp_path)


def test_a_command_that_is_not_there_cannot_start(tmp_path):
    async def scenario(stage):
        seen = stage.run(
            {"name": "app", "image": "sh", "command": ["/no/such/program"]}, container("other")
        )
        stopped = await seen.status("STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        assert seen.container("app").reason.startswith("CannotStartContainerError: ")
        assert seen.container("app").exit_code is None

    play(scenario, tmp_path)


def test_secrets_are_there_before_any_container_and_reach_its_environment(tmp_path):
    async def scenario(stage):
        seen = stage.run(
            container(
                "app",
                'echo "$PASSWORD"; exec sleep 60',
                secrets=[{"name": "PASSWORD", "valueFrom": "db/password"}],
            )
        )
        await seen.status("RUNNING")
        await stage.said("app", "s3cret")

    play(scenario, tmp_path, secrets={"db/password": "s3cret"})


def test_a_missing_secret_stops_the_task_before_anything_starts(tmp_path):
    async def scenario(stage):
        seen = stage.run(
            container("app"),
            sidecar("agent", secrets=[{"name": "KEY", "valueFrom": "arn:gone"}]),
        )
        stopped = await seen.status("STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        assert stopped.stopped_reason == (
            "ResourceInitializationError: unable to pull secrets or registry auth: "
            "execution resource retrieval failed: unable to retrieve secret from asm: no arn:gone"
        )
        assert stage.engine.started == []

    play(scenario, tmp_path)


@pytest.mark.parametrize(
    "wait_for",
    [
        {"image": "hangs"},
        {"secrets": [{"name": "KEY", "valueFrom": "hangs"}]},
    ],
)
def test_a_stop_does_not_wait_for_a_pull_or_a_secret(tmp_path, wait_for):
    async def scenario(stage):
        seen = stage.run(container("app") | wait_for)
        await seen.status("PENDING")
        stage.stop()
        stopped = await seen.status("STOPPED")
        assert stopped.stop_code == "UserInitiated"
        assert stage.engine.started == []
        assert seen.container("app").last_status == "STOPPED"
        assert seen.container("app").exit_code is None

    play(scenario, tmp_path)


def test_out_of_memory_is_told_on_the_container(tmp_path):
    async def scenario(stage):
        stage.engine.dies_of_memory.add("app")
        seen = stage.run(container("app", "kill -9 $$"))
        await seen.status("STOPPED")
        app = seen.container("app")
        assert app.exit_code == 137
        assert app.reason == "OutOfMemoryError: Container killed due to memory usage"

    play(scenario, tmp_path)


def test_health_turns_with_the_probe_and_does_not_stop_the_task(tmp_path):
    flag = tmp_path / "flag"
    directory = tmp_path / "run"
    directory.mkdir()

    async def scenario(stage):
        check = {"command": ["CMD-SHELL", f"test -f {flag}"], "retries": 2}
        seen = stage.run(container("app", healthCheck=check))
        first = await seen.status("RUNNING")
        assert first.health == "UNKNOWN"
        await seen.until(lambda s: s.health == "UNHEALTHY", "unhealthy")
        flag.touch()
        healthy = await seen.until(lambda s: s.health == "HEALTHY", "healthy")
        assert healthy.desired_status == "RUNNING"

    play(scenario, directory)


def test_a_restart_policy_brings_a_container_back(tmp_path):
    runs = tmp_path / "runs"
    directory = tmp_path / "run"
    directory.mkdir()

    async def scenario(stage):
        # AWS allows no attempt period below 60 s; the runtime itself takes what it is given.
        seen = stage.run(
            container("app"),
            sidecar(
                "agent",
                f"echo x >> {runs}; test $(wc -l < {runs}) -ge 3 && exit 7; exit 1",
                restartPolicy={
                    "enabled": True,
                    "ignoredExitCodes": [7],
                    "restartAttemptPeriod": 0.000001,
                },
            ),
        )
        await seen.until(lambda s: s.containers[1].exit_code == 7, "ended by an ignored code")
        assert runs.read_text() == "x\nx\nx\n"
        assert seen.states[-1].desired_status == "RUNNING"

    play(scenario, directory)


def test_a_log_destination_that_hangs_does_not_keep_the_task(tmp_path):
    async def scenario(stage):
        stage.logs.is_stuck = True
        seen = stage.run(container("app", "echo last words; exit 0"), container("peer"))
        stopped = await seen.status("STOPPED")
        assert stopped.stop_code == "EssentialContainerExited"
        assert stage.logs.last_lines("", "app") == ["last words"]

    play(scenario, tmp_path)


def test_all_output_is_read_to_the_end_by_stream(tmp_path):
    async def scenario(stage):
        script = "import sys; sys.stdout.write('o' * 300000); sys.stderr.write('e' * 300000)"
        seen = stage.run({"name": "app", "image": "sh", "command": [PYTHON, "-c", script]})
        await seen.status("STOPPED")
        assert stage.logs.data["app", "stdout"] == b"o" * 300000
        assert stage.logs.data["app", "stderr"] == b"e" * 300000
        assert stage.logs.closed == ["app"]

    play(scenario, tmp_path)


def test_the_environment_is_fargates(tmp_path):
    async def scenario(stage):
        seen = stage.run(
            container(
                "app",
                "env; echo; exec sleep 60",
                environment=[
                    {"name": "MODE", "value": "mine"},
                    {"name": "ECS_CONTAINER_METADATA_URI_V4", "value": "forged"},
                ],
            ),
            taskRoleArn="arn:aws:iam::123456789012:role/app",
        )
        await seen.status("RUNNING")
        await stage.said("app", "MODE=mine")
        stage.stop()
        await seen.status("STOPPED")
        environment = dict(
            line.split("=", 1) for line in stage.logs.last_lines("", "app", 50) if "=" in line
        )
        runtime_id = seen.container("app").runtime_id
        assert environment["MODE"] == "mine"
        assert environment["AWS_ENDPOINT_URL"] == "http://10.0.0.1:4566"
        assert environment["AWS_EXECUTION_ENV"] == "AWS_ECS_FARGATE"
        assert environment["AWS_REGION"] == "ap-northeast-1"
        assert environment["ECS_CONTAINER_METADATA_URI_V4"] == (
            f"http://169.254.170.2/v4/{runtime_id}"
        )
        assert environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"].startswith("/v2/credentials/")

    play(scenario, tmp_path, extra_environment={"AWS_ENDPOINT_URL": "http://10.0.0.1:4566"})


def test_what_is_not_implemented_is_refused_by_name(tmp_path):
    async def scenario(stage):
        seen = stage.run(container("app", credentialSpecs=["credentialspec:arn"]))
        stopped = await seen.status("STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        assert "credentialSpecs is not implemented by the local region" in stopped.stopped_reason

    play(scenario, tmp_path)


def test_a_circle_of_dependencies_never_starts(tmp_path):
    async def scenario(stage):
        seen = stage.run(
            container("a", dependsOn=on(("b", "START"))),
            container("b", dependsOn=on(("a", "START"))),
        )
        stopped = await seen.status("STOPPED")
        assert stopped.stopped_reason == "dependsOn goes in a circle: a, b"

    play(scenario, tmp_path)


def test_closing_kills_everything_at_once(tmp_path):
    async def scenario(stage):
        stubborn = "trap '' TERM; while :; do sleep 0.01; done"
        seen = [
            stage.run(container("app", stubborn), task_id=f"{number:032x}") for number in range(3)
        ]
        for one in seen:
            await one.status("RUNNING")
        await stage.runtime.close()
        for one in seen:
            assert one.states[-1].last_status == "STOPPED"
            assert one.container("app").exit_code == 137

    play(scenario, tmp_path)


def test_execute_refuses_what_is_not_running(tmp_path):
    async def scenario(stage):
        with pytest.raises(LookupError, match="no running task"):
            await stage.runtime.execute(arn("gone"), None, ["true"], 1.0)
        seen = stage.run(container("app"), sidecar("done", "exit 0"))
        await seen.until(lambda s: s.containers[1].last_status == "STOPPED", "sidecar ended")
        with pytest.raises(LookupError, match=r"container done .* is not running"):
            await stage.runtime.execute(seen.states[-1].task_arn, "done", ["true"], 1.0)
        with pytest.raises(LookupError, match="has no container x"):
            await stage.runtime.execute(seen.states[-1].task_arn, "x", ["true"], 1.0)
        code, _ = await stage.runtime.execute(
            seen.states[-1].task_arn, "app", ["/bin/sleep", "60"], 0.05
        )
        assert code == 124

    play(scenario, tmp_path)


def test_a_crash_on_demand_is_the_containers_own(tmp_path):
    async def scenario(stage):
        seen = stage.run(container("app"), sidecar("router"))
        running = await seen.status("RUNNING")
        await stage.runtime.crash(running.task_arn, "router")
        state = await seen.until(lambda s: s.containers[1].exit_code == 137, "crashed")
        assert (state.last_status, state.desired_status) == ("RUNNING", "RUNNING")
        with pytest.raises(LookupError, match=r"router .* is not running"):
            await stage.runtime.crash(running.task_arn, "router")

    play(scenario, tmp_path)


def test_changes_and_usage_are_recorded(tmp_path):
    async def scenario(stage):
        seen = stage.run(container("app"), memory="1024", cpu="512")
        await seen.status("RUNNING")
        await eventually(lambda: stage.recorder.rows["task_usage"], "a sample")
        row = stage.recorder.rows["task_usage"][0]
        assert row["cpu_limit_vcpu"] == 0.5
        assert row["memory_limit_bytes"] == 1024 * 1024 * 1024
        assert row["cpu_is_enforced"] is False
        assert stage.recorder.rows["usage"][0]["container"] == "app"
        stage.stop()
        await seen.status("STOPPED")
        last = stage.recorder.rows["task_events"][-1]
        assert last["last_status"] == "STOPPED"
        assert last["container_exits"] == '{"app": 143}'
        for table, rows in stage.recorder.rows.items():
            for columns in rows:
                assert columns.keys() <= TABLES[table].keys()

    play(scenario, tmp_path)


def test_a_reader_may_stop_the_task_while_it_reads(tmp_path):
    async def scenario(stage):
        seen, states = Watched(), []

        def stop_once_running(state):
            if state.last_status == "RUNNING" and state.desired_status == "RUNNING":
                stage.stop()
            states.append((state.last_status, state.desired_status))
            seen(state)

        stage.runtime.start(order(container("app")), stop_once_running)
        await seen.status("STOPPED")
        first = states.index(("RUNNING", "RUNNING"))
        assert states[first + 1] == ("RUNNING", "STOPPED")

    play(scenario, tmp_path)


def test_a_fault_of_the_engine_is_the_tasks_reason(tmp_path):
    async def scenario(stage):
        async def broken(image):
            raise OSError(28, "No space left on device")

        stage.engine.pull = broken
        faults = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
        stopped = await stage.run(container("app")).status("STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        assert "No space left on device" in stopped.stopped_reason
        assert [type(fault) for fault in faults] == [OSError]

    play(scenario, tmp_path)
