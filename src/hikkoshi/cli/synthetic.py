"""`hikkoshi synthetic`: the synthetic tests by themselves."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.cli.synthetic_files import export_group, import_group, record_command
from hikkoshi.cli.synthetic_watch import watch_command
from hikkoshi.synthetic import State, SyntheticResult, load_tests, run
from hikkoshi.synthetic.output import as_json, as_junit, phases, result_lines

_MARKS = {
    State.OK: ("ok       ", "green"),
    State.DEGRADED: ("degraded ", "yellow"),
    State.FAILED: ("FAILED   ", "red"),
    State.NOT_TRIED: ("not tried", "cyan"),
}

EXAMPLES = """
\b
Examples:
  hikkoshi synthetic run tests.yaml --base-url http://localhost:8080
  TOKEN=… hikkoshi synthetic run tests/ --base-url https://staging.example.com --junit out.xml
  hikkoshi synthetic run export-from-datadog.json
  hikkoshi synthetic watch tests.yaml --base-url https://example.com --alert env:SLACK_URL
"""


@click.group(epilog=EXAMPLES)
def synthetic() -> None:
    """Expected requests with expected answers: ours (YAML), or Datadog's exported API tests.

    Exit codes: 0 all ok, 1 some failed, 2 wrong use or bad input, 3 could not be tried.
    """


synthetic.add_command(watch_command)
synthetic.add_command(import_group)
synthetic.add_command(export_group)
synthetic.add_command(record_command)


@synthetic.command("run", epilog=EXAMPLES)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--base-url",
    help="Put before the paths: http://host:port. In Datadog's tests it takes the place of the "
    "scheme and host of the test's first request, wherever that host stands.",
)
@click.option("--connect-to", help="host:port or unix:/path for all connections.")
@click.option("--json", "is_json", is_flag=True, help="The results as JSON, alone on stdout.")
@click.option("--junit", type=click.Path(path_type=Path), help="Also write JUnit's XML here.")
@click.option("--timings", is_flag=True, help="Show the time of each phase of each request.")
@click.option(
    "--allow-not-tried", is_flag=True, help="Exit 0 also when something could not be tried."
)
def run_command(
    paths: tuple[Path, ...],
    base_url: str | None,
    connect_to: str | None,
    is_json: bool,
    junit: Path | None,
    timings: bool,
    allow_not_tried: bool,
) -> None:
    """Run the tests of PATHS (files, or directories of them), one after another.

    {{env.NAME}}, and the variables that Datadog keeps to itself, come from the environment, and
    are never shown. What cannot be run here is "not tried", by name, and never "ok".

    Exit code: 0 all ok or degraded; 1 some failed; 2 wrong use or bad input; 3 none failed, but
    something could not be tried (0 with --allow-not-tried; tests that are paused do not count).
    """
    tests = [test for path in paths for test in load_tests(path)]

    def say(result: SyntheticResult) -> None:
        if not is_json:
            _say(result, timings)

    results = run(tests, base_url, env=dict(os.environ), connect_to=connect_to, on_result=say)
    if junit is not None:
        _write(junit, as_junit(results, ", ".join(path.name for path in paths)))
    if is_json:
        print(json.dumps(as_json(results), indent=2, ensure_ascii=False))
    else:
        _sum_up(results)
    sys.exit(_exit_code(results, allow_not_tried))


def _exit_code(results: tuple[SyntheticResult, ...], allow_not_tried: bool) -> int:
    if any(result.state is State.FAILED for result in results):
        return 1
    missing = [r for r in results if r.state is State.NOT_TRIED and not r.is_skipped]
    return 3 if missing and not allow_not_tried else 0


def _say(result: SyntheticResult, with_timings: bool) -> None:
    words, colour = _MARKS[result.state]
    took = f"({(result.t_end - result.t_start) * 1e3:.0f} ms)"
    click.echo(f"{click.style(words, fg=colour)} {result.name} {took}")
    if result.state is not State.OK:
        click.echo(f"          {result.reason}")
        for line in result_lines(result):
            if line.replace(": expected", " expected") not in result.reason:
                click.echo(f"          {line}")
    if with_timings:
        for step in result.steps:
            click.echo(f"          {step.title}: {phases(step.timings)}")


def _sum_up(results: tuple[SyntheticResult, ...]) -> None:
    passed = sum(result.is_passed for result in results)
    untried = sum(result.state is State.NOT_TRIED for result in results)
    more = f", {untried} not tried" if untried else ""
    click.echo(f"{passed} of {len(results)} passed{more}")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"cannot be written: {error.strerror}", where=str(path), fix="name a writable file"
        ) from error
