"""throttle: let at most Rate records through an Interval, averaged over Window intervals."""

from __future__ import annotations

from collections import deque

from hikkoshi.router.event import Event
from hikkoshi.router.filters.base import Passing
from hikkoshi.router.port import FilterContext
from hikkoshi.router.section import Settings, parse_seconds


class Throttle(Passing):
    name = "throttle"

    def __init__(self, settings: Settings, context: FilterContext) -> None:
        self._rate = settings.read("rate", 1.0, float, "records an interval")
        self._window = max(1, settings.number("window", 5))
        self._interval = settings.read("interval", 1.0, parse_seconds, "1s, 1m or 1h")
        self._print = settings.boolean("print_status")
        self._clock = context.clock
        self._log = context.log
        self._counts: deque[tuple[int, int]] = deque()
        self._total = 0
        self.dropped = 0

    def apply(self, tag: str, events: list[Event]) -> list[Event]:
        slot = int(self._clock() / self._interval)
        while self._counts and self._counts[0][0] <= slot - self._window:
            self._total -= self._counts.popleft()[1]
        room = max(0, int(self._rate * self._window) - self._total)
        passed = events[:room]
        if passed:
            if self._counts and self._counts[-1][0] == slot:
                self._counts[-1] = (slot, self._counts[-1][1] + len(passed))
            else:
                self._counts.append((slot, len(passed)))
            self._total += len(passed)
        if len(passed) < len(events):
            self.dropped += len(events) - len(passed)
            if self._print:
                self._log("info", "filter:throttle", f"{self.dropped} records left out so far")
        return passed
