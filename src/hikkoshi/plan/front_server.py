"""What is known of a web server that stands before the application, whichever it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_UNIX = re.compile(r"^(?:\w+://)?(?:unix[:@])?/*(/[^|:;,\s\"']+)")
_LOOPBACK = re.compile(
    r"^(?:\w+://)?(?:127\.\d+\.\d+\.\d+|localhost|\[?::1\]?|0\.0\.0\.0):(\d{1,5})"
)
# Where the system makes things itself: never a volume of a task.
_OF_THE_SYSTEM = ("/run", "/tmp", "/var/tmp", "/", "/dev/shm", "/var", "/srv", "/opt", "/home")


@dataclass(frozen=True, slots=True)
class Served:
    """where: the file that hands requests to the application. port: on which they come. speaks:
    http, fastcgi or uwsgi. others: what else of this machine it hands requests to, beside it."""

    where: str
    port: int
    speaks: str = "http"
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Server:
    """One kind. name: of the container, of its directory and of the question. kind: of a
    configuration in the survey. mains: the first file, by system. serves: from texts and the names
    that the application goes by (`normal`). in_a_task: a line as it works in a task. image: where
    the host's system has no package that is known here; "": there is none with its places.
    replaced: directories of the image whose own files go before the host's are laid.
    default_sites: files that the package enables, for when the host has not."""

    name: str
    units: tuple[str, ...]
    kind: str
    mains: tuple[str, ...]
    package: str
    rpm: str
    image: str
    directories: tuple[str, ...]
    replaced: tuple[str, ...]
    default_sites: tuple[str, ...]
    serves: Callable[[Mapping[str, str], frozenset[str]], Served | None]
    in_a_task: Callable[[str], str]
    command: Callable[[Mapping[str, str]], list[str]]
    environment: Callable[[Mapping[str, str]], dict[str, str]] = lambda texts: {}


@dataclass(frozen=True, slots=True)
class Shared:
    """A Unix socket between two containers: a volume at its directory. was: its path on the host;
    now: in the task."""

    was: str
    now: str

    @property
    def directory(self) -> str:
        return self.now.rpartition("/")[0]

    @property
    def is_moved(self) -> bool:
        return self.was != self.now

    def in_text(self, text: str) -> str:
        """The text with the socket at its place in the task."""
        if not self.is_moved:
            return text
        names = {self.was, re.sub(r"^/run/", "/var/run/", self.was)}
        either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        return re.sub(rf"(?<![\w.-])(?:{either})(?![\w-])", self.now, text)


def share(socket: str) -> Shared:
    """One that lies straight in /run or /tmp gets a directory of its own: a volume there would
    hide what the system and the program put beside it."""
    directory, _, name = socket.rpartition("/")
    if directory in _OF_THE_SYSTEM:
        return Shared(socket, f"/run/{name.partition('.')[0] or 'socket'}/{name}")
    return Shared(socket, socket)


def normal(address: str) -> str:
    """`8000` for a port of the loopback, a path for a Unix socket, "" for anything else: however
    nginx, Apache and HAProxy write it."""
    bare = address.strip("\"'")
    port = _LOOPBACK.match(bare)
    if port:
        return port[1]
    path = _UNIX.match(bare) if re.match(r"(?:\w+://)?unix[:@]|/", bare) else None
    return real(path[1]) if path else ""


def real(path: str) -> str:
    """/var/run is a link to /run on every system of these years."""
    return re.sub(r"^/var/run/", "/run/", path)
