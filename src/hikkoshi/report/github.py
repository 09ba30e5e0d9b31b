"""A verdict as the annotations that GitHub Actions reads from a job's output."""

from __future__ import annotations

from hikkoshi.model.findings import Certainty
from hikkoshi.model.trials import Outcome, Readiness, Verdict
from hikkoshi.report.text import measured, one_line, visible

_LEVEL = {Certainty.FACT: "error", Certainty.LIKELY: "warning", Certainty.HINT: "notice"}


def to_github(verdict: Verdict) -> str:
    """A line each: trials that broke and facts are errors, likely findings and what was not tried
    or not judged warnings, hints notices; the verdict itself last."""
    lines = []
    for trial in verdict.trials:
        if trial.outcome is Outcome.HELD or not trial.is_applicable:
            continue
        is_broken = trial.outcome is Outcome.BROKE
        broken = [m for m in trial.measures if m.is_kept is False]
        told = [trial.reason] + [f"{m.name}: {measured(m)} (limit {m.limit})" for m in broken]
        title = f"{trial.title or trial.name}: {trial.outcome}"
        lines.append(_line("error" if is_broken else "warning", title, _joined(told)))
    for finding in verdict.judgement.findings:
        told = [f"{finding.subject}: {finding.summary}", *finding.advice[:1]]
        lines.append(_line(_LEVEL[finding.certainty], f"{finding.rule} ({finding.certainty})",
                           _joined(told)))  # fmt: skip
    for rule in verdict.judgement.not_judged:
        if rule.is_applicable:
            lines.append(_line("warning", f"{rule.rule}: not judged", rule.why))
    level = "notice" if verdict.readiness is Readiness.READY else "error"
    words = _joined([f"{verdict.service} is {verdict.readiness}", *verdict.reasons])
    lines.append(_line(level, f"hikkoshi: {verdict.readiness}", words))
    return "\n".join(lines) + "\n"


def _joined(parts: list[str]) -> str:
    return "\n".join(part for part in parts if part)


def _line(level: str, title: str, message: str) -> str:
    """Source: "Workflow commands for GitHub Actions"; a property escapes : and , besides."""
    name = _escaped(one_line(title, 120)).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={name}::{_escaped(visible(message)[:4000])}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
