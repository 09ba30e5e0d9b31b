"""Routers as real processes: the stand-in always, the real Fluent Bit where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from router_process import REAL, STAND_IN, RouterProcess, Sink, starter


@pytest.fixture(
    params=[
        "stand-in",
        pytest.param(
            "fluent-bit",
            marks=pytest.mark.skipif(not Path(REAL).exists(), reason="no fluent-bit installed"),
        ),
    ]
)
def start_router(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., RouterProcess]]:
    """start(text, environ) → a running router; each is killed at the end of the test."""
    argv = STAND_IN if request.param == "stand-in" else (REAL,)
    yield from starter(argv, tmp_path)


@pytest.fixture
def start_stand_in(tmp_path: Path) -> Iterator[Callable[..., RouterProcess]]:
    yield from starter(STAND_IN, tmp_path)


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.close()
