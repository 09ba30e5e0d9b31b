"""The trace intake: the daemon's stand-in and the region's side, in CPU seconds and in truth.

    .venv/bin/python bench/bench_intake.py [--spans 40000] [--one-core]

1. Each part alone, by the CPU time of this process: spans a second that one core takes.
2. Both together, as processes: datagrams over a real socket to the sidecar, from there to the
   region's service. Each span is counted at the end; one that is missing is told. With --one-core
   both are held to one core together, and the sender to the others: on a machine that does other
   things too, what that core has left for them is told beside.
A span is a subsegment with SQL, as an SDK sends it in a segment of ten (an N+1 page).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hikkoshi.base.clock import SystemClock
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.region.front.door import ApiFront
from hikkoshi.region.front.port import Caller
from hikkoshi.region.xray.documents import parse_document
from hikkoshi.region.xray.forward import Forwarder
from hikkoshi.region.xray.service import XrayService
from hikkoshi.region.xray.wire import parse_datagram

EACH = 10
HEADER = b'{"format":"json","version":1}\n'
T0 = 1795504883.0


def segment(number: int) -> str:
    trace = f"1-6b053af4-{number:024x}"
    inner = [
        {
            "id": f"{number:08x}{index:08x}", "name": "genba", "namespace": "remote",
            "start_time": T0 + index / 1000, "end_time": T0 + index / 1000 + 0.001,
            "sql": {"sanitized_query": "SELECT id, title, done FROM items WHERE report_id = $1",
                    "database_type": "PostgreSQL", "user": "genba"},
        }
        for index in range(1, EACH)
    ]  # fmt: skip
    return json.dumps({
        "trace_id": trace, "id": f"{number:08x}{0:08x}", "name": "genba", "start_time": T0,
        "end_time": T0 + 0.02, "subsegments": inner,
        "http": {"request": {"method": "GET", "url": "http://genba/reports?limit=20"},
                 "response": {"status": 200}},
        "aws": {"xray": {"sdk": "X-Ray for Python", "sdk_version": "2.14.0"}},
    })  # fmt: skip


def timed(what: str, spans: int, work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    used = time.process_time() - start
    print(f"{what:<46} {spans / used:>10,.0f} spans a CPU second")
    return used


class Stamped:
    """A recorder that also notes how long after its end a span was written down."""

    def __init__(self, recorder: JsonlRecorder) -> None:
        self.recorder = recorder
        self.delays: list[float] = []

    def record(self, table: str, **columns: Any) -> None:
        if table == "spans" and columns["parent_id"] is None:
            self.delays.append(time.time() - columns["t_end"])
        self.recorder.record(table, **columns)


def region(pipe: Connection, directory: str) -> None:
    """The front with the X-Ray service; answers the port, then (spans, delays, CPU s, dropped)."""
    recorder = Stamped(JsonlRecorder(Path(directory), SystemClock()))
    service = XrayService(recorder, SystemClock())
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    listening = socket.create_server(("127.0.0.1", 0))
    front = ApiFront({"xray": service}, loop=loop, fallback=None)
    front.start([listening])
    before = time.process_time()
    pipe.send(listening.getsockname()[1])
    while pipe.recv():
        used = time.process_time() - before
        pipe.send((len(recorder.delays), recorder.delays, used, dict(service.dropped)))
    recorder.recorder.close()
    pipe.send(recorder.recorder.lost)


def busy_s(core: int) -> tuple[float, float]:
    """(seconds at work, seconds in all) of one core since the start, whoever it worked for."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            fields = [int(field) for field in line.split()[1:9]]
            tick = os.sysconf("SC_CLK_TCK")
            return (sum(fields) - fields[3] - fields[4]) / tick, sum(fields) / tick
    return 0.0, 0.0


def whole(spans: int, is_one_core: bool) -> None:
    """Datagrams at 20,000 spans a second, or as fast as this machine sends them."""
    rate, count = 20_000, spans // EACH
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = multiprocessing.Pipe()
        child = multiprocessing.Process(target=region, args=(theirs, name), daemon=True)
        child.start()
        log = (Path(name) / "log").open("w+")
        sidecar = subprocess.Popen(
            [sys.executable, "-m", "hikkoshi.region.xray.sidecar"], stderr=log,
            env={**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ours.recv()}",
                 "HIKKOSHI_XRAY_PORT": "0", "HIKKOSHI_OTLP_PORT": "0",
                 "HIKKOSHI_OTLP_GRPC_PORT": "0"},
        )  # fmt: skip
        while "listening" not in (text := (Path(name) / "log").read_text()):
            time.sleep(0.05)
        port = int(text.split("X-Ray ")[1].split(",")[0])
        cores = sorted(os.sched_getaffinity(0))
        core, others = cores[-1], cores[:-1] or cores
        if is_one_core:
            for pid in (child.pid, sidecar.pid):
                hold(int(pid or 0), {core})
            hold(os.getpid(), set(others))
        base, core_base = cpu_s(sidecar.pid), busy_s(core)
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        start = time.time()
        for number in range(count):
            wait = start + number * EACH / rate - time.time()
            if wait > 0:
                time.sleep(wait)
            text = segment(number).replace(str(T0 + 0.02), repr(time.time()))
            out.sendto(HEADER + text.encode(), ("127.0.0.1", port))
        took = time.time() - start
        deadline = time.time() + 60
        while time.time() < deadline:
            ours.send(True)
            traces, delays, used, dropped = ours.recv()
            if traces >= count:
                break
            time.sleep(0.2)
        core_busy, core_all = (new - old for new, old in zip(busy_s(core), core_base, strict=True))
        sidecar_s = cpu_s(sidecar.pid) - base
        sidecar.send_signal(signal.SIGTERM)
        sidecar.wait(20)
        ours.send(False)
        lost = ours.recv()
        with (Path(name) / "spans.jsonl").open("rb") as rows:
            written = sum(1 for _ in rows)
        delays.sort()
        sent = count * EACH
        print(
            f"whole way: {sent:,} spans sent in {took:.1f} s ({sent / took:,.0f}/s), {written:,} "
            f"written, lost {sent - written} (told: {dropped}, recorder {lost})\n"
            f"  delay p50 {delays[len(delays) // 2]:.2f} s, "
            f"p99 {delays[len(delays) * 99 // 100]:.2f} s\n"
            f"  sidecar {sidecar_s:.2f} + region {used:.2f} CPU s = "
            f"{sent / (sidecar_s + used):,.0f} spans a CPU second in all, region alone "
            f"{sent / used:,.0f}"
        )
        if is_one_core:
            others_s = core_busy - sidecar_s - used
            print(f"  core {core}, to which both were held, worked {others_s:.1f} of its "
                  f"{core_all:.1f} s for others")  # fmt: skip


def hold(pid: int, cores: set[int]) -> None:
    """Every thread of that process; `sched_setaffinity` alone moves one."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=40_000)
    parser.add_argument("--one-core", action="store_true")
    arguments = parser.parse_args()
    spans = arguments.spans
    texts = [segment(number) for number in range(spans // EACH)]
    datagrams = [HEADER + text.encode() for text in texts]
    timed(
        "the sidecar: header of a datagram", spans, lambda: [parse_datagram(d) for d in datagrams]
    )
    timed("the region: document → rows", spans, lambda: [parse_document(t) for t in texts])
    with tempfile.TemporaryDirectory() as name:
        recorder = JsonlRecorder(Path(name), SystemClock())
        service = XrayService(recorder, SystemClock())

        async def put() -> None:
            caller = Caller("123456789012", "ap-northeast-1", "bench")
            for start in range(0, len(texts), 50):
                batch = {"TraceSegmentDocuments": texts[start : start + 50]}
                answer = await service.put_segments(batch, caller)
                assert not answer["UnprocessedTraceSegments"]

        timed("the region: PutTraceSegments, recorder and all", spans,
              lambda: (asyncio.run(put()), recorder.close()))  # fmt: skip
        with (Path(name) / "spans.jsonl").open("rb") as rows:
            written = sum(1 for _ in rows)
        print(f"written: {written:,} of {spans:,} spans; lost by the recorder: {recorder.lost}")
    whole(spans, arguments.one_core)
    forwarder = Forwarder("http://127.0.0.1:1", "ap-northeast-1", lambda line: None)
    timed("the sidecar: queue", spans, lambda: [forwarder.put(t) for t in texts])


if __name__ == "__main__":
    main()
