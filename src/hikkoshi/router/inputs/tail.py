"""tail: lines that are appended to files, through rotation and truncation."""

from __future__ import annotations

import contextlib
import glob
import os
from pathlib import Path

from hikkoshi.base.errors import BadInput
from hikkoshi.router.event import Event
from hikkoshi.router.inputs.base import Host, Input
from hikkoshi.router.section import Settings, parse_seconds

READ = 262_144


class Tail(Input):
    """Positions are kept in memory only: a restarted router starts anew (as without DB)."""

    tick_s = 0.25

    def __init__(self, name: str, settings: Settings, host: Host) -> None:
        super().__init__(name, settings, host)
        self._patterns = [text.strip() for text in settings.required("path").split(",")]
        self._excluded = [t.strip() for t in (settings.text("exclude_path") or "").split(",")]
        self._key = settings.text("key") or "log"
        self._path_key = settings.text("path_key")
        self._from_head = settings.boolean("read_from_head")
        self._refresh = settings.read("refresh_interval", 60.0, parse_seconds, "seconds")
        self._skips_long = settings.boolean("skip_long_lines")
        self._line_max = settings.size("buffer_max_size", 32_768)
        settings.ignore(["rotate_wait", "inotify_watcher", "skip_empty_lines", "buffer_chunk_size"])
        parser = settings.text("parser")
        if parser is not None and parser not in host.parsers:
            raise BadInput(
                f"tail: parser '{parser}' is not registered",
                where=settings.section.where,
                fix="define it in a file that [SERVICE] names as Parsers_File",
            )
        self._parser = host.parsers[parser] if parser else None
        self._files: dict[str, _Followed] = {}
        self._scanned: float | None = None

    def start(self) -> None:
        self._scan(self._from_head)
        self._scanned = self.host.clock()

    def tick(self, now: float) -> None:
        if self._scanned is None or now - self._scanned >= self._refresh:
            self._scan(True)
            self._scanned = now
        for path, followed in list(self._files.items()):
            while not self.is_paused and self._read(path, followed):
                pass
            self._check_rotation(path, followed)

    def drain(self) -> None:
        self.is_paused = False
        self.tick(self.host.clock())

    def _scan(self, from_head: bool) -> None:
        excluded = {path for pattern in self._excluded for path in _glob(pattern)}
        for pattern in self._patterns:
            for path in _glob(pattern):
                if path not in excluded and path not in self._files and Path(path).is_file():
                    self._open(path, from_head)

    def _open(self, path: str, from_head: bool) -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self.host.log("error", f"input:{self.name}", f"cannot open {path}: {error.strerror}")
            return
        if not from_head:
            os.lseek(fd, 0, os.SEEK_END)
        self._files[path] = _Followed(fd, os.fstat(fd).st_ino)

    def _read(self, path: str, followed: _Followed) -> bool:
        data = os.read(followed.fd, READ)
        if not data:
            return False
        *lines, followed.rest = (followed.rest + data).split(b"\n")
        if len(followed.rest) > self._line_max:
            if not self._skips_long:
                self.host.log("error", f"input:{self.name}", f"{path}: a line is too long: stopped")
                self._forget(path)
                return False
            followed.is_skipping = True
            followed.rest = b""
        if lines and followed.is_skipping:
            lines, followed.is_skipping = lines[1:], False
        events = [self._event(line, path) for line in lines if line.strip(b"\r")]
        if events:
            self.host.ingest(self, self._tag_of(path), events, len(data))
        return True

    def _event(self, line: bytes, path: str) -> Event:
        text = line.rstrip(b"\r").decode("utf-8", "surrogateescape")
        time, record = self.host.wall(), {self._key: text}
        parsed = self._parser.parse(text) if self._parser else None
        if parsed is not None:
            record = parsed[0]
            time = time if parsed[1] is None else parsed[1]
        if self._path_key:
            record[self._path_key] = path
        return (time, record)

    def _tag_of(self, path: str) -> str:
        return self.tag.replace("*", path.replace("/", ".").lstrip(".")) if self.tag else path

    def _check_rotation(self, path: str, followed: _Followed) -> None:
        if path not in self._files:
            return
        try:
            found = Path(path).stat()
        except OSError:
            self._forget(path)
            return
        if found.st_ino != followed.inode:
            self._forget(path)
            self._open(path, True)
        elif found.st_size < os.lseek(followed.fd, 0, os.SEEK_CUR):
            os.lseek(followed.fd, 0, os.SEEK_SET)
            followed.rest = b""

    def _forget(self, path: str) -> None:
        followed = self._files.pop(path, None)
        if followed is not None:
            with contextlib.suppress(OSError):
                os.close(followed.fd)

    def close(self) -> None:
        super().close()
        for path in list(self._files):
            self._forget(path)


def _glob(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern))  # noqa: PTH207


class _Followed:
    def __init__(self, fd: int, inode: int) -> None:
        self.fd = fd
        self.inode = inode
        self.rest = b""
        self.is_skipping = False
