"""From what the tasks left to one load's figures, and whether they may be believed; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hikkoshi.base.units import format_duration
from hikkoshi.load.attack import Attack
from hikkoshi.load.judging import Outcome
from hikkoshi.load.report import LoadSummary, summarize
from hikkoshi.load.totals import Totals

# A task that began so much late has sent its first requests in a burst that no one asked for.
LATE_S = 0.1
# By S3's stamps (whole seconds, and the time that an upload takes) no finer can be told …
MAX_STAMP_OFF_S = 10.0
# … but Fargate knows its own clock's error: half of what counts as late.
MAX_CLOCK_ERROR_MS = 50.0


@dataclass(frozen=True, slots=True)
class Share:
    """What is known of one task's part. totals: its own word, or, when it ended without one, what
    its results say (`why` tells of what it ended then). doubts: of the task about itself."""

    task: int
    arn: str
    totals: Totals
    began_late_s: float = 0.0
    doubts: tuple[str, ...] = ()
    why: str | None = None

    @property
    def is_missing(self) -> bool:
        return self.why is not None

    def problems(self) -> Iterator[str]:
        if self.why is not None:
            known = f"{self.totals.done} of its requests are known"
            yield f"task {self.task} is missing: {self.why}; {known}"
        if self.began_late_s > LATE_S:
            yield f"task {self.task} began {format_duration(self.began_late_s)} late"
        for doubt in self.doubts:
            yield f"task {self.task}: {doubt}"


def clock_problem(ready: Mapping[str, Any], stamped: float) -> str | None:
    """Why a task's clock is not to be trusted for a common start. ready: its document; stamped:
    when S3 took that, epoch seconds."""
    off_s = float(ready["now"]) - stamped
    if abs(off_s) > MAX_STAMP_OFF_S:
        return f"its clock is {off_s:+.0f} s from S3's"
    clock = ready.get("clock")
    if clock is None:
        return None
    if clock.get("ClockSynchronizationStatus") == "NOT_SYNCHRONIZED":
        return "Fargate says that its clock is not synchronized"
    bound = float(clock.get("ClockErrorBound") or 0.0)
    if bound > MAX_CLOCK_ERROR_MS:
        return f"Fargate says that its clock may be {bound:.0f} ms off"
    return None


def planned_of(attack: Attack, share: tuple[int, int]) -> int:
    """How many requests of the whole plan are the share's; 0 in a closed model."""
    count = attack.pacer.count if attack.pacer is not None else 0
    return len(range(share[0], count, share[1]))


def merged(
    attack: Attack, shares: Sequence[Share], t_start: float, files: Sequence[Path]
) -> LoadSummary:
    """As if one generator had sent it all: counts and histograms are added. attack: the whole plan.
    A task that is missing or late makes it invalid."""
    totals = Totals()
    for share in shares:
        totals.add(share.totals)
    summary = summarize(
        totals, trial=attack.trial, t_start=t_start, pacer=attack.pacer,
        duration_s=attack.duration_s, files=files, expect=attack.expect,
    )  # fmt: skip
    problems = tuple(each for share in shares for each in share.problems())
    if not problems:
        return summary
    return dataclasses.replace(summary, invalid=summary.invalid + problems, outcome=Outcome.INVALID)


def lines_of(shares: Sequence[Share]) -> Iterator[str]:
    """A line a task, for a terminal."""
    for share in shares:
        totals = share.totals
        late = totals.lateness.percentile(0.99)
        began = (
            "on time" if share.began_late_s <= 0 else f"{format_duration(share.began_late_s)} late"
        )
        told = "–" if late is None else format_duration(late)
        state = "missing" if share.is_missing else f"began {began}"
        yield f"task {share.task:<6} {totals.done} requests, lateness p99 {told}, {state}"


def as_json(shares: Sequence[Share]) -> list[dict[str, Any]]:
    return [
        {
            "task": share.task,
            "arn": share.arn,
            "requests": share.totals.done,
            "succeeded": share.totals.whole().succeeded,
            "lateness_p99_s": share.totals.lateness.percentile(0.99),
            "began_late_s": share.began_late_s,
            "problems": list(share.problems()),
        }
        for share in shares
    ]
