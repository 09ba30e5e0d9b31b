"""The embedded engine: namespaces and bwrap, without a daemon, root or the network."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from hikkoshi.base.errors import CannotRun
from hikkoshi.model.images import ImageLibrary, ImageNotHere, LocalImage
from hikkoshi.region.engine.cgroups import Group, open_groups, safe_name, usage_of
from hikkoshi.region.engine.container import EmbeddedContainer, connect
from hikkoshi.region.engine.limits import Clipped, grant
from hikkoshi.region.engine.port import (
    CannotPullContainer,
    CannotStartContainer,
    Container,
    ContainerSpec,
    Image,
    Impairment,
    SandboxUsage,
)
from hikkoshi.region.engine.space import Space, SpaceGround
from hikkoshi.region.engine.started import Started
from hikkoshi.region.engine.starting import (
    Held,
    hold,
    host_name_of,
    let_go,
    prepare,
    write_network_files,
)
from hikkoshi.region.engine.tools import (
    Tools,
    can_overlay,
    find_bwrap,
    find_tools,
    remove_scratch,
)

_GONE_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class _Ready:
    """name: of its directory and its control group."""

    spec: ContainerSpec
    name: str
    held: Held
    started: Started


class EmbeddedSandbox:
    """Keeps engine/port.py's Sandbox."""

    def __init__(
        self,
        engine: EmbeddedEngine,
        task_id: str,
        space: Space,
        group: Group | None,
        directory: Path,
        removed: Callable[[EmbeddedSandbox], None],
    ) -> None:
        self.task_id = task_id
        self.address = space.address
        self.cpu_is_enforced = group is not None and group.has_cpu
        self.memory_is_enforced = group is not None and group.has_memory
        self._engine = engine
        self._space = space
        self._group = group
        self._directory = directory
        self._removed = removed
        self._containers: dict[str, EmbeddedContainer] = {}
        self._groups: list[Group] = []
        self._ready: dict[str, asyncio.Future[_Ready]] = {}
        self._starting = 0
        self._finished_cpu_s = 0.0
        self._is_removed = False

    async def start(self, spec: ContainerSpec) -> Container:
        """A container's own writes are gone with it. Raises CannotStartContainer."""
        if self._is_removed:
            raise CannotStartContainer("the task's sandbox has been removed")
        self._starting += 1
        try:
            ready = await self._take_ready(spec) or await self._hold(spec)
            return await self._let_go(ready)
        finally:
            self._starting -= 1

    async def make_ready(self, spec: ContainerSpec) -> None:
        """As the port's ReadiesContainers says."""
        if self._is_removed or spec.container_id in self._ready:
            return
        holding = asyncio.ensure_future(self._hold(spec))
        self._ready[spec.container_id] = holding
        await asyncio.wait([holding])

    async def _take_ready(self, spec: ContainerSpec) -> _Ready | None:
        holding = self._ready.get(spec.container_id)
        if holding is None:
            return None
        await asyncio.wait([holding])
        if self._ready.pop(spec.container_id, None) is None:
            raise CannotStartContainer("the task's sandbox has been removed")
        if holding.exception() is not None:
            # What it waited for may have brought what was missing: it is tried anew.
            return None
        ready = holding.result()
        if ready.spec == spec and ready.held.ending.value is None:
            return ready
        ready.held.drop()
        return None

    async def _hold(self, spec: ContainerSpec) -> _Ready:
        engine, tools = self._engine, self._engine.tools
        root = engine.local(spec.image).root
        name = f"{safe_name(spec.container_id)}-{len(self._groups)}-{time.monotonic_ns():x}"
        directory = self._directory / name
        try:
            limits, clipped = grant(spec.ulimits, dict(tools.limits))
        except ValueError as error:
            raise CannotStartContainer(str(error)) from error
        engine.note_clipped(clipped)
        group: Group | None = None
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, directory, ignore_errors=True)
            prepared = prepare(
                spec,
                root,
                tools.host,
                directory,
                (engine.state,),
                network=write_network_files(
                    self._directory, host_name_of(spec), self.address, engine.resolver
                ),
                can_keep_writes_on_disk=tools.can_keep_writes_on_disk,
            )
            if self._group is not None:
                group = self._make_group(self._group, name, spec)
            held = await hold(
                prepared, spec.argv, self._space, tools.bwrap, group, limits, engine.spawner
            )
            undo.pop_all()
        started = Started(
            replace(spec, hostname=prepared.hostname),
            self._space,
            prepared.user,
            held.pid,
            held.process_fd,
            group,
            limits,
            tools.nsenter,
            engine.spawner,
        )
        return _Ready(spec, name, held, started)

    async def _let_go(self, ready: _Ready) -> Container:
        running = await let_go(ready.held, self._engine.tools.bwrap)
        stdout, _ = await connect(running.stdout)
        stderr, _ = await connect(running.stderr)
        if running.early_errors:
            stderr.feed_data(running.early_errors)
        container = EmbeddedContainer(
            ready.started,
            running.ending,
            stdout,
            stderr,
            lambda one: self._ended(ready.name, one),
        )
        self._containers[ready.name] = container
        if self._is_removed:
            container.kill()
        return container

    def _make_group(self, task: Group, name: str, spec: ContainerSpec) -> Group:
        try:
            group = task.child(name)
            self._groups.append(group)
            group.share_cpu(spec.cpu_units)
            if spec.memory_mib is not None:
                group.limit_memory(spec.memory_mib)
        except OSError as error:
            raise CannotStartContainer(f"the container's limits cannot be set: {error}") from error
        return group

    def _ended(self, name: str, container: EmbeddedContainer) -> None:
        self._finished_cpu_s += container.cpu_s
        self._containers.pop(name, None)

    async def impair(self, impairments: Sequence[Impairment]) -> None:
        """Keeps engine/port.py's Impairable."""
        await self._space.impair(impairments)

    def impairments(self) -> tuple[Impairment, ...]:
        return self._space.impairments()

    async def tune(self, values: Mapping[str, str]) -> None:
        """Keeps engine/port.py's Tunable."""
        await self._space.tune(values)

    def usage(self) -> SandboxUsage | None:
        """None once removed. Without control groups: what the containers' /proc says, summed."""
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
        with contextlib.suppress(OSError):
            await self._kill_all()
        await self._remove_groups()
        with contextlib.suppress(OSError):
            await self._space.remove()
        await self._engine.in_thread(lambda: remove_scratch(self._directory))
        self._removed(self)

    async def _drop_ready(self) -> None:
        for holding in [self._ready.pop(key) for key in list(self._ready)]:
            with contextlib.suppress(CannotStartContainer):
                (await holding).held.drop()

    async def _kill_all(self) -> None:
        await self._drop_ready()
        deadline = asyncio.get_running_loop().time() + _GONE_DEADLINE_S
        while self._containers or self._starting:
            for container in list(self._containers.values()):
                container.kill()
            waiting = [one.wait() for one in self._containers.values()]
            if waiting:
                await asyncio.wait([asyncio.ensure_future(one) for one in waiting], timeout=1.0)
            else:
                await asyncio.sleep(0.005)  # A start under way ends by itself, with an error.
            if asyncio.get_running_loop().time() > deadline:
                return

    async def _remove_groups(self) -> None:
        """The kernel tells nobody when a group has become empty: it is tried until it goes."""
        groups = [*self._groups, *([self._group] if self._group is not None else [])]
        deadline = asyncio.get_running_loop().time() + _GONE_DEADLINE_S
        for group in groups:
            while not group.remove() and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(0.002)
        self._groups.clear()


class EmbeddedEngine:
    """Keeps engine/port.py's Engine. Made by `create`; used on one loop."""

    name = "embedded"

    def __init__(
        self, ground: SpaceGround, library: ImageLibrary, tools: Tools, group: Group | None
    ) -> None:
        self.tools = tools
        self.state = ground.state
        self.resolver = ground.resolver
        self._ground = ground
        self._library = library
        self._group = group
        self._images: dict[str, LocalImage] = {}
        self._sandboxes: set[EmbeddedSandbox] = set()
        self._clipped: dict[tuple[str, int, int], Clipped] = {}
        self._count = 0
        self.spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")

    @classmethod
    async def create(cls, ground: SpaceGround, library: ImageLibrary) -> EmbeddedEngine:
        """Find out what this machine allows. Raises CannotRun where it does not allow bwrap."""
        bwrap = find_bwrap()
        work = ground.state / "containers"
        work.mkdir(parents=True, exist_ok=True)
        group = await ground.in_thread(lambda: open_groups(ground.cgroups))
        can = await can_overlay(ground, bwrap, work)
        return cls(ground, library, find_tools(bwrap, can_keep_writes_on_disk=can), group)

    @property
    def cpu_is_enforced(self) -> bool:
        return self._group is not None and self._group.has_cpu

    @property
    def memory_is_enforced(self) -> bool:
        return self._group is not None and self._group.has_memory

    @property
    def clipped_limits(self) -> tuple[Clipped, ...]:
        """ulimits that could not be granted in full, each once."""
        return tuple(self._clipped.values())

    def stand_ins(self) -> list[str]:
        """Which program played which of the images that were pulled so far."""
        return sorted(
            f"{image.name} is played by {image.stand_in}"
            for image in self._images.values()
            if image.stand_in is not None
        )

    def not_enforced(self) -> list[str]:
        """Limits of tasks that this machine did not let us set, in words for the report."""
        found = [
            f"ulimit {one.name}: asked {one.wanted.soft}:{one.wanted.hard}, "
            f"got {one.soft}:{one.hard}"
            for one in self.clipped_limits
        ]
        for is_enforced, what in (
            (self.cpu_is_enforced, "CPU"),
            (self.memory_is_enforced, "memory"),
        ):
            if not is_enforced:
                found.append(
                    f"the task's {what}: measured, not enforced (no writable cgroup; "
                    "docs/conformance.md tells how an ordinary user gets one)"
                )
        return found

    def note_clipped(self, clipped: list[Clipped]) -> None:
        for one in clipped:
            self._clipped[(one.name, one.wanted.soft, one.wanted.hard)] = one

    async def in_thread(self, work: Callable[[], None]) -> None:
        await self._ground.in_thread(work)

    async def pull(self, image: str) -> Image:
        try:
            local = await self._ground.in_thread(lambda: self._library.find(image))
        except ImageNotHere as error:
            raise CannotPullContainer(str(error)) from error
        self._images[local.digest] = local
        return Image(
            name=image,
            digest=local.digest,
            entry_point=local.entry_point,
            command=local.command,
            environment=dict(local.environment),
            working_directory=local.working_directory,
            user=local.user,
            stop_signal=local.stop_signal,
            stand_in=local.stand_in,
        )

    def local(self, image: Image) -> LocalImage:
        if image.digest not in self._images:
            raise CannotStartContainer(f"image {image.name} was not pulled by this engine")
        return self._images[image.digest]

    async def create_sandbox(
        self, task_id: str, *, cpu_vcpu: float, memory_mib: int, labels: Mapping[str, str]
    ) -> EmbeddedSandbox:
        """labels are Docker's; here the task's id in the names of its groups is enough. Raises
        CannotRun when the kernel refuses."""
        self._count += 1
        name = f"{safe_name(task_id)}-{self._count}"
        async with contextlib.AsyncExitStack() as undo:
            space = await self._ground.create_instance(name)
            undo.push_async_callback(space.remove)
            group: Group | None = None
            if self._group is not None:
                try:
                    group = self._group.child(name)
                    group.limit_cpu(cpu_vcpu)
                    group.limit_memory(memory_mib)
                except OSError as error:
                    raise CannotRun(
                        f"the limits of task {task_id} cannot be set: {error}"
                    ) from error
            directory = self.state / "containers" / name
            directory.mkdir(parents=True)
            undo.pop_all()
        sandbox = EmbeddedSandbox(self, task_id, space, group, directory, self._sandboxes.discard)
        self._sandboxes.add(sandbox)
        return sandbox

    async def close(self) -> None:
        await asyncio.gather(*(one.remove() for one in list(self._sandboxes)))
        if self._group is not None:
            self._group.remove()
        self.spawner.shutdown(wait=False)
