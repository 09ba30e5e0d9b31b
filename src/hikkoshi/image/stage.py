"""A root file system in the making, and what its programs need from another one.

Files are put in, by a project or from a machine's root; `complete` then adds, from that root,
exactly what they need to run: loaders and shared libraries by the dynamic linker's rules, the
interpreters that first lines name, and the links on the way to each.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from hikkoshi.image.elf import Elf, read_elf
from hikkoshi.image.linker import Linker, expand
from hikkoshi.image.packages import link_or_copy
from hikkoshi.image.rooted import Rooted
from hikkoshi.model.images import ImageNotHere

# Opened by name at run time, by libc itself, to look up names; nothing has them in its header.
_OPENED_BY_LIBC = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_LEFT_OUT = {"__pycache__", ".git", ".hikkoshi", ".venv", "node_modules/.cache"}
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _copy_readable(source: Path, place: Path) -> None:
    """As a layer has it: its owner on the disk is nobody in the image. Never a second name of the
    disk's own file, whose mode must stay."""
    shutil.copyfile(source, place)
    place.chmod(0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644)


class Stage:
    """directory: an empty one. source: the root that files are taken from.

    missing: (who needs it, what was not found), after `complete`. taken: what came from the source,
    as paths inside it."""

    def __init__(self, directory: Path, source: Rooted) -> None:
        self.here = Rooted(directory)
        self.source = source
        self.missing: list[tuple[str, str]] = []
        self.taken: set[str] = set()
        self.machine: str | None = None
        self._linkers = (Linker(self.here), Linker(source))
        self._completed: set[str] = set()
        self._waiting: list[str] = []

    # -- putting -------------------------------------------------------------------------------

    def put(self, path: str, source: Path) -> None:
        """A file or directory of this machine at the absolute path `path`."""
        if source.is_dir():
            for top, directories, files in os.walk(source):
                directories[:] = sorted(d for d in directories if d not in _LEFT_OUT)
                base = PurePosixPath(path) / Path(top).relative_to(source).as_posix()
                self.make_directory(str(base))
                for name in sorted(files):
                    self._put_file(str(base / name), Path(top) / name)
                for name in directories:
                    if (Path(top) / name).is_symlink():
                        self._put_file(str(base / name), Path(top) / name)
        else:
            self._put_file(path, source)

    def note(self, path: str) -> None:
        """This file was put by other means: `complete` is to look at it, too."""
        self._waiting.append(path)

    def put_text(self, path: str, text: str) -> None:
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        # What is there may be the same file as one of the machine's.
        place.unlink(missing_ok=True)
        place.write_text(text)

    def put_link(self, path: str, target: str) -> None:
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not (place.is_symlink() or place.exists()):
            place.symlink_to(target)

    def make_directory(self, path: str) -> None:
        self._place(path).mkdir(parents=True, exist_ok=True)

    def _put_file(self, path: str, source: Path) -> None:
        place = self._place(path)
        if source.is_symlink():
            self.put_link(path, os.fspath(source.readlink()))
            return
        if not source.is_file():
            return  # Sockets, fifos and devices are no part of an image.
        if place.exists() or place.is_symlink():
            place.unlink()
        try:
            if source.stat().st_mode & stat.S_IROTH:
                link_or_copy(source, place)
            else:
                _copy_readable(source, place)
        except OSError as error:
            if error.errno in _NO_ROOM:  # Not the fault of what is read.
                raise OSError(error.errno, error.strerror, str(self.here.root)) from error
            raise ImageNotHere(f"{source} cannot be read: {error.strerror}") from error
        self._waiting.append(path)

    def _place(self, path: str) -> Path:
        """Where it goes; links that are in the stage already (/lib → usr/lib) are followed."""
        pure = PurePosixPath(path)
        if not pure.is_absolute() or ".." in pure.parts:
            raise ImageNotHere(f"{path!r} is not an absolute path in an image")
        parent = str(pure.parent)
        _, real = self.here.trail(parent)
        if real is None:
            real = self._real_parent(parent)
        return self.here.outside(real) / pure.name if pure.name else self.here.root

    def _real_parent(self, path: str) -> str:
        """For a parent that is not there yet: its nearest ancestor that is, followed."""
        pure = PurePosixPath(path)
        if pure == pure.parent:
            return "/"
        _, real = self.here.trail(str(pure.parent))
        return f"{(real or self._real_parent(str(pure.parent))).rstrip('/')}/{pure.name}"

    # -- taking from the source ----------------------------------------------------------------

    def take(self, path: str) -> None:
        """A file, or a directory with all in it, from the source. Raises ImageNotHere."""
        links, real = self.source.trail(path)
        if real is None:
            raise ImageNotHere(f"{path!r} is not in {self.source.root}")
        for link in links:
            self.put_link(link, os.fspath(self.source.outside(link).readlink()))
        if self.source.outside(real).is_dir():
            self._take_directory(real)
        else:
            self.taken.add(real)
            self._put_file(real, self.source.outside(real))

    def take_if_there(self, path: str) -> None:
        if self.source.real(path) is not None:
            self.take(path)

    def take_program(self, name: str, search_path: str = SEARCH_PATH) -> str:
        """A path, or a name that is looked for as a shell would, in the stage and then in the
        source; where it was found. Raises ImageNotHere."""
        if "/" in name:
            candidates = [name]
        else:
            candidates = [
                f"{directory}/{name}" for directory in search_path.split(":") if directory
            ]
        for root in (self.here, self.source):
            for candidate in candidates:
                if root.is_file(candidate):
                    if root is self.source:
                        self.take(candidate)
                    return candidate
        raise ImageNotHere(f"there is no program {name!r} in {self.source.root}")

    def _take_directory(self, path: str) -> None:
        self.make_directory(path)
        try:
            names = sorted(p.name for p in self.source.outside(path).iterdir())
        except OSError as error:
            raise ImageNotHere(f"{path} cannot be read: {error.strerror}") from error
        for name in names:
            inside = f"{path.rstrip('/')}/{name}"
            outside = self.source.outside(inside)
            if name in _LEFT_OUT:
                continue
            if outside.is_symlink():
                # One that leads nowhere is kept as it is, as on the disk.
                self.put_link(inside, os.fspath(outside.readlink()))
                if self.source.real(inside) is not None:
                    self.take(inside)
            elif outside.is_dir():
                self._take_directory(inside)
            elif outside.is_file():
                self.taken.add(inside)
                self._put_file(inside, outside)

    # -- completing ----------------------------------------------------------------------------

    def complete(self) -> None:
        """Add what everything in the stage needs. What is nowhere is in `missing`."""
        while self._waiting:
            path = self._waiting.pop()
            real = self.here.real(path)
            if real is None or real in self._completed:
                continue
            outside = self.here.outside(real)
            elf = read_elf(outside)
            if elf is not None:
                self._add_needed(real, elf, (), is_musl="musl" in (elf.interpreter or ""))
            elif outside.is_file() and outside.stat().st_mode & stat.S_IXUSR:
                self._completed.add(real)
                self._add_interpreter(real)

    def _add_interpreter(self, path: str) -> None:
        with self.here.outside(path).open("rb") as file:
            line = file.readline(256)
        if not line.startswith(b"#!"):
            return
        words = line[2:].decode("utf-8", "replace").split()
        wanted = words[:1]
        if words and PurePosixPath(words[0]).name == "env":
            wanted += [w for w in words[1:] if not w.startswith("-") and "=" not in w][:1]
        for word in wanted:
            try:
                self.take_program(word)
            except ImageNotHere:
                self.missing.append((path, word))

    def _add_needed(
        self, path: str, elf: Elf, inherited: tuple[str, ...], *, is_musl: bool
    ) -> None:
        if path in self._completed:
            return
        self._completed.add(path)
        self.machine = self.machine or elf.machine
        if elf.interpreter is not None and self._taken_path(elf.interpreter) is None:
            self.missing.append((path, elf.interpreter))
        rpath = inherited if elf.runpath else (*expand(elf.rpath, path, elf), *inherited)
        opened = _OPENED_BY_LIBC if "libc.so.6" in elf.needed else ()
        for name in (*elf.needed, *opened):
            real = self._library(name, path, elf, inherited, is_musl)
            if real is None:
                if name in elf.needed:
                    self.missing.append((path, name))
                continue
            library = read_elf(self.here.outside(real))
            if library is not None:
                self._add_needed(real, library, rpath, is_musl=is_musl)

    def _library(
        self, name: str, path: str, elf: Elf, inherited: tuple[str, ...], is_musl: bool
    ) -> str | None:
        """Its real path in the stage, where it is taken to if it is not there yet."""
        for linker in self._linkers:
            found = linker.find(name, path, elf, inherited, is_musl=is_musl)
            if found is not None:
                return self._taken_path(found)
        return None

    def _taken_path(self, path: str) -> str | None:
        if self.here.real(path) is None:
            if self.source.real(path) is None:
                return None
            self.take(path)
        return self.here.real(path)

    # -- what came of it -----------------------------------------------------------------------

    def walk(self) -> Iterator[tuple[str, Path]]:
        """Every entry below the root as (path without the first slash, where it is), sorted."""
        for top, directories, files in os.walk(self.here.root):
            directories.sort()
            links = [d for d in directories if (Path(top) / d).is_symlink()]
            relative = Path(top).relative_to(self.here.root)
            if relative.parts:
                yield relative.as_posix(), Path(top)
            for name in sorted([*files, *links]):
                yield (relative / name).as_posix(), Path(top) / name

    def remove(self, path: str) -> None:
        place = self._place(path)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
