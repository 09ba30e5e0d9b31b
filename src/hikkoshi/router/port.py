"""What the router's parts promise each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple, Protocol

from hikkoshi.router.event import Event
from hikkoshi.router.parsers import Parser


class Log(Protocol):
    """Fluent Bit's log on stderr: level error, warn, info, debug; where as `output:datadog`."""

    def __call__(self, level: str, where: str, text: str) -> None: ...


class Filter(Protocol):
    name: str

    def apply(self, tag: str, events: list[Event]) -> list[Event]:
        """What goes on, in order; records may be changed in place."""
        ...

    def tick(self, now: float) -> None:
        """Called a few times a second; a filter that holds records lets go of the late ones."""
        ...

    def close(self) -> None:
        """The last call: let go of everything that is held."""
        ...


Emit = Callable[[str, list[Event]], None]


class FilterContext(NamedTuple):
    """emit: back to the start of the pipeline, past the filter itself (another tag, as a rule).
    resume: on to the filters that follow, for records that were held."""

    emit: Emit
    resume: Emit
    parsers: Mapping[str, Parser]
    multiline: Mapping[str, MultilineRules]
    log: Log
    clock: Callable[[], float]


class MultilineRule(NamedTuple):
    states: tuple[str, ...]
    pattern: object
    next_state: str


class MultilineRules(NamedTuple):
    name: str
    rules: tuple[MultilineRule, ...]
    flush_s: float


class Result(Enum):
    OK = "ok"
    RETRY = "retry"
    ERROR = "error"
    """Not to be tried again."""
    CAPTURED = "captured"
    """The destination is not interpreted here: counted, not delivered."""


class Output(Protocol):
    name: str
    tls: bool

    def flush(self, tag: str, events: list[Event]) -> Result:
        """Deliver; runs in a worker thread, may block, and never changes the events."""
        ...

    def close(self) -> None: ...
