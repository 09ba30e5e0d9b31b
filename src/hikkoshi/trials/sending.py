"""Load for a trial: the project's targets at its rate, open model, for as long as it takes."""

from __future__ import annotations

import dataclasses
import itertools
import time
from types import TracebackType

from hikkoshi.base.errors import BadInput, DeadlinePassed
from hikkoshi.load.attack import Attack
from hikkoshi.load.pacer import constant
from hikkoshi.load.report import LoadSummary
from hikkoshi.load.results import read_results
from hikkoshi.load.run import LoadRun
from hikkoshi.load.targets import Target, load_targets
from hikkoshi.model.trials import Live
from hikkoshi.trials.context import Context
from hikkoshi.trials.measures import Sent

_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """Requests that were sent, and what became of those that have ended."""

    issued: int
    good: int
    failed: int


class Sending:
    """A load under way. Leaving the block ends it and waits for the requests still at work."""

    def __init__(self, context: Context, trial: str, run: LoadRun) -> None:
        self._context = context
        self._trial = trial
        self._run = run
        self._summary: LoadSummary | None = None

    def __enter__(self) -> Sending:
        self._run.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._run.stop(grace_s=self._run.attack.timeout_s)
                self._summary = self._run.wait()
                self._record_step()
        finally:
            self._run.close()

    def _record_step(self) -> None:
        """How long which rate was asked for, from the requests' own times."""
        times = [r.t_intended for r in self.requests()]
        if times and max(times) > min(times):
            length_s = max(times) - min(times)
            self._context.recorder.record(
                "load_steps",
                trial=self._trial,
                t_start=min(times),
                t_end=max(times),
                rate=(len(times) - 1) / length_s,
            )

    def show(self) -> None:
        """Tell the progress what the generator sees; cheap, called from waiting loops."""
        live = self._run.live()
        self._context.progress.live(
            self._trial, Live(live.issued, live.failed_so_far, live.rate, live.p99_s)
        )

    def counts(self) -> Counts:
        """So far."""
        live = self._run.live()
        return Counts(live.issued, live.done - live.failed_so_far, live.failed_so_far)

    def pass_time(self, seconds: float) -> None:
        """Let the load go on for that long: here time itself is what is waited for."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._run.is_over():
            time.sleep(min(0.2, left))
            self.show()

    def finish(self) -> None:
        """Until all that was planned has been sent and answered."""
        attack = self._run.attack
        deadline = time.monotonic() + attack.duration_s + attack.timeout_s + 10
        while not self._run.is_over():
            if time.monotonic() > deadline:
                raise DeadlinePassed(f"the load of {self._trial} did not end")
            time.sleep(0.1)
            self.show()

    def requests(self) -> list[Sent]:
        """After the block: every request, whatever became of it."""
        found = []
        targets = self._run.attack.targets
        for file in self._run.files:
            for r in read_results(file):
                found.append(
                    Sent(
                        t_intended=self._run.t_start + r.intended,
                        latency_s=r.ended - r.intended,
                        status=r.status,
                        error=str(r.failure or ""),
                        endpoint=targets[r.target].endpoint,
                    )
                )
        return found

    @property
    def summary(self) -> LoadSummary | None:
        """After the block: the generator's own figures."""
        return self._summary

    def invalid_because(self) -> str | None:
        """Why the numbers must not be believed; None when they may be."""
        return "; ".join(self._summary.invalid) or None if self._summary else None


def planned_rate(context: Context) -> float:
    load = context.project.settings.load
    if load is None:
        raise BadInput("hikkoshi.yaml has no `load:`", fix="add `load: {targets: …, rate: …}`")
    return float(load.rate)


def send(
    context: Context,
    trial: str,
    duration_s: float,
    *,
    rate: float | None = None,
    base_url: str | None = None,
    reads_only: bool = False,
) -> Sending:
    """A load of the project's targets, not yet started; `with` starts it."""
    settings = context.project.settings.load
    asked = planned_rate(context) if rate is None else rate
    assert settings is not None
    targets = load_targets(context.project.directory / settings.targets)
    if reads_only:
        targets = tuple(t for t in targets if t.method == "GET")
    base = base_url or context.home.base_url
    file = context.directory / "load" / f"{next(_numbers):03d}-{trial}.load"
    file.parent.mkdir(parents=True, exist_ok=True)
    attack = Attack.paced(
        tuple(_at(base, target) for target in targets),
        constant(asked, duration_s),
        trial=trial,
        connect_to=base.removeprefix("http://"),
        connections=settings.connections,
        timeout_s=settings.timeout,
    )
    run = LoadRun(attack, file)
    context.load_files.extend(run.files)
    return Sending(context, trial, run)


def _at(base: str, target: Target) -> Target:
    """A target that is a path alone becomes whole; others keep their own host name."""
    if "://" in target.url:
        return target
    return dataclasses.replace(target, url=base + target.url)
