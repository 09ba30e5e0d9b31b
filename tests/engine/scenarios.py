"""What the engine's tests do inside a region. Each takes the engine and answers plain data."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from hikkoshi.region.engine.port import CannotPullContainer, CannotStartContainer, ContainerSpec
from hikkoshi.region.engine.port import Mount, Ulimit


def make_spec(image, argv, **more):
    values = {
        "container_id": "c1",
        "name": "app",
        "image": image,
        "argv": tuple(argv),
        "environment": dict(image.environment or {}),
        "working_directory": image.working_directory or "/",
        "user": image.user,
    }
    values.update(more)
    values["mounts"] = tuple(Mount(Path(s), t, r) for s, t, r in values.get("mounts", ()))
    values["ulimits"] = tuple(Ulimit(*one) for one in values.get("ulimits", ()))
    return ContainerSpec(**values)


async def finish(container):
    out, err, end = await asyncio.gather(
        container.stdout.read(), container.stderr.read(), container.wait()
    )
    return {
        "out": out.decode(),
        "err": err.decode(),
        "code": end.code,
        "oom": end.is_out_of_memory,
    }


async def run_one(engine, ground, image, argv, more=None, limits=None):
    limits = {"cpu_vcpu": 1.0, "memory_mib": 256, **(limits or {})}
    sandbox = await engine.create_sandbox("task1", labels={}, **limits)
    try:
        container = await sandbox.start(make_spec(await engine.pull(image), argv, **(more or {})))
    except CannotStartContainer as error:
        return {"refused": str(error)}
    answer = await finish(container)
    answer["address"] = sandbox.address
    answer["enforced"] = [sandbox.cpu_is_enforced, sandbox.memory_is_enforced]
    answer["clipped"] = [one.name for one in engine.clipped_limits]
    answer["usage"] = sandbox.usage().cpu_s
    await sandbox.remove()
    return answer
