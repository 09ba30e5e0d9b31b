"""Tests that run on each engine: the Docker half is skipped loudly where Docker cannot be used."""

from __future__ import annotations

import os
import warnings

import pytest

from hikkoshi.cli.engine_choice import look_for_docker

ENGINES = ("embedded", "docker")


def need(engine: str) -> str:
    """The engine, or a skip that a warning tells of."""
    if engine == "docker" and (refusal := look_for_docker(os.environ).refusal) is not None:
        warnings.warn(f"the Docker half is skipped: {refusal.what}", stacklevel=2)
        pytest.skip(f"DOCKER HALF SKIPPED: {refusal.what}")
    return engine
