"""A load carried out, in processes of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from hikkoshi.base.errors import DeadlinePassed
from hikkoshi.load.attack import Attack
from hikkoshi.load.live import Live, live_of
from hikkoshi.load.process import WorkerProcess
from hikkoshi.load.report import LoadSummary, summarize
from hikkoshi.load.totals import EndpointTotals, Totals

READY_WITHIN_S = 20.0
# The workers start this long after the last of them was ready, so that all do at once.
_LEAD_S = 0.02
_MARGIN_S = 20.0


class LoadRun:
    """Carries an attack out in processes of its own. Its methods may be called from any thread.

        with LoadRun(attack, directory / "requests.load") as run:
            while not run.is_over(): … run.live() …
            summary = run.wait()

    Leaving the block stops what still runs. With several processes, the files are named
    `requests.load.0`, `requests.load.1`, …
    """

    def __init__(
        self, attack: Attack, results: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self.attack = attack
        count = attack.processes
        self.files: tuple[Path, ...] = (
            (results,)
            if count == 1
            else tuple(results.with_name(f"{results.name}.{i}") for i in range(count))
        )
        self.t_start = 0.0
        self._clock = clock
        self._changed = threading.Condition()
        self._workers: list[WorkerProcess] = []

    def __enter__(self) -> LoadRun:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Returns once the sending has begun. BadInput, CannotRun, DeadlinePassed."""
        self.prepare()
        self.begin(self._clock() + _LEAD_S)

    def prepare(self) -> None:
        """Returns once all processes are ready to send. The errors of `start`."""
        if self._workers:
            raise RuntimeError("a LoadRun starts once")
        count = len(self.files)
        documents = [self.attack.document((i, count), path) for i, path in enumerate(self.files)]
        try:
            for document, path in zip(documents, self.files, strict=True):
                self._workers.append(WorkerProcess(document, path, self._changed))
            self._await_ready()
        except BaseException:
            self.close()
            raise

    def begin(self, t_start: float) -> None:
        """The plan begins at t_start, epoch seconds; what was due before now is late."""
        start = time.monotonic() + t_start - self._clock()
        self.t_start = t_start
        for worker in self._workers:
            worker.say({"go": start, "t_start": self.t_start})

    def _await_ready(self) -> None:
        with self._changed:
            is_settled = self._changed.wait_for(
                lambda: all(w.is_ready or w.is_over for w in self._workers), READY_WITHIN_S
            )
        for worker in self._workers:
            worker.raise_if_failed()
        if not is_settled:
            raise DeadlinePassed(f"the load generator was not ready within {READY_WITHIN_S:.0f} s")

    @property
    def pids(self) -> tuple[int, ...]:
        """The generator's processes, for who wants to give them a core or measure them."""
        return tuple(worker.process.pid for worker in self._workers)

    def windows(self) -> list[dict[str, Any]]:
        """The latest of each process that has told one."""
        with self._changed:
            return [w.window for w in self._workers if w.window is not None]

    def live(self) -> Live:
        return live_of(self.windows(), self.t_start)

    def so_far(self) -> dict[str, EndpointTotals]:
        """Requests, successes and latencies until the last window, by endpoint."""
        names = {target.endpoint for target in self.attack.targets}
        found: dict[str, EndpointTotals] = {}
        with self._changed:
            for worker in self._workers:
                for name, endpoint in worker.so_far.items():
                    name = name or next(iter(names))
                    found.setdefault(name, EndpointTotals()).add(endpoint)
        return found

    def is_over(self) -> bool:
        with self._changed:
            return all(worker.is_over for worker in self._workers)

    def wait_for_change(self, seconds: float) -> None:
        """Until a worker has said something new, at most `seconds`."""
        with self._changed:
            if not all(worker.is_over for worker in self._workers):
                self._changed.wait(seconds)

    def stop(self, grace_s: float = 1.0) -> None:
        """No further request; those at work have grace_s to be answered, else they count as
        Stopped. Returns at once; `wait` gives the summary."""
        for worker in self._workers:
            worker.say({"stop": grace_s})

    def wait(self, timeout_s: float | None = None) -> LoadSummary:
        """Until every request is accounted for. timeout_s None: as long as the plan, the last
        timeout and a margin need. DeadlinePassed leaves the run going; CannotRun when a worker
        died."""
        attack = self.attack
        if timeout_s is None:
            ends = self.t_start + attack.duration_s + attack.timeout_s + _MARGIN_S
            timeout_s = max(0.0, ends - self._clock())
        with self._changed:
            is_done = self._changed.wait_for(
                lambda: all(worker.is_over for worker in self._workers), timeout_s
            )
        if not is_done:
            raise DeadlinePassed("the load run did not end", where=attack.trial)
        totals = Totals()
        for worker in self._workers:
            worker.raise_if_failed()
            assert worker.totals is not None
            totals.add(worker.totals)
        return summarize(
            totals,
            trial=attack.trial,
            t_start=self.t_start,
            pacer=attack.pacer,
            duration_s=attack.duration_s,
            files=self.files,
            expect=attack.expect,
            share=attack.share,
        )

    def close(self) -> None:
        """Ends the processes, whatever they are doing. Their files stay."""
        for worker in self._workers:
            worker.end()
