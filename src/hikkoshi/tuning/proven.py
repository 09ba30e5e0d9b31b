"""What a rehearsal of tuning's proposal showed: whether the objective was met with it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hikkoshi.model.findings import Certainty, Judgement
from hikkoshi.model.trials import Outcome, TrialResult
from hikkoshi.tuning.choice import Answer, Choice, Edit
from hikkoshi.tuning.measured import Measured

# What the objective speaks of: answers, the planned rate, the time to recover; and a deploy, in
# which the most tasks, and so the most connections, are there at once.
TRIALS: tuple[str, ...] = ("synthetic", "steady", "soak", "kill-task", "rolling-deploy")
# Without this one nothing was sent at the planned rate.
RATE_TRIAL = "steady"


@dataclass(frozen=True, slots=True)
class Proven:
    """against: why the objective was not met; () is met. new_findings: rules that the run before
    did not find. doubts: what could not be judged, and why: a busy machine breaks limits too.
    untried: settings that are proposed and no part of what was rehearsed.

    cpu_share: the busiest task's at the planned rate, None where it was not sampled. connections:
    (most open, most that the database takes), None for no database or no sample."""

    run_id: str
    against: tuple[str, ...]
    trials: tuple[tuple[str, str, str], ...]
    new_findings: tuple[str, ...]
    doubts: tuple[str, ...]
    untried: tuple[str, ...]
    cpu_share: float | None
    connections: tuple[int, int] | None
    month_before: float | None
    month_after: float | None

    @property
    def is_met(self) -> bool:
        return not self.against


def against(
    trials: Sequence[TrialResult], before: Judgement, after: Judgement
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(why the objective was not met, the rules that are new). What could not be tried counts
    against it, for it was not seen; a hint does not."""
    reasons = [
        f"{each.name} {'broke' if each.outcome is Outcome.BROKE else 'was not tried'}: "
        f"{each.reason}"
        for each in trials
        if each.outcome is not Outcome.HELD and each.is_applicable
    ]
    held = {each.name for each in trials if each.outcome is Outcome.HELD}
    if RATE_TRIAL not in held and not reasons:
        reasons.append("nothing was sent at the planned rate")
    known = {one.rule for one in before.findings if one.certainty is not Certainty.HINT}
    new = [
        one
        for one in after.findings
        if one.certainty is not Certainty.HINT and one.rule not in known
    ]
    reasons += [f"{one.rule} ({one.certainty}) is new: {one.summary}" for one in new]
    return tuple(reasons), tuple(dict.fromkeys(one.rule for one in new))


def doubts(judgement: Judgement) -> tuple[str, ...]:
    return tuple(
        f"{one.rule} was not judged: {one.why}" for one in judgement.not_judged if one.is_applicable
    )


def untried(answers: Sequence[Answer], applied: Sequence[Edit]) -> tuple[str, ...]:
    """Proposed changes of which nothing is in AWS's two documents, or that were held back."""
    return tuple(
        one.setting
        for one in answers
        if isinstance(one, Choice)
        and one.is_change
        and not (one.edits and all(edit in applied for edit in one.edits))
    )


def busiest(measured: Measured) -> float | None:
    return measured.worst.cpu_share if measured.worst else None


def connections(measured: Measured) -> tuple[int, int] | None:
    if measured.connections_peak is None or not measured.connection_limit:
        return None
    return measured.connections_peak, measured.connection_limit
