"""`hikkoshi logs DIR`: a service's log lines; and the group that other commands about logs join."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click

from hikkoshi.base.errors import BadInput
from hikkoshi.base.units import parse_duration
from hikkoshi.cli.service import opened, service_options
from hikkoshi.ship.calls import primary
from hikkoshi.ship.logs import Line, Reader, follow

# Name → module and object. What is none of them is the service's directory.
COMMANDS: dict[str, tuple[str, str]] = {
    "parity": ("hikkoshi.cli.logs_parity", "parity"),
}
_DEFAULT = "service"


class _Logs(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return [_DEFAULT, *COMMANDS]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name == _DEFAULT:
            return service_logs
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The default command's own: whoever asks `logs --help` wants to know them."""
        click.Command.format_options(service_logs, context, formatter)
        self.format_commands(context, formatter)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        is_known = bool(args) and (args[0] in COMMANDS or args[0] == _DEFAULT)
        if not is_known and not any(a in ("-h", "--help") for a in args[:1]):
            args = [_DEFAULT, *args]
        return super().parse_args(context, args)


@click.command(_DEFAULT, epilog="Exit codes: 0 shown, 2 wrong use or bad input, 3 could not run.")
@service_options
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--since", default="10m", show_default=True, help="How far back.")
@click.option("--container", help="Only this container's.")
@click.option("--task", help="Only this task's.")
@click.option("--filter", "pattern", help="A filter pattern of CloudWatch Logs.")
def service_logs(
    directory: Path, is_local: bool, profile: str | None, region: str | None, as_json: bool,
    follows: bool, since: str, container: str | None, task: str | None, pattern: str | None,
) -> None:  # fmt: skip
    """Show the service's log lines (the default of `hikkoshi logs`).

    \b
    Example:
      hikkoshi logs service infra/ --follow
    """
    found = opened(directory, is_local, profile, region)
    service = found.calls.must_describe()
    definition = found.calls.definition(primary(service)["taskDefinition"]) or {}
    containers = definition.get("containerDefinitions", [])
    if container is not None:
        names = ", ".join(str(each["name"]) for each in containers)
        containers = [c for c in containers if c["name"] == container]
        if not containers:
            raise BadInput(
                f"there is no container {container!r}", where="--container",
                fix=f"there are {names}",
            )  # fmt: skip
    try:
        back_s = parse_duration(since)
    except ValueError as error:
        raise BadInput(str(error), where="--since") from error
    reader = Reader(found.calls, containers, task, pattern, time.time() - back_s)
    reader.refuse_the_unreadable()
    _print(follow(reader, max(found.every_s, 1.0)) if follows else reader.read(), as_json)


def _print(lines: Iterable[Line], as_json: bool) -> None:
    for line in lines:
        at = datetime.fromtimestamp(line.t, UTC) if line.t else None
        if as_json:
            row = {"task": line.task, "container": line.container, "line": line.text}
            row |= {"at": at.isoformat()} if at else {}
            click.echo(json.dumps(row, ensure_ascii=False))
        else:
            when = f"{at.astimezone():%H:%M:%S} " if at else ""
            click.echo(f"{when}{line.task[:8]} {line.container} | {line.text}")


@click.group(
    cls=_Logs, invoke_without_command=True, subcommand_metavar="[DIRECTORY] | COMMAND",
    epilog="Exit codes: 0 shown, 2 wrong use or bad input, 3 could not run.",
)  # fmt: skip
def logs() -> None:
    """Show a service's log lines: from CloudWatch Logs (awslogs); in the local region all.

    \b
    Examples:
      hikkoshi logs infra/ --follow
      hikkoshi logs --local examples/genba/after --container genba --since 1h
    """
