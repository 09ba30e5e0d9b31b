"""What an input has of the engine, and what the engine has of it."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from hikkoshi.base.errors import CannotRun
from hikkoshi.router.event import Event
from hikkoshi.router.parsers import Parser
from hikkoshi.router.port import Log
from hikkoshi.router.section import Settings


class Host(NamedTuple):
    """ingest(input, tag, events, size in bytes). wall: nanoseconds since the epoch."""

    selector: selectors.BaseSelector
    ingest: Callable[[Input, str, list[Event], int], None]
    parsers: Mapping[str, Parser]
    log: Log
    wall: Callable[[], int]
    clock: Callable[[], float]


class Input:
    """buffered: bytes that the outputs have not taken yet. While `is_paused` nothing is read."""

    tick_s: float | None = None

    def __init__(self, name: str, settings: Settings, host: Host) -> None:
        self.name = name
        self.host = host
        self.limit = settings.size("mem_buf_limit", 0)
        self.tag = settings.text("tag") or name
        self.buffered = 0
        self.is_paused = False

    def start(self) -> None:
        """Open what is to be opened; CannotRun if that fails."""

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def tick(self, now: float) -> None:
        """Called about every tick_s, where that is set."""

    def drain(self) -> None:
        """Take what has already arrived, before the end."""

    def close(self) -> None:
        self.is_paused = True


class SocketInput(Input):
    """Listens and reads; while paused the senders feel it, since nobody reads their sockets."""

    def __init__(self, name: str, settings: Settings, host: Host) -> None:
        super().__init__(name, settings, host)
        self._listeners: list[socket.socket] = []
        self._connections: dict[socket.socket, Connection] = {}
        self._unix_path: Path | None = None

    def listen_tcp(self, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listen(listener, (address, port), f"{address}:{port}")

    def listen_unix(self, path: Path, mode: int | None) -> None:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()  # a socket that a killed router left behind
        self._listen(socket.socket(socket.AF_UNIX), str(path), str(path))
        self._unix_path = path
        if mode is not None:
            path.chmod(mode)

    def _listen(self, listener: socket.socket, address: object, shown: str) -> None:
        try:
            listener.bind(address)  # type: ignore[arg-type]
            listener.listen(128)
        except OSError as error:
            listener.close()
            raise CannotRun(
                f"could not bind address {shown}: {os.strerror(error.errno or 0)}",
                where=f"input {self.name}",
                fix="is another process listening there, and may this user bind it?",
            ) from error
        listener.setblocking(False)
        self._listeners.append(listener)
        self.host.selector.register(listener, selectors.EVENT_READ, self._accept)
        self.host.log("info", f"input:{self.name}", f"listening on {shown}")

    def make_connection(self, sock: socket.socket) -> Connection:
        raise NotImplementedError

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        connection = self.make_connection(sock)
        self._connections[sock] = connection
        if not self.is_paused:
            self.host.selector.register(sock, selectors.EVENT_READ, self._readable)

    def _readable(self, sock: socket.socket) -> None:
        connection = self._connections.get(sock)
        if connection is not None and not connection.read():
            self._forget(sock)

    def _forget(self, sock: socket.socket) -> None:
        self._connections.pop(sock, None)
        with contextlib.suppress(KeyError, ValueError):
            self.host.selector.unregister(sock)
        sock.close()

    def pause(self) -> None:
        super().pause()
        for sock in self._connections:
            with contextlib.suppress(KeyError, ValueError):
                self.host.selector.unregister(sock)

    def resume(self) -> None:
        super().resume()
        for sock in self._connections:
            self.host.selector.register(sock, selectors.EVENT_READ, self._readable)

    def drain(self) -> None:
        for listener in self._listeners:
            self._accept(listener)
        for sock in list(self._connections):
            for _ in range(64):
                connection = self._connections.get(sock)
                if connection is None or not connection.has_more():
                    break
                self._readable(sock)

    def close(self) -> None:
        super().close()
        for sock in list(self._connections):
            self._forget(sock)
        for listener in self._listeners:
            self.host.selector.unregister(listener)
            listener.close()
        if self._unix_path is not None:
            self._unix_path.unlink(missing_ok=True)


class Connection:
    """One sender. `feed` takes what was read; False ends the connection."""

    CHUNK = 262_144

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def has_more(self) -> bool:
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def read(self) -> bool:
        try:
            data = self.sock.recv(self.CHUNK)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return self.end()
        return self.feed(data) if data else self.end()

    def feed(self, data: bytes) -> bool:
        raise NotImplementedError

    def end(self) -> bool:
        return False
