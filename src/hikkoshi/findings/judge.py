"""Runs every rule over the evidence of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.evidence.windows import Windows, windows_of
from hikkoshi.findings.rules import (
    deadlocks_under_load,
    opens_a_connection_for_each_request,
    repeats_a_query_for_each_row,
    runs_out_of_file_descriptors,
    saturates_task_cpu,
)
from hikkoshi.model.findings import Certainty, Finding, Judgement, NotJudged

Verdict = Finding | tuple[Finding, ...] | NotJudged | None


class Rule(Protocol):
    """A module of `rules/`. `judge` reads only the store: findings, None when it looked and all
    was well, NotJudged when it had nothing to look at."""

    NAME: str
    TITLE: str

    def judge(self, evidence: EvidenceStore, windows: Windows) -> Verdict: ...


RULES: tuple[Rule, ...] = (
    opens_a_connection_for_each_request,
    repeats_a_query_for_each_row,
    deadlocks_under_load,
    saturates_task_cpu,
    runs_out_of_file_descriptors,
)

# Rules about a database, which a service without one cannot break.
_OF_A_DATABASE = frozenset(
    rule.NAME
    for rule in (
        opens_a_connection_for_each_request,
        repeats_a_query_for_each_row,
        deadlocks_under_load,
    )
)

_ORDER = {Certainty.FACT: 0, Certainty.LIKELY: 1, Certainty.HINT: 2}


def judge(
    evidence: EvidenceStore, windows: Windows | None = None, rules: Iterable[Rule] = RULES
) -> Judgement:
    """All findings, the surest first. Each rule ends up in exactly one of findings, not_judged
    and clean. The windows are the run's trials unless others are given."""
    within = windows_of(evidence) if windows is None else windows
    findings: list[Finding] = []
    not_judged: list[NotJudged] = []
    clean: list[str] = []
    has_no_database = evidence.meta().get("database") == "none"
    for rule in rules:
        if has_no_database and rule.NAME in _OF_A_DATABASE:
            why = "the service has no database"
            not_judged.append(NotJudged(rule.NAME, why, is_applicable=False))
            continue
        answer = rule.judge(evidence, within)
        if isinstance(answer, NotJudged):
            not_judged.append(answer)
        elif isinstance(answer, Finding):
            findings.append(answer)
        elif answer:
            findings.extend(answer)
        else:
            clean.append(rule.NAME)
    findings.sort(key=lambda finding: _ORDER[finding.certainty])
    return Judgement(tuple(findings), tuple(not_judged), tuple(clean))
