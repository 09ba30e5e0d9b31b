"""Two runs beside each other: what is gone, what is new, what differs by more than noise."""

from __future__ import annotations

from dataclasses import dataclass

from hikkoshi.evidence.latencies import Difference, differences, endpoints, rates
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.model.findings import Certainty, Finding
from hikkoshi.model.trials import Outcome, Readiness, Verdict

SAME_RATE = 0.1


@dataclass(frozen=True, slots=True)
class Named:
    rule: str
    certainty: str
    subject: str
    summary: str


@dataclass(frozen=True, slots=True)
class TrialChange:
    name: str
    title: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """not_compared: why some latencies were not held against each other."""

    before: str
    after: str
    readiness_before: str
    readiness_after: str
    gone: tuple[Named, ...]
    new: tuple[Named, ...]
    kept: tuple[str, ...]
    no_longer_judged: tuple[str, ...]
    trials: tuple[TrialChange, ...]
    differences: tuple[Difference, ...]
    not_compared: tuple[str, ...]

    @property
    def is_worse(self) -> bool:
        """A new fact, a trial that held and now broke, a lost readiness, or an endpoint that is
        slower or fails more often."""
        held, broke, ready = str(Outcome.HELD), str(Outcome.BROKE), str(Readiness.READY)
        return (
            (self.readiness_before == ready and self.readiness_after != ready)
            or any(each.certainty == str(Certainty.FACT) for each in self.new)
            or any(each.before == held and each.after == broke for each in self.trials)
            or any(each.is_worse for each in self.differences)
        )


def compare_runs(
    before: Verdict, after: Verdict, old: EvidenceStore, new: EvidenceStore
) -> Comparison:
    """A finding is the same where its rule is: its subject may be named after a family."""
    rules_before = {each.rule for each in before.judgement.findings}
    rules_after = {each.rule for each in after.judgement.findings}
    unjudged = {each.rule for each in after.judgement.not_judged}
    unjudged |= {each.rule for each in after.judgement.consequences}
    gone = [each for each in before.judgement.findings if each.rule not in rules_after | unjudged]
    found, why = _differences(old, new)
    return Comparison(
        before=before.run_id,
        after=after.run_id,
        readiness_before=str(before.readiness),
        readiness_after=str(after.readiness),
        gone=tuple(map(_named, gone)),
        new=tuple(_named(f) for f in after.judgement.findings if f.rule not in rules_before),
        kept=tuple(sorted(rules_before & rules_after)),
        no_longer_judged=tuple(sorted(rules_before & unjudged - rules_after)),
        trials=_trials(before, after),
        differences=tuple(found),
        not_compared=tuple(why),
    )


def _named(finding: Finding) -> Named:
    return Named(finding.rule, str(finding.certainty), finding.subject, finding.summary)


def _trials(before: Verdict, after: Verdict) -> tuple[TrialChange, ...]:
    was = {trial.name: str(trial.outcome) for trial in before.trials}
    missing = str(Outcome.NOT_TRIED)
    changes = [
        TrialChange(trial.name, trial.title or trial.name, was.get(trial.name, missing),
                    str(trial.outcome))
        for trial in after.trials
    ]  # fmt: skip
    now = {trial.name for trial in after.trials}
    changes += [
        TrialChange(trial.name, trial.title or trial.name, str(trial.outcome), missing)
        for trial in before.trials
        if trial.name not in now
    ]
    return tuple(change for change in changes if change.before != change.after)


def _differences(old: EvidenceStore, new: EvidenceStore) -> tuple[list[Difference], list[str]]:
    before, after = endpoints(old), endpoints(new)
    rates_before, rates_after = rates(old), rates(new)
    found: list[Difference] = []
    why: dict[str, str] = {}
    for key in sorted(before.keys() & after.keys()):
        trial = key[0]
        asked = rates_before.get(trial), rates_after.get(trial)
        if asked[0] and asked[1] and abs(asked[0] - asked[1]) > SAME_RATE * asked[0]:
            why[trial] = f"{trial}: {asked[0]:.4g} requests a second against {asked[1]:.4g}"
            continue
        found += differences(before[key], after[key])
    found.sort(key=lambda each: (not each.is_worse, each.trial, each.endpoint, each.what))
    return found, list(why.values())
