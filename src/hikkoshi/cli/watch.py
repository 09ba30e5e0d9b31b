"""`hikkoshi watch`: what a region records, live in the browser."""

from __future__ import annotations

import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import click

from hikkoshi.base.errors import CannotRun
from hikkoshi.cli.places import region_records, runs
from hikkoshi.live.following import Followed
from hikkoshi.live.lines import JsonLines
from hikkoshi.live.page import live_page
from hikkoshi.live.server import Feed, LiveServer
from hikkoshi.live.snapshot import snapshot
from hikkoshi.live.window import Window
from hikkoshi.load.follow import FollowedResults
from hikkoshi.report.html import json_for_script
from hikkoshi.report.trace_data import trace_data

EVERY_S = 1.0
TRACES_EVERY_S = 4.0
ROOM_FOR_TRACES = 0.12


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--port", default=0, help="Of the page on 127.0.0.1; 0: any that is free.")
@click.option("--open", "is_opened", is_flag=True, help="Open the page in the browser.")
@click.option("--json", "is_json", is_flag=True, help="No page: lines of JSON on stdout.")
def watch(directory: Path | None, port: int, is_opened: bool, is_json: bool) -> None:
    """Show live what the region of DIRECTORY records: requests, latency, connections, CPU, files,
    tasks, faults, and the traces that failed or were slow.

    Start it before, during or after `hikkoshi rehearse DIRECTORY` or `hikkoshi up DIRECTORY`; it
    follows whichever records now. Without DIRECTORY: the one here, else the region that belongs
    to no project. The page is on loopback and needs the token in the printed link. Ctrl-C ends it.

    With --json each event (a task's state, a fault, a trial, a service's message) is a line as it
    comes, {"kind": "event", "t", "what", "words"}, and about once a second there is one with
    {"kind": "numbers", "rate", "failed", "p99_s", "connections", "tasks", …} of the last 5 s.

    \b
    Examples:
      hikkoshi watch examples/genba/before
      hikkoshi watch --open
      hikkoshi watch --port 8090
      hikkoshi watch --json | jq -c 'select(.kind == "event")'

    Exit codes: 130 ended by Ctrl-C, 2 no such directory, 3 the port is taken.
    """
    place = _place(directory)
    if is_json:
        if port or is_opened:
            raise click.UsageError("--json makes no page: leave --port and --open out")
        _print(place)
        return
    title = (place or Path.cwd()).resolve().name if place else "the local region"
    feed = Feed()
    try:
        server = LiveServer(feed, lambda token: live_page(title, token), port)
    except OSError as error:
        raise CannotRun(
            f"port {port} of 127.0.0.1 cannot be listened on: {error.strerror}",
            fix="give another --port, or none",
        ) from error
    with server:
        click.echo(f"watching {place or title}: {server.link}")
        click.echo("Ctrl-C ends it.", err=True)
        if is_opened:
            webbrowser.open(server.link)
        _feed(place, feed)


def _place(directory: Path | None) -> Path | None:
    if directory is not None:
        if not directory.is_dir():
            raise click.UsageError(f"there is no directory {directory}")
        return directory
    here = Path.cwd()
    return here if (here / ".hikkoshi").is_dir() else None


def _print(place: Path | None) -> None:
    lines = JsonLines()
    for window in _windows(place):
        click.echo("\n".join(lines.fresh(window.store, time.time())))


def _feed(place: Path | None, feed: Feed) -> None:
    next_traces = 0.0
    for window in _windows(place):
        now = time.monotonic()
        feed.put("lines", json_for_script(snapshot(window.store, time.time())))
        if now >= next_traces:
            shown = trace_data(window.store, share=ROOM_FOR_TRACES)
            feed.put("traces", json_for_script(shown))
            next_traces = now + TRACES_EVERY_S


def _windows(place: Path | None) -> Iterator[Window]:
    """The evidence so far, about once a second until Ctrl-C. A new rehearsal, or a region started
    after it, begins a new window."""
    while True:
        source = _source(place)
        window = Window()
        try:
            yield from _followed(place, source, window)
        finally:
            window.close()


def _followed(place: Path | None, source: Path, window: Window) -> Iterator[Window]:
    followed = Followed([source, source / "region", source / "trials"])
    results: dict[Path, FollowedResults] = {}
    while _source(place) == source:
        started = time.monotonic()
        for table, lines in followed.fresh():
            window.take(table, lines)
        for file in sorted((source.parent / "load").glob("*.load")):
            lines = results.setdefault(file, FollowedResults(file)).lines()
            if lines:
                window.take("requests", lines)
        window.prune(time.time())
        yield window
        # A machine that is busy rehearsing comes first: at most a quarter of one core.
        spent = time.monotonic() - started
        time.sleep(max(EVERY_S - spent, 3 * spent))


def _source(place: Path | None) -> Path:
    """Of the latest run's records and the region's own, the one that was written to last."""
    own = region_records(place)
    if place is None:
        return own
    latest = (runs(place) / "latest").resolve() / "records"
    return max((own, latest), key=_written)


def _written(records: Path) -> float:
    newest = 0.0
    for directory in (records, records / "region", records / "trials"):
        try:
            newest = max([newest, *(each.stat().st_mtime for each in directory.iterdir())])
        except OSError:
            continue
    return newest
