"""A load balancer of the region beside the same HAProxy alone: requests a second, and p99.

    python bench/bench_balancer.py [--rounds 5] [--seconds 2] [--connections 16]

Both are in front of the same backend (HAProxy that answers 200 by itself): the region's is a task
in its own network namespace, behind a listener with a rule, health checks, and the meter that
CloudWatch's figures come from; the other has the smallest configuration there is, on loopback.
`wrk` (Debian's) asks both in turn, so that what else the machine does meets both. The measure: at
least 70 % of the requests a second, and at one connection at most 1 ms more at p99; of each the
median over the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from own_region import own_region

from hikkoshi.aws.access import Access
from hikkoshi.region.elb.service import haproxy_binary
from hikkoshi.trials.balancer import default_network, door_of

LEAST_SHARE, MOST_ADDED_MS = 0.70, 1.0
DEADLINE_S = 60.0
BACKEND_PORT = 8080
_COMMON = """global
  nbthread %d
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
"""
BACKEND = _COMMON % 2 + "frontend answer\n  bind {at}\n  http-request return status 200\n"
# One thread, as the region's has.
ALONE = _COMMON % 1 + (
    "frontend alone\n  bind {at}\n  default_backend one\nbackend one\n  server one {backend}\n"
)
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Seen:
    """p99: of wrk's own connections, in milliseconds."""

    requests_per_s: float
    p99_ms: float


def ask(address: str, seconds: int, connections: int) -> Seen:
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://{address}/"],
        capture_output=True, text=True, check=True, timeout=seconds + 60,
    )  # fmt: skip
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    if rate is None or p99 is None or "Non-2xx" in done.stdout:
        raise SystemExit(f"wrk did not measure {address}:\n{done.stdout}")
    return Seen(float(rate[1]), float(p99[1]) * _UNITS[p99[2]])


@contextlib.contextmanager
def haproxy(directory: Path, name: str, text: str) -> Iterator[None]:
    """One HAProxy of this configuration, which has to listen already when this returns."""
    file = directory / f"{name}.cfg"
    file.write_text(text)
    process = subprocess.Popen([haproxy_binary(), "-db", "-f", str(file)])
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def wait_for_200(address: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=5):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"{address} did not answer 200: {error}") from error
            time.sleep(0.05)


def balanced(access: Access) -> str:
    """Where a service of one task is reached through a load balancer of the region."""
    ecs, elb = access.client("ecs"), access.client("elbv2")
    network = default_network(access)
    vpc = access.client("ec2").describe_vpcs()["Vpcs"][0]
    (balancer,) = elb.create_load_balancer(Name="bench", Subnets=network.subnets)["LoadBalancers"]
    (group,) = elb.create_target_group(
        Name="bench", Protocol="HTTP", Port=BACKEND_PORT, TargetType="ip", VpcId=vpc["VpcId"]
    )["TargetGroups"]
    forward = {"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}
    (listener,) = elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80,
        DefaultActions=[forward],
    )["Listeners"]  # fmt: skip
    elb.create_rule(
        ListenerArn=listener["ListenerArn"], Priority=1, Actions=[forward],
        Conditions=[{"Field": "path-pattern", "Values": ["/reports/*"]}],
    )  # fmt: skip
    ecs.create_cluster(clusterName="bench")
    ecs.register_task_definition(**task())
    ecs.create_service(
        cluster="bench", serviceName="bench", taskDefinition="backend", desiredCount=1,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {
            "subnets": network.subnets, "securityGroups": network.security_groups}},
        loadBalancers=[{"targetGroupArn": group["TargetGroupArn"], "containerName": "app",
                        "containerPort": BACKEND_PORT}],
    )  # fmt: skip
    return door_of(access, listener["ListenerArn"])


def task() -> dict[str, Any]:
    configuration = BACKEND.format(at=f":{BACKEND_PORT}")
    return {
        "family": "backend",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "2048",
        "memory": "4096",
        "containerDefinitions": [
            {
                "name": "app",
                "image": "localhost/host",
                "portMappings": [{"containerPort": BACKEND_PORT}],
                "environment": [{"name": "CONFIGURATION", "value": configuration}],
                "command": [
                    "sh", "-c",
                    'printf "%s" "$CONFIGURATION" > /tmp/backend.cfg; '
                    f"exec {haproxy_binary()} -db -f /tmp/backend.cfg",
                ],
            }
        ],
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=16)
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        print("not measured: wrk is missing (apt install wrk)")
        return 3
    with contextlib.ExitStack() as undo:
        place = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="hikkoshi-bench-")))
        backend, alone = free_address(), free_address()
        undo.enter_context(haproxy(place, "backend", BACKEND.format(at=backend)))
        undo.enter_context(haproxy(place, "alone", ALONE.format(at=alone, backend=backend)))
        handle, _ = undo.enter_context(own_region())
        region = balanced(Access(handle.api_url, "ap-northeast-1"))
        places = {"backend itself": backend, "HAProxy alone": alone, "the region's": region}
        for address in places.values():
            wait_for_200(address)
            ask(address, 1, asked.connections)
        busy: dict[str, list[Seen]] = {}
        quiet: dict[str, list[Seen]] = {}
        for _ in range(asked.rounds):
            for name, address in places.items():
                busy.setdefault(name, []).append(ask(address, asked.seconds, asked.connections))
                quiet.setdefault(name, []).append(ask(address, asked.seconds, 1))
    return report(busy, quiet, asked.connections)


def report(busy: dict[str, list[Seen]], quiet: dict[str, list[Seen]], connections: int) -> int:
    load = os.getloadavg()[0]
    print(f"load {load:.1f} on {os.cpu_count()} cores, median of {len(busy['HAProxy alone'])}")
    print(f"  {'':>15}  {connections} connections          1 connection")
    for name, seen in busy.items():
        rate = statistics.median(each.requests_per_s for each in seen)
        p99 = statistics.median(each.p99_ms for each in seen)
        one = statistics.median(each.p99_ms for each in quiet[name])
        print(f"  {name:>15}  {rate:7.0f}/s  p99 {p99:6.2f} ms  p99 {one:6.2f} ms")
    pairs = list(zip(busy["the region's"], busy["HAProxy alone"], strict=True))
    share = statistics.median(r.requests_per_s / a.requests_per_s for r, a in pairs)
    singles = list(zip(quiet["the region's"], quiet["HAProxy alone"], strict=True))
    added = statistics.median(r.p99_ms - a.p99_ms for r, a in singles)
    is_kept = share >= LEAST_SHARE and added <= MOST_ADDED_MS
    print(
        f"  measure: {share:.0%} of its requests/s (at least {LEAST_SHARE:.0%}), "
        f"p99 {added:+.2f} ms (at most +{MOST_ADDED_MS:g}): {'kept' if is_kept else 'broken'}"
    )
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
