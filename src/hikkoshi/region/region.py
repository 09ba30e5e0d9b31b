"""The local region: wires its rooms together and serves until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

from hikkoshi.base.clock import SystemClock
from hikkoshi.base.errors import BadInput
from hikkoshi.evidence.recorder import JsonlRecorder
from hikkoshi.image.libraries import Libraries
from hikkoshi.image.library import LocalLibrary
from hikkoshi.image.python_home import current_python
from hikkoshi.image.stand_ins import STAND_INS
from hikkoshi.region.autoscaling.service import AutoscalingService
from hikkoshi.region.boot import linux
from hikkoshi.region.boot.context import RegionContext
from hikkoshi.region.boot.ground import EmbeddedGround
from hikkoshi.region.closing import Closing
from hikkoshi.region.dns.cloudmap import CloudMap
from hikkoshi.region.dns.hosted import HostedZones
from hikkoshi.region.dns.server import DnsServer
from hikkoshi.region.ecs.service import EcsService
from hikkoshi.region.elb.service import ElbService
from hikkoshi.region.engine.docker.engine import DockerEngine
from hikkoshi.region.engine.embedded import EmbeddedEngine
from hikkoshi.region.engine.port import Mount
from hikkoshi.region.engines import RUN, TASKS, open_engine
from hikkoshi.region.front.door import ApiFront
from hikkoshi.region.front.fallback import MotoFallback
from hikkoshi.region.front.slim_models import slim_models
from hikkoshi.region.intake.datadog import NAMES, DatadogIntake
from hikkoshi.region.logs.drivers import FargateLogDrivers
from hikkoshi.region.metadata.server import MetadataServer
from hikkoshi.region.motos import (
    MotoAlarms,
    certificate_finder,
    instance_finder,
    object_putter,
    return_certificates,
    subnet_finder,
)
from hikkoshi.region.payload import (
    BALANCERS_JOURNAL,
    DATABASES_JOURNAL,
    JOURNAL,
    SCALING_JOURNAL,
    Payload,
    read_payload,
)
from hikkoshi.region.rds.service import RdsService
from hikkoshi.region.task.runtime import EcsTaskRuntime
from hikkoshi.region.task.secrets import BotoSecretStore, MakeClient, region_clients
from hikkoshi.region.xray.service import XrayService

INTAKE_ADDRESS = "10.0.0.3"
METADATA_ADDRESS = "169.254.170.2"
API_PORT_INSIDE = 4566
# Not under /run: FireLens lays the socket directory over /var/run, which is the same.
CA_INSIDE = "/hikkoshi-ca.pem"


async def main(ground: EmbeddedGround, context: RegionContext) -> None:
    """The entry point. Every room that is opened is closed again, in reverse, whatever happens."""
    payload = read_payload(context.payload)
    slim_models()
    linux.use_one_heap()
    # While moto is imported in its thread, the loop waits this long for each turn, not 5 ms.
    sys.setswitchinterval(0.0005)
    async with contextlib.AsyncExitStack() as undo:
        images = images_of(payload, ground.state / "images")
        engine = await open_engine(payload.engine, ground, images, described_images(payload))
        region = Region(ground, context, payload, engine)
        undo.push_async_callback(region.close)
        await region.open()
        context.ready()
        await context.stopping.wait()


class Region:
    """The rooms, made in the order in which they need each other."""

    def __init__(
        self,
        ground: EmbeddedGround,
        context: RegionContext,
        payload: Payload,
        engine: EmbeddedEngine | DockerEngine,
    ) -> None:
        self._ground = ground
        self._context = context
        self._undo = Closing()
        self._payload = payload
        clock, timers = SystemClock(), payload.timers
        inside = f"http://{ground.gateway}:{API_PORT_INSIDE}"
        clients = region_clients(inside)
        self.recorder = JsonlRecorder(context.record_directory, clock)
        self.names = DnsServer(
            heard=lambda client, name: self.recorder.record(
                "name_queries", t=clock.now(), client=client, name=name
            )
        )
        self.intake = DatadogIntake(ground.state / "intake", self.recorder, clock)
        self.metadata = MetadataServer(clock=clock)
        self.logs = FargateLogDrivers(
            context.record_directory / "logs",
            self.recorder,
            clock,
            lambda region: clients("logs", region),
        )
        self.engine = engine
        self.runtime = EcsTaskRuntime(
            engine=self.engine,
            logs=self.logs,
            secrets=BotoSecretStore(clients),
            metadata=self.metadata,
            recorder=self.recorder,
            timers=timers,
            clock=clock,
            run_directory=TASKS,
            extra_environment={
                # An SDK in a task finds the region by this; on Fargate the variable is not there.
                "AWS_ENDPOINT_URL": inside,
                # Datadog's intake is played with a certificate of the region's own.
                "SSL_CERT_FILE": CA_INSIDE,
            },
            extra_mounts=(Mount(self.intake.ca_file, CA_INSIDE, is_read_only=True),),
        )
        self.elb = ElbService(
            ground=ground, names=self.names, sockets=RUN, timers=timers, recorder=self.recorder,
            find_instance=instance_finder(clients),
            find_subnet=subnet_finder(payload.account_id),
            find_certificate=certificate_finder(payload.account_id),
            put_object=object_putter(clients),
            certificates=context.kept_directory / "certificates",
            journal=context.record_directory / BALANCERS_JOURNAL,
        )  # fmt: skip
        cloud_map = CloudMap(payload.account_id, payload.region)
        self.names.zone.add_source(cloud_map)
        self.names.zone.add_source(HostedZones(payload.account_id))
        self.ecs = EcsService(
            runtime=self.runtime,
            balancers=self.elb,
            clock=clock,
            timers=timers,
            recorder=self.recorder,
            account_id=payload.account_id,
            region=payload.region,
            journal=context.record_directory / JOURNAL,
            door=lambda: ground.open_door(None),
            registries=cloud_map,
            dns=self.names,
            alarms=MotoAlarms(payload.account_id, payload.region),
        )
        self.autoscaling = AutoscalingService(
            services=self.ecs,
            use=self.runtime.use,
            request_count=self.elb.request_count,
            clock=clock,
            timers=timers,
            account_id=payload.account_id,
            region=payload.region,
            journal=context.record_directory / SCALING_JOURNAL,
        )
        self.rds = RdsService(
            ground,
            self.names,
            self.recorder,
            clock,
            timers,
            context.kept_directory / "databases",
            payload.account_id,
            payload.region,
            context.record_directory / DATABASES_JOURNAL,
        )
        self.xray = XrayService(self.recorder, clock)
        self.front = ApiFront(
            {
                "application-autoscaling": self.autoscaling,
                "ecs": self.ecs,
                "elbv2": self.elb,
                "rds": self.rds,
                "xray": self.xray,
            },
            loop=asyncio.get_running_loop(),
            account_id=payload.account_id,
            default_region=payload.region,
            fallback=MotoFallback(
                payload.account_id, (self.elb.metrics.lay_over_moto,), payload.region
            ),
            calls={
                "/_hikkoshi/status": self._status,
                "/_hikkoshi/doors": self._doors,
                "/_hikkoshi/mark": self._mark,
                "/_hikkoshi/execute": self._execute,
                "/_hikkoshi/crash": self._crash,
                "/_hikkoshi/flush": self._flush,
                "/_hikkoshi/interrupt": self._interrupt,
                "/_hikkoshi/events": self._events,
                "/_hikkoshi/reset": self._reset,
            },
            first_use={"cloudformation": lambda: _mount_cloudformation(clients)},
            names=(ground.gateway,),
        )

    async def open(self) -> None:
        """Undo of each step is registered before the step is taken."""
        undo = self._undo
        undo.add("what is kept", self._keep_nothing)
        undo.add("recorder", self.recorder.close)
        await self._ground.add_address(self._ground.resolver)
        await self._ground.add_address(INTAKE_ADDRESS)
        await self._ground.add_address(METADATA_ADDRESS)
        undo.add("names", self.names.close)
        await self.names.start(self._ground.resolver, 53)
        for host in NAMES:
            self.names.set(host, [INTAKE_ADDRESS])
        undo.add("intake", self.intake.close)
        await self.intake.start(INTAKE_ADDRESS)
        undo.add("metadata", self.metadata.close)
        await self.metadata.listen(METADATA_ADDRESS, 80)
        undo.add("API", functools.partial(asyncio.to_thread, self.front.close))
        undo.add("xray", self.xray.close)
        undo.add("rds", self.rds.close)
        await self.rds.restore()
        undo.add("elb", self.elb.close)
        await self.elb.restore()
        if certificates := self.elb.certificates():
            account = self._payload.account_id
            await asyncio.to_thread(return_certificates, account, certificates)
        undo.add("engine", self.engine.close)
        undo.add("logs", self.logs.close)
        undo.add("runtime", self.runtime.close)
        undo.add("ecs", self.ecs.close)
        await self.ecs.start()
        undo.add("autoscaling", self.autoscaling.close)
        await self.autoscaling.start()
        inside = socket.create_server(
            (self._ground.gateway, API_PORT_INSIDE), reuse_port=False, backlog=128
        )
        self.front.start([self._context.api_socket, inside])

    async def close(self) -> None:
        await self._undo.close()

    async def _keep_nothing(self) -> None:
        """What ends in order begins empty; the door removes the ground and what is moved to it."""
        kept = self._context.kept_directory
        if kept.exists():
            try:
                kept.rename(self._ground.state / kept.name)
            except OSError:
                await asyncio.to_thread(shutil.rmtree, kept, True)

    async def _status(self, asked: dict[str, Any]) -> dict[str, Any]:
        used_intake = self.intake.stand_ins() if self.intake.counts.requests else []
        return {
            "region_id": self._context.region_id,
            "region": self._payload.region,
            "engine": self.engine.name,
            "stand_ins": sorted({*self.engine.stand_ins(), *used_intake, *self.rds.stand_ins()}),
            "not_enforced": sorted(
                {
                    *self.engine.not_enforced(),
                    *self.logs.not_imitated(),
                    *self.runtime.not_imitated(),
                    *self.elb.not_done(),
                }
            ),
            "versions": {},
        }

    async def _doors(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {
            "listeners": self.elb.doors(),
            "databases": {
                each["endpoint"]: f"{each['host']}:{each['port']}" for each in self.rds.doors()
            },
        }

    async def _mark(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"queries": await self.rds.mark(str(asked["name"]))}

    async def _execute(self, asked: dict[str, Any]) -> dict[str, Any]:
        code, output = await self.runtime.execute(
            str(asked["task"]),
            asked.get("container"),
            [str(word) for word in asked["command"]],
            float(asked.get("timeout_s", 30)),
        )
        return {"code": code, "output": output.decode("utf-8", "replace")}

    async def _crash(self, asked: dict[str, Any]) -> dict[str, Any]:
        code = await self.runtime.crash(str(asked["task"]), str(asked["container"]))
        return {"exit_code": code}

    async def _events(self, asked: dict[str, Any]) -> dict[str, Any]:
        try:
            after, limit = int(asked.get("after", 0)), int(asked.get("limit", 1000))
        except (TypeError, ValueError) as error:
            raise BadInput("after and limit must be whole numbers", where="events") from error
        return self.ecs.events(after, max(1, limit))

    async def _reset(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.ecs.reset()
        await self.elb.reset()
        return {}

    async def _interrupt(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.ecs.interrupt(str(asked.get("task")))
        return {}

    async def _flush(self, asked: dict[str, Any]) -> dict[str, Any]:
        await self.elb.flush()
        await asyncio.to_thread(self.recorder.flush)
        return {"lost": self.recorder.lost}


def _mount_cloudformation(clients: MakeClient) -> None:
    """Imported when CloudFormation is first asked: it brings half of moto with it."""
    from hikkoshi.region.cloudformation.mount import mount

    mount(clients)


def described_images(payload: Payload) -> frozenset[str]:
    """Names of images that a project says how to make without Docker."""
    return frozenset(
        name
        for project in payload.projects
        for name in (*(image.name for image in project.images), *project.archives)
    )


def images_of(payload: Payload, directory: Path) -> Libraries:
    """One library for each project, and one for what no project describes."""
    python = current_python()
    common = LocalLibrary(directory, python, stand_ins=STAND_INS)
    described: dict[str, LocalLibrary] = {}
    for project in payload.projects:
        library = LocalLibrary(
            directory,
            python,
            project=Path(project.directory),
            images=project.images,
            archives={name: Path(path) for name, path in project.archives.items()},
            stand_ins=STAND_INS,
        )
        described |= {image.name: library for image in project.images}
        described |= dict.fromkeys(project.archives, library)
    return Libraries(common, described)
