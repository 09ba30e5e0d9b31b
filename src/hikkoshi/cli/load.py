"""`hikkoshi load`: the load generator by itself."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from hikkoshi.base.errors import BadInput, HikkoshiError
from hikkoshi.base.units import format_duration, parse_duration, parse_rate
from hikkoshi.load.attack import Attack, Live, LoadRun
from hikkoshi.load.pacer import Pacer, constant, parse_stages
from hikkoshi.load.report import LoadSummary, as_json, summarize_files, text_lines
from hikkoshi.load.results import write_csv
from hikkoshi.load.targets import Target, load_targets, parse_targets

_LOOK_EVERY_S = 0.25

EXAMPLES = """
\b
Examples:
  echo "GET http://localhost:8080/" | hikkoshi load --rate 200/s --duration 30s
  hikkoshi load --targets reports.http --base-url http://localhost:8080 \\
      --stages 0..500/30s,500/60s -o run.load
  hikkoshi load --targets reports.http --rate max --connections 50 --duration 10s
  hikkoshi load report run.load --json
"""


class _AttackByDefault(click.Group):
    """A group whose options, given without a command, are those of `attack`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "-h")):
            args = ["attack", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_AttackByDefault, epilog=EXAMPLES)
def load() -> None:
    """Send requests when they are due, whatever became of those before them.

    Latency counts from the moment a request was due, so that a stalled server cannot hide.
    Without a command this is `attack` (see `hikkoshi load attack --help`).
    """


@load.command(epilog=EXAMPLES)
@click.option("--targets", "targets_file", default="-", help="Target file; - is standard input.")
@click.option(
    "--format", "form", type=click.Choice(["auto", "http", "json"]), default="auto",
    help="The target file's format, as vegeta has them.",
)  # fmt: skip
@click.option("--rate", help="Requests: 500/s, 6000/1m, or max (closed model).")
@click.option("--stages", help="Instead of --rate: 0..500/30s,500/60s (ramp, then steady).")
@click.option("--duration", default="10s", show_default=True, help="How long, with --rate.")
@click.option("--base-url", help="Put before targets that are paths: http://host:port.")
@click.option("--connect-to", help="host:port or unix:/path for all connections.")
@click.option("--connections", type=int, default=1000, show_default=True, help="Open at most.")
@click.option("--queue", type=int, default=100_000, show_default=True, help="Waiting at most.")
@click.option("--timeout", default="30s", show_default=True, help="From when it was due.")
@click.option("--processes", type=int, default=1, show_default=True, help="One a core.")
@click.option("--no-keepalive", is_flag=True, help="A new connection for each request.")
@click.option("--insecure", is_flag=True, help="Do not verify certificates.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Keep the results here.")
@click.option("--json", "is_json", is_flag=True, help="The summary as JSON, alone on stdout.")
def attack(**options: Any) -> None:
    """Send a load and report.

    Exit code: 0 all answered with 200 to 399; 1 some failed, or the figures are invalid because
    the generator was the bottleneck; 2 wrong use or bad input; 3 could not run.
    """
    with _told():
        plan = _plan(options)
        with contextlib.ExitStack() as stack:
            output = options["output"]
            if output is None:
                directory = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="hikkoshi-load-")
                )
                output = Path(directory) / "results.load"
            summary = _carry_out(plan, output)
        _print(summary, options["is_json"])
    sys.exit(0 if summary.is_valid and not summary.failed else 1)


@load.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "is_json", is_flag=True, help="As JSON, alone on stdout.")
@click.option("--hdr", is_flag=True, help="The latencies as HdrHistogram's plotters read them.")
def report(files: tuple[Path, ...], is_json: bool, hdr: bool) -> None:
    """Figures of results that were kept with -o (all files of one run).

    \b
    Example:
      hikkoshi load report run.load --json
    """
    with _told():
        summary = summarize_files(files)
        if hdr:
            for line in summary.totals.whole().latency.hdr_lines():
                print(line)
        else:
            _print(summary, is_json)
    sys.exit(0 if summary.is_valid and not summary.failed else 1)


@load.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
def export(files: tuple[Path, ...], output: Path) -> None:
    """Every request as a row of CSV with a header line.

    \b
    Example:
      hikkoshi load export run.load -o requests.csv
    """
    with _told():
        count = write_csv(files, output)
    print(f"{count} rows in {output}", file=sys.stderr)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except HikkoshiError as error:
        print(f"hikkoshi load: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _plan(options: dict[str, Any]) -> Attack:
    pacer, duration_s = _pacer(options["rate"], options["stages"], options["duration"])
    return Attack(
        targets=_targets(options["targets_file"], options["form"]),
        pacer=pacer,
        duration_s=duration_s,
        base_url=options["base_url"],
        connect_to=options["connect_to"],
        connections=options["connections"],
        queue=options["queue"],
        timeout_s=_duration("--timeout", options["timeout"]),
        is_kept_alive=not options["no_keepalive"],
        is_tls_verified=not options["insecure"],
        processes=options["processes"],
    )


def _pacer(rate: str | None, stages: str | None, duration: str) -> tuple[Pacer | None, float]:
    if stages is not None:
        if rate is not None:
            raise BadInput("both --rate and --stages", fix="give one of them")
        staged = parse_stages(stages)
        return staged, staged.duration_s
    if rate is None:
        raise BadInput("no rate", fix="give --rate 200/s, --rate max, or --stages 0..500/30s,…")
    duration_s = _duration("--duration", duration)
    if rate == "max":
        return None, duration_s
    try:
        pacer = constant(parse_rate(rate), duration_s)
        if pacer.count < 1:
            raise ValueError(f"{rate} for {duration} is not one request")
    except ValueError as error:
        raise BadInput(str(error), where="--rate", fix="write 200/s, 6000/1m or max") from error
    return pacer, duration_s


def _duration(option: str, text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise BadInput(str(error), where=option, fix="write 30s, 1m30s or 300ms") from error
    if seconds <= 0:
        raise BadInput(f"{text} is no time at all", where=option, fix="give more than nought")
    return seconds


def _targets(name: str, form: str) -> tuple[Target, ...]:
    if name != "-":
        return load_targets(Path(name), form)
    if sys.stdin.isatty():
        raise BadInput("no targets", fix="give --targets FILE, or pipe them in")
    return parse_targets(sys.stdin.read(), where="standard input", form=form)


def _carry_out(plan: Attack, output: Path) -> LoadSummary:
    """Ctrl-C and SIGTERM stop the sending; what was sent is still reported."""
    is_shown = sys.stderr.isatty()
    with LoadRun(plan, output) as run:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: run.stop())
        while not run.is_over():
            if is_shown:
                print(f"\r\x1b[K{_progress(run.live(), plan)}", end="", file=sys.stderr, flush=True)
            run.wait_for_change(_LOOK_EVERY_S)
        if is_shown:
            print("\r\x1b[K", end="", file=sys.stderr)
        return run.wait(timeout_s=0)


def _progress(live: Live, plan: Attack) -> str:
    p99 = "–" if live.p99_s is None else format_duration(live.p99_s)
    wrong = f", {live.failed} failed" if live.failed else ""
    queued = f", {live.queued} waiting" if live.queued else ""
    return (
        f"{live.elapsed_s:.1f} of {plan.duration_s:.0f} s: {live.done} done, "
        f"{live.rate:.0f}/s, p99 {p99}{wrong}{queued}"
    )


def _print(summary: LoadSummary, is_json: bool) -> None:
    if is_json:
        print(json.dumps(as_json(summary), indent=2))
        return
    for line in text_lines(summary):
        print(line)
