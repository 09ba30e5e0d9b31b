"""`hikkoshi load report`, `plot`, `encode`, `export`: what came of a run, ours or vegeta's."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.cli.load.attack import print_summary
from hikkoshi.cli.load.options import told
from hikkoshi.load.judging import Outcome
from hikkoshi.load.plot import plot_html
from hikkoshi.load.results import write_csv
from hikkoshi.load.timeline import timeline_of
from hikkoshi.load.vegeta import text as vegeta_text
from hikkoshi.load.vegeta.gob import write_gob
from hikkoshi.load.vegeta.metrics import metrics_of
from hikkoshi.load.vegeta.reading import read_hits
from hikkoshi.load.vegeta.reports import (
    TYPES_FORM,
    buckets_in,
    edges_of,
    hdrplot_report,
    hist_report,
    text_report,
)
from hikkoshi.load.vegeta.summary import summarize_any

_PATHS = click.Path(path_type=Path)


@contextlib.contextmanager
def _files(names: tuple[Path, ...]) -> Iterator[tuple[Path, ...]]:
    """The files; `-` is standard input, kept while it is read."""
    if Path("-") not in names:
        yield names
        return
    with tempfile.NamedTemporaryFile(prefix="hikkoshi-load-") as kept:
        while block := sys.stdin.buffer.read(1 << 20):
            kept.write(block)
        kept.flush()
        yield tuple(Path(kept.name) if name == Path("-") else name for name in names)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_PATHS)
@click.option("--type", "kind", default="summary", show_default=True,
              help="summary, or as vegeta: text, json, hist[0,10ms,100ms], hdrplot.")  # fmt: skip
@click.option("--buckets", help="With --type json: a histogram too, [0,10ms,100ms].")
@click.option("--json", "is_json", is_flag=True, help="The summary as JSON, alone on stdout.")
@click.option("--hdr", is_flag=True, help="The latencies as HdrHistogram prints them.")
def report(
    files: tuple[Path, ...], kind: str, buckets: str | None, is_json: bool, hdr: bool
) -> None:
    """Figures of results: of ours, kept with -o (all files of one run), or of vegeta's in any of
    its forms; - is standard input.

    Exit codes: 0 passed (or a report in vegeta's form), 1 failed or invalid, 2 bad input.

    \b
    Examples:
      hikkoshi load report run.load --json
      hikkoshi load report run.load --type 'hist[0,10ms,100ms]'
      vegeta attack -targets t.http -duration 5s | hikkoshi load report - --type json
    """
    with told(), _files(files) as paths:
        if kind != "summary":
            _print_as_vegeta(paths, kind, buckets)
            return
        summary = summarize_any(paths)
        if hdr:
            for line in summary.totals.whole().latency.hdr_lines():
                print(line)
        else:
            print_summary(summary, is_json)
    sys.exit(0 if summary.outcome is Outcome.PASSED else 1)


def _print_as_vegeta(paths: tuple[Path, ...], kind: str, buckets: str | None) -> None:
    bounds = buckets_in(kind)
    if bounds is None and kind not in ("text", "json", "hdrplot"):
        raise BadInput(f"there is no report {kind!r}", where="--type", fix=TYPES_FORM)
    asked = bounds or buckets
    metrics = metrics_of(paths, edges_of(asked) if asked else ())
    if kind == "json":
        print(json.dumps(metrics.as_json(), separators=(",", ":"), ensure_ascii=False))
        return
    lines = {"text": text_report, "hdrplot": hdrplot_report}.get(kind, hist_report)
    for line in lines(metrics):
        print(line)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_PATHS)
@click.option("-o", "--output", type=_PATHS, help="The HTML file; else standard output.")
@click.option("--title", default="hikkoshi load", show_default=True)
def plot(files: tuple[Path, ...], output: Path | None, title: str) -> None:
    """One HTML file, whole without the network: latency, rate and failures over time, and the
    percentiles; each FILE a run, over each other. Ours or vegeta's.

    \b
    Example:
      hikkoshi load plot before.load after.load vegeta.bin -o plot.html

    Exit codes: 0 written, 2 wrong use or bad input.
    """
    with told(), _files(files) as paths:
        page = plot_html(title, [timeline_of([path]) for path in paths])
        if output is None:
            print(page)
        else:
            _written(output, page.encode())


@click.command()
@click.argument("files", nargs=-1, required=True, type=_PATHS)
@click.option("--to", "form", type=click.Choice(["json", "csv", "gob"]), default="json",
              show_default=True, help="vegeta's forms.")  # fmt: skip
@click.option("-o", "--output", type=_PATHS, help="A file; else standard output.")
def encode(files: tuple[Path, ...], form: str, output: Path | None) -> None:
    """Results in one of vegeta's forms, which `vegeta report` and `vegeta plot` read.

    \b
    Examples:
      hikkoshi load encode run.load --to gob | vegeta report
      hikkoshi load encode run.load --to csv -o run.csv

    Exit codes: 0 written, 2 wrong use or bad input.
    """
    with told(), _files(files) as paths:
        hits = (hit for path in paths for hit in read_hits(path))
        try:
            target = output.open("wb") if output is not None else sys.stdout.buffer
        except OSError as error:
            raise _unwritable(output, error) from error
        if form == "gob":
            write_gob(hits, target)
        else:
            lines = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
            (vegeta_text.write_json if form == "json" else vegeta_text.write_csv)(hits, lines)
            lines.detach()
        target.flush()
        if output is not None:
            target.close()


@click.command()
@click.argument("files", nargs=-1, required=True, type=_PATHS)
@click.option("-o", "--output", required=True, type=_PATHS)
def export(files: tuple[Path, ...], output: Path) -> None:
    """Every request as a row of CSV with a header line (times from when it was due).

    \b
    Example:
      hikkoshi load export run.load -o requests.csv

    Exit codes: 0 written, 2 wrong use or bad input.
    """
    with told():
        try:
            count = write_csv(files, output)
        except OSError as error:
            raise _unwritable(output, error) from error
    print(f"{count} rows in {output}", file=sys.stderr)


def _written(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path | None, error: OSError) -> BadInput:
    return BadInput(
        f"cannot be written: {error.strerror}", where=str(path),
        fix="name a file in a directory that exists and can be written",
    )  # fmt: skip
