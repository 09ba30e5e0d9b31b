"""What the engine's tests do inside a region. Each takes the engine and answers plain data."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from pathlib import Path

from hikkoshi.region.engine.port import (
    CannotPullContainer,
    CannotStartContainer,
    ContainerSpec,
    Mount,
    Ulimit,
)


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


async def signals(engine, ground):
    """PID 1 without a handler ignores SIGTERM; with one it ends; SIGKILL ends all."""
    sandbox = await engine.create_sandbox("t", cpu_vcpu=1, memory_mib=256, labels={})
    host = await engine.pull("localhost/host")
    deaf = await sandbox.start(make_spec(host, ["sleep", "1000"]))
    script = "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.01; done"
    polite = await sandbox.start(make_spec(host, ["sh", "-c", script]))
    up = await polite.stdout.readline()
    deaf.send_signal("SIGTERM")
    polite.send_signal("TERM")
    bye = await finish(polite)
    is_deaf = not deaf.has_ended and deaf.usage() is not None
    deaf.kill()
    code = (await deaf.wait()).code
    deaf.kill()
    await sandbox.remove()
    await sandbox.remove()
    return {"up": up.decode(), "bye": bye, "is_deaf": is_deaf, "code": code}


async def execute(engine, ground, user):
    sandbox = await engine.create_sandbox("t", cpu_vcpu=1, memory_mib=256, labels={})
    host = await engine.pull("localhost/host")
    spec = make_spec(
        host,
        ["sh", "-c", "echo mine > /tmp/f; sleep 1000"],
        user=user,
        environment={"OF_CONTAINER": "1"},
        working_directory="/tmp",
    )
    container = await sandbox.start(spec)
    script = "cat f; id -u; pwd; hostname; echo $OF_CONTAINER$OF_EXEC; cat /proc/1/comm; exit 4"
    answer = {}
    async with asyncio.timeout(10):
        while (await container.execute(["test", "-s", "/tmp/f"], {}, 5)).code:
            pass
    for name, argv, timeout in (
        ("plain", ["sh", "-c", script], 10),
        ("missing", ["nosuch"], 10),
        ("slow", ["sh", "-c", "echo a; sleep 1000"], 0.3),
        ("background", ["sh", "-c", "sleep 1000 & echo b"], 10),
    ):
        result = await container.execute(argv, {"OF_EXEC": "2"}, timeout)
        answer[name] = [result.code, result.output.decode(), result.is_timed_out]
    container.kill()
    await container.wait()
    answer["ended"] = (await container.execute(["true"], {}, 1)).code
    await sandbox.remove()
    return answer


async def network(engine, ground):
    """Two tasks reach each other and the gateway; two containers of one share localhost."""
    script = """
import socket, sys
s = socket.create_server(("0.0.0.0", 80)); print("up", flush=True)
while True:
    c, peer = s.accept(); c.sendall(peer[0].encode()); c.close()
"""
    ask = (
        "import socket,sys\nfor host in sys.argv[1:]:\n"
        " print(socket.create_connection((host,80),5).recv(99).decode())"
    )
    one = await engine.create_sandbox("one", cpu_vcpu=1, memory_mib=256, labels={})
    two = await engine.create_sandbox("two", cpu_vcpu=1, memory_mib=256, labels={})
    image = await engine.pull("localhost/python")
    server = await one.start(make_spec(image, ["python3", "-c", script], user="1000"))
    await server.stdout.readline()
    near = await finish(
        await one.start(make_spec(image, ["python3", "-c", ask, "localhost", one.address]))
    )
    far = await finish(await two.start(make_spec(image, ["python3", "-c", ask, one.address])))
    reader, _ = await asyncio.open_connection(one.address, 80)
    home = (await reader.read()).decode()
    routes = await finish(await two.start(make_spec(image, ["cat", "/proc/net/route"])))
    await one.remove()
    await two.remove()
    addresses = [one.address, two.address]
    again = await engine.create_sandbox("again", cpu_vcpu=1, memory_mib=256, labels={})
    return {
        "addresses": addresses,
        "near": near,
        "far": far,
        "home": home,
        "routes": routes["out"],
        "again": again.address,
    }


async def gateway(engine, ground):
    """What a task knows of the gateway stays true while other tasks come and go."""

    def close(reader, writer):
        writer.close()

    listening = await asyncio.start_server(close, "10.0.0.1", 8099)
    image = await engine.pull("localhost/python")
    steps = []
    boxes = []
    for number in range(6):
        box = await engine.create_sandbox(f"t{number}", cpu_vcpu=1, memory_mib=256, labels={})
        boxes.append(box)
    last = boxes[-1]
    script = (
        "import socket,time\n"
        "while True:\n"
        " s=socket.create_connection(('10.0.0.1',8099),2); s.close()\n"
        " print('ok',flush=True); time.sleep(0.02)"
    )
    asker = await last.start(make_spec(image, ["python3", "-c", script]))
    for box in boxes[:-1]:
        steps.append((await asyncio.wait_for(asker.stdout.readline(), 10)).decode())
        await box.remove()
        # What was written before the removal is read away; what comes after it is what counts.
        for _ in range(4):
            steps.append((await asyncio.wait_for(asker.stdout.readline(), 10)).decode())
    asker.kill()
    end = await finish(asker)
    await last.remove()
    listening.close()
    return {"steps": steps, "err": end["err"]}


async def usage(engine, ground):
    """CPU of children that have ended is kept; files and sockets are counted."""
    script = """
import os, socket, subprocess, sys, time
for _ in range(3):
    subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.1: pass"])
files = [open("/dev/null") for _ in range(20)] + [socket.socket() for _ in range(7)]
memory = bytearray(os.urandom(1 << 20) * 32)
print("ready", flush=True)
time.sleep(1000)
"""
    sandbox = await engine.create_sandbox("t", cpu_vcpu=1, memory_mib=256, labels={})
    image = await engine.pull("localhost/python")
    container = await sandbox.start(
        make_spec(image, ["python3", "-c", script], ulimits=[["nofile", 321, 400]])
    )
    await container.stdout.readline()
    seen = container.usage()
    container.kill()
    await container.wait()
    after = sandbox.usage()
    await sandbox.remove()
    return {
        "cpu": seen.cpu_s,
        "memory": seen.memory_bytes,
        "processes": seen.processes,
        "files": seen.open_files,
        "limit": seen.open_files_limit,
        "sockets": seen.sockets,
        "after": after.cpu_s,
        "periods": after.periods,
        "gone": container.usage() is None and sandbox.usage() is None,
    }


def mount_points():
    """(identity, where) of each mount of the region."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {(fields[0], fields[4]) for fields in map(str.split, lines)}


def held(inherited):
    """What a leak would show in: descriptors, threads, children, links, mounts, groups.

    The ground's pool hires its workers, at most eight, when it first has use for them: how many it
    has come to is not a leak. (That one came late once failed this.)

    Nor are the mounts that the region was born with, copies of the machine's: the kernel takes one
    away in every namespace when the directory it is on is removed in any. (A container of the
    machine's Docker that ended meanwhile once failed this.)
    """
    pool = [thread for thread in threading.enumerate() if thread.name.startswith("ground_")]
    return {
        "fds": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")) - len(pool),
        "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
        "links": len(Path("/proc/net/dev").read_text().splitlines()),
        "mounts": len(mount_points() - inherited),
    }


async def settled(inherited):
    """What is held once it has not changed for half a second: the kernel takes links and the
    dead away in its own time."""
    seen, since = held(inherited), time.monotonic()
    while time.monotonic() < since + 0.5:
        await asyncio.sleep(0.02)
        if (now := held(inherited)) != seen:
            seen, since = now, time.monotonic()
    return seen


async def leak(engine, ground, rounds):
    inherited = mount_points()
    host = await engine.pull("localhost/host")

    async def live(number):
        sandbox = await engine.create_sandbox(f"t{number}", cpu_vcpu=1, memory_mib=64, labels={})
        await sandbox.start(make_spec(host, ["sleep", "1000"], container_id="a"))
        if number % 4 == 0:
            done = await sandbox.start(make_spec(host, ["true"], container_id="b", user="1000"))
            await done.wait()
            with contextlib.suppress(CannotStartContainer):
                await sandbox.start(make_spec(host, ["nosuch"], container_id="c"))
            # Made ready and never started, and removed while it is being made ready.
            await sandbox.make_ready(make_spec(host, ["true"], container_id="d"))
            hurried = asyncio.ensure_future(
                sandbox.make_ready(make_spec(host, ["true"], container_id="e"))
            )
            await asyncio.sleep(0)
            await sandbox.remove()
            await hurried
        await sandbox.remove()

    await asyncio.gather(*(live(number) for number in range(8)))
    before = await settled(inherited)
    for start in range(0, rounds, 4):
        await asyncio.gather(*(live(number) for number in range(start, start + 4)))
    late = time.monotonic() + 10
    while (now := held(inherited)) != before:
        assert time.monotonic() < late, f"held before: {before}, 10 s after the last: {now}"
        await asyncio.sleep(0.02)
    groups = [str(p) for top in ground.cgroups if top.is_dir() for p in top.iterdir() if p.is_dir()]
    return {"before": before, "groups": groups, "scratch": os.listdir(ground.state / "containers")}


async def ready(engine, ground):
    """A container that was made ready runs when it is started, not before; what was missing when
    it was made ready may be there by then."""
    image = await engine.pull("localhost/host")
    shared = ground.state / "shared"
    shared.mkdir()
    sandbox = await engine.create_sandbox("t", cpu_vcpu=1, memory_mib=64, labels={})
    mounts = [(shared, "/tmp/shared", False)]
    mark = make_spec(image, ["touch", "/tmp/shared/ran"], container_id="a", mounts=mounts)
    await sandbox.make_ready(mark)
    late = make_spec(image, ["/tmp/shared/program"], container_id="b", mounts=mounts)
    with contextlib.suppress(CannotStartContainer):
        await sandbox.make_ready(late)
    before = os.listdir(shared)
    ended = await (await sandbox.start(mark)).wait()
    after = os.listdir(shared)
    program = shared / "program"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    brought = await (await sandbox.start(late)).wait()
    changed = make_spec(image, ["sh", "-c", "exit 5"], container_id="c")
    await sandbox.make_ready(make_spec(image, ["sh", "-c", "exit 4"], container_id="c"))
    other = await (await sandbox.start(changed)).wait()
    await sandbox.remove()
    codes = [ended.code, brought.code, other.code]
    return {"before": before, "after": after, "codes": codes}


async def speed(engine, ground):
    image = await engine.pull("localhost/host")
    times = []
    for number in range(20):
        begun = time.perf_counter()
        sandbox = await engine.create_sandbox(f"t{number}", cpu_vcpu=1, memory_mib=64, labels={})
        await asyncio.gather(
            *(
                sandbox.start(make_spec(image, ["sleep", "100"], container_id=str(one)))
                for one in range(3)
            )
        )
        times.append(time.perf_counter() - begun)
        await sandbox.remove()
    return {"median": sorted(times)[10], "worst": max(times)}


async def pull(engine, ground, name):
    try:
        image = await engine.pull(name)
    except CannotPullContainer as error:
        return {"refused": str(error)}
    return {
        "digest": image.digest,
        "entry_point": image.entry_point,
        "command": image.command,
        "environment": image.environment,
        "user": image.user,
        "stand_in": image.stand_in,
        "stop_signal": image.stop_signal,
        "working_directory": image.working_directory,
    }


async def refused_late(engine, ground):
    """A start that fails inside bwrap leaves nothing and says why."""
    host = await engine.pull("localhost/host")
    sandbox = await engine.create_sandbox("t", cpu_vcpu=1, memory_mib=64, labels={})
    spec = make_spec(host, ["true"], working_directory="/etc/passwd")
    try:
        await sandbox.start(spec)
    except CannotStartContainer as error:
        return {"refused": str(error)}
    finally:
        await sandbox.remove()
    return {}
