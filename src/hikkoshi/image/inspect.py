"""What is in an OCI layout, an OCI archive or a `docker save` archive."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.image.oci import Blobs, decompressed, open_layout
from hikkoshi.image.recipe import PACKAGE_LIST
from hikkoshi.model.images import ImageNotHere


@dataclass(frozen=True, slots=True)
class InspectedLayer:
    digest: str
    size: int
    entries: int


@dataclass(frozen=True, slots=True)
class Inspected:
    """size: of all blobs, bytes. config: as the image has it (Env, Entrypoint, User, …). packages:
    the CycloneDX document that the image carries, if it does."""

    name: str | None
    digest: str
    architecture: str
    created: str | None
    size: int
    config: Mapping[str, Any]
    layers: tuple[InspectedLayer, ...]
    packages: Mapping[str, Any] | None


def inspect_archive(source: Path) -> list[Inspected]:
    """Raises ImageNotHere."""
    with contextlib.ExitStack() as stack:
        blobs = open_layout(source, stack)
        try:
            index = blobs.document("index.json")
        except ImageNotHere:
            return [_saved(blobs, one) for one in blobs.document("manifest.json")]
        return [_image(blobs, entry) for entry in index.get("manifests") or []]


def _image(blobs: Blobs, entry: Mapping[str, Any]) -> Inspected:
    path = blob_path(entry["digest"])
    manifest = blobs.document(path)
    if "config" not in manifest:
        raise ImageNotHere(f"{blobs.where}: {entry['digest']} is an index of other images")
    config = blobs.document(blob_path(manifest["config"]["digest"]))
    layers, packages = [], None
    for layer in manifest["layers"]:
        count, found = _contents(blobs, blob_path(layer["digest"]))
        layers.append(InspectedLayer(layer["digest"], int(layer["size"]), count))
        packages = found or packages
    size = int(manifest["config"]["size"]) + sum(layer.size for layer in layers)
    name = (entry.get("annotations") or {}).get("org.opencontainers.image.ref.name")
    return _inspected(name, entry["digest"], config, size, layers, packages)


def _saved(blobs: Blobs, one: Mapping[str, Any]) -> Inspected:
    """An archive of `docker save`: layers are named by path."""
    config = blobs.document(one["Config"])
    raw = json.dumps(config, sort_keys=True).encode()
    layers, packages = [], None
    for path in one["Layers"]:
        with blobs.open(path) as file:
            data = file.read()
        count, found = _contents(blobs, path)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        layers.append(InspectedLayer(digest, len(data), count))
        packages = found or packages
    name = (one.get("RepoTags") or [None])[0]
    size = sum(layer.size for layer in layers)
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    return _inspected(name, digest, config, size, layers, packages)


def _inspected(
    name: str | None,
    digest: str,
    config: Mapping[str, Any],
    size: int,
    layers: list[InspectedLayer],
    packages: Mapping[str, Any] | None,
) -> Inspected:
    return Inspected(
        name,
        digest,
        str(config.get("architecture", "")),
        config.get("created"),
        size,
        config.get("config") or {},
        tuple(layers),
        packages,
    )


def _contents(blobs: Blobs, path: str) -> tuple[int, Mapping[str, Any] | None]:
    """(how many entries, the package list if it is in this layer)."""
    count, packages = 0, None
    try:
        with (
            blobs.open(path) as file,
            decompressed(file) as plain,
            tarfile.open(fileobj=plain, mode="r|") as archive,
        ):
            for member in archive:
                count += 1
                if f"/{member.name.lstrip('./')}" == PACKAGE_LIST and member.isfile():
                    data = archive.extractfile(member)
                    packages = json.loads(data.read(16 << 20)) if data else None
    except (tarfile.TarError, OSError, EOFError, KeyError, ValueError) as error:
        raise ImageNotHere(f"{blobs.where}: {path} cannot be read: {error}") from error
    return count, packages


def blob_path(digest: str) -> str:
    kind, _, value = str(digest).partition(":")
    if not kind.isalnum() or not value.isalnum():
        raise ImageNotHere(f"{digest!r} is not a digest")
    return f"blobs/{kind}/{value}"
