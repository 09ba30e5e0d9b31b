"""Closing what was opened, in reverse, and never waiting for ever: a step that hangs is named."""

from __future__ import annotations

import asyncio
import faulthandler
import inspect
import sys
import traceback
from collections.abc import Callable
from typing import Any, TextIO

STEP_DEADLINE_S = 10.0


class Closing:
    """Undo is registered before the step that it undoes. A step that raises, or that is not done
    within its deadline, is written to `log` with what every task and thread was at, and the next
    one is still taken: the kernel ends what is left when the region's first process ends."""

    def __init__(self, log: TextIO | None = None, step_deadline_s: float = STEP_DEADLINE_S) -> None:
        self._log = log or sys.stderr
        self._deadline_s = step_deadline_s
        self._steps: list[tuple[str, Callable[[], Any]]] = []

    def add(self, name: str, close: Callable[[], Any]) -> None:
        """close: a function or a coroutine function, called without arguments."""
        self._steps.append((name, close))

    async def close(self) -> None:
        while self._steps:
            name, close = self._steps.pop()
            try:
                result = close()
                if inspect.isawaitable(result):
                    async with asyncio.timeout(self._deadline_s):
                        await result
            except TimeoutError:
                self._tell_what_hangs(name)
            except Exception:
                self._log.write(f"closing {name} failed\n{traceback.format_exc()}")

    def _tell_what_hangs(self, name: str) -> None:
        self._log.write(f"closing {name} was not done within {self._deadline_s:g} s; going on\n")
        for task in asyncio.all_tasks():
            task.print_stack(file=self._log)
        self._log.flush()
        try:
            faulthandler.dump_traceback(file=self._log, all_threads=True)
        except (OSError, ValueError):
            self._log.write("(the threads cannot be shown: the log is not a file)\n")
