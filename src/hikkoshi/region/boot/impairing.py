"""A task's network, spoiled: its cable is led through a program that carries the frames."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.region.boot.network import Network, Space
from hikkoshi.region.engine.port import Impairment

_CABLE = Path(__file__).with_name("cable.py")
# What the agent gives its commands.
_ANSWER_S = 5.0


@dataclass(slots=True)
class _Carrier:
    """The program and the stream to it."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    def tell(self, rules: str) -> None:
        """Return when they are in force. Raises OSError."""
        self.control.sendall(rules.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            piece = self.control.recv(4096)
            if not piece:
                raise OSError(errno.EPIPE, "the program that carries the frames has ended")
            answer += piece

    def end(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()


class Impairing:
    """Of one space. Its methods block, and may be called from any thread."""

    def __init__(self, network: Network, space: Space) -> None:
        self._network = network
        self._space = space
        self._lock = threading.Lock()
        self._carrier: _Carrier | None = None
        self._in_force: tuple[Impairment, ...] = ()
        self._is_closed = False

    def in_force(self) -> tuple[Impairment, ...]:
        return self._in_force

    def apply(self, impairments: tuple[Impairment, ...]) -> None:
        """Raises OSError; then nothing is in force, and the cable is whole."""
        with self._lock:
            if self._is_closed:
                raise OSError(errno.ENODEV, "the task has ended")
            try:
                if not impairments:
                    self._mend()
                    return
                if self._carrier is None:
                    self._carrier = self._cut()
                self._carrier.tell(json.dumps([as_rule(each) for each in impairments]))
                self._in_force = impairments
            except BaseException:
                self._mend()
                raise

    def close(self) -> None:
        """Before the space is removed."""
        with self._lock, contextlib.suppress(OSError):
            self._is_closed = True
            self._mend()

    def _cut(self) -> _Carrier:
        task, bridge = self._network.cut(self._space)
        ours, theirs = socket.socketpair()
        ours.settimeout(_ANSWER_S)
        with contextlib.ExitStack() as stack:
            for one in (task, bridge, theirs):
                stack.enter_context(one)
            fds = [one.fileno() for one in (task, bridge, theirs)]
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_CABLE), *map(str, fds)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=fds,
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                self._network.mend(self._space)
                raise
        carrier = _Carrier(process, ours)
        watch = threading.Thread(target=self._watch, args=(carrier,), daemon=True)
        watch.start()
        return carrier

    def _watch(self, carrier: _Carrier) -> None:
        """A carrier that dies by itself leaves a task without a network: mend it."""
        carrier.process.wait()
        with self._lock, contextlib.suppress(OSError):
            if self._carrier is carrier:
                self._mend()

    def _mend(self) -> None:
        carrier, self._carrier, self._in_force = self._carrier, None, ()
        if carrier is not None:
            carrier.end()
            self._network.mend(self._space)


def as_rule(impairment: Impairment) -> dict[str, Any]:
    """In the words of cable.py. The region has no IPv6: such networks match nothing."""
    return {
        "direction": impairment.direction,
        "targets": _pairs(impairment.targets),
        "spared": _pairs(impairment.spared),
        "protocol": impairment.protocol,
        "port": impairment.port,
        "loss": impairment.loss,
        "delay_s": impairment.delay_s,
        "jitter_s": impairment.jitter_s,
    }


def _pairs(networks: Iterable[str]) -> list[list[int]]:
    read = [ipaddress.ip_network(each, strict=False) for each in networks]
    return [[int(n.network_address), int(n.netmask)] for n in read if n.version == 4]
