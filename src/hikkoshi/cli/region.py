"""`hikkoshi up`, `down` and `status`: the local region alone."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import click

from hikkoshi.aws.access import known_regions
from hikkoshi.base.errors import BadInput
from hikkoshi.base.signals import signals_wait
from hikkoshi.cli.engine_choice import EMBEDDED, EngineChoice, choose_engine, engine_option
from hikkoshi.cli.places import region_index, region_records, region_state
from hikkoshi.model.project import Project
from hikkoshi.model.timers import Timers
from hikkoshi.project.load import load_project
from hikkoshi.region.boot.cleanup import clean_up, find_regions, remove_kept
from hikkoshi.region.boot.launch import launch
from hikkoshi.region.boot.settings import LaunchSettings, RegionRecord
from hikkoshi.region.payload import JOURNALS, payload_of

_DIRECTORY = click.argument(
    "directory", type=click.Path(path_type=Path, file_okay=False), required=False
)


@click.command()
@_DIRECTORY
@click.option("--port", default=4566, show_default=True, help="The API's port; 0: any free one.")
@click.option("--region", help="AWS's name of it; else the project's, else ap-northeast-1.")
@click.option("-d", "--detach", is_flag=True, help="Leave it running in the background.")
@click.option("--fast", is_flag=True, help="Shorten AWS's slow timers, as a rehearsal does.")
@engine_option
@click.option("--json", "as_json", is_flag=True, help="Its door as JSON, alone on stdout.")
def up(
    directory: Path | None,
    port: int,
    region: str | None,
    detach: bool,
    fast: bool,
    engine: str,
    as_json: bool,
) -> None:
    """Start a local region that answers AWS's API on 127.0.0.1.

    With DIRECTORY, the images that its hikkoshi.yaml describes are known to it. It has a default
    VPC with subnets and a security group, and no account: any key will do.

    A region that was killed comes back with its clusters, task definitions, services, load
    balancers, databases and scalable targets when it is started again; one that ended in order, or
    by `hikkoshi down`, begins empty.

    \b
    Examples:
      hikkoshi up                     # in the foreground; Ctrl-C ends it
      hikkoshi up -d --port 0 --region us-east-1
      hikkoshi up -d --port 0
      sudo hikkoshi up . --engine docker
      aws --endpoint-url http://127.0.0.1:4566 ecs list-clusters

    Exit codes: 0 it is up (with -d) or ended in order, 2 wrong use or bad input, 3 could not run.
    """
    project = load_project(directory) if directory else None
    if region is not None and region not in known_regions():
        raise BadInput(
            f"AWS has no region {region!r}",
            where="--region",
            fix=f"the regions are {', '.join(known_regions())}",
        )
    choice = choose_engine(engine, project, lambda text: click.echo(text, err=True))
    timers = Timers.for_rehearsal() if fast else Timers.as_aws()
    with contextlib.ExitStack() as undo:
        settings = launch_settings(
            project,
            directory,
            timers,
            port=port,
            region=region,
            is_detached=detach,
            choice=choice,
        )
        with signals_wait():  # There is a region from within launch on, and its undo after it.
            handle = launch(settings)
            undo.callback(handle.stop)
        handle.wait_ready()
        click.echo(f"The local region answers at {handle.api_url}", err=True)
        for meaning, aws, used in timers.shortened():
            click.echo(f"  shortened: {meaning} {used:g} s (AWS: {aws:g} s)", err=True)
        if as_json:
            name = payload_of(project, timers, region)["region"]
            click.echo(json.dumps({"api_url": handle.api_url, "region": name}))
        else:
            click.echo(f"export AWS_ENDPOINT_URL={handle.api_url}")
        if detach:
            undo.pop_all()
            return
        click.echo("Ctrl-C ends it.", err=True)
        handle.wait_ended()


def launch_settings(
    project: Project | None,
    directory: Path | None,
    timers: Timers,
    *,
    port: int = 0,
    region: str | None = None,
    is_detached: bool = False,
    records: Path | None = None,
    choice: EngineChoice = EMBEDDED,
) -> LaunchSettings:
    return LaunchSettings(
        state=region_state(directory),
        record_directory=records or region_records(directory),
        entry_point="hikkoshi.region.region:main",
        index=region_index(),
        payload=payload_of(project, timers, region, choice.engine, choice.built),
        port=port,
        is_detached=is_detached,
        engine=choice.engine,
        docker_socket=choice.socket,
    )


@click.command()
@_DIRECTORY
@click.option("--all", "every", is_flag=True, help="End every region of this user.")
def down(directory: Path | None, every: bool) -> None:
    """End the region of DIRECTORY, or the one that `hikkoshi up` alone started.

    Also removes what is left of one whose processes were killed. Idempotent.

    \b
    Examples:
      hikkoshi down examples/genba/after
      hikkoshi down --all

    Exit codes: 0 nothing of it is left, 2 wrong use, 3 could not run.
    """
    states = [region_state(directory)]
    if every:
        states += [Path(record.state) for record, _ in find_regions(region_index())]
    for state in dict.fromkeys(states):
        gone = clean_up(state)
        remove_kept(state)
        if gone.record is not None:
            forget(Path(gone.record.record_directory))
    forget(region_records(directory))
    click.echo("Nothing of it is left.", err=True)


def forget(records: Path) -> None:
    """What a killed region would have brought back is not to come back after `down`."""
    with contextlib.suppress(OSError):
        for name in JOURNALS:
            (records / name).unlink(missing_ok=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the regions as JSON.")
def status(as_json: bool) -> None:
    """Show this user's regions, where their API is, and which doors lead into them.

    \b
    Example:
      hikkoshi status --json
    """
    found = [_describe(record, alive) for record, alive in find_regions(region_index())]
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    if not found:
        click.echo("No region is running. Start one: hikkoshi up", err=True)
    for each in found:
        click.echo(f"{each['api_url']}  {each['health']}  {each['engine']}  {each['state']}")
        for kind, doors in each.get("doors", {}).items():
            for name, door in doors.items():
                click.echo(f"  {kind}: {door} -> {name}")
        if each["health"] == "running":
            click.echo(f"  export AWS_ENDPOINT_URL={each['api_url']}")


def _describe(record: RegionRecord, is_alive: bool) -> dict[str, Any]:
    from hikkoshi.aws.access import Access

    row: dict[str, Any] = {
        "api_url": record.api_url,
        "state": record.state,
        "engine": record.engine,
        "pid": record.door_pid,
        "health": "running" if is_alive else "dead (hikkoshi down removes what is left)",
    }
    if not is_alive:
        return row
    try:
        row["doors"] = Access(record.api_url, "ap-northeast-1").ask("doors", timeout_s=3)
    except Exception as error:  # whatever is wrong with it is what the user wants to know
        row["health"] = f"does not answer ({error})"
    return row
