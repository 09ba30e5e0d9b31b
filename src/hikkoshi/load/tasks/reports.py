"""What the tasks of a shared load say of themselves while they send, put together by who asked for
it: the live view and the abort on a threshold are of the whole load."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from hikkoshi.load.conditions import parse_conditions
from hikkoshi.load.live import Live, live_of
from hikkoshi.load.run import LoadRun
from hikkoshi.load.tasks import plan as names
from hikkoshi.load.tasks.drop import Drop
from hikkoshi.load.totals import EndpointTotals

# As many as an AWS client has connections for.
_READERS = 8


@dataclass(frozen=True, slots=True)
class Report:
    """windows: the latest of each of a task's processes. so_far: from the start, by endpoint; all
    that no threshold names are one, ''. elapsed_s: after the load's start."""

    elapsed_s: float
    windows: tuple[Mapping[str, Any], ...]
    so_far: Mapping[str, EndpointTotals]

    def as_json(self) -> dict[str, Any]:
        return {
            "elapsed_s": self.elapsed_s,
            "windows": [dict(window) for window in self.windows],
            "so_far": {name: each.as_json() for name, each in self.so_far.items()},
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Report:
        return cls(
            document["elapsed_s"],
            tuple(document["windows"]),
            {name: EndpointTotals.from_json(each) for name, each in document["so_far"].items()},
        )


def named_endpoints(expect: str | None) -> frozenset[str]:
    """Those that a threshold is about."""
    thresholds = parse_conditions(expect).thresholds if expect else ()
    return frozenset(each.endpoint for each in thresholds if each.endpoint is not None)


def report_of(run: LoadRun, after_s: float) -> Report | None:
    """None while one of its processes has told nothing that is newer than after_s."""
    windows = run.windows()
    elapsed_s = min((window["elapsed_s"] for window in windows), default=0.0)
    if len(windows) < len(run.files) or elapsed_s <= after_s:
        return None
    named = named_endpoints(run.attack.expect)
    so_far: dict[str, EndpointTotals] = {}
    for name, totals in run.so_far().items():
        so_far.setdefault(name if name in named else "", EndpointTotals()).add(totals)
    # What each window says of its endpoints is in so_far, as far as it is asked for.
    told = tuple({**window, "endpoints": {}} for window in windows)
    return Report(elapsed_s, told, so_far)


class Board:
    """The latest report of each task."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._reports: dict[int, Report] = {}

    def note(self, task: int, report: Report) -> None:
        self._reports[task] = report

    def live(self, t_start: float) -> Live:
        windows = [dict(window) for each in self._reports.values() for window in each.windows]
        return live_of(windows, t_start)

    def judged(self) -> tuple[dict[str, EndpointTotals], float] | None:
        """All that is known, and how many seconds it took; None until every task has reported.

        The reports are of different moments, up to a second or two apart: the seconds are the
        oldest's, so that a throughput is rather too high than too low for what was asked."""
        if len(self._reports) < self._count:
            return None
        so_far: dict[str, EndpointTotals] = {}
        for report in self._reports.values():
            for name, totals in report.so_far.items():
                so_far.setdefault(name, EndpointTotals()).add(totals)
        return so_far, min(report.elapsed_s for report in self._reports.values())


class Reader:
    """Brings to a board what is new in the drop."""

    def __init__(self, drop: Drop, board: Board) -> None:
        self._drop, self._board = drop, board
        self._seen: dict[str, str] = {}

    def read(self) -> bool:
        """Whether there was something new."""
        fresh = [each for each in self._drop.find(names.LIVE) if self._is_new(each.name, each.tag)]
        with ThreadPoolExecutor(_READERS) as readers:
            documents = list(readers.map(self._drop.get, [each.name for each in fresh]))
        for found, document in zip(fresh, documents, strict=True):
            self._board.note(names.task_of(found.name), Report.from_json(document))
        return bool(fresh)

    def _is_new(self, name: str, tag: str) -> bool:
        was, self._seen[name] = self._seen.get(name), tag
        return was != tag
