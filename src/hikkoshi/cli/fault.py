"""`hikkoshi fault`: break one thing, and see what becomes of it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput, HikkoshiError
from hikkoshi.base.scratch import own_prefix
from hikkoshi.base.units import format_duration, format_share, parse_duration, parse_share
from hikkoshi.cli.places import region_index
from hikkoshi.cli.where import place, place_options
from hikkoshi.faults.catalogue import CATALOGUE, find, refuse_what_lacks
from hikkoshi.faults.finishing import finish
from hikkoshi.faults.journal import DIRECTORY, Journal, left_in
from hikkoshi.faults.model import FaultResult, Place
from hikkoshi.faults.run import BROKE, HELD, NOT_TRIED, Options, run_fault
from hikkoshi.faults.writes import DatabaseSink, EndpointSink, Exchange, Sink, Writing

_MARKS = {
    HELD: ("HELD     ", "green"),
    BROKE: ("BROKE    ", "red"),
    NOT_TRIED: ("NOT TRIED", "cyan"),
}

EXAMPLES = """
\b
Examples:
  hikkoshi fault list
  hikkoshi fault run stop-task --local --cluster genba --service genba
  hikkoshi fault run failover-database --profile staging --database genba-db --service genba \\
      --load targets.http --rate 50/s --write database
  hikkoshi fault run experiment.json --local
"""


@click.group(epilog=EXAMPLES)
def fault() -> None:
    """Break one thing by public calls of AWS; prove it, time it, undo it.

    Exit codes: 0 held, 1 broke, 2 wrong use or bad input, 3 could not be tried.
    """


@fault.command("list")
@click.option("--json", "is_json", is_flag=True, help="As JSON.")
def list_command(is_json: bool) -> None:
    """The faults there are, what each needs, and by which calls it is made.

    \b
    Examples:
      hikkoshi fault list
      hikkoshi fault list --json | jq -r '.[].name'

    Exit codes: 0 listed, 2 wrong use.
    """
    _finish_what_is_left()
    if is_json:
        print(json.dumps([{"name": e.name, "title": e.title, "needs": e.needs, "how": e.how}
                          for e in CATALOGUE], indent=2))  # fmt: skip
        return
    for entry in CATALOGUE:
        click.echo(f"{click.style(entry.name.ljust(24), bold=True)} {entry.title}")
        click.echo(f"{'':24} needs {entry.needs}; {entry.how}")


@fault.command("run", epilog=EXAMPLES)
@click.argument("names", nargs=-1, required=True)
@click.option("--service", help="The ECS service.")
@click.option("--cluster", default="default", show_default=True, help="The ECS cluster.")
@click.option("--database", help="The RDS cluster's identifier.")
@click.option("--container", help="Of the task; else the one that the fault would choose.")
@click.option("--zone", help="The availability zone of zone-gone.")
@click.option("--peer", help="HOST[:PORT] of the network faults; else the database.")
@click.option("--hold", default="10s", show_default=True, help="How long a held fault lasts.")
@click.option("--delay", "delay_ms", default=500, show_default=True, help="Milliseconds.")
@click.option("--loss", "loss_percent", default=30, show_default=True, help="Percent of packets.")
@click.option("--probe", "probe_url", help="An address that answers below 500 when all is well.")
@click.option("--load", "targets", type=click.Path(path_type=Path), help="A file of targets.")
@click.option("--rate", default="50/s", show_default=True, help="Of the load.")
@click.option("--base-url", help="Put before targets that are paths.")
@click.option("--connect-to", help="host:port for all connections of the load.")
@click.option(
    "--write", "write", help="`database` (DATABASE_URL), or 'METHOD URL BODY' with {n} in it."
)
@click.option("--read", "read", help="'METHOD URL' with {n}, to read a written number back.")
@click.option("--recovery", default="5m", show_default=True, help="Within which all is steady.")
@click.option(
    "--failed", "most_failed", default="20%", show_default=True, help="Of requests, at most."
)
@click.option("--json", "is_json", is_flag=True, help="The results as JSON, alone on stdout.")
@place_options
def run_command(
    names: tuple[str, ...],
    is_local: bool,
    profile: str | None,
    region: str | None,
    is_json: bool,
    hold: str,
    recovery: str,
    rate: str,
    most_failed: str,
    targets: Path | None,
    base_url: str | None,
    connect_to: str | None,
    probe_url: str | None,
    write: str | None,
    read: str | None,
    **where: Any,
) -> None:
    """Inject the faults NAMES one after another; a NAME that ends in .json or .yaml is an
    experiment of the Chaos Toolkit's.

    Before each, all must be steady: deployments done, every task running, every target healthy,
    the database available, and --probe answering. Afterwards the same is waited for. DATABASE_URL
    is read from the environment alone, and never shown.

    Exit code: 0 all held; 1 one broke; 2 wrong use or bad input; 3 none broke, but one could not
    be tried.
    """
    _finish_what_is_left()
    faults = [name for name in names if not _is_experiment(name)]
    entries = {name: find(name) for name in faults}
    access = place(is_local, profile, region)
    base = Place(
        access,
        database_url=os.environ.get("DATABASE_URL"),
        hold_s=_duration(hold, "--hold"),
        **where,
    )
    for entry in entries.values():
        refuse_what_lacks(entry, base)
    results: list[Any] = []
    # Load and writes need a while before and after, to be compared with; looks alone do not.
    is_used = targets is not None or write is not None
    for name in names:
        if name not in entries:
            results.append(_experiment(Path(name), access))
        else:
            with tempfile.TemporaryDirectory(prefix=own_prefix("hikkoshi-fault-")) as directory:
                options = Options(
                    probe_url=probe_url,
                    targets=targets,
                    rate=_rate(rate),
                    base_url=base_url,
                    connect_to=connect_to,
                    writing=_writing(write, read, base),
                    recovery_s=_duration(recovery, "--recovery"),
                    most_failed=_share(most_failed),
                    warm_s=2.0 if is_used else 0.2,
                    cool_s=2.0 if is_used else 0.2,
                    directory=Path(directory),
                )
                click.echo(f"{name}: {entries[name].title}", err=True)
                at = replace(base, journal=Journal(_journals()))
                results.append(run_fault(entries[name], at, options, _progress))
        if not is_json:
            _show(results[-1])
    if is_json:
        print(json.dumps([asdict(result) for result in results], indent=2, ensure_ascii=False))
    outcomes = {result.outcome for result in results}
    sys.exit(1 if BROKE in outcomes else 3 if NOT_TRIED in outcomes else 0)


def _journals() -> Path:
    return region_index() / DIRECTORY


def _finish_what_is_left() -> None:
    """Whatever a run that was killed could not undo. What fails is told, and tried again by the
    next command."""
    for left in left_in(_journals()):
        try:
            told = finish(left)
            click.echo(f"undone what a killed run left: {left.fault}: {told}", err=True)
        except HikkoshiError as error:
            click.echo(
                f"NOT undone, of a killed run: {left.fault} ({left.file}): {error.what}", err=True
            )


def _is_experiment(name: str) -> bool:
    return name.endswith((".json", ".yaml", ".yml"))


def _progress(text: str) -> None:
    click.echo(f"  {text}", err=True)


def _experiment(file: Path, access: Access) -> FaultResult:
    from hikkoshi.faults.experiment import run_experiment

    return run_experiment(file, access, _progress)


def _writing(write: str | None, read: str | None, base: Place) -> Writing | None:
    sink: Sink
    if write is None:
        return None
    if write == "database":
        if base.database_url is None:
            raise BadInput("DATABASE_URL is not set", where="--write", fix="set it")
        sink = DatabaseSink(base.database_url)
    else:
        if read is None:
            raise BadInput("--write without --read", fix="say how a number is read back")
        sink = EndpointSink(Exchange.parse(write, "--write"), Exchange.parse(read, "--read"))
    return Writing(sink)


def _duration(text: str, option: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise BadInput(str(error), where=option, fix="write 10s or 5m") from error


def _rate(text: str) -> float:
    from hikkoshi.base.units import parse_rate

    try:
        return parse_rate(text)
    except ValueError as error:
        raise BadInput(str(error), where="--rate", fix="write 50/s") from error


def _share(text: str) -> float:
    try:
        return parse_share(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is not a share", where="--failed", fix="write 20%") from error


def _show(result: FaultResult) -> None:
    words, colour = _MARKS[result.outcome]
    click.echo(f"{click.style(words, fg=colour)} {result.name}: {result.reason}")
    rows: list[tuple[str, str]] = []
    if result.proof:
        rows.append(("proof", result.proof))
    if result.detect_s is not None:
        told = result.details.get("first_trouble")
        first = f" ({told})" if told else ""
        rows.append(("detected after", f"{format_duration(result.detect_s)}{first}"))
    if result.recover_s is not None:
        since = " from its undo" if result.details.get("recovery_counts_from") == "undo" else ""
        rows.append(("recovered after", f"{format_duration(result.recover_s)}{since}"))
    if result.was_steady_during is not None:
        rows.append(("steady meanwhile", f"{format_share(result.was_steady_during)} of the looks"))
    if result.requests is not None:
        found = result.requests
        causes = ", ".join(f"{count} × {cause}" for cause, count in found.causes)
        p99 = format_duration(found.p99_s) if found.p99_s is not None else "none"
        rows.append(("requests", f"{found.failed} of {found.sent} failed, {found.retried} retried, "
                     f"{found.failed_before} failed before, p99 {p99}"))  # fmt: skip
        if causes:
            rows.append(("failures", causes))
    if result.writes is not None:
        kept = result.writes
        gap = f", longest gap {format_duration(kept.longest_gap_s)}" if kept.longest_gap_s else ""
        rows.append(("writes", f"{kept.acknowledged} acknowledged, {len(kept.missing)} of them "
                     f"missing, {kept.retried} retried, {kept.unsure} unsure{gap}"))  # fmt: skip
    if result.t_injected is not None:
        after = {True: "steady", False: "NOT steady", None: "not looked at"}[result.is_steady_after]
        rows.append(("undo", f"{result.undo}; {after} after it"))
    for name, value in rows:
        click.echo(f"            {name:17} {value}")
