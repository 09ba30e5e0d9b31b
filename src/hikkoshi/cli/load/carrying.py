"""Carrying a load out in front of a user: the live view, Ctrl-C, the abort on a threshold."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

from hikkoshi.cli.load.live import LiveView
from hikkoshi.load.attack import Attack
from hikkoshi.load.conditions import parse_conditions
from hikkoshi.load.judging import why_abort
from hikkoshi.load.live import Live
from hikkoshi.load.report import LoadSummary
from hikkoshi.load.run import LoadRun

_LOOK_EVERY_S = 0.25


def carry_out(
    plan: Attack,
    output: Path,
    *,
    abort_after_s: float | None = None,
    title: str = "",
    on_stop: Callable[[], None] = lambda: None,
    on_look: Callable[[Live], None] = lambda live: None,
) -> tuple[LoadSummary, str | None]:
    """The summary, and why the run was aborted, if it was.

    Ctrl-C and SIGTERM stop the sending; what was sent is still reported. abort_after_s: from then
    on a threshold that breaks ends the run; None never does. on_stop: when a signal came.
    """
    conditions = parse_conditions(plan.expect) if plan.expect else None
    aborted: str | None = None
    with LoadRun(plan, output) as run:

        def stop(*_: object) -> None:
            on_stop()
            run.stop()

        kept = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with LiveView(plan, title, is_shown=sys.stderr.isatty()) as view:
                while not run.is_over():
                    live = run.live()
                    view.show(live)
                    on_look(live)
                    is_due = abort_after_s is not None and live.elapsed_s >= abort_after_s
                    if is_due and conditions is not None and aborted is None:
                        aborted = why_abort(conditions, run.so_far(), live.elapsed_s)
                        if aborted is not None:
                            run.stop()
                    run.wait_for_change(_LOOK_EVERY_S)
            return run.wait(timeout_s=0), aborted
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
