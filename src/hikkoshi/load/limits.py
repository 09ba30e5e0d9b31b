"""What a sender is told of its run, besides the targets."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.load.conditions import Check
from hikkoshi.load.pacer import Pacer
from hikkoshi.load.request import Form


@dataclass(frozen=True, slots=True)
class Limits:
    """connections: open at one time. queue: requests that wait for one. pacer None: closed model,
    `connections` at work for `duration_s`. share (i, n): of the plan, requests i, i+n, i+2n, …
    streams: at one time on a connection of HTTP/2.
    mark: a header of answers whose value is noted. redirects: followed at most."""

    pacer: Pacer | None
    duration_s: float
    connections: int
    queue: int
    timeout_s: float
    is_kept_alive: bool = True
    mark: bytes = b""
    share: tuple[int, int] = (0, 1)
    report_every_s: float = 0.25
    redirects: int = 0
    checks: tuple[Check, ...] = ()
    form: Form = Form()
    is_http2: bool = False
    streams: int = 1

    @property
    def places(self) -> int:
        """Requests that can be at work at one time."""
        return self.connections * self.streams
