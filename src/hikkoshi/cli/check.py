"""`hikkoshi check`: what can be known to be wrong without starting anything."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.project.load import load_project


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def check(directory: Path, as_json: bool) -> None:
    """Check the files in DIRECTORY: hikkoshi.yaml, task and service definition, FireLens.

    Nothing is started. Exit code 0: nothing wrong was found; 2: the first mistake, with its line.

    \b
    Example:
      hikkoshi check examples/genba/after
    """
    try:
        project = load_project(directory)
    except BadInput as error:
        if as_json:
            click.echo(json.dumps({"ok": False, "what": error.what, "where": error.where,
                                   "fix": error.fix}))  # fmt: skip
            raise SystemExit(2) from error
        raise
    containers = [c["name"] for c in project.task_definition["containerDefinitions"]]
    if as_json:
        click.echo(json.dumps({"ok": True, "service": project.service, "containers": containers}))
    else:
        click.echo(f"{project.service}: {len(containers)} containers ({', '.join(containers)}); "
                   "nothing wrong found")  # fmt: skip
