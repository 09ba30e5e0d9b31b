"""`hikkoshi exec`: a command in a container that runs, through ECS Exec."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.cli.service import opened, service_options, warn
from hikkoshi.session.client import Session, attend, run
from hikkoshi.ship.calls import Calls, short


@click.command(
    "exec",
    epilog="Exit code: the command's own where the container tells it; 2 wrong use or bad input, "
    "3 could not run.",
)
@service_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--task", help="The task, or the first characters of its id; else the newest.")
@click.option("--container", help="Else the one behind the load balancer, or the first essential.")
@click.option("--timeout", default=600.0, show_default=True, help="Seconds; without a terminal.")
def execute(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool,
    command: tuple[str, ...], task: str | None, container: str | None, timeout: float,
) -> None:  # fmt: skip
    """Run a command in a running container of the service; without one, a shell.

    On a terminal it is interactive; else its output goes to stdout and its exit code is this
    command's. The service needs enableExecuteCommand. AWS's plugin is not needed.

    \b
    Examples:
      hikkoshi exec infra/
      hikkoshi exec infra/ --container web -- cat /proc/1/limits
    """
    found = opened(directory, is_local, profile, region)
    chosen = _choose(found.calls, task)
    name = container or found.home.main_container
    warn(f"  {' '.join(command) or '/bin/sh'} in {name} of task {short(chosen['taskArn'])}")

    def ask(line: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = found.calls(
            "ExecuteCommand", cluster=found.calls.cluster, task=chosen["taskArn"],
            container=name, interactive=True, command=line,
        )  # fmt: skip
        return answer

    if sys.stdin.isatty() and sys.stdout.isatty():
        session = Session.of(ask(shlex.join(command or ("/bin/sh",))))
        code = attend(session, sys.stdin.fileno(), sys.stdout.fileno())
        raise SystemExit(code or 0)
    if not command:
        raise BadInput("there is no terminal for a shell", fix="give a command: -- COMMAND …")
    outcome = run(ask, command, timeout_s=timeout)
    if as_json:
        import json

        click.echo(json.dumps({"exitCode": outcome.code, "output": outcome.text}))
    else:
        click.echo(outcome.text, nl=not outcome.text.endswith("\n"))
    if outcome.code is None:
        warn("the container told no exit code (it has no /bin/sh)")
    raise SystemExit(outcome.code or 0)


def _choose(calls: Calls, wanted: str | None) -> dict[str, Any]:
    running = [
        task
        for task in calls.tasks("RUNNING", serviceName=calls.service)
        if task["lastStatus"] == "RUNNING"
    ]
    running.sort(key=lambda task: task["createdAt"], reverse=True)
    if wanted is not None:
        running = [t for t in running if short(t["taskArn"]).startswith(short(wanted))]
    if not running:
        which = f" that begins with {wanted!r}" if wanted else ""
        raise BadInput(f"no task of {calls.service}{which} runs", fix="`hikkoshi tasks`")
    if not running[0].get("enableExecuteCommand"):
        raise BadInput(
            f"the task {short(running[0]['taskArn'])} was started without ECS Exec",
            fix='set "enableExecuteCommand": true in the service definition and deploy; its task '
            "role needs ssmmessages:CreateControlChannel, CreateDataChannel, OpenControlChannel "
            "and OpenDataChannel",
        )
    return running[0]
