"""`hikkoshi load compare` and `baseline`: against an earlier run."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click

from hikkoshi.cli.load.options import told
from hikkoshi.load.compare import compare, lines_of, read_run, save_baseline
from hikkoshi.load.timeline import timeline_of

_PATH = click.Path(path_type=Path)


@click.command("compare")
@click.argument("before", type=_PATH)
@click.argument("after", type=_PATH)
@click.option("--min-change", type=float, default=0.02, show_default=True,
              help="A smaller change, as a share, does not matter.")  # fmt: skip
@click.option("--json", "is_json", is_flag=True, help="As JSON, alone on stdout.")
def compare_command(before: Path, after: Path, min_change: float, is_json: bool) -> None:
    """Which differences between two runs are larger than the noise. Each is a results file (ours
    or vegeta's) or a baseline.

    Exit codes: 0 nothing is worse beyond the noise, 1 something is, 2 bad input.

    \b
    Examples:
      hikkoshi load compare before.load after.load
      hikkoshi load compare baseline.json after.load --json
    """
    with told():
        found = compare(read_run(before), read_run(after), min_change=min_change)
    if is_json:
        document = {
            "before": found.before,
            "after": found.after,
            "is_worse": found.is_worse,
            "notes": list(found.notes),
            "differences": [
                {**dataclasses.asdict(each), "is_worse": each.is_worse}
                for each in found.differences
            ],
        }
        print(json.dumps(document, indent=2))
    else:
        for line in lines_of(found):
            print(line)
    sys.exit(1 if found.is_worse else 0)


@click.command("baseline")
@click.argument("files", nargs=-1, required=True, type=_PATH)
@click.option("-o", "--output", required=True, type=_PATH)
def baseline(files: tuple[Path, ...], output: Path) -> None:
    """A run (all its files) in a form small enough to keep with the code, for `compare`.

    Exit codes: 0 written, 2 bad input.

    \b
    Example:
      hikkoshi load baseline run.load -o baseline.json
    """
    with told():
        save_baseline(timeline_of(files), output)
    print(f"kept in {output}; compare with: hikkoshi load compare {output} RUN", file=sys.stderr)
