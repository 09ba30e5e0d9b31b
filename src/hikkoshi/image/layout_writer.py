"""An OCI image layout, as a directory or as an archive that `docker load` takes as well.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hikkoshi.image.tarball import Layer, write_layer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
INDEX = "application/vnd.oci.image.index.v1+json"
_ARCHITECTURES = {"EM_X86_64": "amd64", "EM_AARCH64": "arm64", "EM_386": "386", "EM_ARM": "arm"}


@dataclass(frozen=True, slots=True)
class Configuration:
    """What an image says of how it is run; as a Dockerfile has it."""

    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None
    user: str | None = None
    stop_signal: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    architecture: str = "amd64"


@dataclass(frozen=True, slots=True)
class Built:
    """An image in a layout. digest: of its manifest, the one that a registry knows it by. size:
    what a registry stores, bytes."""

    name: str
    digest: str
    size: int
    unpacked: int
    layers: tuple[Layer, ...]


class LayoutWriter:
    """directory: made if it is not there; blobs that are there already are used again."""

    def __init__(self, directory: Path, epoch: int = 0) -> None:
        self._directory = directory
        self._epoch = epoch
        self._manifests: list[dict[str, Any]] = []
        self._docker: list[dict[str, Any]] = []
        (directory / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)

    def add(
        self,
        name: str,
        configuration: Configuration,
        layers: Sequence[Sequence[tuple[str, Path]]],
        comments: Sequence[str],
    ) -> Built:
        """layers: lowest first, each as `Stage.walk` gives it; comments: one for each."""
        written = [self._write_layer(entries) for entries in layers]
        created = datetime.fromtimestamp(self._epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        config = self._write(
            {
                "created": created,
                "architecture": configuration.architecture,
                "os": "linux",
                "config": _config(configuration),
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in written]},
                "history": [
                    {"created": created, "created_by": f"hikkoshi image build: {comment}"}
                    for comment in comments
                ],
            },
            CONFIG,
        )
        manifest = self._write(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config,
                "layers": [
                    {"mediaType": LAYER, "digest": layer.digest, "size": layer.size}
                    for layer in written
                ],
            },
            MANIFEST,
        )
        platform = {"architecture": configuration.architecture, "os": "linux"}
        annotations = {
            "org.opencontainers.image.ref.name": name,
            "io.containerd.image.name": name,
        }
        self._manifests.append({**manifest, "platform": platform, "annotations": annotations})
        self._docker.append(
            {
                "Config": _blob(config["digest"]),
                "RepoTags": [name],
                "Layers": [_blob(layer.digest) for layer in written],
            }
        )
        size = manifest["size"] + config["size"] + sum(layer.size for layer in written)
        unpacked = sum(layer.unpacked for layer in written)
        return Built(name, manifest["digest"], size, unpacked, tuple(written))

    def close(self) -> None:
        """Write what makes the directory a layout."""
        (self._directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self._manifests}
        (self._directory / "index.json").write_bytes(_encoded(index))
        (self._directory / "manifest.json").write_bytes(_encoded(self._docker))

    def _write_layer(self, entries: Sequence[tuple[str, Path]]) -> Layer:
        blobs = self._directory / "blobs" / "sha256"
        with tempfile.NamedTemporaryFile(dir=blobs, delete=False) as file:
            layer = write_layer(entries, file, self._epoch)
        place = Path(file.name)
        place.chmod(0o644)
        place.rename(self._directory / _blob(layer.digest))
        return layer

    def _write(self, document: Mapping[str, Any], media_type: str) -> dict[str, Any]:
        data = _encoded(document)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        (self._directory / _blob(digest)).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}


def pack(layout: Path, archive: Path) -> None:
    """A layout as one tar file, the same bytes for the same layout."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(p for p in layout.rglob("*") if p.is_file()):
            member = tarfile.TarInfo(path.relative_to(layout).as_posix())
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as data:
                tar.addfile(member, data)


def architecture(machine: str | None) -> str:
    """An ELF machine's name in OCI's words."""
    return _ARCHITECTURES.get(machine or "EM_X86_64", "amd64")


def _config(configuration: Configuration) -> dict[str, Any]:
    environment = [f"{k}={v}" for k, v in sorted(configuration.environment.items())]
    made = {
        "User": configuration.user,
        "Env": environment,
        "Entrypoint": list(configuration.entry_point),
        "Cmd": list(configuration.command),
        "WorkingDir": configuration.working_directory,
        "StopSignal": configuration.stop_signal,
        "Labels": dict(sorted(configuration.labels.items())),
    }
    return {key: value for key, value in made.items() if value}


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _encoded(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
