"""`hikkoshi compare`: what one run has that another has not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from hikkoshi.base.errors import BadInput
from hikkoshi.cli.report import find_run
from hikkoshi.evidence.store import EvidenceStore
from hikkoshi.report.compare import Comparison, compare_runs
from hikkoshi.report.json import from_json
from hikkoshi.report.text import one_line, quantity

UNITS = {"errors": "share"}


@click.command()
@click.argument("before")
@click.argument("after")
@click.option("--json", "is_json", is_flag=True, help="Print the comparison as JSON, alone.")
def compare(before: str, after: str, is_json: bool) -> int:
    """Compare the runs BEFORE and AFTER (each as for `hikkoshi report`): the verdict, findings
    gone and new, trials, and what each endpoint's latency and errors do by more than noise.

    Latency differs when the ten slices of a trial's time do not overlap (one extreme on each side
    aside) and the medians are 10 % and 1 ms apart; errors when z is 3.29. Trials that were sent
    at different rates are not held against each other.

    \b
    Examples:
      hikkoshi compare examples/genba/before examples/genba/after
      hikkoshi compare 20201123T040000Z-1a2b latest
      hikkoshi compare main/.hikkoshi/runs/latest . --json

    Exit codes: 0 AFTER is not worse, 1 it is worse, 2 no such run.
    """
    directories = [find_run(_run(name), Path.cwd()) for name in (before, after)]
    was, now = [
        from_json((each / "verdict.json").read_bytes(), where=str(each)) for each in directories
    ]
    if directories[0] == directories[1]:
        raise BadInput("both names lead to the same run", where=str(directories[0]),
                       fix="name two runs")  # fmt: skip
    with (
        EvidenceStore.open(directories[0] / "evidence.duckdb") as old,
        EvidenceStore.open(directories[1] / "evidence.duckdb") as new,
    ):
        found = compare_runs(was, now, old, new)
    if is_json:
        document = {"schema": 1, "is_worse": found.is_worse, **asdict(found)}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _show(Console(highlight=False), found)
    return int(found.is_worse)


def _run(name: str) -> str | None:
    """`latest`: the latest run of the project that one is in."""
    return None if name == "latest" else name


def _show(console: Console, found: Comparison) -> None:
    def say(text: str) -> None:
        console.print(text, soft_wrap=True)

    say(f"{escape(found.before)} → {escape(found.after)}")
    changed = "" if found.readiness_before == found.readiness_after else "[bold]"
    say(f"{changed}verdict: {found.readiness_before} → {found.readiness_after}")
    for each in found.gone:
        say(f"[green]gone[/] {each.rule} ({each.certainty}): {escape(one_line(each.summary))}")
    for each in found.new:
        say(f"[red]new[/]  {each.rule} ({each.certainty}): {escape(one_line(each.summary))}")
    if found.kept:
        say(f"kept {', '.join(found.kept)}")
    if found.no_longer_judged:
        say(f"[yellow]not judged now[/] {', '.join(found.no_longer_judged)}")
    for change in found.trials:
        say(f"trial {escape(change.name)}: {change.before} → {change.after}")
    for each_one in found.differences:
        unit = UNITS.get(each_one.what, "s")
        words = f"{quantity(each_one.before, unit)} → {quantity(each_one.after, unit)}"
        colour = "red" if each_one.is_worse else "green"
        where = escape(one_line(f"{each_one.trial}: {each_one.endpoint}"))
        say(f"[{colour}]{'worse' if each_one.is_worse else 'better'}[/] {where}: "
            f"{each_one.what} {words}")  # fmt: skip
    if not found.differences:
        say("no endpoint's latency or errors differ by more than noise")
    for why in found.not_compared:
        say(f"[yellow]not compared[/] {escape(why)}")
    say("worse" if found.is_worse else "not worse")
