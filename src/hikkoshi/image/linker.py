"""Which file the dynamic linker would load for a name.

The order is ld.so(8)'s: DT_RPATH of the object and of those that loaded it (unless the object has
a DT_RUNPATH), DT_RUNPATH of the object, the directories of /etc/ld.so.conf (what ldconfig caches),
the default directories. musl has its own: /etc/ld-musl-ARCH.path, else /lib and /usr(/local)/lib.
LD_LIBRARY_PATH is not looked at: an image's environment is its own.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath

from hikkoshi.image.elf import Elf, kind_of
from hikkoshi.image.rooted import Rooted

_TRIPLETS = {
    ("EM_X86_64", True): "x86_64-linux-gnu",
    ("EM_AARCH64", True): "aarch64-linux-gnu",
    ("EM_386", False): "i386-linux-gnu",
    ("EM_ARM", False): "arm-linux-gnueabihf",
    ("EM_RISCV", True): "riscv64-linux-gnu",
}
_MUSL = ("/lib", "/usr/local/lib", "/usr/lib")


class Linker:
    """Of one root file system. `is_musl`: of the program that is loaded."""

    def __init__(self, rooted: Rooted) -> None:
        self._rooted = rooted

    def find(
        self, name: str, path: str, elf: Elf, inherited: tuple[str, ...], *, is_musl: bool
    ) -> str | None:
        """The path (not resolved) of the library `name` that `path` needs; None: it would not be
        found. inherited: the DT_RPATHs of the objects that loaded it, with $ORIGIN expanded."""
        if "/" in name:
            return name if self._fits(name, elf) else None
        for directory in self._directories(path, elf, inherited, is_musl):
            candidate = f"{directory.rstrip('/')}/{name}"
            if self._fits(candidate, elf):
                return candidate
        return None

    def _directories(
        self, path: str, elf: Elf, inherited: tuple[str, ...], is_musl: bool
    ) -> Iterator[str]:
        if not elf.runpath:
            yield from expand(elf.rpath, path, elf)
            yield from inherited
        yield from expand(elf.runpath, path, elf)
        if is_musl:
            yield from self._musl_directories(elf)
            return
        yield from self._configured
        triplet = _TRIPLETS.get((elf.machine, elf.is_64))
        if triplet:
            yield from (f"/lib/{triplet}", f"/usr/lib/{triplet}")
        yield from ("/lib64", "/usr/lib64") if elf.is_64 else ()
        yield from ("/lib", "/usr/lib")

    def _musl_directories(self, elf: Elf) -> Iterator[str]:
        """As in the file beside the loader, if there is one."""
        architecture = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}.get(elf.machine, "")
        file = self._rooted.outside(f"/etc/ld-musl-{architecture}.path")
        try:
            yield from file.read_text().replace(":", "\n").split()
        except (OSError, UnicodeDecodeError):
            yield from _MUSL

    @cached_property
    def _configured(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._read_conf("/etc/ld.so.conf", 0)))

    def _read_conf(self, path: str, depth: int) -> Iterator[str]:
        try:
            lines = self._rooted.outside(path).read_text("utf-8", "replace").splitlines()
        except OSError:
            return
        for line in lines:
            words = line.partition("#")[0].split()
            if not words:
                continue
            if words[0] != "include":
                yield from words
            elif depth < 10:
                for pattern in words[1:]:
                    yield from self._included(pattern, path, depth)

    def _included(self, pattern: str, path: str, depth: int) -> Iterator[str]:
        if not pattern.startswith("/"):
            pattern = str(PurePosixPath(path).parent / pattern)
        root = glob.escape(str(self._rooted.root)).rstrip("/")
        for found in sorted(glob.glob(root + pattern)):  # noqa: PTH207 (the pattern is the file's)
            inside = "/" + found[len(str(self._rooted.root).rstrip("/")) :].lstrip("/")
            yield from self._read_conf(inside, depth + 1)

    def _fits(self, path: str, elf: Elf) -> bool:
        real = self._rooted.real(path)
        if real is None:
            return False
        return kind_of(self._rooted.outside(real)) == elf.kind


def expand(directories: tuple[str, ...], path: str, elf: Elf) -> tuple[str, ...]:
    """$ORIGIN, $LIB and $PLATFORM, as ld.so has them."""
    origin = str(PurePosixPath(path).parent)
    lib = "lib64" if elf.is_64 else "lib"
    made = []
    for directory in directories:
        for name, value in (("ORIGIN", origin), ("LIB", lib), ("PLATFORM", "x86_64")):
            directory = directory.replace(f"${{{name}}}", value).replace(f"${name}", value)
        made.append(directory)
    return tuple(made)
