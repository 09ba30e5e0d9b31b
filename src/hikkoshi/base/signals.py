"""Signals that wait until what must not be cut short is through."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_WAITING = (signal.SIGINT, signal.SIGTERM)
_AGAIN_S = 0.05


def is_importing(frame: FrameType | None) -> bool:
    """Whether that frame runs beneath an import. An error raised in there may end the process:
    DuckDB makes its types by nanobind, whose initialisation aborts on any exception."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def again_soon(number: int) -> None:
    """Deliver that signal to this process once more, 50 ms from now."""
    timer = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Ctrl-C and SIGTERM that come within the block are delivered at its end. Nothing else, if it
    is not the main thread that asks: Python gives signals to no other.

    A blocked mask would not do: with a second thread alive the process gets the signal all the
    same, and Python runs the handler in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    kept = {each: signal.signal(each, lambda number, _: came.append(number)) for each in _WAITING}
    try:
        yield
    finally:
        for each, handler in kept.items():
            signal.signal(each, handler)
        for number in came[:1]:
            os.kill(os.getpid(), number)
