"""The house of the load balancer's tests, and targets for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from elb_house import QUICK, Backend, House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    built = House(tmp_path, QUICK)
    try:
        yield built
    finally:
        built.close()


@pytest.fixture
def backends() -> Iterator[Callable[[str], Backend]]:
    made: list[Backend] = []

    def make(name: str) -> Backend:
        made.append(Backend(name))
        return made[-1]

    yield make
    for backend in made:
        backend.close()
