"""The synthetic tests, round after round beside the looks: a slow one must not hold a look up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from hikkoshi.base.errors import HikkoshiError

Run = Callable[[], tuple[str, ...]]
"""Runs all tests once; a sentence for each that failed."""


class Rounds:
    """run None: there are no tests. Within the block a thread runs them every `every_s`."""

    def __init__(self, run: Run | None, every_s: float) -> None:
        self._run = run
        self._every_s = every_s
        self._over = threading.Event()
        self._ended: list[float] = []
        self._failed: tuple[str, ...] = ()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Rounds:
        if self._run is not None:
            self._thread = threading.Thread(target=self._go_round, name="synthetic", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()

    @property
    def failed(self) -> tuple[str, ...]:
        """Of the last round."""
        return self._failed

    def runs_since(self, t: float) -> int:
        return sum(ended > t for ended in list(self._ended))

    def _go_round(self) -> None:
        assert self._run is not None
        while not self._over.is_set():
            try:
                self._failed = self._run()
            except HikkoshiError as error:
                self._failed = (f"the tests could not be run: {error.what}",)
            self._ended.append(time.time())
            self._over.wait(self._every_s)
