"""The stall test: a server that stands still for 2 s of 6 s at 1,000 requests/s.

    python bench/bench_load_stall.py [--rounds 3] [--rate 1000] [--connections 50,2000]

nginx is stopped (SIGSTOP) and goes on (SIGCONT); both moments are taken by the clock, so that the
truth is arithmetic: what was due in between waited for the end, the rest for nothing. What must
hold is that every request is accounted for, and p95 within 5 % of the truth.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from pathlib import Path

from load_peers import nginx

from hikkoshi.load.attack import Attack
from hikkoshi.load.pacer import constant
from hikkoshi.load.report import LoadSummary
from hikkoshi.load.run import LoadRun
from hikkoshi.load.targets import parse_targets

SECONDS, BEFORE_S, STALL_S = 6.0, 2.0, 2.0


def processes_of(directory: Path) -> list[int]:
    """nginx's master and its worker."""
    master = int((directory / "nginx.pid").read_text())
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return [master, *map(int, children)]


def stall(
    url: str, directory: Path, rate: float, connections: int
) -> tuple[LoadSummary, float, float]:
    """The run, and from when to when the server stood, seconds after its start."""
    plan = Attack.paced(
        parse_targets(f"GET {url}"), constant(rate, SECONDS), connections=connections
    )
    pids = processes_of(directory)
    with LoadRun(plan, directory / "requests.load") as run:
        time.sleep(max(0.0, run.t_start + BEFORE_S - time.time()))
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        stopped = time.time() - run.t_start
        try:
            time.sleep(STALL_S)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        freed = time.time() - run.t_start
        return run.wait(), stopped, freed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--connections", default="50,2000")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, nginx(Path(name)) as (url, _):
        for connections in map(int, options.connections.split(",")):
            for _ in range(options.rounds):
                found, stopped, freed = stall(url, Path(name), options.rate, connections)
                count = round(options.rate * SECONDS)
                due = [k / options.rate for k in range(count)]
                waits = sorted(freed - t if stopped <= t < freed else 0.0 for t in due)
                told = []
                latency = found.whole.latency
                shares = ((0.9, latency.p90), (0.95, latency.p95), (0.99, latency.p99))
                for share, value in shares:
                    true = waits[round(share * count) - 1]
                    off = (value or 0.0) / true - 1
                    told.append(f"p{share * 100:.0f} {value:.3f} s, truly {true:.3f} ({off:+.1%})")
                lost = count - found.totals.done
                print(
                    f"{connections} connections, stopped {stopped:.3f} to {freed:.3f} s: "
                    f"{'; '.join(told)}; {found.totals.done} accounted for, {lost} lost, "
                    f"{found.failed} failed"
                )


if __name__ == "__main__":
    main()
