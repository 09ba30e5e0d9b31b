"""`hikkoshi load report`, `export`: what came of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hikkoshi.cli.load.attack import print_summary
from hikkoshi.cli.load.options import told
from hikkoshi.load.judging import Outcome
from hikkoshi.load.report import summarize_files
from hikkoshi.load.results import write_csv


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "is_json", is_flag=True, help="As JSON, alone on stdout.")
@click.option("--hdr", is_flag=True, help="The latencies as HdrHistogram's plotters read them.")
def report(files: tuple[Path, ...], is_json: bool, hdr: bool) -> None:
    """Figures of results that were kept with -o (all files of one run).

    \b
    Example:
      hikkoshi load report run.load --json
    """
    with told():
        summary = summarize_files(files)
        if hdr:
            for line in summary.totals.whole().latency.hdr_lines():
                print(line)
        else:
            print_summary(summary, is_json)
    sys.exit(0 if summary.outcome is Outcome.PASSED else 1)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
def export(files: tuple[Path, ...], output: Path) -> None:
    """Every request as a row of CSV with a header line.

    \b
    Example:
      hikkoshi load export run.load -o requests.csv
    """
    with told():
        count = write_csv(files, output)
    print(f"{count} rows in {output}", file=sys.stderr)
