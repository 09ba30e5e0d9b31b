"""`hikkoshi synthetic`: the synthetic tests by themselves."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from hikkoshi.base.errors import BadInput, HikkoshiError
from hikkoshi.trials.synthetic import State, SyntheticResult, load_tests, run
from hikkoshi.trials.synthetic.output import as_json, as_junit, result_lines

_MARKS = {State.OK: "ok      ", State.DEGRADED: "degraded", State.FAILED: "FAILED  "}

EXAMPLES = """
\b
Examples:
  hikkoshi synthetic run tests.yaml --base-url http://localhost:8080
  TOKEN=… hikkoshi synthetic run tests.yaml --base-url https://staging.example.com --junit out.xml
"""


@click.group(epilog=EXAMPLES)
def synthetic() -> None:
    """Expected requests with expected answers, from a file of YAML."""


@synthetic.command("run", epilog=EXAMPLES)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--base-url", required=True, help="Put before the paths: http://host:port.")
@click.option("--connect-to", help="host:port or unix:/path for all connections.")
@click.option("--json", "is_json", is_flag=True, help="The results as JSON, alone on stdout.")
@click.option("--junit", type=click.Path(path_type=Path), help="Also write JUnit's XML here.")
def run_command(
    files: tuple[Path, ...],
    base_url: str,
    connect_to: str | None,
    is_json: bool,
    junit: Path | None,
) -> None:
    """Run the tests of FILES, one after another. {{env.NAME}} is taken from the environment.

    Exit code: 0 all passed (degraded ones too); 1 some failed; 2 wrong use or bad input.
    """
    try:
        tests = [test for file in files for test in load_tests(file)]
        results = run(
            tests,
            base_url,
            env=dict(os.environ),
            connect_to=connect_to,
            on_result=_say_nothing if is_json else _say,
        )
        if junit is not None:
            _write(junit, as_junit(results, ", ".join(file.name for file in files)))
    except HikkoshiError as error:
        print(f"hikkoshi synthetic: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if is_json:
        print(json.dumps(as_json(results), indent=2, ensure_ascii=False))
    else:
        failed = sum(not result.is_passed for result in results)
        print(f"{len(results) - failed} of {len(results)} passed")
    sys.exit(0 if all(result.is_passed for result in results) else 1)


def _say(result: SyntheticResult) -> None:
    print(f"{_MARKS[result.state]} {result.name} ({(result.t_end - result.t_start) * 1e3:.0f} ms)")
    if result.state is not State.OK:
        print(f"         {result.reason}")
        for line in result_lines(result)[1:]:
            print(f"         {line}")


def _say_nothing(result: SyntheticResult) -> None:
    return None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"cannot be written: {error.strerror}", where=str(path), fix="name a writable file"
        ) from error
