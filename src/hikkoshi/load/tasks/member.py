"""`hikkoshi load share`: what one task of a shared load does."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hikkoshi.base.errors import BadInput, CannotRun, DeadlinePassed, HikkoshiError
from hikkoshi.load.run import LoadRun
from hikkoshi.load.tasks import plan as names
from hikkoshi.load.tasks.drop import Drop
from hikkoshi.load.tasks.reports import report_of

# A task that is lost has lost so much of its results.
PUSH_EVERY_S = 5.0
_LOOK_EVERY_S = 0.25
# One object a piece; S3 takes up to 5 GB in one, and memory is what is short.
_PIECE_BYTES = 16 << 20
# The endpoint is the task's own, behind no proxy.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
Say = Callable[[str], None]


def carry_share(
    drop: Drop, share: tuple[int, int], directory: Path, stopping: threading.Event, say: Say
) -> dict[str, Any]:
    """Sends the share of the drop's plan and leaves its results there; what it has left of how it
    ended. directory: an empty one.

    stopping: set when the task is to end (SIGTERM): what was sent until then is still left. Every
    HikkoshiError is left there too, before it is raised.
    """
    task = share[0]
    try:
        plan = drop.get(names.PLAN)
        attack = names.attack_of(plan, share, directory)
        run = LoadRun(attack, directory / "share.load")
        try:
            run.prepare()
            drop.put(names.ready(task), {"now": time.time(), "clock": _clock()})
            say(f"share {task + 1} of {share[1]} is ready")
            t_start = _await_start(drop, float(plan["start_within_s"]), stopping)
            late_s = time.time() - t_start
            run.begin(t_start)
            say(f"began {max(0.0, late_s):.3f} s late")
            document = _follow(run, drop, task, stopping)
        finally:
            run.close()
        ended = {**document, "began_late_s": max(0.0, late_s)}
        drop.put(names.end(task), ended)
        return ended
    except HikkoshiError as error:
        told = {"what": error.what, "where": error.where, "fix": error.fix}
        kind = "BadInput" if isinstance(error, BadInput) else "CannotRun"
        # The first error is the cause; that it cannot be told is only one more.
        with contextlib.suppress(HikkoshiError):
            drop.put(names.end(task), {"error": {"kind": kind, **told}})
        raise


def _clock() -> dict[str, Any] | None:
    """What Fargate says of its own clock: ClockErrorBound (ms), ClockSynchronizationStatus,
    ReferenceTimestamp. None where nobody says it.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate-response.html
    """
    address = os.environ.get("ECS_CONTAINER_METADATA_URI_V4")
    if address is None:
        return None
    try:
        with _DIRECT.open(f"{address}/task", timeout=10) as answer:
            drift = json.load(answer).get("ClockDrift")
    except (OSError, ValueError):
        return None
    return drift if isinstance(drift, dict) else None


def _await_start(drop: Drop, within_s: float, stopping: threading.Event) -> float:
    """Epoch seconds by S3's clock, which is nobody's of those that take part, and the same for
    all."""
    gives_up = time.monotonic() + within_s
    while not (found := drop.find(names.START)):
        if stopping.wait(_LOOK_EVERY_S):
            raise CannotRun("stopped before the load began")
        if time.monotonic() > gives_up:
            raise DeadlinePassed(f"the load was not started within {within_s:.0f} s")
    return found[0].stamped + float(drop.get(names.START)["lead_s"])


def _follow(run: LoadRun, drop: Drop, task: int, stopping: threading.Event) -> dict[str, Any]:
    """Until all is sent and answered; results go to the bucket as they come."""
    told_s = 0.0
    pushers = [Pusher(drop, task, at, path) for at, path in enumerate(run.files)]
    next_push = time.monotonic() + PUSH_EVERY_S
    is_stopped = False
    try:
        while not run.is_over():
            if stopping.is_set() and not is_stopped:
                is_stopped = True
                run.stop()
            if time.monotonic() >= next_push:
                for pusher in pushers:
                    pusher.push()
                next_push = time.monotonic() + PUSH_EVERY_S
            if (report := report_of(run, told_s)) is not None:
                told_s = report.elapsed_s
                drop.put(names.live(task), report.as_json())
            run.wait_for_change(_LOOK_EVERY_S)
        summary = run.wait(timeout_s=0)
    finally:
        for pusher in pushers:
            pusher.push()
    return {
        "totals": summary.totals.as_json(),
        "t_start": run.t_start,
        "doubts": list(summary.invalid),
    }


class Pusher:
    """Brings what one results file has grown by to the bucket."""

    def __init__(self, drop: Drop, task: int, process: int, path: Path) -> None:
        self._drop, self._task, self._process = drop, task, process
        self._path = path
        self._at = 0
        self._pieces = 0

    def push(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            while data := file.read(_PIECE_BYTES):
                self._drop.put_bytes(names.piece(self._task, self._process, self._pieces), data)
                self._at += len(data)
                self._pieces += 1
