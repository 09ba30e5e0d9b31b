"""A host that is a directory: a mounted disk, a snapshot, a debootstrap tree."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from hikkoshi.base.errors import BadInput
from hikkoshi.model.survey import Unseen
from hikkoshi.survey import rpm
from hikkoshi.survey.gathered import Entry, Gathered

_MOST_LINKS = 40


class TreeReach:
    """Links inside the tree are resolved inside it: none leads to this machine's own files."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise BadInput(
                f"{root} is not a directory",
                where="--root",
                fix="name the directory where the host's disk is mounted",
            )
        if not any((root / name).is_dir() for name in ("etc", "usr")):
            raise BadInput(
                f"{root} has neither etc nor usr: it is no root of a Linux system",
                where="--root",
                fix="name the directory that holds the host's /etc",
            )
        self.address = str(root)
        self.trips = 0
        self._root = root.resolve()
        self._owners: dict[str, str] | None = None

    def ask(self, names: Sequence[str], window_s: float) -> Gathered:
        why = "a directory tree has no processes"
        cure = "survey the running host too: hikkoshi survey --host ssh://user@host"
        what = ("processes, their memory and CPU", "listening ports and connections")
        return Gathered(unseen=tuple(Unseen(name, why, cure) for name in what))

    def listing(self, paths: Iterable[str], depth: int, limit: int) -> Gathered:
        entries: dict[str, Entry] = {}
        unseen: list[Unseen] = []
        for path in paths:
            place = self._inside(path)
            if place is None or not place.is_dir():
                continue
            for entry in self._walk(path, place, depth, unseen):
                if len(entries) >= limit:
                    unseen.append(Unseen(f"more than {limit} files under {path}", "cut short"))
                    break
                entries[entry.path] = entry
        return Gathered(entries=entries, unseen=tuple(unseen))

    def read(self, patterns: Iterable[str], limit: int) -> Gathered:
        files: dict[str, bytes] = {}
        partial: set[str] = set()
        unseen: list[Unseen] = []
        for path in (found for pattern in patterns for found in self._glob(pattern)):
            place = self._inside(path)
            if place is None:
                continue
            try:
                if not stat.S_ISREG(place.stat().st_mode):
                    continue
                with place.open("rb") as file:
                    data = file.read(limit + 1)
            except OSError as error:
                unseen.append(Unseen(path, error.strerror or str(error), "run as root"))
                continue
            files[path] = data[:limit]
            if len(data) > limit:
                partial.add(path)
        return Gathered(files, frozenset(partial), unseen=tuple(unseen))

    def tails(self, paths: Iterable[str], limit: int) -> Gathered:
        files: dict[str, bytes] = {}
        partial: set[str] = set()
        unseen: list[Unseen] = []
        for path in paths:
            place = self._inside(path)
            if place is None or not place.is_file():
                continue
            try:
                with place.open("rb") as file:
                    size = file.seek(0, os.SEEK_END)
                    file.seek(max(0, size - limit))
                    files[path] = file.read(limit)
                    if size > limit:
                        partial.add(path)
            except OSError as error:
                unseen.append(Unseen(path, error.strerror or str(error), "run as root"))
        return Gathered(files, frozenset(partial), unseen=tuple(unseen))

    def owners(self, paths: Iterable[str]) -> Mapping[str, str]:
        if self._owners is None:
            self._owners = {**dict(self._dpkg_files()), **dict(self._rpm_files())}
        found = {}
        for path in paths:
            for name in other_names(path):
                if name in self._owners:
                    found[path] = self._owners[name]
        return found

    def place(self, path: str) -> Path | None:
        """Where a path of the host lies on this machine, with its links resolved."""
        return self._inside(path)

    def _dpkg_files(self) -> Iterator[tuple[str, str]]:
        info = self._inside("/var/lib/dpkg/info")
        for file in sorted(info.glob("*.list")) if info and info.is_dir() else ():
            package = file.name.removesuffix(".list").partition(":")[0]
            for line in file.read_text("utf-8", "replace").splitlines():
                yield line, package

    def _rpm_files(self) -> Iterator[tuple[str, str]]:
        for path in rpm.DATABASES:
            place = self._inside(path)
            # One that cannot be read is listed as not seen.
            with suppress(OSError, ValueError):
                if place is not None and place.is_file():
                    for package in rpm.read_rpm(place.read_bytes()):
                        yield from ((file, package.name) for file in package.files)

    def _inside(self, path: str) -> Path | None:
        """None if it does not exist, or its links go round."""
        todo = [part for part in PurePosixPath(path).parts if part != "/"][::-1]
        place, links = self._root, 0
        while todo:
            part = todo.pop()
            if part == "..":
                place = place.parent if place != self._root else place
                continue
            step = place / part
            try:
                if step.is_symlink():
                    links += 1
                    if links > _MOST_LINKS:
                        return None
                    target = PurePosixPath(step.readlink())
                    if target.is_absolute():
                        place = self._root
                    todo += [p for p in target.parts if p not in ("/", ".")][::-1]
                    continue
                if not os.path.lexists(step):
                    return None
            except OSError:
                return None
            place = step
        return place

    def _glob(self, pattern: str) -> Iterator[str]:
        """Links to directories inside the pattern's fixed part are followed inside the tree."""
        head, *_ = re.split(r"[*?\[]", pattern, maxsplit=1)
        if head == pattern:
            yield pattern
            return
        fixed = head.rpartition("/")[0] or "/"
        place = self._inside(fixed)
        if place is None or not place.is_dir():
            return
        rest = pattern[len(fixed) :].lstrip("/")
        for found in sorted(glob.glob(rest, root_dir=place)):  # noqa: PTH207 (relative to a root)
            yield f"{fixed.rstrip('/')}/{found}"

    def _walk(self, path: str, place: Path, depth: int, unseen: list[Unseen]) -> Iterator[Entry]:
        try:
            children = sorted(os.scandir(place), key=lambda e: e.name)
        except OSError as error:
            unseen.append(Unseen(path, error.strerror or str(error), "run as root"))
            return
        for child in children:
            name = f"{path.rstrip('/')}/{child.name}"
            try:
                info = child.stat(follow_symlinks=False)
                link = str(Path(child.path).readlink()) if child.is_symlink() else ""
            except OSError:
                continue
            is_directory = stat.S_ISDIR(info.st_mode)
            kind = "l" if link else "d" if is_directory else "f" if child.is_file() else "s"
            yield Entry(
                name, kind, info.st_size, info.st_mtime, stat.S_IMODE(info.st_mode),
                str(info.st_uid), link,
            )  # fmt: skip
            if is_directory and not link and depth > 1:
                yield from self._walk(name, Path(child.path), depth - 1, unseen)


def other_names(path: str) -> tuple[str, ...]:
    """dpkg may know /usr/bin/x as /bin/x, from before the two were one."""
    if path.startswith("/usr/"):
        return (path, path.removeprefix("/usr"))
    return (path, f"/usr{path}")
