"""What the commands for a service have in common: where it is, what its files say, how it ends."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from hikkoshi.aws.access import Access
from hikkoshi.base.units import format_duration
from hikkoshi.cli.places import region_records
from hikkoshi.cli.where import place, place_options
from hikkoshi.ship.audit import Audit
from hikkoshi.ship.calls import Calls
from hikkoshi.ship.home import Home
from hikkoshi.ship.judge import State
from hikkoshi.ship.outcome import Outcome
from hikkoshi.ship.reading import read_home
from hikkoshi.ship.watch import Ended

Command = TypeVar("Command", bound=Callable[..., Any])
_COLOURS = {State.SUCCEEDED: "green", State.ROLLED_BACK: "yellow"}
EXITS = (
    "Exit codes: 0 succeeded, 1 failed, 2 wrong use or bad input, 3 could not run, 4 rolled back, "
    "5 timed out."
)
DIRECTORY = click.argument("directory", type=click.Path(path_type=Path), default=".")


def service_options(command: Command) -> Command:
    """DIR, --local, --profile, --region, --json: what `opened` takes."""
    command = click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")(
        command
    )
    result: Command = DIRECTORY(place_options(command))
    return result


@dataclass(frozen=True)
class Opened:
    access: Access
    home: Home
    calls: Calls

    @property
    def every_s(self) -> float:
        """Between two looks: AWS counts calls, this machine does not."""
        endpoint = os.environ.get("AWS_ENDPOINT_URL_ECS") or os.environ.get("AWS_ENDPOINT_URL", "")
        is_near = self.access.is_local or "://127.0.0.1" in endpoint or "://localhost" in endpoint
        return 0.25 if is_near else 2.0

    def audit(self, log_group: str | None = None) -> Audit:
        return Audit(self.access, self.home.directory, log_group, lambda text: warn(text))


def opened(
    directory: Path, is_local: bool, profile: str | None, region: str | None, *,
    prepares: bool = False,
) -> Opened:  # fmt: skip
    """prepares: make what the service stands on (load balancer, database, secrets) where a local
    region lacks it and the project describes it."""
    project_directory = directory.parent if directory.is_file() else directory
    ways: list[Access] = []

    def access() -> Access:
        if not ways:
            ways.append(place(is_local, profile, region, project_directory))
        return ways[0]

    home = read_home(directory, os.environ, access)
    if not ways:
        ways.append(place(is_local, profile, region or home.region or None, project_directory))
    way = ways[0]
    if way.is_local:
        # Imported only here: it brings the database's driver.
        from hikkoshi.cli.local_home import adapted

        home = adapted(way, home, prepares=prepares, say=warn)
    kept = _kept_logs(project_directory) if way.is_local else None
    return Opened(way, home, Calls(way, home.cluster, home.service, kept))


def _kept_logs(directory: Path) -> Path | None:
    """Where the local region keeps every container's lines, whatever its log driver."""
    places = (region_records(directory) / "logs", region_records(None) / "logs")
    return next((place for place in places if place.is_dir()), None)


def warn(text: str) -> None:
    click.echo(text, err=True)


class Shown:
    """What happens, as lines on stderr; on a terminal also how it stands, written over."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._now = ""

    def say(self, text: str) -> None:
        self._clear()
        click.echo(f"  {text}", err=True)
        self._draw()

    def now(self, text: str) -> None:
        if not self._is_terminal:
            click.echo(f"  {text}", err=True)
            return
        self._clear()
        self._now = text
        self._draw()

    def close(self) -> None:
        self._clear()
        self._now = ""

    def _clear(self) -> None:
        if self._is_terminal and self._now:
            click.echo("\r\x1b[2K", err=True, nl=False)

    def _draw(self) -> None:
        if self._is_terminal and self._now:
            width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
            click.echo(click.style(self._now[:width], dim=True), err=True, nl=False)


def finish(outcome: Outcome, as_json: bool, verb: str) -> NoReturn:
    """Say how it ended, and exit with its code."""
    if as_json:
        click.echo(json.dumps(_document(outcome), indent=1, default=str))
    else:
        _say(outcome, verb)
    raise SystemExit(outcome.exit_code)


def _say(outcome: Outcome, verb: str) -> None:
    ended = outcome.ended
    word = click.style(outcome.state.value, fg=_COLOURS.get(outcome.state, "red"), bold=True)
    took = f" ({format_duration(ended.took_s)})" if ended and ended.took_s else ""
    name = f"{outcome.cluster}/{outcome.service}"
    if not outcome.changed and outcome.state is State.SUCCEEDED and ended is None:
        click.echo(f"{name}: {outcome.reason} ({outcome.task_definition})")
        return
    click.echo(f"{name}: {verb} of {outcome.task_definition} {word}{took}: {outcome.reason}")
    if ended is not None and outcome.state is not State.SUCCEEDED:
        _say_evidence(ended)


def _say_evidence(ended: Ended) -> None:
    if not ended.failed:
        return
    last = ended.failed[-1]
    click.echo(f"  {len(ended.failed)} tasks failed; the last, {last.id}: {last.words}")
    for line in ended.lines:
        click.echo(f"    {last.container} | {line}")
    if ended.why_no_lines:
        click.echo(f"    ({ended.why_no_lines})")


def _document(outcome: Outcome) -> dict[str, Any]:
    ended = outcome.ended
    return {
        "outcome": outcome.state.value,
        "reason": outcome.reason,
        "cluster": outcome.cluster,
        "service": outcome.service,
        "deployment": outcome.deployment,
        "taskDefinition": outcome.task_definition,
        "changed": outcome.changed,
        "seconds": round(ended.took_s, 2) if ended else 0.0,
        "failedTasks": [dataclasses.asdict(task) for task in ended.failed] if ended else [],
        "lastLines": list(ended.lines) if ended else [],
        "whyNoLines": ended.why_no_lines if ended else None,
    }
