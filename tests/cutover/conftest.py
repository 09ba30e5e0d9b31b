"""One load balancer with two sides for all tests here; each begins with the old side alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cutover_house import Sides


@pytest.fixture(scope="session")
def both_sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    built = Sides(tmp_path_factory.mktemp("sides"))
    try:
        yield built
    finally:
        built.close()


@pytest.fixture
def sides(both_sides: Sides, tmp_path: Path) -> Iterator[Sides]:
    """In a project of the test's own, from a rule that leads to the old side alone."""
    both_sides.project = tmp_path
    yield both_sides
    for backend in both_sides.backends.values():
        backend.status = 200
    both_sides.as_it_was()
