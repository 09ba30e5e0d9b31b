"""Layers that are the same bytes each time: sorted, owned by root, with one time for all."""

from __future__ import annotations

import gzip
import hashlib
import stat
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol


@dataclass(frozen=True, slots=True)
class Layer:
    """digest: of the compressed file (what a manifest names). diff_id: of the tar inside (what a
    configuration names). size: of the compressed file, bytes. unpacked: of the tar, bytes."""

    digest: str
    diff_id: str
    size: int
    unpacked: int


class _Sink(Protocol):
    def write(self, data: Any, /) -> int: ...

    def flush(self) -> None: ...


class _Counted:
    """A writer that digests and counts what goes through."""

    def __init__(self, file: _Sink) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: Any) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._file.write(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def write_layer(entries: Iterable[tuple[str, Path]], file: IO[bytes], epoch: int) -> Layer:
    """entries: (path without the first slash, where it is), sorted; parents before children.
    epoch: seconds since 1970, the time of every entry.

    Modes are 755 for directories and what its owner may execute, else 644; /tmp, /var/tmp and
    directories that everybody may write into are 1777; set-user-id bits are dropped. Compressed by
    zlib at level 6: the digest is the same wherever the same zlib is."""
    packed = _Counted(file)
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6, mtime=0, filename="") as zipped:
        plain = _Counted(zipped)
        with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
            for name, path in entries:
                _add(archive, name, path, epoch)
    return Layer(packed.digest, plain.digest, packed.size, plain.size)


def _add(archive: tarfile.TarFile, name: str, path: Path, epoch: int) -> None:
    member = tarfile.TarInfo(name)
    member.mtime = epoch
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        archive.addfile(member)
    elif stat.S_ISDIR(found.st_mode):
        member.type = tarfile.DIRTYPE
        is_open = name in ("tmp", "var/tmp") or found.st_mode & stat.S_IWOTH
        member.mode = 0o1777 if is_open else 0o755
        archive.addfile(member)
    elif stat.S_ISREG(found.st_mode):
        member.mode = 0o755 if found.st_mode & stat.S_IXUSR else 0o644
        member.size = found.st_size
        with path.open("rb") as data:
            archive.addfile(member, data)
