"""A file system under some directory, read as a process with that root would read it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

_MAXIMUM_LINKS = 40


class Rooted:
    """root: `/`, or the directory of a mounted disk. Paths are absolute, as they are inside."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def outside(self, path: str) -> Path:
        """Where it lies on this machine; its last part is not followed."""
        return self.root / path.lstrip("/")

    def trail(self, path: str) -> tuple[list[str], str | None]:
        """(the links met on the way, as paths inside; the real path, or None if there is none)."""
        links: list[str] = []
        place = PurePosixPath("/")
        waiting = [part for part in reversed(PurePosixPath(path).parts) if part != "/"]
        while waiting:
            part = waiting.pop()
            if part == "..":
                place = place.parent
                continue
            step = place / part
            outside = self.outside(str(step))
            if not outside.is_symlink():
                place = step
                continue
            if len(links) >= _MAXIMUM_LINKS:
                return links, None
            links.append(str(step))
            target = PurePosixPath(outside.readlink())
            if target.is_absolute():
                place = PurePosixPath("/")
            waiting.extend(p for p in reversed(target.parts) if p != "/")
        real = str(place)
        return links, real if self.outside(real).exists() else None

    def real(self, path: str) -> str | None:
        return self.trail(path)[1]

    def is_file(self, path: str) -> bool:
        real = self.real(path)
        return real is not None and self.outside(real).is_file()
