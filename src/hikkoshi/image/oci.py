"""Unpacking an OCI layout or a `docker save` archive into one root directory.

Everything in an archive comes from outside: no entry may be written anywhere but under the root.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from hikkoshi.model.images import ImageNotHere, LocalImage, RootFs

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MAXIMUM_LINKS = 40


@dataclass(frozen=True, slots=True)
class Blobs:
    """Reads a blob by its path inside the layout."""

    open: Callable[[str], IO[bytes]]
    where: str

    def document(self, path: str) -> Any:
        try:
            with self.open(path) as file:
                return json.loads(file.read(16 << 20))
        except (KeyError, OSError, ValueError) as error:
            raise ImageNotHere(f"{self.where}: {path} cannot be read: {error}") from error


def unpack(source: Path, name: str, directory: Path) -> LocalImage:
    """The image of an OCI layout directory, an OCI archive or a `docker save` archive. Where one
    holds several images, the one tagged `name`, else the first. Owners are not kept: everything
    belongs to the container's user. Raises ImageNotHere."""
    with contextlib.ExitStack() as stack:
        blobs = open_layout(source, stack)
        configuration, layers = _choose(blobs, name)
        raw = blobs.document(configuration)
        digest = hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()
        root = directory / digest[:32] / "root"
        if not root.is_dir():
            partial = root.with_name("partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for layer in layers:
                with blobs.open(layer) as file, decompressed(file) as plain:
                    _apply(plain, partial, f"{source}: {layer}")
            partial.rename(root)
    return _image(name, f"sha256:{digest}", root, raw.get("config") or {})


def _image(name: str, digest: str, root: Path, config: Mapping[str, Any]) -> LocalImage:
    pairs = (entry.partition("=") for entry in config.get("Env") or [])
    return LocalImage(
        name=name,
        digest=digest,
        root=RootFs(is_on_host=False, layers=(root,)),
        entry_point=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        environment={key: value for key, _, value in pairs},
        working_directory=config.get("WorkingDir") or None,
        user=config.get("User") or None,
        stop_signal=config.get("StopSignal") or "SIGTERM",
    )


def open_layout(source: Path, stack: contextlib.ExitStack) -> Blobs:
    if source.is_dir():

        def open_file(path: str) -> IO[bytes]:
            if ".." in PurePosixPath(path).parts or path.startswith("/"):
                raise KeyError(path)
            return (source / path).open("rb")

        return Blobs(open_file, str(source))
    try:
        archive = stack.enter_context(tarfile.open(source))  # noqa: SIM115 (closed by the stack)
    except (OSError, tarfile.TarError) as error:
        raise ImageNotHere(f"{source} is not an image archive: {error}") from error

    try:
        members = {str(PurePosixPath(name)): name for name in archive.getnames()}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ImageNotHere(f"{source} cannot be read to its end: {error}") from error

    def open_member(path: str) -> IO[bytes]:
        member = archive.extractfile(members[path])
        if member is None:
            raise KeyError(path)
        return member

    return Blobs(open_member, str(source))


def _choose(blobs: Blobs, name: str) -> tuple[str, list[str]]:
    """(path of the configuration, paths of the layers)."""
    try:
        saved = blobs.document("manifest.json")
    except ImageNotHere:
        saved = None
    if saved:
        tagged = [one for one in saved if name in (one.get("RepoTags") or [])]
        chosen = (tagged or saved)[0]
        return chosen["Config"], list(chosen["Layers"])
    index = blobs.document("index.json")
    while True:
        entries = index.get("manifests") or []
        if not entries:
            raise ImageNotHere(f"{blobs.where} has no image manifest")
        document = blobs.document(_blob(_preferred(entries, name)["digest"]))
        if "config" in document:
            layers = [_blob(layer["digest"]) for layer in document.get("layers", [])]
            return _blob(document["config"]["digest"]), layers
        index = document


def _preferred(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    reference = "org.opencontainers.image.ref.name"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)

    def rank(entry: dict[str, Any]) -> tuple[bool, bool]:
        is_named = (entry.get("annotations") or {}).get(reference) in (
            name,
            name.rpartition(":")[2],
        )
        platform = entry.get("platform") or {}
        return is_named, platform.get("architecture", machine) == machine

    return max(entries, key=rank)


def _blob(digest: str) -> str:
    kind, _, value = digest.partition(":")
    if not kind.isalnum() or not value.isalnum():
        raise ImageNotHere(f"{digest!r} is not a digest")
    return f"blobs/{kind}/{value}"


@contextlib.contextmanager
def decompressed(file: IO[bytes]) -> Any:
    magic = file.read(4)
    file.seek(0)
    if magic[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=file) as plain:
            yield plain
    elif magic == b"\x28\xb5\x2f\xfd":
        raise ImageNotHere("a layer is compressed with zstd, which is not implemented; use gzip")
    else:
        yield file


def _apply(layer: IO[bytes], root: Path, where: str) -> None:
    try:
        with tarfile.open(fileobj=layer, mode="r|") as archive:
            for member in archive:
                _apply_member(archive, member, root)
    except (tarfile.TarError, OSError, EOFError, UnsafePath) as error:
        raise ImageNotHere(f"{where} cannot be unpacked: {error}") from error


class UnsafePath(Exception):
    pass


def safe_place(root: Path, name: str) -> Path:
    """The place of an entry under the root. Links in its parents are followed as a process with
    that root would: an absolute one starts at the root again. The last part is not followed."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", ".")]
    if ".." in parts:
        raise UnsafePath(f"{name!r} leads out of the image")
    if not parts:
        return root
    return _follow(root, parts[:-1], name) / parts[-1]


def _follow(root: Path, parts: list[str], name: str) -> Path:
    place, waiting, links = root, list(reversed(parts)), 0
    while waiting:
        part = waiting.pop()
        if part in (".", "/"):
            continue
        if part == "..":
            place = place if place == root else place.parent
            continue
        step = place / part
        if not step.is_symlink():
            place = step
            continue
        links += 1
        if links > _MAXIMUM_LINKS:
            raise UnsafePath(f"{name!r}: too many links")
        target = PurePosixPath(step.readlink())
        if target.is_absolute():
            place = root
        waiting.extend(part for part in reversed(target.parts) if part != "/")
    return place


def _apply_member(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    place = safe_place(root, member.name)
    if place.name == _OPAQUE:
        for child in place.parent.iterdir() if place.parent.is_dir() else ():
            _remove(child)
        return
    if place.name.startswith(_WHITEOUT):
        _remove(place.with_name(place.name[len(_WHITEOUT) :]))
        return
    if member.isdir():
        if place.is_symlink() or not place.is_dir():
            _remove(place)
            place.mkdir(parents=True)
        place.chmod(member.mode & 0o7777 | 0o700)
        return
    if place == root:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    _remove(place)
    if member.issym():
        place.symlink_to(member.linkname)
    elif member.islnk():
        os.link(safe_place(root, member.linkname), place, follow_symlinks=False)
    elif member.isfile():
        data = archive.extractfile(member)
        assert data is not None
        with place.open("xb") as file:
            shutil.copyfileobj(data, file, 1 << 20)
        # Set-user-id bits mean nothing here: containers may gain no privileges.
        place.chmod(member.mode & 0o777 | 0o400)
        os.utime(place, (member.mtime, member.mtime))
    # Devices and fifos are left out: /dev is made for each container.


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
