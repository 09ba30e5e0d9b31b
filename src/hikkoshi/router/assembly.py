"""From a configuration's sections to filters, inputs and outputs that run."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

from hikkoshi.router.configuration import Configuration, plugin_name
from hikkoshi.router.event import Event
from hikkoshi.router.filters import make_filter
from hikkoshi.router.inputs import make_input
from hikkoshi.router.inputs.base import Host, Input
from hikkoshi.router.match import tag_matcher
from hikkoshi.router.outputs import OutputContext, make_output
from hikkoshi.router.port import Emit, Filter, FilterContext, Log
from hikkoshi.router.route import Route
from hikkoshi.router.section import Settings

Emitter = Callable[[int, int], Emit]
"""(a filter's index, the index to go on from) → how that filter sends records on."""

Ingest = Callable[[Input, str, list[Event], int], None]


def make_filters(
    configuration: Configuration, log: Log, emitter: Emitter
) -> list[tuple[Filter, Callable[[str], bool]]]:
    filters = []
    for index, section in enumerate(configuration.filters):
        name = plugin_name(section)
        settings = Settings(section, name)
        settings.many("name")
        matches = tag_matcher(settings)
        context = FilterContext(
            emit=emitter(index, 0),
            resume=emitter(index, index + 1),
            parsers=configuration.parsers,
            multiline=configuration.multiline,
            log=log,
            clock=time.monotonic,
        )
        made = make_filter(name, settings, context)
        _note_ignored(log, f"filter:{name}", settings)
        filters.append((made, matches))
    return filters


def make_inputs(
    configuration: Configuration, log: Log, selector: selectors.BaseSelector, ingest: Ingest
) -> list[Input]:
    host = Host(
        selector, ingest, configuration.parsers, log, time.time_ns,
        time.monotonic,
    )  # fmt: skip
    counts: dict[str, int] = {}
    inputs = []
    for section in configuration.inputs:
        name = plugin_name(section)
        settings = Settings(section, name)
        settings.many("name")
        number = counts.get(name.lower(), 0)
        counts[name.lower()] = number + 1
        made = make_input(name, number, settings, host)
        _note_ignored(log, f"input:{made.name}", settings)
        inputs.append(made)
    return inputs


def make_routes(configuration: Configuration, context: OutputContext) -> list[Route]:
    routes = []
    for index, section in enumerate(configuration.outputs):
        name = plugin_name(section)
        settings = Settings(section, name)
        settings.many("name")
        matches = tag_matcher(settings)
        limit: int | None = settings.read(
            "retry_limit", retry_limit("1"), retry_limit, "a number, False or no_retries"
        )
        output = make_output(name, settings, context)
        _note_ignored(context.log, f"output:{name}", settings)
        routes.append(Route(f"{name}.{index}", output, matches, limit, context.log))
    return routes


def _note_ignored(log: Log, where: str, settings: Settings) -> None:
    for key in settings.finish():
        log("debug", where, f"{key} is accepted and has no effect in the stand-in")


def retry_limit(text: str) -> int | None:
    """None: for ever."""
    lowered = text.strip().lower()
    if lowered in ("false", "off", "no_limits"):
        return None
    if lowered == "no_retries":
        return 0
    number = int(lowered)
    if number < 0:
        raise ValueError(text)
    return number
