"""From results and findings to ready or not ready, with the reasons. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hikkoshi.model.findings import Certainty, Judgement
from hikkoshi.model.trials import Outcome, Readiness, TrialResult


def decide(
    results: Sequence[TrialResult], judgement: Judgement, left_out: Sequence[str]
) -> tuple[Readiness, tuple[str, ...]]:
    """Not ready for anything that broke, could not be tried, was found or could not be judged.

    What the user left out is a reason to read the verdict with care, not one against the service
    (a rule whose trials were left out does not apply); so is a hint.
    """
    against: list[str] = []
    aside: list[str] = []
    for each in results:
        if each.outcome is Outcome.BROKE:
            against.append(f"{each.name} broke: {each.reason}")
        elif each.outcome is Outcome.NOT_TRIED and each.is_applicable:
            against.append(f"{each.name} was not tried: {each.reason}")
    for finding in judgement.findings:
        into = aside if finding.certainty is Certainty.HINT else against
        into.append(f"{finding.rule} ({finding.certainty.value}): {finding.summary}")
    for missing in judgement.not_judged:
        if missing.is_applicable:
            against.append(f"{missing.rule} was not judged: {missing.why}")
    if left_out:
        aside.append(f"left out on request: {', '.join(left_out)}")
    readiness = Readiness.NOT_READY if against else Readiness.READY
    return readiness, (*against, *aside)
