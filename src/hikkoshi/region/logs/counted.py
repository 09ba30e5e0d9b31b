"""A driver's counters, recorded at most once a second while they change."""

from __future__ import annotations

import asyncio

from hikkoshi.base.clock import Clock
from hikkoshi.model.evidence import Recorder

EVERY_S = 1.0


class Counted:
    """accepted: lines (or parts of one) that the container wrote. dropped: those of them that the
    driver knows it lost."""

    def __init__(self, recorder: Recorder, clock: Clock, task: str, container: str) -> None:
        self.accepted = 0
        self.dropped = 0
        self._recorder = recorder
        self._clock = clock
        self._task = task
        self._container = container
        self._timer: asyncio.TimerHandle | None = None
        self._recorded = (0, 0)

    def changed(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._record)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._record()

    def _record(self) -> None:
        self._timer = None
        if (self.accepted, self.dropped) == self._recorded:
            return
        self._recorded = (self.accepted, self.dropped)
        self._recorder.record(
            "log_counters", t=self._clock.now(), task=self._task, container=self._container,
            accepted=self.accepted, dropped=self.dropped,
        )  # fmt: skip
