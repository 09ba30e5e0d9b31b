"""A region small enough for tests of the boot: it answers HTTP-ish and does as its payload says."""

from __future__ import annotations

import asyncio
import json
import time

from hikkoshi.base.errors import CannotRun


async def main(ground, context) -> None:
    wishes = context.payload or {}
    if wishes.get("refuses"):
        raise CannotRun("this region was told to refuse", fix="tell it otherwise")
    if wishes.get("breaks"):
        raise ZeroDivisionError("this region was told to break")
    instance = await ground.create_instance("one")
    sleeper = await instance.spawn(["sleep", "1000"])
    code, output = await ground.region_instance().run(["cat", "/proc/net/fib_trie"])
    _, door_port = await ground.open_door(wishes.get("wanted_port"))
    (ground.state / "data").mkdir()
    facts = {
        "address": instance.address,
        "sleeper": sleeper.pid,
        "door_port": door_port,
        "networks": output.decode(),
        "code": code,
        "uid": (await instance.run(["id", "-u"], uid=1000))[1].decode().strip(),
        "payload": context.payload,
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(json.dumps(facts).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, sock=context.api_socket)
    if not wishes.get("is_slow"):
        context.ready()
    await context.stopping.wait()
    server.close()
    if wishes.get("has_a_stuck_thread"):
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 1000)
    if not wishes.get("is_stubborn"):
        (context.record_directory / "stopped").write_text("in order")
        return
    await asyncio.sleep(1000)
