"""`hikkoshi load attack`: send a load, watch it, report it."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.base.scratch import own_prefix
from hikkoshi.cli.load.carrying import carry_out
from hikkoshi.cli.load.options import (
    EXAMPLES,
    attack_of,
    duration_of,
    means_options,
    pacer_of,
    say_notes,
    targets_of,
    told,
)
from hikkoshi.cli.load.tasks import carry_out_in_tasks, refuse_without_tasks, tasks_options
from hikkoshi.load.conditions import parse_conditions
from hikkoshi.load.judging import Outcome
from hikkoshi.load.report import LoadSummary, as_json, text_lines
from hikkoshi.load.tasks import merge
from hikkoshi.load.tasks.merge import Share


@click.command(epilog=EXAMPLES)
@means_options
@click.option("--rate", help="Requests: 500/s, 6000/1m, or max (closed model).")
@click.option("--stages", help="Instead of --rate: 0..500/30s,500/60s; steps(100,500,100)/30s; "
              "sine(200,100,1m)/10m; spike(50,500,20s,10s,30s).")  # fmt: skip
@click.option("--duration", default="10s", show_default=True, help="How long, with --rate.")
@click.option("--expect", help="What must hold: 'status<400, p99<300ms, errors<0.1%, $.ok==true'.")
@click.option("--abort", is_flag=True, help="End the run when a threshold of --expect breaks.")
@click.option("--abort-after", default="3s", show_default=True, help="Not before that time.")
@click.option("--name", default="", help="Of the run, in results and plots.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Keep the results here.")
@click.option("--json", "is_json", is_flag=True, help="The summary as JSON, alone on stdout.")
@tasks_options
def attack(**options: Any) -> None:
    """Send a load and report.

    Exit codes: 0 passed: all that --expect asks for held, and no request failed (or as few as
    errors<… allows); 1 failed, or invalid because the generator was the bottleneck; 2 wrong use
    or bad input; 3 could not run.

    --expect has conditions with commas between them. On each answer: status, body, time, size,
    header.NAME, a JSONPath; with <, <=, ==, !=, >, >=, contains, ~ (matches), exists. On the
    run: p50…p99.9, mean, min, max, errors, success, throughput, requests; p99[endpoint] for one
    endpoint.

    Variables in addresses, headers and bodies: ${seq}, ${uuid}, ${now}, ${now_ms},
    ${random:1:100}, ${choice:a|b}, ${env:NAME}, and the columns of --feed.
    """
    with told():
        if options["tasks"] is None:
            refuse_without_tasks(options)
        pacer, duration_s = pacer_of(options["rate"], options["stages"], options["duration"])
        found = targets_of(options)
        expect = options["expect"]
        if options["abort"] and (expect is None or not parse_conditions(expect).thresholds):
            raise BadInput("--abort without a threshold", fix="give --expect 'errors<1%' or alike")
        plan = attack_of(options, pacer, duration_s, found, expect=expect, name=options["name"])
        after_s = duration_of("--abort-after", options["abort_after"])
        abort_after_s = after_s if options["abort"] else None
        say_notes(found)
        with contextlib.ExitStack() as stack:
            output = options["output"]
            if output is None:
                directory = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix=own_prefix("hikkoshi-load-"))
                )
                output = Path(directory) / "results.load"
            shares: tuple[Share, ...] = ()
            aborted: str | None = None
            if options["tasks"] is not None:
                spread = carry_out_in_tasks(plan, options, output, abort_after_s)
                summary, shares, aborted = spread.summary, spread.shares, spread.aborted
            else:
                summary, aborted = carry_out(plan, output, abort_after_s=abort_after_s)
        print_summary(summary, options["is_json"], aborted, shares)
    is_passed = summary.outcome is Outcome.PASSED and aborted is None
    sys.exit(0 if is_passed else 1)


def print_summary(
    summary: LoadSummary,
    is_json: bool,
    aborted: str | None = None,
    shares: tuple[Share, ...] = (),
) -> None:
    if is_json:
        tasks = {"tasks": merge.as_json(shares)} if shares else {}
        print(json.dumps({**as_json(summary), "aborted": aborted, **tasks}, indent=2))
        return
    for line in (*text_lines(summary), *merge.lines_of(shares)):
        print(line)
    if aborted is not None:
        print(f"ABORTED     {aborted}")
