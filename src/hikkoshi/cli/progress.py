"""What a rehearsal shows while it runs: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from hikkoshi.base.units import format_duration
from hikkoshi.model.trials import Live, Outcome, TrialResult

_STYLE = {Outcome.HELD: "green", Outcome.BROKE: "red", Outcome.NOT_TRIED: "yellow"}


class PlainProgress:
    """One line when a trial begins, one when it ends. Nothing is ever rewritten."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._console = console
        self._names = list(names)

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def say(self, text: str) -> None:
        self._console.print(f"        {text}", markup=False, highlight=False, soft_wrap=True)

    def trial_started(self, name: str, title: str, expected_s: float) -> None:
        number = f"{self._names.index(name) + 1:>2}/{len(self._names)}"
        self._console.print(
            f"[{number}] {name}: {title} ...", markup=False, highlight=False, soft_wrap=True
        )

    def live(self, name: str, live: Live) -> None:
        return None

    def trial_ended(self, result: TrialResult) -> None:
        took = format_duration(result.t_end - result.t_start)
        self.say(f"{result.outcome.value}: {result.reason} ({took})")


class BarProgress:
    """The whole programme at once: a bar for each trial, with the live rate, p99 and failures."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.fields[mark]}"),
            TextColumn("{task.description:<15}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[words]}"),
            console=console,
            refresh_per_second=8,
        )
        self._tasks: dict[str, TaskID] = {
            name: self._bars.add_task(name, total=1.0, start=False, mark=" ", words="")
            for name in names
        }
        self._expected: dict[str, tuple[float, float]] = {}

    def __enter__(self) -> BarProgress:
        self._bars.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        self._console.print(f"  {escape(text)}", highlight=False, style="dim")

    def trial_started(self, name: str, title: str, expected_s: float) -> None:
        self._expected[name] = (time.monotonic(), max(expected_s, 0.1))
        task = self._tasks[name]
        self._bars.start_task(task)
        self._bars.update(task, mark="[cyan]▸[/]", words=f"[dim]{escape(title)}[/]")

    def live(self, name: str, live: Live) -> None:
        began, expected = self._expected[name]
        # A trial that waits for something has no certain end: its bar nears the end, never there.
        done = min((time.monotonic() - began) / expected, 0.97)
        p99 = "–" if live.p99_s is None else format_duration(live.p99_s)
        failed = f"[red]{live.failed} failed[/]" if live.failed else "0 failed"
        words = f"{live.rate:6.0f}/s  p99 {p99:>8}  {failed}"
        self._bars.update(self._tasks[name], completed=done, words=words)

    def trial_ended(self, result: TrialResult) -> None:
        style = _STYLE[result.outcome]
        reason = result.reason if len(result.reason) <= 70 else result.reason[:69] + "…"
        task = self._tasks[result.name]
        self._bars.update(
            task,
            completed=1.0,
            mark=f"[{style}]●[/]",
            words=f"[{style}]{result.outcome.value}[/] {escape(reason)}",
        )
        self._bars.stop_task(task)
