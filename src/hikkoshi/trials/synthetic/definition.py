"""A synthetic test as a value, as the file says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hikkoshi.trials.synthetic.expectations import Expectation
from hikkoshi.trials.synthetic.jsonpath import JsonPath


@dataclass(frozen=True, slots=True)
class Step:
    """One request. body None: none; text or bytes as they are; anything else is sent as JSON.

    capture: names that later steps may use as {{name}}, each from a path of the JSON answer, or
    from `header NAME`.
    """

    method: str
    path: str
    where: str
    headers: tuple[tuple[str, str], ...] = ()
    body: Any = None
    expect: Expectation = field(default_factory=Expectation)
    capture: tuple[tuple[str, JsonPath | str], ...] = ()

    @property
    def title(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class SyntheticTest:
    """retries: how often the whole test is tried again after it failed, retry_interval_s apart.
    timeout_s is for each request."""

    name: str
    steps: tuple[Step, ...]
    where: str
    timeout_s: float = 10.0
    retries: int = 0
    retry_interval_s: float = 0.3
