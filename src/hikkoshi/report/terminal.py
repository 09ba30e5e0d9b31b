"""The outcome on a terminal: tables with colour there, plain lines anywhere else."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hikkoshi.model.findings import Certainty, Finding
from hikkoshi.model.trials import Outcome, Readiness, TrialResult, Verdict
from hikkoshi.report.text import measured, one_line, visible

_OUTCOME = {
    Outcome.HELD: ("✓ held", "green"),
    Outcome.BROKE: ("✗ broke", "bold red"),
    Outcome.NOT_TRIED: ("– not tried", "yellow"),
}
_CERTAINTY = {Certainty.FACT: "bold red", Certainty.LIKELY: "yellow", Certainty.HINT: "cyan"}
SHOWN_MEASURES = 4


def show(console: Console, verdict: Verdict, report_path: str | None) -> None:
    """Print the trials, the findings, the verdict and where the report is.

    Escape sequences in text from outside are shown, never sent. The console decides on colour
    (NO_COLOR, TERM); without a terminal the lines are plain and are not wrapped.
    """
    if not console.is_terminal:
        for line in plain_lines(verdict, report_path):
            console.out(line, highlight=False)
        return
    console.print(_trials_table(verdict))
    for finding in verdict.judgement.findings:
        _show_finding(console, finding)
    for rule in verdict.judgement.not_judged:
        if rule.is_applicable:
            console.print(
                Text(f"not judged: {visible(rule.rule)}: {visible(rule.why)}", style="yellow")
            )
    for why, names in _not_applicable(verdict):
        console.print(Text(f"does not apply ({visible(why)}): {visible(names)}", style="dim"))
    _show_conditions(console, verdict)
    is_ready = verdict.readiness is Readiness.READY
    console.print()
    console.print(
        Text(f" {verdict.readiness.upper()} ", style="bold white on " + _verdict_colour(is_ready)),
        Text(visible(verdict.service), style="bold"),
    )
    for reason in verdict.reasons:
        console.print(Padding(Text(f"· {visible(reason)}"), (0, 0, 0, 2)))
    if report_path:
        console.print(Text("report  ", style="dim") + Text(visible(report_path)), soft_wrap=True)


def _not_applicable(verdict: Verdict) -> list[tuple[str, str]]:
    """(why, names of rules), one row a reason."""
    by_reason: dict[str, list[str]] = {}
    for rule in verdict.judgement.not_judged:
        if not rule.is_applicable:
            by_reason.setdefault(rule.why, []).append(rule.rule)
    return [(why, ", ".join(names)) for why, names in by_reason.items()]


def plain_lines(verdict: Verdict, report_path: str | None) -> list[str]:
    """The same without colour, one fact a line, for logs and pipes."""
    lines = []
    for trial in verdict.trials:
        lines.append(f"trial {one_line(trial.name)}: {trial.outcome} ({one_line(trial.reason)})")
        lines += [f"  {_measure_line(trial, place)}" for place in range(len(trial.measures))]
        lines += [f"  note: {one_line(note)}" for note in trial.notes]
    for finding in verdict.judgement.findings:
        lines.append(
            f"finding {one_line(finding.rule)}: {finding.certainty}: "
            f"{one_line(finding.summary, 400)}"
        )
        for row in finding.evidence:
            threshold = f" (threshold: {row.threshold})" if row.threshold else ""
            lines.append(f"  {one_line(f'{row.what}: {row.value}{threshold}', 400)}")
        lines += [f"  advice: {one_line(advice, 600)}" for advice in finding.advice]
    for rule in verdict.judgement.not_judged:
        if rule.is_applicable:
            lines.append(f"not judged {one_line(rule.rule)}: {one_line(rule.why)}")
        else:
            lines.append(f"does not apply {one_line(rule.rule)}: {one_line(rule.why)}")
    for each in verdict.judgement.consequences:
        lines.append(
            f"consequence {one_line(each.rule)}: of {one_line(each.cause)}: "
            f"{one_line(each.summary, 400)}"
        )
    lines += [f"clean {one_line(name)}" for name in verdict.judgement.clean]
    lines += [f"{label}: {text}" for label, text in _conditions(verdict)]
    lines += [f"reason: {one_line(reason, 400)}" for reason in verdict.reasons]
    lines.append(f"verdict: {verdict.readiness} ({one_line(verdict.service)})")
    if report_path:
        lines.append(f"report: {visible(report_path)}")
    return lines


def _measure_line(trial: TrialResult, place: int) -> str:
    measure = trial.measures[place]
    limit = f" (limit {measure.limit})" if measure.limit else ""
    broken = " BROKEN" if measure.is_kept is False else ""
    return one_line(f"{measure.name}: {measured(measure)}{limit}{broken}")


def _trials_table(verdict: Verdict) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("trial", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("measures", ratio=1)
    for trial in verdict.trials:
        word, style = _OUTCOME[trial.outcome]
        measures = Text()
        # What broke its limit comes first, then what had one.
        order = sorted(trial.measures, key=lambda m: (m.is_kept is not False, m.limit is None))[
            :SHOWN_MEASURES
        ]
        for measure in order:
            if measures:
                measures.append("  ")
            measures.append(f"{visible(measure.name)} ", style="dim")
            colour = "bold red" if measure.is_kept is False else ""
            measures.append(visible(measured(measure)), style=colour)
            if measure.is_kept is False and measure.limit:
                measures.append(f" (limit {visible(measure.limit)})", style="red")
        if trial.outcome is not Outcome.HELD and trial.reason:
            measures.append(("\n" if measures else "") + visible(trial.reason), style=style)
        table.add_row(Text(one_line(trial.title or trial.name, 60)), Text(word, style), measures)
    return table


def _show_finding(console: Console, finding: Finding) -> None:
    style = _CERTAINTY[finding.certainty]
    head = Text()
    head.append(f"{finding.certainty} ", style=style)
    head.append(visible(finding.rule), style="bold")
    head.append(f"  {one_line(finding.subject, 80)}", style="dim")
    console.print()
    console.print(head)
    console.print(Padding(Text(visible(finding.summary)), (0, 0, 0, 2)))
    for row in finding.evidence:
        line = Text(f"{visible(row.what)}: ", style="dim")
        line.append(visible(row.value), style="none")
        if row.threshold:
            line.append(f"  (threshold: {visible(row.threshold)})")
        console.print(Padding(line, (0, 0, 0, 4)))
    for advice in finding.advice[:2]:
        console.print(Padding(Text(f"→ {visible(advice)}"), (0, 0, 0, 2)))
    console.print(
        Padding(Text(f"more: hikkoshi explain {visible(finding.rule)}", style="dim"), (0, 0, 0, 2))
    )


def _show_conditions(console: Console, verdict: Verdict) -> None:
    rows = _conditions(verdict)
    if rows:
        console.print()
    for label, text in rows:
        console.print(Text(f"{label}: ", style="dim") + Text(text))


def _conditions(verdict: Verdict) -> list[tuple[str, str]]:
    """What the reader must know to weigh the verdict."""
    rows = [("stood in for", one_line(text, 300)) for text in verdict.stand_ins]
    rows += [("measured, not enforced", one_line(text, 300)) for text in verdict.not_enforced]
    rows += [("adapted", one_line(text, 300)) for text in verdict.adapted]
    if verdict.shortened_timers:
        text = "; ".join(
            f"{meaning} {used:g} s (AWS {aws:g} s)"
            for meaning, aws, used in verdict.shortened_timers
        )
        rows.append(("timers shortened", one_line(text, 1000)))
    return rows


def _verdict_colour(is_ready: bool) -> str:
    return "dark_green" if is_ready else "dark_red"
