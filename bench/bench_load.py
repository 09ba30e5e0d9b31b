"""The load generator beside wrk, hey and vegeta, in one run: requests a second, and ratios.

One nginx worker has core 0, each client in its turn core 1; the rounds are interleaved, so that
what disturbs one disturbs all, and the best round of each counts. Nothing here passes or fails.

    python bench/bench_load.py [--seconds 3] [--rounds 3] [--only closed,open,many,tls]
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from load_peers import CLIENT_CORE, CpuClock, hey, nginx, vegeta, wrk

from hikkoshi.load.attack import Attack
from hikkoshi.load.pacer import constant
from hikkoshi.load.report import LoadSummary
from hikkoshi.load.run import LoadRun
from hikkoshi.load.targets import parse_targets

CONNECTIONS = 50


def ours(url: str, rate: float | None, seconds: float, connections: int) -> LoadSummary:
    plan = Attack(
        parse_targets(f"GET {url}"),
        constant(rate, seconds) if rate else None,
        seconds,
        connections=connections,
        is_tls_verified=False,
    )
    with (
        tempfile.TemporaryDirectory() as name,
        LoadRun(plan, Path(name) / "requests.load") as run,
    ):
        for pid in run.pids:
            if (os.cpu_count() or 1) > 1:
                os.sched_setaffinity(pid, {CLIENT_CORE})
        return run.wait()


def compare(
    title: str, url: str, seconds: float, rounds: int, peers: dict[str, Callable[..., float | None]]
) -> None:
    """The best round of each in requests a second, and the best in CPU a request."""
    clients: dict[str, Callable[..., float | None]] = {
        "hikkoshi": lambda url, connections, seconds: (
            ours(url, None, seconds, connections).throughput
        ),
        **peers,
    }
    rates: dict[str, float] = {}
    costs: dict[str, float] = {}
    for _ in range(rounds):
        for name, client in clients.items():
            clock = CpuClock()
            rate = client(url, CONNECTIONS, seconds)
            if rate:
                rates[name] = max(rates.get(name, 0.0), rate)
                cost = clock.seconds() / (rate * seconds) * 1e6
                costs[name] = min(costs.get(name, math.inf), cost)
    mine, cost = rates["hikkoshi"], costs["hikkoshi"]
    print(f"{title}, {CONNECTIONS} connections: {mine:,.0f}/s, {cost:.1f} µs of CPU a request")
    for name in peers:
        if name in rates:
            print(
                f"  {name}: {rates[name]:,.0f}/s, {costs[name]:.1f} µs; ours is "
                f"{mine / rates[name]:.2f} × {name} by rate, {costs[name] / cost:.2f} × by CPU"
            )
        else:
            print(f"  {name}: not measured (it is not installed, or failed)")


def open_model(url: str, rates: tuple[int, ...], seconds: float, connections: int) -> None:
    for asked in rates:
        found = ours(url, asked, seconds, connections)
        lateness = found.lateness
        told = "valid" if found.is_valid else f"INVALID: {'; '.join(found.invalid)}"
        print(
            f"open, {asked:,}/s asked, {connections} connections: {found.sent_rate:,.0f}/s sent, "
            f"lateness p50 {(lateness.p50 or 0) * 1e3:.2f} ms, p99 {(lateness.p99 or 0) * 1e3:.2f} "
            f"ms, latency p99 {(found.whole.latency.p99 or 0) * 1e3:.2f} ms, "
            f"{found.failed} failed, {told}"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="closed,open,many,tls")
    options = parser.parse_args()
    chosen = set(options.only.split(","))
    with tempfile.TemporaryDirectory() as name, nginx(Path(name)) as (url, tls_url):
        if "closed" in chosen:
            peers = {"wrk": wrk, "hey": hey, "vegeta": vegeta}
            compare("closed", url, options.seconds, options.rounds, peers)
        if "open" in chosen:
            open_model(url, (20_000, 50_000, 60_000), options.seconds, CONNECTIONS)
        if "many" in chosen:
            open_model(url, (40_000,), options.seconds, 1000)
        if "tls" in chosen:
            compare("closed, TLS", tls_url, options.seconds, options.rounds, {"hey": hey})


if __name__ == "__main__":
    sys.exit(main())
