"""The log router alone on one core: lines of 200 bytes through parser + modify + http output.

    taskset is not needed: the router is pinned to one core, sender and sink to the others.
    .venv/bin/python bench/bench_router.py [--seconds 5] [--rates 10000,30000]

For each rate: lines sent, arrived and lost (each line has a number, so lost ones are counted, not
guessed), the CPU share of the router, and how far the sender fell behind: back-pressure. The last
line finds how much goes through when nobody holds back. The sink is a process of its own that
keeps nothing but the numbers. Beside it, the same lines are parsed, changed and encoded in a plain
loop, without a router: the floor of what Python can do here.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import msgpack

SOURCE = str(Path(__file__).parents[1] / "src")
BATCH = 100
CONFIGURATION = """[SERVICE]
    Flush 1
    Grace 30
    Parsers_File {directory}/parsers.conf
[INPUT]
    Name forward
    Listen 127.0.0.1
    Port {port}
    Mem_Buf_Limit 50M
[FILTER]
    Name parser
    Match *
    Key_Name log
    Parser json
    Reserve_Data On
[FILTER]
    Name modify
    Match *
    Rename level severity
    Add service genba
[OUTPUT]
    Name http
    Match *
    Host 127.0.0.1
    Port {sink}
    URI /logs
    Format json
    Retry_Limit False
"""
PARSERS = "[PARSER]\n    Name json\n    Format json\n"


def line(number: int) -> str:
    """200 bytes, as an application writes them."""
    text = json.dumps({
        "time": "2026-11-24T08:00:00.000Z", "level": "info", "seq": number, "path": "/reports/42",
        "status": 200, "ms": 12.5, "pad": "",
    })  # fmt: skip
    return text[:-2] + "x" * (200 - len(text)) + '"}'


def sink(pipe: Connection, cores: set[int]) -> None:
    """Counts the numbers that arrive; answers `count` with (records, distinct)."""
    os.sched_setaffinity(0, cores)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    pipe.send(listener.getsockname()[1])
    seen = bytearray(1 << 24)
    total = 0
    lock = threading.Lock()
    sequence = re.compile(rb'"seq": ?(\d+)')

    def serve(connection: socket.socket) -> None:
        nonlocal total
        stream = connection.makefile("rb")
        while stream.readline():
            length = 0
            while (header := stream.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            body = stream.read(length)
            with lock:
                for found in sequence.findall(body):
                    total += 1
                    seen[int(found)] = 1
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    while pipe.recv():
        with lock:
            pipe.send((total, seen.count(1)))


def start_router(directory: Path, sink_port: int, core: int) -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (directory / "parsers.conf").write_text(PARSERS)
    path = directory / "router.conf"
    path.write_text(CONFIGURATION.format(directory=directory, port=port, sink=sink_port))
    router = subprocess.Popen(
        [sys.executable, "-m", "hikkoshi.router", "-c", str(path)],
        env={**os.environ, "PYTHONPATH": SOURCE}, stderr=(directory / "log").open("wb"),
    )  # fmt: skip
    os.sched_setaffinity(router.pid, {core})
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return router, port
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the router did not start")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send(port: int, batches: list[bytes], rate: float | None) -> float:
    """Seconds that it took; None: as fast as the router takes them."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        start = time.monotonic()
        for index, batch in enumerate(batches):
            if rate is not None:
                wait = start + index * BATCH / rate - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
            connection.sendall(batch)
        return time.monotonic() - start


def make_batches(first: int, count: int) -> list[bytes]:
    """The driver's shape: one message a line, the container's fields beside it."""
    made = []
    for start in range(first, first + count, BATCH):
        messages = [
            msgpack.packb([
                "app-firelens-0123", 1795504883,
                {"container_id": "c" * 64, "container_name": "app", "source": "stdout",
                 "log": line(number)},
            ])
            for number in range(start, start + BATCH)
        ]  # fmt: skip
        made.append(b"".join(messages))
    return made


def plain_loop(count: int) -> float:
    """Lines a second of the same work without a router."""
    messages = b"".join(make_batches(0, count))
    reader = msgpack.Unpacker(raw=False)
    start = time.perf_counter()
    reader.feed(messages)
    records = []
    for _, _, record in reader:
        fields = json.loads(record.pop("log"))
        fields.update(record)
        fields["severity"] = fields.pop("level")
        fields["service"] = "genba"
        records.append(fields)
    json.dumps(records).encode()
    return count / (time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rates", default="10000,30000")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    others = set(cores[1:]) or set(cores)
    ours, theirs = multiprocessing.Pipe()
    counter = multiprocessing.Process(target=sink, args=(theirs, others), daemon=True)
    counter.start()
    sink_port = ours.recv()
    print(f"floor (parse, change, encode in a plain loop): {plain_loop(50_000):,.0f} lines/s")
    os.sched_setaffinity(0, others)
    lost_any = 0
    first = 0
    with tempfile.TemporaryDirectory() as name:
        router, port = start_router(Path(name), sink_port, cores[0])
        for rate in [*(float(r) for r in arguments.rates.split(",")), None]:
            count = int((rate or 60_000) * arguments.seconds) // BATCH * BATCH
            batches = make_batches(first, count)
            ours.send(True)
            _, before = ours.recv()
            cpu, start = cpu_s(router.pid), time.monotonic()
            took = send(port, batches, rate)
            arrived = -1
            while time.monotonic() < start + took + 60:
                ours.send(True)
                _, distinct = ours.recv()
                arrived = distinct - before
                if arrived >= count:
                    break
                time.sleep(0.1)
            whole = time.monotonic() - start
            used = cpu_s(router.pid) - cpu
            first += count
            lost_any += count - arrived
            asked = f"{rate:,.0f}" if rate else "all at once"
            print(
                f"{asked} lines/s: sent {count:,} in {took:.2f} s ({count / took:,.0f}/s), lost "
                f"{count - arrived}, all there after {whole:.2f} s ({count / whole:,.0f}/s); "
                f"router {used:.2f} CPU s = {count / max(used, 0.01):,.0f} lines a CPU second"
            )
        router.send_signal(signal.SIGTERM)
        router.wait(40)
    counter.kill()
    return 1 if lost_any else 0


if __name__ == "__main__":
    sys.exit(main())
