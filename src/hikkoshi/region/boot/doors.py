"""Listening sockets on the host's loopback, asked for from inside and handed in by the door."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading

from hikkoshi.base.errors import CannotRun
from hikkoshi.region.boot import linux

_MESSAGE = 4096


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises OSError (EADDRINUSE, EACCES)."""
    with contextlib.ExitStack() as undo:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        undo.callback(listener.close)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(4096)
        undo.pop_all()
    return listener


def answer_request(channel: socket.socket, host: str) -> bool:
    """Serve one request on the door's end; False when the other end is closed."""
    request = channel.recv(_MESSAGE)
    if not request:
        return False
    asked = json.loads(request)
    if "kill" in asked:
        channel.send(json.dumps({"done": kill_process(asked["kill"], asked["start"])}).encode())
        return True
    wanted = asked.get("port")
    try:
        try:
            listener = listen(host, wanted or 0)
        except (OSError, OverflowError):
            listener = listen(host, 0)
    except OSError as error:
        channel.send(json.dumps({"error": str(error)}).encode())
        return True
    with listener:
        reply = json.dumps({"port": listener.getsockname()[1]}).encode()
        socket.send_fds(channel, [reply], [listener.fileno()])
    return True


def kill_process(pid: int, start: int) -> bool:
    """That very process, by its start time; False if it has ended."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if linux.process_start_time(pid) != start:
            return False
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


class DoorClient:
    """The region's end of the channel; safe to use from several threads."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()

    def open(self, wanted_port: int | None) -> tuple[int, int]:
        """(descriptor, port) of a listening socket. Raises CannotRun."""
        with self._lock:
            self._channel.send(json.dumps({"port": wanted_port}).encode())
            reply, descriptors, _, _ = socket.recv_fds(self._channel, _MESSAGE, 1)
        if not reply:
            raise CannotRun("the region's door to the host has closed")
        answer = json.loads(reply)
        if "error" in answer or not descriptors:
            raise CannotRun(f"no port could be opened on the host: {answer.get('error')}")
        os.set_inheritable(descriptors[0], False)
        return descriptors[0], int(answer["port"])

    def kill(self, pid: int, start: int) -> None:
        """SIGKILL to a process of the machine that started at `start` (clock ticks after boot)."""
        with self._lock:
            self._channel.send(json.dumps({"kill": pid, "start": start}).encode())
            self._channel.recv(_MESSAGE)
