"""What measuring costs: an application's throughput with recording on, as a share of it off.

    python bench/bench_recording.py [--seconds 1.5] [--pairs 16]

A service of one task (Python's http.server, one line of log a request) behind the region's load
balancer, asked as fast as it answers by eight connections. All in one region, in turns, on and off,
so that what disturbs one disturbs the other. Off: no row is written and nothing is sampled; the
log's pipe and HAProxy's lines are read and thrown away. There is no database: what its sampling
costs is not in the figure. Measure: at least 95 %.

Two figures, each the median of the pairs' ratios with the interval that holds the true median in
95 of 100 cases (order statistics, no assumption of a shape):
- throughput, which is what counts, and swings with whatever else this machine does;
- CPU seconds of the whole region for each request, off ÷ on: what throughput would be on a machine
  that does nothing else. The application, the load balancer and the region are in it, the load
  generator is not.
The measure is kept when the interval of the CPU's figure lies above it, broken when it lies below,
and not decided when it does neither: then more pairs, or a quieter machine, are needed.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.aws.access import Access
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.load.attack import Attack
from hikkoshi.load.run import LoadRun
from hikkoshi.load.targets import parse_targets
from hikkoshi.model.project import HealthCheck, LoadBalancer
from hikkoshi.model.timers import Timers
from hikkoshi.region.boot.launch import launch
from hikkoshi.region.boot.settings import LaunchSettings
from hikkoshi.region.payload import payload_of
from hikkoshi.region.task import sampling as tasks
from hikkoshi.trials.balancer import create_balancer

LEAST_SHARE = 0.95
CONNECTIONS = 8
SWITCH = Path(os.environ.get("HIKKOSHI_BENCH_OFF", "/nowhere"))
"""Inside the region: nothing is recorded while this file is there."""
DEADLINE_S = 90.0

APPLICATION = r"""
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps([{"id": k, "title": f"report {k}"} for k in range(200)]).encode()
        print(json.dumps({"time": time.time(), "path": self.path, "status": 200}), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


async def region(ground: Any, context: Any) -> None:
    """The region's entry point, with a switch for what it records."""
    from hikkoshi.region.region import main as serve

    record = JsonlRecorder.record

    def switched_record(self: JsonlRecorder, table: str, **columns: Any) -> None:
        if not SWITCH.exists():
            record(self, table, **columns)

    def unless_off(method: Any) -> Any:
        return lambda *arguments: None if SWITCH.exists() else method(*arguments)

    JsonlRecorder.record = switched_record  # type: ignore[method-assign]
    for name in ("sample", "sample_machine"):
        setattr(tasks.Sampler, name, unless_off(getattr(tasks.Sampler, name)))
    await serve(ground, context)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--pairs", type=int, default=16)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hikkoshi-bench-") as name:
        place = Path(name)
        switch = place / "off"
        os.environ["HIKKOSHI_BENCH_OFF"] = str(switch)
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)
        handle = launch(
            LaunchSettings(
                state=place / "state",
                record_directory=place / "records",
                entry_point="bench_recording:region",
                index=place / "index",
                payload=payload_of(None, Timers.for_rehearsal()),
            )
        )
        try:
            handle.wait_ready()
            door = serve(Access(handle.api_url, "ap-northeast-1"))
            pairs = [
                measure(door, asked.seconds, switch, k, handle.pid) for k in range(asked.pairs + 1)
            ][1:]  # the first pair warms up
        finally:
            handle.stop()
        rows = sum(len(f.read_bytes().splitlines()) for f in place.glob("records/*.jsonl"))
    shares = Interval.of([on.rate / off.rate for on, off in pairs])
    costs = Interval.of([off.cpu_s / on.cpu_s for on, off in pairs])
    load = os.getloadavg()[0]
    print(f"recording on, as a share of off: {len(pairs)} pairs, load {load:.1f} on "
          f"{os.cpu_count()} cores")  # fmt: skip
    print(f"  by CPU seconds a request: {costs}")
    print(f"  by throughput:            {shares}")
    for on, off in pairs:
        print(
            f"  {on.rate:8.0f} requests/s on, {off.rate:8.0f} off: {on.rate / off.rate:.1%};  "
            f"{on.cpu_s * 1e6:6.0f} µs of CPU on, {off.cpu_s * 1e6:6.0f} off: "
            f"{off.cpu_s / on.cpu_s:.1%}"
        )
    print(f"  {rows} rows were recorded")
    said = "kept" if costs.low >= LEAST_SHARE else "broken" if costs.high < LEAST_SHARE else ""
    print(f"  measure: at least {LEAST_SHARE:.0%}: {said or 'not decided'}")
    return 1 if said == "broken" else 0


@dataclass(frozen=True)
class Slice:
    """cpu_s: of the whole region, for each request."""

    rate: float
    cpu_s: float


@dataclass(frozen=True)
class Interval:
    """A median, and what holds the true one in 95 of 100 cases."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: list[float]) -> Interval:
        """By order statistics: of n values, the k-th lowest and highest such that at most 5 % of
        n throws of a coin fall outside. Below six values there is none: the whole range."""
        ordered, count = sorted(values), len(values)
        outside, skipped = 0.0, 0
        while skipped < count // 2:
            outside += 2 * math.comb(count, skipped) / 2**count
            if outside > 0.05:
                break
            skipped += 1
        skipped = max(0, skipped - 1)
        return Interval(statistics.median(ordered), ordered[skipped], ordered[count - 1 - skipped])

    def __str__(self) -> str:
        return f"median {self.median:.1%}, 95 % interval {self.low:.1%} to {self.high:.1%}"


def cpu_of_tree(root: int) -> float:
    """CPU seconds of a process and all below it that are alive."""
    parents: dict[int, list[tuple[int, float]]] = {}
    own = 0.0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        parents.setdefault(int(fields[1]), []).append((int(entry.name), used))
        own = used if int(entry.name) == root else own
    total, left = own, [root]
    while left:
        for child, used in parents.get(left.pop(), []):
            total += used
            left.append(child)
    return total


def serve(access: Access) -> str:
    """The service, healthy behind a load balancer; where it is asked, as host:port."""
    settings = LoadBalancer("bench", health_check=HealthCheck(path="/health"))
    home = create_balancer(access, settings)
    ecs = access.client("ecs")
    ecs.create_cluster(clusterName="bench")
    ecs.register_task_definition(
        family="bench", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="1024",
        memory="2048",
        containerDefinitions=[{
            "name": "app", "image": "localhost/host", "essential": True,
            "command": ["/usr/bin/python3", "-c", APPLICATION],
            "portMappings": [{"containerPort": 8080}],
        }],
    )  # fmt: skip
    where = {"subnets": home.subnets, "securityGroups": home.security_groups}
    ecs.create_service(
        cluster="bench", serviceName="bench", taskDefinition="bench", desiredCount=1,
        launchType="FARGATE", networkConfiguration={"awsvpcConfiguration": where},
        loadBalancers=[{"targetGroupArn": home.target_group_arn, "containerName": "app",
                        "containerPort": 8080}],
    )  # fmt: skip
    elb, deadline = access.client("elbv2"), time.monotonic() + DEADLINE_S
    while True:
        seen = elb.describe_target_health(TargetGroupArn=home.target_group_arn)
        if [e["TargetHealth"]["State"] for e in seen["TargetHealthDescriptions"]] == ["healthy"]:
            return home.door
        if time.monotonic() > deadline:
            raise SystemExit(f"not healthy within {DEADLINE_S:g} s: {seen}")
        time.sleep(0.2)


def measure(
    door: str, seconds: float, switch: Path, number: int, region_pid: int
) -> tuple[Slice, Slice]:
    """(recording on, off); every other pair begins with off."""
    found = {}
    for is_off in (False, True) if number % 2 else (True, False):
        switch.unlink(missing_ok=True)
        if is_off:
            switch.touch()
        found[is_off] = throughput(f"http://{door}/reports", seconds, region_pid)
    return found[False], found[True]


def throughput(url: str, seconds: float, region_pid: int) -> Slice:
    plan = Attack(parse_targets(f"GET {url}"), None, seconds, connections=CONNECTIONS)
    before = cpu_of_tree(region_pid)
    with tempfile.TemporaryDirectory() as name, LoadRun(plan, Path(name) / "r.load") as run:
        summary = run.wait()
    used = cpu_of_tree(region_pid) - before
    return Slice(summary.throughput, used / max(1, summary.whole.requests))


if __name__ == "__main__":
    sys.exit(main())
