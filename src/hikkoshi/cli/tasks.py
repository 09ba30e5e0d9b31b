"""`hikkoshi run`, `tasks`, `scale`: the tasks of a service."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import format_duration, parse_duration
from hikkoshi.cli.service import EXITS, Shown, finish, opened, service_options, warn
from hikkoshi.ship import run as running
from hikkoshi.ship.calls import primary, short
from hikkoshi.ship.deployments import registered
from hikkoshi.ship.logs import Line, Reader
from hikkoshi.ship.outcome import Outcome
from hikkoshi.ship.watch import Watcher


@click.command(
    epilog="Exit code: the container's own; 3 if it never started (the reason is said), 2 bad "
    "input, 5 it did not end in time."
)
@service_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--container", help="Whose command and exit code it is; else the main one.")
@click.option("--env", "environment", multiple=True, metavar="NAME=VALUE", help="Laid over.")
@click.option("--revision", help="12, family:12 or `live`; else what the files say.")
@click.option("--no-wait", is_flag=True, help="Return when the task was started.")
@click.option("--timeout", default="1h", show_default=True)
def run(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool,
    command: tuple[str, ...], container: str | None, environment: tuple[str, ...],
    revision: str | None, no_wait: bool, timeout: str,
) -> None:  # fmt: skip
    """Run one task of the service's definition, show its lines, exit with its code.

    Lines go to stdout where they can be read (awslogs; in the local region always).

    \b
    Examples:
      hikkoshi run infra/ -- python manage.py migrate
      hikkoshi run --local examples/genba/after --env MODE=once
    """
    pairs = _pairs(environment)
    found = opened(directory, is_local, profile, region, prepares=True)
    name = container or found.home.main_container
    names = [c["name"] for c in found.home.containers]
    if name not in names:
        raise BadInput(f"there is no container {name!r}", fix=f"there are {', '.join(names)}")
    limit_s = _duration(timeout)
    with contextlib.closing(Shown()) as shown:
        definition = (
            running.find_definition(found.calls, found.home, revision)
            if revision
            else registered(found.calls, found.home, shown)
        )
        wish = running.Wish(definition, name, command, pairs)
        arn = running.start(found.calls, found.home, wish, found.audit())
        shown.say(f"task {short(arn)} of {short(definition)} was started")
        if no_wait:
            click.echo(json.dumps({"task": short(arn)}) if as_json else short(arn))
            return
        mine = [c for c in found.home.containers if c["name"] == name]
        reader = Reader(found.calls, mine, short(arn))

        def tell(line: Line) -> None:
            if not as_json:
                click.echo(line.text)

        try:
            done = running.follow(
                found.calls, arn, wish, reader, tell, shown.say, found.every_s, limit_s
            )
        except (KeyboardInterrupt, SystemExit):
            shown.say(f"the task goes on; `aws ecs stop-task --task {short(arn)}` ends it")
            raise
    if as_json:
        document = {"task": done.task, "exitCode": done.exit_code, "reason": done.reason}
        click.echo(json.dumps(document, indent=1))
    warn(f"task {done.task}: exit code {done.exit_code}: {done.reason}")
    raise SystemExit(done.exit_code)


def _pairs(environment: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    for pair in environment:
        if not pair.partition("=")[0] or "=" not in pair:
            raise BadInput(f"{pair!r} has no value", where="--env", fix="write NAME=VALUE")
    return tuple((key, value) for key, _, value in (pair.partition("=") for pair in environment))


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise BadInput(str(error), where="--timeout") from error


@click.command(epilog="Exit codes: 0 done, 2 wrong use or bad input, 3 could not run.")
@service_options
@click.option("--stop", "stops", multiple=True, metavar="ID", help="Stop this task.")
def tasks(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool,
    stops: tuple[str, ...],
) -> None:  # fmt: skip
    """List the service's tasks, those that stopped lately too, with the reason.

    \b
    Examples:
      hikkoshi tasks infra/
      hikkoshi tasks infra/ --stop 0f9ab5c1
    """
    found = opened(directory, is_local, profile, region)
    calls = found.calls
    rows = [
        *calls.tasks("RUNNING", serviceName=calls.service),
        *calls.tasks("STOPPED", serviceName=calls.service),
    ]
    if stops:
        chosen = [_one_of(rows, wanted) for wanted in stops]
        for task in chosen:
            found.audit().note("task stopped", cluster=calls.cluster, task=short(task["taskArn"]))
            calls("StopTask", cluster=calls.cluster, task=task["taskArn"],
                  reason="stopped by hikkoshi tasks --stop")  # fmt: skip
            warn(f"stopping {short(task['taskArn'])}")
        return
    shown = [describe_task(task) for task in rows]
    if as_json:
        click.echo(json.dumps(shown, indent=1, default=str))
        return
    print_table(("task", "definition", "status", "health", "age", "why it stopped"), [
        (t["id"], t["taskDefinition"], t["status"], t["health"], t["age"], t["reason"])
        for t in shown
    ])  # fmt: skip


def _one_of(rows: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    found = [t for t in rows if short(t["taskArn"]).startswith(short(wanted))]
    running = [t for t in found if t["desiredStatus"] == "RUNNING"]
    if len(running) != 1:
        raise BadInput(
            f"{len(running)} running tasks of the service begin with {wanted!r}",
            fix="`hikkoshi tasks` lists them",
        )
    return running[0]


def describe_task(task: dict[str, Any]) -> dict[str, Any]:
    began = task.get("startedAt") or task.get("createdAt")
    status = task["lastStatus"]
    if task["desiredStatus"] != status and status != "STOPPED":
        status += f" → {task['desiredStatus']}"
    codes = [
        f"{c['name']} exited with {c['exitCode']}"
        for c in task.get("containers", [])
        if c.get("exitCode")
    ]
    return {
        "id": short(task["taskArn"]),
        "taskDefinition": short(task["taskDefinitionArn"]),
        "deployment": task.get("startedBy"),
        "status": status,
        "health": task.get("healthStatus", "UNKNOWN"),
        "age": format_duration(round(time.time() - began.timestamp())) if began else "",
        "reason": "; ".join([r for r in [task.get("stoppedReason", "")] if r] + codes),
        "containers": {
            c["name"]: {k: c[k] for k in ("lastStatus", "exitCode", "reason") if k in c}
            for c in task.get("containers", [])
        },
    }


def print_table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table on stdout; nothing is cut off when it goes to a file."""
    console = Console(highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold", no_wrap=not console.is_terminal)
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)


@click.command(epilog=EXITS)
@service_options
@click.option("--tasks", "count", type=click.IntRange(0, 5000), required=True)
@click.option("--no-wait", is_flag=True, help="Return when AWS has taken the change.")
@click.option("--timeout", default="10m", show_default=True)
def scale(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool,
    count: int, no_wait: bool, timeout: str,
) -> None:  # fmt: skip
    """Set how many tasks the service shall have, and wait until it has them.

    \b
    Examples:
      hikkoshi scale infra/ --tasks 4
      hikkoshi scale --local examples/genba/after --tasks 0
    """
    from hikkoshi.ship.judge import State
    from hikkoshi.ship.watch import Ended

    found = opened(directory, is_local, profile, region)
    calls = found.calls
    before = calls.must_describe()
    audit = found.audit()
    audit.note("scale", cluster=calls.cluster, service=calls.service,
               before=before["desiredCount"], to=count)  # fmt: skip
    service = calls(
        "UpdateService", cluster=calls.cluster, service=calls.service, desiredCount=count
    )["service"]
    front = primary(service)
    ended = Ended(State.SUCCEEDED, "sent; not waited for")
    if not no_wait:
        with contextlib.closing(Shown()) as shown:
            watcher = Watcher(calls, shown, found.every_s)
            watcher.skip_events(before)
            ended = watcher.wait_stable(time.monotonic() + _duration(timeout))
    outcome = Outcome(
        ended.state, f"{count} tasks; {ended.reason}", calls.cluster, calls.service, front["id"],
        short(front["taskDefinition"]), ended=ended,
    )  # fmt: skip
    finish(outcome, as_json, f"scaling from {before['desiredCount']} to {count} tasks")
