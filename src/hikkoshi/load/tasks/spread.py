"""A load carried out by N tasks of ECS, seen from who asked for it."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput
from hikkoshi.load.attack import Attack
from hikkoshi.load.conditions import parse_conditions
from hikkoshi.load.counting import totals_of
from hikkoshi.load.live import Live
from hikkoshi.load.report import LoadSummary
from hikkoshi.load.tasks import plan as names
from hikkoshi.load.tasks.drop import Drop
from hikkoshi.load.tasks.fleet import Fleet, Ground, TaskState, Wish, look
from hikkoshi.load.tasks.merge import Share, merged, planned_of
from hikkoshi.load.tasks.watch import MARGIN_S, Abort, Say, Watch
from hikkoshi.load.totals import Totals

# From S3's stamp of the start to the first request: the stamp has whole seconds, a task looks for
# it four times a second, and reading it takes what it takes.
LEAD_S = 5.0
START_WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Spread:
    """summary: of the whole load; its files are here, one a process. aborted: the threshold that
    ended it early."""

    summary: LoadSummary
    shares: tuple[Share, ...]
    aborted: str | None = None


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
    abort_after_s: float | None = None,
    on_live: Callable[[Live], None] = lambda live: None,
) -> Spread:
    """output: as of a `LoadRun` of `count × processes` processes. stopping: set to end the load
    early; what was sent by then is still gathered. abort_after_s: from then on a threshold that the
    whole load breaks ends it; None never does. on_live: is told of the whole load while it runs.

    However it ends, no task runs afterwards and nothing is left in the bucket. BadInput, CannotRun,
    DeadlinePassed, AwsRefused.
    """
    ground = prepare(access, attack, count, wish, bucket)
    attack = dataclasses.replace(attack, report_every_s=names.REPORT_EVERY_S)
    abort = None
    if abort_after_s is not None and attack.expect is not None:
        abort = Abort(parse_conditions(attack.expect), abort_after_s)
    drop = Drop(access, bucket.below(f"hikkoshi-load-{secrets.token_hex(6)}"))
    with contextlib.ExitStack() as undo:
        undo.callback(drop.clear)
        drop.put(names.PLAN, names.plan_document(attack, count, start_within_s))
        fleet = Fleet(access, wish, ground, drop.bucket)
        undo.callback(fleet.close)
        say(f"starting {count} tasks in {wish.cluster}; documents in {drop.bucket}")
        fleet.start(count)
        watch = Watch(fleet, drop, count, stopping, say)
        watch.await_ready(start_within_s)
        drop.put(names.START, {"lead_s": LEAD_S})
        t_start = drop.find(names.START)[0].stamped + LEAD_S
        say(f"all {count} tasks are ready; the load begins {LEAD_S:.0f} s from now")
        states, aborted = watch.await_ends(
            LEAD_S + attack.duration_s + attack.timeout_s + MARGIN_S,
            t_start=t_start, abort=abort, on_live=on_live,
        )  # fmt: skip
        say("gathering results")
        files = {task: _fetch(drop, task, count, attack, output) for task in range(count)}
        is_stopped = stopping.is_set() or aborted is not None
        shares = tuple(
            _share(drop, attack, state, count, files[state.task], is_stopped) for state in states
        )
    kept = sorted((at, path) for mine in files.values() for at, path in mine.items())
    summary = merged(attack, shares, t_start, [path for _, path in kept])
    return Spread(summary, shares, aborted)


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
