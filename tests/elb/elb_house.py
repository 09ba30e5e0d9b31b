"""A real HAProxy in the machine's own network, behind the real front, called by boto3."""

from __future__ import annotations

import asyncio
import http.server
import itertools
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from hikkoshi.model.timers import Timers
from hikkoshi.region.elb.service import ElbService
from hikkoshi.region.front.door import ApiFront
from loopback_blocks import own_block


class HostInstance:
    """Processes in the machine's own namespaces."""

    name = "region"
    address = "127.0.0.1"

    def __init__(self) -> None:
        self.processes: list[asyncio.subprocess.Process] = []

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        uid: int | None = None,
        writable: Sequence[Path] = (),
        log: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> asyncio.subprocess.Process:
        assert log is not None
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *argv, stdout=sink, stderr=sink, pass_fds=tuple(pass_fds)
            )
        self.processes.append(process)
        return process

    async def run(self, argv: Sequence[str], **_: Any) -> tuple[int, bytes]:
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _stderr = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output

    async def remove(self) -> None:
        return None


class HostGround:
    """Loopback for a network: each ground has a block of 127.x.y.z of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.gateway = f"{own_block()}.1"
        self.resolver = self.gateway
        self.instance = HostInstance()
        self.doors: dict[int, socket.socket] = {}

    def region_instance(self) -> HostInstance:
        return self.instance

    async def create_instance(self, name: str) -> HostInstance:
        raise AssertionError("a load balancer needs no instance")

    async def open_door(self, wanted_port: int | None) -> tuple[int, int]:
        door = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.doors[door.fileno()] = door
        return door.fileno(), door.getsockname()[1]

    async def close_door(self, fd: int) -> None:
        self.doors.pop(fd).close()

    async def add_address(self, address: str) -> None:
        assert address.startswith("127.")


class KeptNames:
    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}

    def set(self, name: str, addresses: list[str], ttl_s: int = 60) -> None:
        self.names[name] = addresses

    def set_alias(self, name: str, target: str, ttl_s: int = 5) -> None:
        raise AssertionError("a load balancer's name is no alias")

    def remove(self, name: str) -> None:
        del self.names[name]


class KeptRows:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def record(self, table: str, **columns: Any) -> None:
        self.rows.append({"table": table, **columns})


class Backend:
    """A target: answers with its name; `/health` with `status`; other paths misbehave as named."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.status = 200
        self.cookie = ""
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.gate = threading.Event()
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                backend.answer(self)

            def log_message(self, *_: Any) -> None:
                return None

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None:
                return None

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def speak_tls(self, certificate: Path) -> None:
        """certificate: a file of it and its key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path = handler.path
        headers = {key.lower(): value for key, value in handler.headers.items()}
        self.seen.append((path, headers))
        if path == "/reset":
            linger = b"\1\0\0\0\0\0\0\0"
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            return
        if path == "/garbage":
            handler.wfile.write(b"this is not HTTP\r\n\r\n")
            handler.close_connection = True
            return
        if path == "/wait":
            self.gate.wait(30)
        body = self.name.encode()
        handler.send_response(self.status if path == "/health" else 200)
        handler.send_header("Content-Length", str(len(body)))
        if self.cookie:
            handler.send_header("Set-Cookie", self.cookie)
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class House:
    """The service, its front, and a boto3 client; calls come from this thread, as a user's do."""

    def __init__(self, directory: Path, timers: Timers, **more: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.ground, self.names, self.recorder = HostGround(directory), KeptNames(), KeptRows()
        self.service = ElbService(
            ground=self.ground,
            names=self.names,
            sockets=Path(tempfile.mkdtemp(prefix="elb-")),
            timers=timers,
            recorder=self.recorder,
            find_subnet=lambda subnet, region: {
                "subnet-a": ("vpc-1", f"{region}a"),
                "subnet-c": ("vpc-1", f"{region}c"),
                "subnet-d": ("vpc-1", f"{region}d"),
            }.get(subnet),
            **more,
        )
        door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{door.getsockname()[1]}"
        self.front = ApiFront({"elbv2": self.service}, loop=self.loop, fallback=None)
        self.front.start([door])
        self.client: Any = boto3.client(
            "elbv2",
            endpoint_url=self.url,
            region_name="ap-northeast-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}),
        )
        self._ports = itertools.count(8000)

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def create_balancer(self, name: str = "web") -> str:
        answer = self.client.create_load_balancer(Name=name, Subnets=["subnet-a", "subnet-c"])
        return str(answer["LoadBalancers"][0]["LoadBalancerArn"])

    def create_group(self, name: str, **more: Any) -> str:
        answer = self.client.create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=80,
            VpcId="vpc-1",
            TargetType="ip",
            HealthCheckPath="/health",
            **more,
        )
        return str(answer["TargetGroups"][0]["TargetGroupArn"])

    def create_listener(self, balancer: str, actions: list[dict[str, Any]]) -> str:
        answer = self.client.create_listener(
            LoadBalancerArn=balancer,
            Protocol="HTTP",
            Port=next(self._ports),
            DefaultActions=actions,
        )
        return str(answer["Listeners"][0]["ListenerArn"])

    def door(self, listener: str) -> int:
        return int(self.service.doors()[listener].rpartition(":")[2])

    def register(self, group: str, *backends: Backend) -> None:
        targets = [{"Id": "127.0.0.1", "Port": backend.port} for backend in backends]
        self.client.register_targets(TargetGroupArn=group, Targets=targets)

    def states(self, group: str) -> dict[int, str]:
        answer = self.client.describe_target_health(TargetGroupArn=group)
        return {
            item["Target"]["Port"]: item["TargetHealth"]["State"]
            for item in answer["TargetHealthDescriptions"]
        }

    def wait_for(self, group: str, **wanted: int) -> None:
        """Until so many targets are in each named state."""

        def is_so() -> bool:
            states = list(self.states(group).values())
            return all(states.count(state) == count for state, count in wanted.items())

        wait_until(is_so, f"targets {wanted} (they are {self.states(group)})")

    def close(self) -> None:
        self.front.close()
        self.run(self.service.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        for process in self.ground.instance.processes:
            assert process.returncode is not None, "a HAProxy was left behind"


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = 15.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"within {deadline_s} s there were not: {what}"
        time.sleep(0.02)


QUICK = Timers(deregistration_delay_s=2.0, target_health_interval_s=0.1)
