"""`hikkoshi logs parity`: do the records that the host delivered still arrive?"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.parity.compare import Comparison, Difference, compare
from hikkoshi.parity.delivered import Outcome, read_recorded
from hikkoshi.parity.fluentd_pipeline import FluentdPipeline, choose_source
from hikkoshi.parity.reading import (
    DELIVERED,
    WRITTEN,
    find_in_run,
    is_fluentd,
    lines_of_run,
    read_fluentd,
)
from hikkoshi.parity.router_pipeline import RouterPipeline

_PATH = click.Path(path_type=Path, exists=True)


@click.command("parity")
@click.option("--before", required=True, type=_PATH, metavar="FILE",
              help="fluentd.conf or td-agent.conf; or records as JSON lines.")  # fmt: skip
@click.option("--after", required=True, type=_PATH, metavar="RUN|FILE",
              help="A rehearsal's directory, fluent-bit.conf, or JSON lines.")  # fmt: skip
@click.option("--sample", type=click.Path(path_type=Path, allow_dash=True), metavar="LINES",
              help="The application's log lines (- is stdin); else those of the RUN.")  # fmt: skip
@click.option("--source", help="The path or tag of fluentd's source that takes them.")
@click.option("--tag", help="The tag they have in the new router; else FireLens' own.")
@click.option("--container", help="Of a RUN: only the lines of this container.")
@click.option("--show", default=5, show_default=True, help="So many of each difference.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def parity(
    before: Path, after: Path, sample: Path | None, source: str | None, tag: str | None,
    container: str | None, show: int, as_json: bool,
) -> int:  # fmt: skip
    """Set the records that the host's log pipeline delivers beside those of the new one.

    A fluentd configuration is interpreted (nothing is started): sources, parsers, filters, copy,
    relabel, rewrite_tag_filter, outputs; what is not interpreted is named, and counts as a
    difference. The new router's filters are the ones that a local region runs. Told are records
    that are missing, added or doubled, and changed fields, times, tags and destinations.

    \b
    Examples:
      hikkoshi logs parity --before td-agent.conf --after log-router/application.conf \\
          --sample genba.log
      hikkoshi logs parity --before td-agent.conf --after .hikkoshi/runs/20261124-083000
      hikkoshi logs parity --before old.jsonl --after new.jsonl --json

    Exit codes: 0 no difference, 1 differences, 2 wrong use or bad input, 3 could not run.
    """
    lines, arrived = _sample(sample, after, container)
    old = _before(before, source, lines, arrived)
    new = _after(after, tag, lines, arrived)
    found = compare(old, new)
    if as_json:
        document = {"is_equal": found.is_equal, "lines": None if lines is None else len(lines),
                    **asdict(found)}  # fmt: skip
        click.echo(json.dumps(document, indent=1, ensure_ascii=False, default=str))
    else:
        _show(found, lines, max(show, 1))
    return 0 if found.is_equal else 1


def _sample(
    sample: Path | None, after: Path, container: str | None
) -> tuple[list[str] | None, list[int]]:
    """(lines, when each arrived in nanoseconds); None where there is no sample."""
    if sample is not None:
        try:
            text = sys.stdin.read() if str(sample) == "-" else \
                   sample.read_text("utf-8", "replace")  # fmt: skip
        except OSError as error:
            raise BadInput(f"{error.strerror}", where=f"--sample {sample}") from error
        lines = [line for line in text.splitlines() if line]
        if not lines:
            raise BadInput("there is no line in it", where=f"--sample {sample}")
        now = time.time_ns()
        return lines, [now] * len(lines)
    written = find_in_run(after, WRITTEN) if after.is_dir() else None
    if written is None:
        return None, []
    lines, times = lines_of_run(written, container)
    return lines, [int(t * 1e9) for t in times]


def _before(path: Path, source: str | None, lines: list[str] | None, arrived: list[int]) -> Outcome:
    if path.is_dir() or not is_fluentd(path):
        return _recorded(path, "--before")
    directives = read_fluentd(path)
    chosen = choose_source(directives, source, str(path))
    if lines is None:
        raise _no_lines(f"--before {path}")
    return FluentdPipeline(directives, chosen).run(lines, arrived)


def _after(path: Path, tag: str | None, lines: list[str] | None, arrived: list[int]) -> Outcome:
    if path.is_dir() or path.suffix not in (".conf", ".yaml", ".yml"):
        return _recorded(path, "--after")
    if lines is None:
        raise _no_lines(f"--after {path}")
    return RouterPipeline(path, tag).run(lines, arrived)


def _no_lines(where: str) -> BadInput:
    return BadInput(
        "there are no lines to send through it", where=where,
        fix="give --sample FILE with lines as the application writes them",
    )  # fmt: skip


def _recorded(path: Path, option: str) -> Outcome:
    if not path.is_dir():
        return read_recorded(path)
    found = find_in_run(path, DELIVERED)
    if found is None:
        raise BadInput(
            f"no {DELIVERED} is in it: nothing was delivered in that run, or it is none",
            where=f"{option} {path}",
            fix="name a directory of .hikkoshi/runs",
        )
    return read_recorded(found)


def _show(found: Comparison, lines: list[str] | None, most: int) -> None:
    size = f" of {len(lines)} lines" if lines is not None else ""
    click.echo(f"before: {found.before} records delivered{size}; after: {found.after}; "
               f"{found.compared} set beside each other")  # fmt: skip
    for kind, title in _TITLES.items():
        these = [d for d in found.differences if d.kind == kind]
        if these:
            click.echo(click.style(f"\n{title}: {len(these)}", bold=True))
            _show_kind(kind, these, most)
    for text in found.not_interpreted:
        click.echo(f"{click.style('not interpreted', fg='yellow')}: {text}")
    for note in found.notes:
        click.echo(f"note: {note}")
    if found.is_equal:
        click.echo(click.style("no difference", fg="green"))
    elif not found.differences:
        click.echo("no difference in what could be compared; the rest is not interpreted")


_TITLES = {
    "destination": "Changed destination", "missing": "Missing", "added": "Added",
    "doubled": "Doubled", "field": "Changed fields", "time": "Changed time", "tag": "Changed tag",
}  # fmt: skip


def _show_kind(kind: str, these: list[Difference], most: int) -> None:
    if kind == "field":
        _show_fields(these, most)
        return
    for one in these[:most]:
        where = f"line {one.line + 1}, " if one.line is not None else ""
        click.echo(f"  {where}{one.destination or 'records'}: {one.why}".rstrip(": "))
        if one.before is not None:
            click.echo(click.style(f"    - {_short(one.before)}", fg="red"))
        if one.after is not None:
            click.echo(click.style(f"    + {_short(one.after)}", fg="green"))
    if len(these) > most:
        click.echo(f"  ... and {len(these) - most} more (--show, --json)")


def _show_fields(these: list[Difference], most: int) -> None:
    """By field: the same change of a thousand records is one line."""
    counts = Counter((d.destination, d.key, _way(d)) for d in these)
    for (destination, key, way), count in counts.most_common():
        click.echo(f"  {destination}: {key} {way} in {count} records")
        same = [d for d in these if (d.destination, d.key, _way(d)) == (destination, key, way)]
        for one in same[: 1 if most < 5 else 2]:
            if one.before is not None:
                click.echo(click.style(f"    - {key}: {_short(one.before)}", fg="red"))
            if one.after is not None:
                click.echo(click.style(f"    + {key}: {_short(one.after)}", fg="green"))


def _way(one: Difference) -> str:
    if one.after is None:
        return "is gone"
    return "is new" if one.before is None else "differs"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain if len(plain) <= 160 else f"{plain[:157]}..."
