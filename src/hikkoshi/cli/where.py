"""Where a command goes: to an AWS account, or to a local region that runs. One code path after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hikkoshi.aws.access import Access
from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.cli.places import region_index
from hikkoshi.region.boot.cleanup import find_regions

LOCAL_REGION = "ap-northeast-1"
Command = TypeVar("Command", bound=Callable[..., Any])


def place_options(command: Command) -> Command:
    """--local, --profile and --region; hand all three to `place`."""
    for option in (
        click.option("--region", help="AWS's region; else AWS_REGION or the profile's."),
        click.option("--profile", help="A profile of ~/.aws/config; else AWS_PROFILE."),
        click.option("--local", "is_local", is_flag=True, help="The local region that runs."),
    ):
        command = option(command)
    return command


def place(
    is_local: bool, profile: str | None, region: str | None, directory: Path | None = None
) -> Access:
    """directory: of the project, whose own local region is preferred with --local."""
    if not is_local:
        return Access.to_account(profile, region)
    if profile is not None:
        raise BadInput("both --local and --profile", fix="a local region needs no profile")
    endpoint = _local_endpoint(directory)
    return Access(endpoint, region or _name_of(endpoint))


def _name_of(endpoint: str) -> str:
    """AWS's name of the region, as `up --region` or the project named it."""
    asked = Access(endpoint, LOCAL_REGION).ask("status", timeout_s=10)
    return str(asked.get("region", LOCAL_REGION))


def _local_endpoint(directory: Path | None) -> str:
    running = [
        record for record, is_running in find_regions(region_index()) if is_running and record.port
    ]
    if directory is not None:
        own = [r for r in running if Path(r.state).is_relative_to(directory.absolute())]
        running = own or running
    if not running:
        raise CannotRun("no local region runs", fix="start one: hikkoshi up -d")
    if len(running) > 1:
        doors = ", ".join(f"http://{r.host}:{r.port}" for r in running)
        raise BadInput(
            f"{len(running)} local regions run: {doors}",
            fix="name the project's directory, or instead of --local set AWS_ENDPOINT_URL",
        )
    return f"http://{running[0].host}:{running[0].port}"
