"""Looking into a container's root before it exists: which file would a path be?"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_MAXIMUM_LINKS = 40


@dataclass(frozen=True, slots=True)
class Place:
    """A directory (or file) of the container and what lies there: real paths, topmost first;
    none for an empty tmpfs."""

    target: str
    sources: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """path: the container's path with every link followed. real: the file on this machine that it
    is; None if nothing is there."""

    path: str
    real: Path | None


class RootView:
    """places: what is mounted where; the longest target that fits a path decides, the later of
    equals. links: symbolic links at the top of the root.

    Paths are strings here: a start looks at hundreds of them, and has 60 ms in all."""

    def __init__(self, places: Sequence[Place], links: dict[str, str] | None = None) -> None:
        self._places = sorted(places, key=_depth)
        self._links = links or {}

    def with_places(self, places: Sequence[Place]) -> RootView:
        return RootView([*self._places, *places], self._links)

    def _real(self, path: str) -> Path | None:
        for place in reversed(self._places):
            target = place.target
            if target == "/":
                rest = path[1:]
            elif path == target or path.startswith(f"{target}/"):
                rest = path[len(target) + 1 :]
            else:
                continue
            for source in place.sources:
                candidate = f"{source}/{rest}" if rest else str(source)
                try:
                    os.lstat(candidate)
                except OSError:
                    continue
                return Path(candidate)
            return None
        return None

    def _link(self, path: str, real: Path | None) -> str | None:
        if path in self._links:
            return self._links[path]
        if real is None:
            return None
        try:
            return str(real.readlink())
        except OSError:  # no link
            return None

    def resolve(self, path: str, start: str = "/") -> Found:
        """Follow every link; what does not exist is kept as it is written."""
        place = "/"
        waiting = list(reversed((PurePosixPath(start) / path).parts))
        links = 0
        while waiting:
            part = waiting.pop()
            if part == "/":
                place = "/"
                continue
            if part == "..":
                place = place.rpartition("/")[0] or "/"
                continue
            step = f"/{part}" if place == "/" else f"{place}/{part}"
            target = self._link(step, self._real(step))
            if target is None:
                place = step
                continue
            links += 1
            if links > _MAXIMUM_LINKS:
                return Found(step, None)
            waiting.extend(reversed(PurePosixPath(target).parts))
        return Found(place, self._real(place))

    def exists(self, path: str) -> bool:
        return self.resolve(path).real is not None

    def read_text(self, path: str) -> str:
        """ "" where there is no such file, or it cannot be read."""
        found = self.resolve(path)
        try:
            return found.real.read_text(errors="replace") if found.real else ""
        except OSError:
            return ""

    def find_program(self, name: str, search: str, working_directory: str) -> str:
        """The container's path of a command, as execvp finds it. Raises FileNotFoundError or
        PermissionError with the container runtime's words."""
        if "/" in name:
            found = self.resolve(name, working_directory)
            if found.real is None:
                raise FileNotFoundError(f'exec: "{name}": stat {name}: no such file or directory')
            if not _is_executable(found.real):
                raise PermissionError(f'exec: "{name}": permission denied')
            return name
        for directory in search.split(":"):
            candidate = str(PurePosixPath(working_directory, directory or ".", name))
            found = self.resolve(candidate)
            if found.real is not None and _is_executable(found.real):
                return candidate
        raise FileNotFoundError(f'exec: "{name}": executable file not found in $PATH')


def _depth(place: Place) -> int:
    return 0 if place.target == "/" else place.target.count("/")


def _is_executable(path: Path) -> bool:
    mode = path.stat().st_mode
    return stat.S_ISREG(mode) and bool(mode & 0o111)
