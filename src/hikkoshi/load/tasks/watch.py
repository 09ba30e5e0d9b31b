"""A shared load watched while it runs: by ECS's word on its tasks, and by what they leave in the
bucket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hikkoshi.base.errors import BadInput, CannotRun, DeadlinePassed
from hikkoshi.load.conditions import Conditions
from hikkoshi.load.judging import why_abort
from hikkoshi.load.live import Live
from hikkoshi.load.tasks import plan as names
from hikkoshi.load.tasks.drop import Drop
from hikkoshi.load.tasks.fleet import Fleet, TaskState
from hikkoshi.load.tasks.merge import clock_problem
from hikkoshi.load.tasks.reports import Board, Reader

# After the last request's timeout: uploading what is left, a stopTimeout of 120 s at most.
MARGIN_S = 180.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Abort:
    """When a threshold of the conditions ends the load: from after_s on."""

    conditions: Conditions
    after_s: float

    def reason(self, board: Board) -> str | None:
        """The threshold that the whole load breaks; None while there is no reason to end it."""
        known = board.judged()
        if known is None or known[1] < self.after_s:
            return None
        return why_abort(self.conditions, *known)


class Watch:
    """Waits, by ECS's word on the tasks and by what they leave in the bucket."""

    def __init__(
        self, fleet: Fleet, drop: Drop, count: int, stopping: threading.Event, say: Say
    ) -> None:
        self._fleet, self._drop, self._count = fleet, drop, count
        self._stopping, self._say = stopping, say
        self._told = ""

    def await_ready(self, within_s: float) -> None:
        """Until every task can send; raises of what a task ended before that."""
        gives_up = time.monotonic() + within_s
        while True:
            # First the tasks, then the bucket: what a task left before it ended is seen.
            states = self._fleet.states()
            ready = {found.name: found.stamped for found in self._drop.find("ready/")}
            self._raise_if_one_ended(states)
            self._tell(states, len(ready))
            if len(ready) == self._count:
                self._check_clocks(ready)
                return
            if self._stopping.is_set():
                raise CannotRun("stopped before the load began; nothing was sent")
            if time.monotonic() > gives_up:
                late = [s for s in states if names.ready(s.task) not in ready]
                raise DeadlinePassed(
                    f"{len(late)} of {self._count} tasks were not ready within {within_s:.0f} s; "
                    f"task {late[0].task} is {late[0].status}",
                    fix="its container has to run `hikkoshi load share`, and its task role needs "
                    "s3:ListBucket, s3:GetObject and s3:PutObject on the bucket",
                )
            self._fleet.pause()

    def _raise_if_one_ended(self, states: Sequence[TaskState]) -> None:
        for state in states:
            if state.status != "STOPPED":
                continue
            if self._drop.find(names.end(state.task)):
                error = self._drop.get(names.end(state.task))["error"]
                kind = BadInput if error["kind"] == "BadInput" else CannotRun
                where = f"task {state.task}" + (f", {error['where']}" if error["where"] else "")
                raise kind(error["what"], where=where, fix=error["fix"])
            raise CannotRun(
                f"task {state.task} stopped before the load began: {state.reason}",
                fix="look at its logs; its container has to run `hikkoshi load share`",
            )

    def _check_clocks(self, ready: Mapping[str, float]) -> None:
        for task in range(self._count):
            name = names.ready(task)
            if problem := clock_problem(self._drop.get(name), ready[name]):
                raise CannotRun(
                    f"task {task} cannot begin with the others: {problem}",
                    fix="run it again: Fargate starts the tasks on other machines",
                )

    def await_ends(
        self,
        within_s: float,
        *,
        t_start: float,
        abort: Abort | None = None,
        on_live: Callable[[Live], None] = lambda live: None,
    ) -> tuple[list[TaskState], str | None]:
        """Until every task has left its totals or is stopped; and why the load was aborted, if it
        was. A load that has lost a task is no more the load that was asked for: the rest is
        stopped. on_live: is told of the whole load, as its tasks report. DeadlinePassed."""
        gives_up = time.monotonic() + within_s
        ends: dict[str, bool] = {}
        board = Board(self._count)
        reader = Reader(self._drop, board)
        aborted: str | None = None
        is_ending = False
        while True:
            states = self._fleet.states()
            for found in self._drop.find("end/"):
                if found.name not in ends:
                    ends[found.name] = _is_early(self._drop.get(found.name))
            going = [s for s in states if s.status != "STOPPED" and names.end(s.task) not in ends]
            self._tell(states, self._count - len(going), "done")
            if reader.read():
                on_live(board.live(t_start))
            if not going:
                return states, aborted
            if not is_ending:
                lost = _lost(states, ends)
                if abort is not None and lost is None and not self._stopping.is_set():
                    aborted = abort.reason(board)
                if lost is not None or aborted is not None or self._stopping.is_set():
                    is_ending = True
                    self._end(f"task {lost} ended before its time" if lost is not None else aborted)
                    gives_up = min(gives_up, time.monotonic() + MARGIN_S)
            if time.monotonic() > gives_up:
                raise DeadlinePassed(f"task {going[0].task} of the load did not end")
            self._fleet.pause()

    def _end(self, why: str | None) -> None:
        told = f"{why}; " if why else ""
        self._say(f"{told}stopping the tasks; what they have sent is gathered")
        self._fleet.stop()

    def _tell(self, states: Sequence[TaskState], some: int, what: str = "ready") -> None:
        counts: dict[str, int] = {}
        for state in states:
            counts[state.status] = counts.get(state.status, 0) + 1
        told = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
        told += f"; {some} of {self._count} {what}"
        if told != self._told:
            self._told = told
            self._say(told)


def _lost(states: Sequence[TaskState], ends: Mapping[str, bool]) -> int | None:
    """The first task that is no more, though the load is not over. ends: by the names of what
    tasks left at their ends, whether that was early."""
    for state in states:
        if state.status == "STOPPED" and names.end(state.task) not in ends:
            return state.task
    early = (state.task for state in states if ends.get(names.end(state.task)))
    return next(early, None)


def _is_early(end: Mapping[str, Any]) -> bool:
    """Whether a task ended of an error, or because someone stopped it."""
    return "error" in end or bool(end["totals"]["is_stopped"])
