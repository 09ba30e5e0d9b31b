"""dummy: the same record again and again, for trying a configuration."""

from __future__ import annotations

import json

from hikkoshi.base.errors import BadInput
from hikkoshi.router.inputs.base import Host, Input
from hikkoshi.router.section import Settings


class Dummy(Input):
    def __init__(self, name: str, settings: Settings, host: Host) -> None:
        super().__init__(name, settings, host)
        text = settings.text("dummy") or '{"message":"dummy"}'
        try:
            self._record = dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise BadInput(
                f"dummy: {text!r} is no JSON object",
                where=settings.section.where,
                fix='write `Dummy {"message":"dummy"}`',
            ) from error
        rate = max(1, settings.number("rate", 1))
        seconds = settings.number("interval_sec", 0) + settings.number("interval_nsec", 0) / 1e9
        self._period = seconds or 1 / rate
        self._left = settings.number("samples", 0) or None
        self._due = 0.0
        self.tick_s = min(self._period, 1.0)

    def start(self) -> None:
        self._due = self.host.clock()

    def tick(self, now: float) -> None:
        while now >= self._due and self._left != 0:
            self._due += self._period
            if self._left is not None:
                self._left -= 1
            if not self.is_paused:
                size = len(str(self._record))
                self.host.ingest(self, self.tag, [(self.host.wall(), dict(self._record))], size)
