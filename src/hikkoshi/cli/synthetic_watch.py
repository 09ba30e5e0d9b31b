"""`hikkoshi synthetic watch`: the tests go on running."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import parse_duration
from hikkoshi.synthetic import SyntheticResult, load_tests, run
from hikkoshi.synthetic.alerts import Teller, teller, words
from hikkoshi.synthetic.run import check_before
from hikkoshi.synthetic.watch import Alert, after_run, begin, next_due

EXAMPLES = """
\b
Examples:
  hikkoshi synthetic watch tests.yaml --base-url https://example.com --every 1m
  SLACK=slack://… hikkoshi synthetic watch synthetic/ --alert env:SLACK
  hikkoshi synthetic watch tests.yaml --alert https://example.com/hook --json >> results.jsonl
"""


@click.command("watch", epilog=EXAMPLES)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--base-url", help="As for `run`.")
@click.option("--connect-to", help="host:port or unix:/path for all connections.")
@click.option("--every", default="1m", show_default=True, help="For tests that do not say.")
@click.option(
    "--alert", "targets", multiple=True, help="http(s)://…, an apprise address, or env:NAME."
)
@click.option("--for", "length", help="End after this long; else on Ctrl-C.")
@click.option("--json", "is_json", is_flag=True, help="Each result and alert as a line of JSON.")
def watch_command(
    paths: tuple[Path, ...],
    base_url: str | None,
    connect_to: str | None,
    every: str,
    targets: tuple[str, ...],
    length: str | None,
    is_json: bool,
) -> None:
    """Run the tests of PATHS on their schedules (`every`, or Datadog's tick_every).

    An alert is told once when a test begins to fail (after its `alert after`), once when it is
    degraded, and once when it is ok again; on standard output, and to each --alert.

    Exit code: 0 ended with nothing failing; 1 ended while something fails; 2 wrong use or bad
    input; 130 on Ctrl-C.
    """
    tests = tuple(test for path in paths for test in load_tests(path))
    env = dict(os.environ)
    tellers = [teller(target, env) for target in targets]
    default_s = _seconds(every, "--every")
    t_end = None if length is None else time.time() + _seconds(length, "--for")
    check_before(tests, base_url, env)
    schedule = begin(tests, default_s, time.time())
    while True:
        index, due = next_due(schedule)
        if t_end is not None and due >= t_end:
            break
        time.sleep(max(0.0, due - time.time()))
        (result,) = run([tests[index]], base_url, env=env, connect_to=connect_to)
        schedule, alert = after_run(schedule, index, tests[index], result)
        _show(result, is_json)
        if alert is not None:
            _tell(alert, tellers, is_json)
    failing = [s for s in schedule.standings.values() if s.state.value == "failed"]
    sys.exit(1 if failing else 0)


def _seconds(text: str, option: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise BadInput(str(error), where=option, fix="write 30s or 5m") from error
    if seconds <= 0:
        raise BadInput(f"{text!r} is no time at all", where=option, fix="write 30s or 5m")
    return seconds


def _show(result: SyntheticResult, is_json: bool) -> None:
    if is_json:
        print(json.dumps({"kind": "result", **asdict(result)}, ensure_ascii=False), flush=True)
        return
    at = datetime.fromtimestamp(result.t_start, UTC).strftime("%H:%M:%S")
    took = f"({(result.t_end - result.t_start) * 1e3:.0f} ms)"
    reason = "" if result.state.value == "ok" else f": {result.reason}"
    print(f"{at} {result.state.value:9} {result.name} {took}{reason}", flush=True)


def _tell(alert: Alert, tellers: list[Teller], is_json: bool) -> None:
    title, text = words(alert)
    if is_json:
        print(json.dumps({"kind": "alert", **asdict(alert)}, ensure_ascii=False), flush=True)
    else:
        told = text.replace("\n", "; ")
        click.secho(f"ALERT {title}: {told}", fg="magenta")
        sys.stdout.flush()
    for tell in tellers:
        trouble = tell(alert)
        if trouble is not None:
            click.echo(f"an alert was not sent: {trouble}", err=True)
