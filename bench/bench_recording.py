"""What measuring costs: an application's throughput with recording on, as a share of it off.

    python bench/bench_recording.py [--seconds 4] [--pairs 8]

A service of one task (Python's http.server, one line of log a request) behind the region's load
balancer, asked as fast as it answers by eight connections. All in one region, in turns, on and off,
so that what disturbs one disturbs the other; the median of the pairs' ratios counts. Off: no row is
written and nothing is sampled; the log's pipe and HAProxy's lines are read and thrown away. There
is no database: what its sampling costs is not in the figure. Measure: at least 95 %.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
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
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--pairs", type=int, default=8)
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
            pairs = [measure(door, asked.seconds, switch, k) for k in range(asked.pairs + 1)]
        finally:
            handle.stop()
        rows = sum(len(f.read_bytes().splitlines()) for f in place.glob("records/*.jsonl"))
    ratios = [on / off for on, off in pairs[1:]]  # the first pair warms up
    share = statistics.median(ratios)
    load = os.getloadavg()[0]
    print(
        f"recording on, as a share of off: median {share:.1%} of {len(ratios)} pairs "
        f"({min(ratios):.1%} to {max(ratios):.1%}), load {load:.1f} on {os.cpu_count()} cores"
    )
    for on, off in pairs[1:]:
        print(f"  {on:8.0f} requests/s on, {off:8.0f} off: {on / off:.1%}")
    print(f"  {rows} rows were recorded")
    print(f"  measure: at least {LEAST_SHARE:.0%}: {'kept' if share >= LEAST_SHARE else 'broken'}")
    return 0 if share >= LEAST_SHARE else 1


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


def measure(door: str, seconds: float, switch: Path, number: int) -> tuple[float, float]:
    """(requests a second with recording on, off); every other pair begins with off."""
    found = {}
    for is_off in (False, True) if number % 2 else (True, False):
        switch.unlink(missing_ok=True)
        if is_off:
            switch.touch()
        found[is_off] = throughput(f"http://{door}/reports", seconds)
    return found[False], found[True]


def throughput(url: str, seconds: float) -> float:
    plan = Attack(parse_targets(f"GET {url}"), None, seconds, connections=CONNECTIONS)
    with tempfile.TemporaryDirectory() as name, LoadRun(plan, Path(name) / "r.load") as run:
        return run.wait().throughput


if __name__ == "__main__":
    sys.exit(main())
