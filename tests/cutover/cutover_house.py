"""Two sides behind a real HAProxy, CloudWatch's API in front of its counters, and the command."""

from __future__ import annotations

import asyncio
import http.client
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

sys.path.insert(0, str(Path(__file__).parents[1] / "elb"))
from elb_house import QUICK, Backend, HostGround, KeptNames, KeptRows
from zygote import Command, Zygote

from hikkoshi.model.cutover_mark import TAG
from hikkoshi.region.elb.service import ElbService
from hikkoshi.region.front.door import ApiFront
from hikkoshi.region.front.fallback import MotoFallback


class Sides:
    """old and new: the groups' ARNs, each with one target; `listener` leads to the old one."""

    def __init__(self, directory: Path) -> None:
        self.project = directory / "project"
        self.project.mkdir()
        self._zygote = Zygote()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._ground = HostGround(directory)
        self._elb = ElbService(
            ground=self._ground,
            names=KeptNames(),
            sockets=Path(tempfile.mkdtemp(prefix="cut-")),
            timers=QUICK,
            recorder=KeptRows(),
            find_instance=_no_instance,
        )
        door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{door.getsockname()[1]}"
        moto = MotoFallback("123456789012", (self._elb.metrics.lay_over_moto,))
        self._front = ApiFront(
            {"elbv2": self._elb},
            loop=self.loop,
            fallback=moto,
            calls={"/_hikkoshi/doors": self._doors},
        )
        self._front.start([door])
        self.elb = self.client("elbv2")
        self.backends = {name: Backend(name) for name in ("old", "new")}
        balancer = self.elb.create_load_balancer(Name="web", Subnets=["subnet-a", "subnet-c"])
        self.balancer = balancer["LoadBalancers"][0]["LoadBalancerArn"]
        self.old, self.new = (self._group(name) for name in ("old", "new"))
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTP",
            Port=8000,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.old}],
        )["Listeners"][0]["ListenerArn"]
        self.port = int(self._elb.doors()[self.listener].rpartition(":")[2])
        wait(lambda: self.ask() == 200, "the old side answers")

    async def _doors(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"listeners": self._elb.doors(), "databases": {}}

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="ap-northeast-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}),
        )

    def _group(self, name: str) -> str:
        arn = self.elb.create_target_group(
            Name=f"web-{name}",
            Protocol="HTTP",
            Port=80,
            VpcId="vpc-1",
            TargetType="ip",
            HealthCheckPath="/health",
        )["TargetGroups"][0]["TargetGroupArn"]
        port = self.backends[name].port
        self.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.1", "Port": port}])
        return str(arn)

    def ask(self, path: str = "/") -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def weights(self) -> dict[str, int]:
        """old, new → weight, of the listener's default action."""
        found = self.elb.describe_listeners(ListenerArns=[self.listener])["Listeners"][0]
        names = {self.old: "old", self.new: "new"}
        groups = found["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
        return {names[g["TargetGroupArn"]]: g["Weight"] for g in groups}

    def set_weights(self, old: int, new: int) -> None:
        groups = [
            {"TargetGroupArn": self.old, "Weight": old},
            {"TargetGroupArn": self.new, "Weight": new},
        ]
        self.elb.modify_listener(
            ListenerArn=self.listener,
            DefaultActions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],
        )

    def marks(self) -> list[str]:
        """What the tags say of a cutover, of both groups."""
        found = self.elb.describe_tags(ResourceArns=[self.old, self.new])["TagDescriptions"]
        return [t["Value"] for each in found for t in each["Tags"] if t["Key"] == TAG]

    def as_it_was(self) -> None:
        self.elb.remove_tags(ResourceArns=[self.old, self.new], TagKeys=[TAG])
        self.elb.modify_listener(
            ListenerArn=self.listener,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.old}],
        )

    # The command

    def start(self, *words: str, url: str | None = None) -> Command:
        """url: of what stands before the region."""
        environment = {"AWS_ENDPOINT_URL": url or self.url}
        line = ["cutover", words[0], str(self.project), *words[1:]]
        return self._zygote.start(line, environment)

    def run(self, *words: str, timeout_s: float = 60.0) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=timeout_s)
        assert process.returncode is not None
        return process.returncode, out, err

    def close(self) -> None:
        self._zygote.close()
        self._front.close()
        asyncio.run_coroutine_threadsafe(self._elb.close(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        for backend in self.backends.values():
            backend.close()


async def _no_instance(instance_id: str, region: str) -> str | None:
    return None


class Load:
    """Requests at a steady rate, each on a connection of its own, from threads of this process."""

    def __init__(self, sides: Sides, rate: float = 60.0) -> None:
        self._sides = sides
        self._rate = rate
        self._over = threading.Event()
        self.statuses: list[tuple[float, int]] = []
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(6)]

    def _send(self) -> None:
        while not self._over.is_set():
            status = self._sides.ask("/x")
            self.statuses.append((time.time(), status))
            self._over.wait(len(self._threads) / self._rate)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> list[tuple[float, int]]:
        return [(t, status) for t, status in self.statuses if status != 200]


def wait(condition: Callable[[], bool], what: str, deadline_s: float = 20.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"within {deadline_s} s this did not happen: {what}"
        time.sleep(0.02)
