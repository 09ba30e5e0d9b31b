"""`Sandbox` (engine/port.py): a container that holds the task's network, and those that join it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.engine.cgroups import Group, usage_of
from hikkoshi.region.engine.docker.container import DockerContainer
from hikkoshi.region.engine.docker.daemon import DockerRefused, path_of
from hikkoshi.region.engine.docker.documents import (
    TaskPlace,
    container_document,
    holder_document,
)
from hikkoshi.region.engine.docker.kit import Kit
from hikkoshi.region.engine.docker.laying import Laid
from hikkoshi.region.engine.limits import parse_limits
from hikkoshi.region.engine.port import (
    CannotStartContainer,
    Container,
    ContainerSpec,
    Impairment,
    SandboxUsage,
)
from hikkoshi.region.engine.space import Space

T = TypeVar("T")
_GONE_DEADLINE_S = 10.0


class DockerSandbox:
    """Its address was taken by the engine, and is given back by whoever has it at the end."""

    def __init__(
        self,
        kit: Kit,
        task_id: str,
        place: TaskPlace,
        group: Group | None,
        directory: Path,
        removed: Callable[[DockerSandbox], None],
    ) -> None:
        self.task_id = task_id
        self.address = place.address
        self.cpu_is_enforced = True
        self.memory_is_enforced = True
        self._kit = kit
        self._place = place
        self._group = group
        self._directory = directory
        self._removed = removed
        self._holder = ""
        self._holder_process = kit.proc / "0"
        self._has_address = True
        self._space: Space | None = None
        self._containers: dict[str, DockerContainer] = {}
        self._count = 0
        self._starting = 0
        self._finished_cpu_s = 0.0
        self._is_removed = False

    async def open(self) -> None:
        """Start the holder and lay the region's cable into its network. Raises CannotRun."""
        kit, place = self._kit, self._place
        try:
            await self._within_limits(self._start_holder, Path("/proc/self/limits"))
            found = await kit.daemon.ask("GET", path_of("containers", self._holder, "json"))
        except DockerRefused as refusal:
            raise CannotRun(f"Docker cannot hold the task's network: {refusal}") from refusal
        self._holder_process = kit.proc / str(found["State"]["Pid"])
        namespace = self._holder_process / "ns" / "net"
        if not namespace.exists():
            raise CannotRun(
                "Docker runs its containers on another machine or in a virtual one",
                fix="use a daemon of this machine, or --engine embedded",
            )
        self._has_address = False  # `connect` gives it back when it fails, and later the space.
        self._space = await kit.ground.connect(place.name, self.address, namespace)

    async def _start_holder(self) -> None:
        document = holder_document(self._kit, self._place, self._directory)
        self._holder = await self._create(f"{self._place.name}-holder", document)
        try:
            await self._kit.daemon.ask("POST", path_of("containers", self._holder, "start"))
        except DockerRefused:
            await self._remove_container(self._holder)
            raise

    async def _within_limits(self, attempt: Callable[[], Awaitable[T]], limits: Path) -> T:
        """Without CAP_SYS_RESOURCE Docker can raise no limit above its own hard one: once that is
        seen, what is asked for stays below those of `limits`, a file of /proc."""
        # Before the attempt: another container's may find it meanwhile.
        is_limited = self._kit.ceiling is not None
        try:
            return await attempt()
        except DockerRefused as refusal:
            if "rlimit" not in str(refusal) or is_limited:
                raise
            self._kit.ceiling = self._kit.ceiling or parse_limits(limits.read_text())
            return await attempt()

    async def _create(self, name: str, document: object) -> str:
        path = path_of("containers", "create", name=self._kit.prefix(name))
        return str((await self._kit.daemon.ask("POST", path, document))["Id"])

    # ── containers ──────────────────────────────────────────────────────────────────────────────

    async def start(self, spec: ContainerSpec) -> Container:
        """Raises CannotStartContainer."""
        if self._is_removed:
            raise CannotStartContainer("the task's sandbox has been removed")
        self._starting += 1
        try:
            return await self._within_limits(
                lambda: self._start(spec), self._holder_process / "limits"
            )
        except (DockerRefused, CannotRun, OSError) as error:
            raise CannotStartContainer(str(error)) from error
        finally:
            self._starting -= 1

    async def _start(self, spec: ContainerSpec) -> Container:
        kit = self._kit
        runnable = kit.runnable(spec.image)
        self._count += 1
        name = str(self._count)
        document, laid = await kit.ground.in_thread(
            lambda: container_document(
                kit, self._place, spec, runnable, self._directory / name, self._holder
            )
        )
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self._remove_volumes, laid)
            await self._make_volumes(laid)
            identity = await self._create(f"{self._place.name}-{name}", document)
            undo.push_async_callback(self._remove_container, identity)
            container = DockerContainer(
                kit.daemon,
                kit.ground,
                spec,
                identity,
                kit.proc,
                lambda one: self._ended(name, one, laid),
            )
            self._containers[name] = container
            undo.callback(self._containers.pop, name, None)
            await container.start()
            undo.pop_all()
        if self._group is not None and not container.has_ended:
            with contextlib.suppress(OSError):
                container.group = self._group.child(kit.group_name(identity))
        if self._is_removed:
            container.kill()
        return container

    async def _ended(self, name: str, container: DockerContainer, laid: Laid) -> None:
        await container.close()
        self._finished_cpu_s += container.cpu_s
        self._containers.pop(name, None)
        await self._remove_container(container.identity)
        await self._remove_volumes(laid)

    async def _remove_container(self, identity: str) -> None:
        with contextlib.suppress(DockerRefused):
            await self._kit.daemon.ask("DELETE", path_of("containers", identity, force=1, v=1))

    async def _make_volumes(self, laid: Laid) -> None:
        for volume in laid.volumes:
            asked = {
                "Name": volume.name,
                "Driver": "local",
                "DriverOpts": dict(volume.options),
                "Labels": self._kit.labels({}),
            }
            await self._kit.daemon.ask("POST", path_of("volumes", "create"), asked)

    async def _remove_volumes(self, laid: Laid) -> None:
        for volume in laid.volumes:
            with contextlib.suppress(DockerRefused):
                await self._kit.daemon.ask("DELETE", path_of("volumes", volume.name, force=1))

    # ── the task as a whole ─────────────────────────────────────────────────────────────────────

    async def impair(self, impairments: Sequence[Impairment]) -> None:
        """Keeps engine/port.py's Impairable: the cable is the region's own with Docker, too."""
        if self._space is None:
            raise OSError(errno.ENODEV, "the task has no network")
        await self._space.impair(impairments)

    def impairments(self) -> tuple[Impairment, ...]:
        return () if self._space is None else self._space.impairments()

    async def tune(self, values: Mapping[str, str]) -> None:
        """Keeps engine/port.py's Tunable."""
        if self._space is None:
            raise OSError(errno.ENODEV, "the task has no network")
        await self._space.tune(values)

    def usage(self) -> SandboxUsage | None:
        if self._is_removed:
            return None
        if self._group is not None and (counted := usage_of(self._group)) is not None:
            return counted
        live = [(one, one.usage()) for one in self._containers.values()]
        return SandboxUsage(
            self._finished_cpu_s + sum(one.cpu_s for one, _ in live),
            sum(used.memory_bytes for _, used in live if used is not None),
            None,
            None,
            None,
        )

    async def remove(self) -> None:
        if self._is_removed:
            return
        self._is_removed = True
        await self._end_containers()
        if self._holder:
            await self._remove_container(self._holder)
        if self._space is not None:
            with contextlib.suppress(OSError):
                await self._space.remove()
        if self._has_address:
            await self._kit.ground.give_back(self.address)
        await self._kit.ground.in_thread(self._remove_traces)
        self._removed(self)

    async def _end_containers(self) -> None:
        deadline = asyncio.get_running_loop().time() + _GONE_DEADLINE_S
        while self._starting and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)  # A start under way ends by itself, with an error.
        ends = []
        for container in list(self._containers.values()):
            container.kill()
            ends.append(asyncio.ensure_future(container.wait()))
        if ends:
            await asyncio.wait(ends, timeout=_GONE_DEADLINE_S)

    def _remove_traces(self) -> None:
        """Docker makes a task's group in every hierarchy, and removes none but a container's."""
        for top in self._kit.ground.cgroups:
            for directory in sorted((top / self._place.name).glob("**/"), reverse=True):
                with contextlib.suppress(OSError):
                    directory.rmdir()
        shutil.rmtree(self._directory, ignore_errors=True)
