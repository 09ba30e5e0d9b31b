"""Time since the start of an exchange, by phases, and what is left of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from hikkoshi.synthetic.reply import Timings


class Watch:
    def __init__(self, timeout_s: float) -> None:
        self._start = time.monotonic()
        self._timeout_s = timeout_s
        self._phases: dict[str, float] = {}
        self._redirect_s: float | None = None

    def passed(self) -> float:
        return time.monotonic() - self._start

    def left(self) -> float:
        left = self._timeout_s - self.passed()
        if left <= 0:
            raise TimeoutError(f"not done within {self._timeout_s:g} s")
        return left

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """name: dns, connect, tls, first_byte or download. One that fails has no time."""
        started = time.monotonic()
        yield
        self._phases[name] = time.monotonic() - started

    def redirected(self) -> None:
        """All that passed until now was for a redirect."""
        self._redirect_s = self.passed()
        self._phases.clear()

    def timings(self) -> Timings:
        return Timings(
            **{f"{name}_s": seconds for name, seconds in self._phases.items()},
            redirect_s=self._redirect_s,
            total_s=self.passed(),
        )
