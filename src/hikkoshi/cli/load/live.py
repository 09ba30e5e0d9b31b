"""The live view of a load: on stderr, only on a terminal."""

from __future__ import annotations

from collections import deque
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live as Screen
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hikkoshi.base.units import format_duration
from hikkoshi.load.attack import Attack
from hikkoshi.load.live import Live

_BARS = "▁▂▃▄▅▆▇█"
_KEPT = 60


def sparkline(values: list[float]) -> str:
    """One character a value, the highest the tallest."""
    top = max(values, default=0.0)
    if top <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[min(7, int(value / top * 7.999))] for value in values)


class LiveView:
    def __init__(
        self, plan: Attack, title: str, *, is_shown: bool, console: Console | None = None
    ) -> None:
        self._plan = plan
        self._title = title
        self._rates: deque[float] = deque(maxlen=_KEPT)
        self._p99s: deque[float] = deque(maxlen=_KEPT)
        self._seen_s = -1.0
        self._screen = (
            Screen(console=console or Console(stderr=True), transient=True, refresh_per_second=4)
            if is_shown
            else None
        )

    def __enter__(self) -> LiveView:
        if self._screen is not None:
            self._screen.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._screen is not None:
            self._screen.__exit__(kind, error, trace)

    def show(self, live: Live) -> None:
        if self._screen is None or live.elapsed_s <= self._seen_s:
            return
        self._seen_s = live.elapsed_s
        self._rates.append(live.rate)
        self._p99s.append(live.p99_s or 0.0)
        self._screen.update(self.drawn(live))

    def drawn(self, live: Live) -> RenderableType:
        plan = self._plan
        table = Table.grid(padding=(0, 2))
        asked = plan.pacer.rate(live.elapsed_s) if plan.pacer is not None else None
        table.add_row(
            "asked", "as many as go" if asked is None else f"{asked:,.0f}/s",
            "answered", f"{live.rate:,.0f}/s", Text(sparkline(list(self._rates)), "cyan"),
        )  # fmt: skip
        table.add_row(
            "p50", _told(live.p50_s), "p99", _told(live.p99_s),
            Text(sparkline(list(self._p99s)), "magenta"),
        )  # fmt: skip
        table.add_row(
            "sent", f"{live.issued:,} of {live.planned:,} due", "answered", f"{live.done:,}",
            Text(f"{live.failed_so_far:,} failed", "red" if live.failed_so_far else "green"),
        )  # fmt: skip
        table.add_row(
            "connections", f"{live.connections:,} ({live.busy:,} at work)",
            "waiting", f"{live.queued:,}",
            f"generator late by {_told(live.lateness_p99_s)} (p99)",
        )  # fmt: skip
        done = min(1.0, max(0.0, live.elapsed_s) / plan.duration_s)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(self._title, "bold"), ProgressBar(total=1.0, completed=done, width=30),
            f"{format_duration(max(0.0, live.elapsed_s))} of {format_duration(plan.duration_s)}",
        )  # fmt: skip
        errors = ", ".join(
            f"{name}: {count:,}"
            for name, count in sorted(live.failures_so_far.items(), key=lambda each: -each[1])[:6]
        )
        return Group(head, table, Text(errors, "red")) if errors else Group(head, table)


def _told(seconds: float | None) -> str:
    return "–" if seconds is None else format_duration(seconds)
