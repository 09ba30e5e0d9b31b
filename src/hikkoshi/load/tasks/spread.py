"""A load carried out by N tasks of ECS, seen from who asked for it."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput, CannotRun, DeadlinePassed
from hikkoshi.load.attack import Attack
from hikkoshi.load.counting import totals_of
from hikkoshi.load.report import LoadSummary
from hikkoshi.load.tasks import plan as names
from hikkoshi.load.tasks.drop import Drop
from hikkoshi.load.tasks.fleet import Fleet, Ground, TaskState, Wish, look
from hikkoshi.load.tasks.merge import Share, clock_problem, merged, planned_of
from hikkoshi.load.totals import Totals

# From S3's stamp of the start to the first request: the stamp has whole seconds, a task looks for
# it four times a second, and reading it takes what it takes.
LEAD_S = 5.0
START_WITHIN_S = 300.0
# After the last request's timeout: uploading what is left, a stopTimeout of 120 s at most.
_MARGIN_S = 180.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Spread:
    """summary: of the whole load; its files are here, one a process."""

    summary: LoadSummary
    shares: tuple[Share, ...]


def prepare(access: Access, attack: Attack, count: int, wish: Wish, bucket: names.Bucket) -> Ground:
    """Everything that can be refused before anything is started is refused here (BadInput)."""
    names.refuse(attack, count)
    Drop(access, bucket).check()
    ground = look(access, wish)
    if lacking := names.environment_names(attack.targets) - ground.variables:
        raise BadInput(
            f"the tasks' environment has no {', '.join(sorted(lacking))}, which the targets read",
            fix="name a --task-definition whose container has it, under secrets or environment",
        )
    return ground


def carry_out(
    access: Access,
    attack: Attack,
    count: int,
    wish: Wish,
    bucket: names.Bucket,
    output: Path,
    *,
    stopping: threading.Event,
    say: Say = lambda text: None,
    start_within_s: float = START_WITHIN_S,
) -> Spread:
    """output: as of a `LoadRun` of `count × processes` processes. stopping: set to end the load
    early; what was sent by then is still gathered.

    However it ends, no task runs afterwards and nothing is left in the bucket. BadInput, CannotRun,
    DeadlinePassed, AwsRefused.
    """
    ground = prepare(access, attack, count, wish, bucket)
    drop = Drop(access, bucket.below(f"hikkoshi-load-{secrets.token_hex(6)}"))
    with contextlib.ExitStack() as undo:
        undo.callback(drop.clear)
        drop.put(names.PLAN, names.plan_document(attack, count, start_within_s))
        fleet = Fleet(access, wish, ground, drop.bucket)
        undo.callback(fleet.close)
        say(f"starting {count} tasks in {wish.cluster}; documents in {drop.bucket}")
        fleet.start(count)
        watch = _Watch(fleet, drop, count, stopping, say)
        watch.await_ready(start_within_s)
        drop.put(names.START, {"lead_s": LEAD_S})
        t_start = drop.find(names.START)[0].stamped + LEAD_S
        say(f"all {count} tasks are ready; the load begins {LEAD_S:.0f} s from now")
        states = watch.await_ends(LEAD_S + attack.duration_s + attack.timeout_s + _MARGIN_S)
        say("gathering results")
        files = {task: _fetch(drop, task, count, attack, output) for task in range(count)}
        shares = tuple(
            _share(drop, attack, state, count, files[state.task], stopping.is_set())
            for state in states
        )
    kept = sorted((at, path) for mine in files.values() for at, path in mine.items())
    return Spread(merged(attack, shares, t_start, [path for _, path in kept]), shares)


class _Watch:
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

    def await_ends(self, within_s: float) -> list[TaskState]:
        """Until every task has left its totals or is stopped. A load that has lost a task is no
        more the load that was asked for: the rest is stopped. DeadlinePassed."""
        gives_up = time.monotonic() + within_s
        seen: dict[str, bool] = {}
        is_ending = False
        while True:
            states = self._fleet.states()
            for found in self._drop.find("end/"):
                if found.name not in seen:
                    seen[found.name] = _is_early(self._drop.get(found.name))
            going = [s for s in states if s.status != "STOPPED" and names.end(s.task) not in seen]
            self._tell(states, self._count - len(going), "done")
            if not going:
                return states
            lost = [
                s.task for s in states if s.status == "STOPPED" and names.end(s.task) not in seen
            ]
            lost += [s.task for s in states if seen.get(names.end(s.task))]
            if not is_ending and (lost or self._stopping.is_set()):
                is_ending = True
                why = f"task {lost[0]} ended before its time; " if lost else ""
                self._say(f"{why}stopping the tasks; what they have sent is gathered")
                self._fleet.stop()
                gives_up = min(gives_up, time.monotonic() + _MARGIN_S)
            if time.monotonic() > gives_up:
                raise DeadlinePassed(f"task {going[0].task} of the load did not end")
            self._fleet.pause()

    def _tell(self, states: Sequence[TaskState], some: int, what: str = "ready") -> None:
        counts: dict[str, int] = {}
        for state in states:
            counts[state.status] = counts.get(state.status, 0) + 1
        told = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
        told += f"; {some} of {self._count} {what}"
        if told != self._told:
            self._told = told
            self._say(told)


def _is_early(end: Mapping[str, Any]) -> bool:
    """Whether a task ended of an error, or because someone stopped it."""
    return "error" in end or bool(end["totals"]["is_stopped"])


def _fetch(drop: Drop, task: int, count: int, attack: Attack, output: Path) -> dict[int, Path]:
    """The results files of one task by the number of their process among all; none that has not
    begun."""
    files: dict[int, Path] = {}
    is_one = count * attack.processes == 1
    for process in range(attack.processes):
        at = task + count * process
        pieces = drop.find(names.piece(task, process, 0)[:-8])
        if not pieces:
            continue
        path = output if is_one else output.with_name(f"{output.name}.{at}")
        with path.open("wb") as file:
            for piece in pieces:
                file.write(drop.get_bytes(piece.name))
        files[at] = path
    return files


def _share(
    drop: Drop,
    attack: Attack,
    state: TaskState,
    count: int,
    files: Mapping[int, Path],
    is_stopped: bool,
) -> Share:
    """is_stopped: by who asked for the load; otherwise a task that was stopped is a lost one."""
    if drop.find(names.end(state.task)):
        document: dict[str, Any] = drop.get(names.end(state.task))
        if "error" not in document:
            totals = Totals.from_json(document["totals"])
            doubts = list(document["doubts"])
            if totals.is_stopped and not is_stopped:
                doubts.insert(0, "it was stopped before its end")
            return Share(
                state.task, state.arn, totals, float(document["began_late_s"]), tuple(doubts)
            )
        why = str(document["error"]["what"])
    else:
        why = state.reason or "it left no word"
    totals = Totals()
    for path in files.values():
        totals.add(totals_of(path))
    share = (state.task, count)
    totals.planned = max(totals.planned, planned_of(attack, share))
    return Share(state.task, state.arn, totals, why=why)
