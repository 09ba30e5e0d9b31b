"""JUnit's XML: trials and rules as test cases, for CI systems."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hikkoshi.model.findings import Certainty, Finding, Judgement
from hikkoshi.model.trials import Outcome, TrialResult, Verdict
from hikkoshi.report.text import measured, visible


def to_junit(verdict: Verdict) -> str:
    """Two suites: trials (broke fails, not tried is skipped) and findings (a fact fails, what was
    not judged is skipped; likely ones and hints are told in system-out and pass)."""
    root = ET.Element("testsuites", name=visible(f"hikkoshi rehearse {verdict.service}".strip()))
    trials = ET.SubElement(root, "testsuite", name="trials")
    for trial in verdict.trials:
        _trial(trials, trial)
    findings = ET.SubElement(root, "testsuite", name="findings")
    _judgement(findings, verdict.judgement)
    for suite in (trials, findings):
        cases = suite.findall("testcase")
        suite.set("tests", str(len(cases)))
        suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
        suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
        suite.set("errors", "0")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _trial(suite: ET.Element, trial: TrialResult) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname="hikkoshi.trials",
        name=visible(trial.name),
        time=f"{max(0.0, trial.t_end - trial.t_start):.3f}",
    )
    if trial.outcome is Outcome.BROKE:
        ET.SubElement(case, "failure", message=visible(trial.reason)).text = _measures(trial)
    elif trial.outcome is Outcome.NOT_TRIED:
        ET.SubElement(case, "skipped", message=visible(f"not tried: {trial.reason}"))
    if trial.measures:
        ET.SubElement(case, "system-out").text = _measures(trial)


def _measures(trial: TrialResult) -> str:
    return visible(
        "\n".join(
            f"{measure.name}: {measured(measure)}"
            + (f" (limit {measure.limit})" if measure.limit else "")
            for measure in trial.measures
        )
    )


def _judgement(suite: ET.Element, judgement: Judgement) -> None:
    for finding in judgement.findings:
        case = _rule(suite, f"{finding.rule} [{finding.subject}]")
        if finding.certainty is Certainty.FACT:
            failure = ET.SubElement(case, "failure", message=visible(finding.summary))
            failure.text = _finding(finding)
        else:
            ET.SubElement(case, "system-out").text = _finding(finding)
    for rule in judgement.not_judged:
        how = "not judged" if rule.is_applicable else "does not apply"
        ET.SubElement(_rule(suite, rule.rule), "skipped", message=visible(f"{how}: {rule.why}"))
    for each in judgement.consequences:
        case = _rule(suite, each.rule)
        ET.SubElement(case, "skipped", message=visible(f"follows from {each.cause}"))
    for name in judgement.clean:
        _rule(suite, name)


def _rule(suite: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname="hikkoshi.findings", name=visible(name), time="0"
    )


def _finding(finding: Finding) -> str:
    lines = [f"{finding.certainty}: {finding.summary}"]
    for row in finding.evidence:
        threshold = f" (threshold {row.threshold})" if row.threshold else ""
        lines.append(f"{row.what}: {row.value}{threshold}")
    return visible("\n".join([*lines, *finding.advice, *finding.details]))
