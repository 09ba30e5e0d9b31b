"""The load generator beside wrk and hey, where they are installed: requests a second, and ratios.

Client and server each have a core of their own where the machine has two. The server is a small
epoll loop in Python that answers 48 bytes and keeps connections alive; when it is what limits all
clients alike, the ratios come near 1 and say nothing. Nothing here passes or fails.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from hikkoshi.load.attack import Attack, LoadRun
from hikkoshi.load.pacer import constant
from hikkoshi.load.report import LoadSummary
from hikkoshi.load.targets import parse_targets

SECONDS = 4
CONNECTIONS = 50
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 48\r\n\r\n" + b"x" * 48


def serve(listener: socket.socket) -> None:
    """Whatever comes is taken for one request; enough for clients that do not pipeline."""
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    open_ones: dict[int, socket.socket] = {}
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                open_ones[sock.fileno()] = sock
                epoll.register(sock.fileno(), select.EPOLLIN)
                continue
            try:
                is_open = bool(open_ones[fd].recv(4096))
                if is_open:
                    open_ones[fd].sendall(ANSWER)
            except OSError:
                is_open = False
            if not is_open:
                open_ones.pop(fd).close()


def start_server() -> tuple[int, int]:
    """(pid, port) of a server in a process of its own."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    pid = os.fork()
    if pid == 0:
        pin(0)
        serve(listener)
    port = listener.getsockname()[1]
    listener.close()
    return pid, port


def pin(core: int) -> None:
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})


def run_ours(url: str, rate: float | None, directory: Path) -> LoadSummary:
    targets = parse_targets(f"GET {url}")
    plan = Attack(
        targets,
        constant(rate, SECONDS) if rate else None,
        SECONDS,
        connections=CONNECTIONS,
    )
    with LoadRun(plan, directory / "requests.load") as run:
        return run.wait()


def run_other(command: list[str], pattern: str) -> float | None:
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(pattern, done.stdout)
    return float(match[1]) if match else None


def main() -> None:
    pid, port = start_server()
    url = f"http://127.0.0.1:{port}/"
    pin(1)
    try:
        with tempfile.TemporaryDirectory() as name:
            closed = run_ours(url, None, Path(name)).throughput
            print(f"load, closed, {CONNECTIONS} connections: {closed:.0f}/s")
            others = {
                "wrk": run_other(
                    ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url],
                    r"Requests/sec:\s+([\d.]+)",
                ),
                "hey": run_other(
                    ["hey", "-cpus", "1", "-c", str(CONNECTIONS), "-z", f"{SECONDS}s", url],
                    r"Requests/sec:\s+([\d.]+)",
                ),
            }
            for other, rate in others.items():
                if rate is None:
                    print(f"{other}: not measured (it is not installed)")
                else:
                    print(f"{other}: {rate:.0f}/s; load is {closed / rate:.2f} × {other}")
            for asked in (10_000, 20_000, 50_000):
                found = run_ours(url, asked, Path(name))
                lateness = (found.lateness.p99 or 0.0) * 1e3
                told = "valid" if found.is_valid else "invalid"
                print(
                    f"load, open, {asked}/s asked: {found.sent_rate:.0f}/s sent, "
                    f"lateness p99 {lateness:.2f} ms, {told}"
                )
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    sys.exit(main())
