"""Which image Docker runs for a name, and how it comes to be there."""

from __future__ import annotations

import asyncio
import io
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.model.images import ImageLibrary, ImageNotHere, LocalImage
from hikkoshi.region.engine.docker.daemon import Daemon, DockerRefused, path_of
from hikkoshi.region.engine.layout import HostTree
from hikkoshi.region.engine.port import CannotPullContainer, Image

LABEL = "hikkoshi.region"


@dataclass(frozen=True, slots=True)
class Runnable:
    """reference: what Docker is asked to run. local: the image that is laid on the machine's own
    root, None where Docker has the whole of it."""

    image: Image
    reference: str
    local: LocalImage | None = None


class Images:
    """Looked for in this order: what Docker has under that name; what the project describes, and
    localhost/…, by the library; the registry; a stand-in of the library."""

    def __init__(
        self, daemon: Daemon, library: ImageLibrary, region_id: str, described: frozenset[str]
    ) -> None:
        """described: names for which the library is asked before Docker is."""
        self._daemon = daemon
        self._library = library
        self._region_id = region_id
        self._described = described
        self._known: dict[str, Runnable] = {}
        self._base: str | None = None
        self.made: list[str] = []
        self._lock = asyncio.Lock()

    def known(self) -> list[Runnable]:
        return list(self._known.values())

    async def find(self, name: str) -> Runnable:
        """Raises CannotPullContainer."""
        async with self._lock:
            if name not in self._known:
                self._known[name] = await self._find(name)
            return self._known[name]

    async def _find(self, name: str) -> Runnable:
        if name in self._described or name.startswith(("localhost/", "/", "./")):
            found = await self._inspect(name)
            if found is not None and name not in self._described:
                return found
            return await self._from_library(name)
        found = await self._inspect(name)
        if found is not None:
            return found
        try:
            await self._pull(name)
        except DockerRefused as refusal:
            try:
                played = await self._from_library(name)
            except CannotPullContainer:
                played = None
            if played is not None and played.image.stand_in is not None:
                return played
            raise CannotPullContainer(str(refusal)) from refusal
        found = await self._inspect(name)
        if found is None:
            raise CannotPullContainer(f"{name} was pulled, and Docker does not have it")
        return found

    async def _inspect(self, name: str) -> Runnable | None:
        try:
            found = await self._daemon.ask("GET", path_of("images", name, "json"))
        except DockerRefused as refusal:
            if refusal.status in (400, 404):
                return None
            raise CannotPullContainer(str(refusal)) from refusal
        return Runnable(image_of(name, found), str(found["Id"]))

    async def _pull(self, name: str) -> None:
        repository, tag = split_reference(name)
        async for _ in self._daemon.follow(
            path_of("images", "create", fromImage=repository, tag=tag)
        ):
            pass

    async def _from_library(self, name: str) -> Runnable:
        try:
            local = await asyncio.to_thread(self._library.find, name)
        except ImageNotHere as error:
            raise CannotPullContainer(str(error)) from error
        image = Image(
            name=name,
            digest=local.digest,
            entry_point=local.entry_point,
            command=local.command,
            environment=dict(local.environment),
            working_directory=local.working_directory,
            user=local.user,
            stop_signal=local.stop_signal,
            stand_in=local.stand_in,
        )
        if local.root.is_on_host:
            return Runnable(image, await self._base_image(), local)
        try:
            reference = await self._import(local)
        except DockerRefused as refusal:
            raise CannotPullContainer(f"{name} cannot be given to Docker: {refusal}") from refusal
        return Runnable(image, reference)

    async def base(self) -> str:
        """The image of links only. Raises CannotPullContainer."""
        async with self._lock:
            return await self._base_image()

    async def _base_image(self) -> str:
        if self._base is None:
            data = links_archive(HostTree.read().links)
            try:
                self._base = await self._give(io.BytesIO(data), len(data), "host")
            except DockerRefused as refusal:
                raise CannotPullContainer(str(refusal)) from refusal
        return self._base

    async def _import(self, local: LocalImage) -> str:
        with tempfile.TemporaryFile() as file:
            await asyncio.to_thread(_pack, local.root.layers, file)
            size = file.tell()
            file.seek(0)
            return await self._give(file, size, local.digest.removeprefix("sha256:")[:12])

    async def _give(self, body: Any, size: int, tag: str) -> str:
        path = path_of(
            "images",
            "create",
            fromSrc="-",
            repo=f"hikkoshi-{self._region_id}",
            tag=tag,
            changes=f"LABEL {LABEL}={self._region_id}",
        )
        identity = ""
        async for told in self._daemon.follow(path, body=body, size=size):
            identity = str(told.get("status", identity))
        self.made.append(identity)
        return identity


def image_of(name: str, found: Mapping[str, Any]) -> Image:
    """From Docker's description of an image."""
    config = found.get("Config") or {}
    digests = found.get("RepoDigests") or []
    environment = dict(one.partition("=")[::2] for one in config.get("Env") or [])
    return Image(
        name=name,
        digest=digests[0].partition("@")[2] if digests else str(found["Id"]),
        entry_point=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        environment=environment,
        working_directory=config.get("WorkingDir") or None,
        user=config.get("User") or None,
        stop_signal=config.get("StopSignal") or "SIGTERM",
    )


def split_reference(name: str) -> tuple[str, str]:
    """(repository, tag or digest); without either it is `latest`, as Docker's command takes it."""
    if "@" in name:
        repository, _, digest = name.partition("@")
        return repository, digest
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "latest")


def links_archive(links: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, target in sorted(links.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            archive.addfile(entry)
        for name, mode in (("tmp", 0o1777), ("run", 0o755), ("etc", 0o755)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
    return buffer.getvalue()


def _pack(layers: tuple[Path, ...], file: Any) -> None:
    """Owners are the container's root, as the embedded engine shows them."""

    def as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    with tarfile.open(fileobj=file, mode="w") as archive:
        for layer in layers:
            for child in sorted(layer.iterdir()):
                archive.add(child, child.name, filter=as_root)
