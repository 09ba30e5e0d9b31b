"""Runs every rule over the evidence of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows, windows_of
from hikkoshi.findings.machine import how_busy, lowered, not_clean
from hikkoshi.findings.registry import CAUSES, IN_TIME, NEED_THE_PROCESSOR, RULES
from hikkoshi.findings.rule import Rule, why_not
from hikkoshi.model.findings import Certainty, Consequence, Finding, Judgement, NotJudged

_ORDER = {Certainty.FACT: 0, Certainty.LIKELY: 1, Certainty.HINT: 2}


def judge(
    evidence: EvidenceStore, windows: Windows | None = None, rules: Iterable[Rule] = RULES
) -> Judgement:
    """All findings, the surest first. Each rule ends up in exactly one of findings, not_judged,
    clean and consequences. The windows are the run's trials unless others are given."""
    within = windows_of(evidence) if windows is None else windows
    findings: list[Finding] = []
    not_judged: list[NotJudged] = []
    clean: list[str] = []
    meta = evidence.meta()
    busy = how_busy(evidence, within)
    for rule in rules:
        answer = why_not(rule.NAME, rule.APPLIES, meta) or rule.judge(evidence, within)
        if isinstance(answer, NotJudged):
            not_judged.append(answer)
        elif isinstance(answer, Finding):
            findings.append(answer)
        elif answer:
            findings.extend(answer)
        elif busy is not None and rule.NAME in NEED_THE_PROCESSOR:
            not_judged.append(not_clean(rule.NAME, busy))
        else:
            clean.append(rule.NAME)
    if busy is not None:
        findings = [lowered(one, busy) if one.rule in IN_TIME else one for one in findings]
    causes, consequences = gather(findings)
    causes.sort(key=lambda finding: _ORDER[finding.certainty])
    return Judgement(tuple(causes), tuple(not_judged), tuple(clean), tuple(consequences))


def _root(cause: str, roots: Mapping[str, str]) -> str:
    """The cause of the cause, to its end; `CAUSES` has no circle, which a test shows."""
    while cause in roots:
        cause = roots[cause]
    return cause


def gather(findings: Sequence[Finding]) -> tuple[list[Finding], list[Consequence]]:
    """Pure: one cause is one finding. What another finding explains becomes a line of that one's
    details. Only a cause that is fact or likely explains, and not what is itself explained."""
    sure = {finding.rule for finding in findings if finding.certainty is not Certainty.HINT}
    explained: list[Consequence] = []
    kept: list[Finding] = []
    for finding in findings:
        cause = next((name for name in CAUSES.get(finding.rule, ()) if name in sure), None)
        if cause is None:
            kept.append(finding)
        else:
            explained.append(Consequence(finding.rule, cause, finding.summary))
    roots = {one.rule: one.cause for one in explained}
    explained = [dataclasses.replace(one, cause=_root(one.cause, roots)) for one in explained]
    told: set[str] = set()
    for place, finding in enumerate(kept):
        own = [one for one in explained if one.cause == finding.rule]
        if own and finding.rule not in told:
            told.add(finding.rule)
            lines = tuple(f"it brings with it {one.rule}: {one.summary}" for one in own)
            kept[place] = dataclasses.replace(finding, details=(*finding.details, *lines))
    return kept, explained
