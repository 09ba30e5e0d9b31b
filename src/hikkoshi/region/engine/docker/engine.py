"""`Engine` (engine/port.py) over a Docker daemon on this machine.

The region's network stays its own: a task's namespace-holding container has no network of
Docker's; the region lays a cable of its bridge into it, and the task's containers join it.
Everything that is made has the label `hikkoshi.region`, by which it is found after a kill."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

from hikkoshi.base.errors import CannotRun
from hikkoshi.model.images import ImageLibrary
from hikkoshi.region.engine.cgroups import Group, open_groups, safe_name
from hikkoshi.region.engine.docker.daemon import Daemon, DockerRefused, path_of
from hikkoshi.region.engine.docker.documents import TaskPlace
from hikkoshi.region.engine.docker.images import Images
from hikkoshi.region.engine.docker.kit import DockerGround, Kit
from hikkoshi.region.engine.docker.laying import Places
from hikkoshi.region.engine.docker.sandbox import DockerSandbox
from hikkoshi.region.engine.layout import HostTree
from hikkoshi.region.engine.port import CannotPullContainer, Image
from hikkoshi.region.engine.starting import find_program


class DockerEngine:
    """Made by `create`; used on one loop."""

    name = "docker"

    def __init__(self, kit: Kit, images: Images, group: Group | None) -> None:
        self._kit = kit
        self._images = images
        self._group = group
        self._sandboxes: set[DockerSandbox] = set()
        self._count = 0

    @classmethod
    async def create(
        cls,
        ground: DockerGround,
        library: ImageLibrary,
        *,
        socket: Path,
        proc: Path,
        outside: Mapping[Path, Path],
        described: frozenset[str] = frozenset(),
    ) -> DockerEngine:
        """proc: the machine's /proc. outside: paths of the region's own → where Docker finds them.
        described: images that the project says how to make. Raises CannotRun where Docker does not
        answer."""
        daemon = Daemon(socket)
        sleep = find_program("sleep")
        if sleep is None:
            raise CannotRun("the program sleep is missing", fix="install coreutils")
        try:
            info = await daemon.ask("GET", path_of("info"), timeout_s=10)
            version = await daemon.ask("GET", path_of("version"), timeout_s=10)
        except DockerRefused as refusal:
            raise CannotRun(str(refusal), fix="start Docker, or use --engine embedded") from refusal
        group: Group | None = None
        if info.get("CgroupDriver") == "cgroupfs":
            group = await ground.in_thread(lambda: open_groups(ground.cgroups))
        (ground.state / "containers").mkdir(parents=True, exist_ok=True)
        own = info.get("DockerRootDir")
        parts = [str(one.get("Name", "")) for one in version.get("Components") or []]
        is_podmans = any(name.startswith("Podman") for name in parts)
        places = Places(dict(outside), Path(own) if own else None, is_podmans)
        kit = Kit(ground, daemon, proc, places, HostTree.read(), sleep)
        return cls(kit, Images(daemon, library, ground.region_id, described), group)

    @property
    def cpu_is_enforced(self) -> bool:
        return True

    @property
    def memory_is_enforced(self) -> bool:
        return True

    def stand_ins(self) -> list[str]:
        return sorted(
            f"{one.image.name} is played by {one.image.stand_in}"
            for one in self._images.known()
            if one.image.stand_in is not None
        )

    def not_enforced(self) -> list[str]:
        found = [
            f"ulimit {one.name}: asked {one.wanted.soft}:{one.wanted.hard}, "
            f"got {one.soft}:{one.hard}"
            for one in self._kit.clipped.values()
        ]
        if self._group is None:
            found.append(
                "the task's CPU and memory: each container has the whole of them as its limit, "
                "since Docker's control groups are not ours to nest"
            )
        return found

    async def pull(self, image: str) -> Image:
        found = await self._images.find(image)
        self._kit.pulled[found.image.digest] = found
        return found.image

    async def create_sandbox(
        self, task_id: str, *, cpu_vcpu: float, memory_mib: int, labels: Mapping[str, str]
    ) -> DockerSandbox:
        """Raises CannotRun."""
        self._count += 1
        name = f"{safe_name(task_id)}-{self._count}"
        directory = self._kit.ground.state.absolute() / "containers" / name
        directory.mkdir(parents=True)
        await self._make_base()
        address = await self._kit.ground.take_address()
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self._kit.ground.give_back, address)
            group = self._task_group(name, cpu_vcpu, memory_mib)
            place = TaskPlace(name, address, labels, cpu_vcpu, memory_mib, group is not None)
            undo.pop_all()
            sandbox = DockerSandbox(
                self._kit, task_id, place, group, directory, self._sandboxes.discard
            )
            undo.push_async_callback(sandbox.remove)
            await sandbox.open()
            undo.pop_all()
        self._sandboxes.add(sandbox)
        return sandbox

    async def _make_base(self) -> None:
        try:
            self._kit.base = await self._images.base()
        except CannotPullContainer as error:
            raise CannotRun(str(error)) from error

    def _task_group(self, name: str, cpu_vcpu: float, memory_mib: int) -> Group | None:
        if self._group is None:
            return None
        try:
            group = self._group.child(name)
            group.limit_cpu(cpu_vcpu)
            group.limit_memory(memory_mib)
        except OSError as error:
            raise CannotRun(f"the limits of task {name} cannot be set: {error}") from error
        return group

    async def close(self) -> None:
        await asyncio.gather(*(one.remove() for one in list(self._sandboxes)))
        for reference in self._images.made:
            with contextlib.suppress(DockerRefused):
                await self._kit.daemon.ask("DELETE", path_of("images", reference, force=1))
        if self._group is not None:
            self._group.remove()
