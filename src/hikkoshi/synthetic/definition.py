"""A synthetic test as a value: what all formats of tests become, and the runner runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hikkoshi.synthetic.checks import Check
from hikkoshi.synthetic.reply import Reply
from hikkoshi.synthetic.requests import Request


@dataclass(frozen=True, slots=True)
class Captured:
    """A value that later steps may name. is_secret: it is never shown."""

    name: str
    value: Any
    is_secret: bool = False


class CannotCapture(Exception):
    """In words, what could not be captured."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What a step's outcome means to its test. The names are Datadog's."""

    is_allowed_to_fail: bool = False
    is_critical: bool = True
    is_last_if_it_succeeds: bool = False
    retries: int = 0
    retry_interval_s: float = 0.3


class Step(Protocol):
    """One request and what its answer must be like.

    `names` are the values known so far. why_not: why the step cannot be tried here; None when it
    can."""

    @property
    def title(self) -> str: ...

    @property
    def where(self) -> str: ...

    @property
    def flow(self) -> Flow: ...

    @property
    def why_not(self) -> str | None: ...

    def used_names(self) -> list[str]:
        """All names that the step mentions."""
        ...

    def captured_names(self) -> list[str]:
        """All names that the step gives to later ones."""
        ...

    def request(self, names: Mapping[str, Any], base_url: str | None) -> Request:
        """Raises UnknownName, and CannotTry for what only its values show to be impossible."""
        ...

    def check(self, reply: Reply, names: Mapping[str, Any]) -> tuple[Check, ...]: ...

    def capture(self, reply: Reply) -> tuple[Captured, ...]:
        """Raises CannotCapture."""
        ...


@dataclass(frozen=True, slots=True)
class SyntheticTest:
    """retries: how often the whole test is tried again after it failed, retry_interval_s apart.
    timeout_s is for each request. every_s: how often `watch` runs it; alert_after_s: how long it
    must have failed before it does. variables: values made anew for each run. skipped: why it is
    left out on purpose. foreign: the document that it was read from, whole, for its export."""

    name: str
    steps: tuple[Step, ...]
    where: str
    timeout_s: float = 10.0
    retries: int = 0
    retry_interval_s: float = 0.3
    every_s: float | None = None
    alert_after_s: float = 0.0
    tags: tuple[str, ...] = ()
    variables: Callable[[Mapping[str, str]], tuple[Captured, ...]] = field(
        default=lambda env: (), compare=False
    )
    skipped: str | None = None
    foreign: Mapping[str, Any] | None = None
