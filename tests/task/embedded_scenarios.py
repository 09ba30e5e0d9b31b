"""What the task tests do inside a real region: namespaces, bwrap, the log drivers, the router.

Every scenario takes a House and answers plain data; `main` plays them all and keeps the answers."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, os.path.dirname(__file__))

from task_stage import (
    DictSecrets,
    KeepingRecorder,
    Watched,
    arn,
    container,
    eventually,
    on,
    order,
    sidecar,
)

from hikkoshi.base.clock import SystemClock
from hikkoshi.image.library import LocalLibrary
from hikkoshi.image.python_home import current_python
from hikkoshi.image.stand_ins import STAND_INS
from hikkoshi.model.timers import Timers
from hikkoshi.region.engines import open_engine
from hikkoshi.region.logs.drivers import FargateLogDrivers
from hikkoshi.region.metadata.server import MetadataServer
from hikkoshi.region.task.runtime import EcsTaskRuntime

FLUENT_BIT = "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable"
# A GET with nothing but bash; answers the body.
GET = (
    "get() { rest=${1#http://}; exec 3<>/dev/tcp/${rest%%/*}/80; "
    'printf "GET /%s HTTP/1.0\\r\\n\\r\\n" "${rest#*/}" >&3; '
    "sed '1,/^\\r*$/d' <&3 | fold -w 900; echo; echo ---; exec 3>&-; }; "
)


class House:
    """The runtime with its real neighbours."""

    def __init__(self, engine, metadata, directory):
        self.engine = engine
        self.recorder = KeepingRecorder()
        self.logs = FargateLogDrivers(directory / "logs", self.recorder, SystemClock())
        self.run_directory = Path("/run/hikkoshi/t")
        self.runtime = EcsTaskRuntime(
            engine=engine,
            logs=self.logs,
            secrets=DictSecrets({"key": "s3cret"}),
            metadata=metadata,
            recorder=self.recorder,
            # As PID 1 of its namespace, sleep ignores SIGTERM, as it does under Docker.
            timers=replace(Timers.for_rehearsal(), stop_timeout_s=0.5),
            run_directory=self.run_directory,
            sample_every_s=0.05,
        )
        self._count = 0

    def run(self, *containers, **definition):
        self._count += 1
        task_id = f"{self._count:032x}"
        seen = Watched()
        seen.task_id, seen.arn = task_id, arn(task_id)
        hosted = [{**c, "image": "localhost/host"} if c["image"] == "sh" else c for c in containers]
        self.runtime.start(order(*hosted, task_id=task_id, **definition), seen)
        return seen

    def lines(self, seen, name):
        return self.logs.last_lines(seen.task_id, name, 200)

    async def ended(self, *containers, **definition):
        seen = self.run(*containers, **definition)
        await seen.status("STOPPED")
        return seen

    async def stop(self, seen):
        self.runtime.stop(seen.arn, code="UserInitiated", reason="over")
        await seen.status("STOPPED")


def bash(name, script, **more):
    return {**container(name, **more), "command": ["/bin/bash", "-c", script]}


async def life(house):
    seen = house.run(
        bash("app", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done")
    )
    running = await seen.status("RUNNING")
    await eventually(lambda: "up" in house.lines(seen, "app"), "up")
    await house.stop(seen)
    return {
        "statuses": seen.statuses(),
        "address": running.address,
        "exit": seen.container("app").exit_code,
        "lines": house.lines(seen, "app"),
        "left": [str(p) for p in house.run_directory.iterdir()],
    }


async def killed(house):
    seen = house.run(
        bash("app", "trap '' TERM; echo up; while :; do sleep 0.01; done", stopTimeout=2)
    )
    await seen.status("RUNNING")
    await eventually(lambda: "up" in house.lines(seen, "app"), "up")
    await house.stop(seen)
    return seen.container("app").exit_code


async def orphans(house):
    """The container is its first process: a background child does not outlive it."""
    seen = await house.ended(bash("app", "sleep 1000 & echo $$; exit 3"))
    return [seen.container("app").exit_code, house.lines(seen, "app")]


async def volumes(house):
    mount = {"sourceVolume": "shared", "containerPath": "/data"}
    seen = await house.ended(
        bash(
            "app",
            "cat /data/x /also/x; echo no > /also/x || echo read-only",
            dependsOn=on(("writer", "SUCCESS")),
            mountPoints=[
                mount,
                {"sourceVolume": "shared", "containerPath": "/also", "readOnly": True},
            ],
        ),
        sidecar("writer", "echo written > /data/x", mountPoints=[mount], user="nobody"),
        volumes=[{"name": "shared"}],
    )
    return house.lines(seen, "app")


async def one_network(house):
    """A sidecar listens on 127.0.0.1; the application reaches it there."""
    listener = (
        "import socket; s = socket.create_server(('127.0.0.1', 7000)); print('up', flush=True)\n"
        "while True: c, _ = s.accept(); c.sendall(b'hello from the sidecar\\n'); c.close()"
    )
    check = {"command": ["CMD", "/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7000"]}
    seen = await house.ended(
        bash(
            "app",
            "exec 3<>/dev/tcp/127.0.0.1/7000; cat <&3",
            dependsOn=on(("side", "HEALTHY")),
        ),
        {
            **sidecar("side", healthCheck=check),
            "command": ["/usr/bin/python3", "-c", listener],
        },
    )
    return house.lines(seen, "app")


async def metadata(house):
    script = (
        GET + "get $ECS_CONTAINER_METADATA_URI_V4; get $ECS_CONTAINER_METADATA_URI_V4/task; "
        "get http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; echo done; "
        "exec sleep 1000"
    )
    seen = house.run(
        bash("app", script), sidecar("side"), taskRoleArn="arn:aws:iam::123456789012:role/r"
    )
    await seen.status("RUNNING")
    await eventually(lambda: "done" in house.lines(seen, "app"), "answers")
    answers = "".join(house.lines(seen, "app")).split("---")
    documents = [json.loads(one) for one in answers[:3]]
    foreign = seen.container("app").runtime_id
    spy = await house.ended(bash("app", GET + f"get http://169.254.170.2/v4/{foreign}/task"))
    await house.stop(seen)
    return {
        "container": documents[0]["Name"],
        "task": [documents[1]["TaskARN"] == seen.arn, len(documents[1]["Containers"])],
        "credentials": sorted(documents[2]),
        "spy": house.lines(spy, "app"),
    }


async def environment(house):
    seen = await house.ended(
        bash(
            "app",
            "id -u; pwd; hostname; echo $SECRET; ulimit -Sn; ulimit -Sc; "
            "touch /tmp/x 2>/dev/null && echo writable || echo read-only",
            user="1234:1234",
            workingDirectory="/usr",
            readonlyRootFilesystem=True,
            secrets=[{"name": "SECRET", "valueFrom": "key"}],
            ulimits=[
                {"name": "nofile", "softLimit": 123, "hardLimit": 456},
                {"name": "core", "softLimit": 0, "hardLimit": 0},
            ],
        )
    )
    return [house.lines(seen, "app"), seen.states[-1].address]


async def out_of_memory(house):
    """The container's own limit; only where limits can be enforced."""
    if not house.engine.memory_is_enforced:
        return None
    seen = await house.ended(bash("app", "head -c 300m /dev/zero | tail", memory=32))
    app = seen.container("app")
    return [app.exit_code, app.reason]


async def health(house):
    seen = house.run(
        container("app", healthCheck={"command": ["CMD-SHELL", "test -f /tmp/up"], "retries": 1})
    )
    await seen.until(lambda s: s.health == "UNHEALTHY", "unhealthy")
    code, _ = await house.runtime.execute(seen.arn, "app", ["/usr/bin/touch", "/tmp/up"], 10.0)
    await seen.until(lambda s: s.health == "HEALTHY", "healthy")
    status = seen.states[-1].last_status
    await house.stop(seen)
    return [code, status]


async def firelens(house):
    """stdout → fluentd driver → the router's socket → its filters → its stdout."""
    seen = house.run(
        {
            "name": "router",
            "image": FLUENT_BIT,
            "essential": False,
            "firelensConfiguration": {"type": "fluentbit"},
        },
        bash(
            "app",
            "echo first line; echo second line; echo host=$FLUENT_HOST; exec sleep 1000",
            logConfiguration={
                "logDriver": "awsfirelens",
                "options": {"Name": "stdout", "exclude-pattern": "second"},
            },
        ),
    )
    await seen.status("RUNNING")
    await eventually(
        lambda: any("host=127.0.0.1" in line for line in house.lines(seen, "router")), "routed"
    )
    routed = house.lines(seen, "router")
    started = [seen.container("router").last_status, seen.container("app").last_status]
    await house.runtime.crash(seen.arn, "router")
    await seen.until(lambda s: s.containers[0].last_status == "STOPPED", "the router crashed")
    code, output = await house.runtime.execute(seen.arn, "app", ["/bin/echo", "alive"], 10.0)
    await house.stop(seen)
    return {
        "started": started,
        "routed": routed,
        "after the crash": [code, output.decode()],
        "app": seen.container("app").exit_code,
        "task": seen.task_id,
    }


async def refusals(house):
    missing = await house.ended({"name": "app", "image": "nowhere/app:1"}, container("other"))
    program = await house.ended({**container("app"), "command": ["/no/such/program"]})
    return [
        missing.states[-1].stopped_reason,
        program.container("app").reason,
        program.states[-1].stop_code,
    ]


async def samples(house):
    seen = house.run(container("app", "exec sleep 1000"))
    await seen.status("RUNNING")
    await eventually(
        lambda: any(r["task"] == seen.task_id for r in house.recorder.rows["task_usage"]),
        "a sample",
    )
    await house.stop(seen)
    row = next(r for r in house.recorder.rows["usage"] if r["task"] == seen.task_id)
    return [row["container"], row["processes"], row["memory_bytes"] > 0]


async def crowd(house):
    """Ten tasks at once, and closing over them."""
    seen = [house.run(container("app"), sidecar("side")) for _ in range(10)]
    for one in seen:
        await one.status("RUNNING")
    addresses = {one.states[-1].address for one in seen}
    await house.runtime.close()
    return [
        len(addresses),
        [one.states[-1].last_status for one in seen],
        [str(p) for p in house.run_directory.iterdir()],
        len(asyncio.all_tasks()),
    ]


SCENARIOS = (
    life, killed, orphans, volumes, one_network, metadata, environment, out_of_memory, health,
    firelens, refusals, samples, crowd,
)  # fmt: skip


async def main(ground, context) -> None:
    await ground.add_address("169.254.170.2")
    library = LocalLibrary(ground.state / "images", current_python(), stand_ins=STAND_INS)
    engine = await open_engine((context.payload or {}).get("engine", "embedded"), ground, library)
    server = MetadataServer()
    await server.listen("169.254.170.2", 80)
    house = House(engine, server, context.record_directory)
    before = len(asyncio.all_tasks())
    answers = {"tasks before": before}
    only = (context.payload or {}).get("only")
    for scenario in SCENARIOS:
        if only and scenario.__name__ not in only:
            continue
        try:
            async with asyncio.timeout(40):
                answers[scenario.__name__] = await scenario(house)
        except Exception:
            answers[scenario.__name__] = {"fault": traceback.format_exc()}
    await house.runtime.close()
    await server.close()
    await engine.close()
    (context.record_directory / "answers.json").write_text(json.dumps(answers))
    context.ready()
    await context.stopping.wait()
