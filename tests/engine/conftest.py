from __future__ import annotations

import json

import pytest

from hikkoshi.region.boot import LaunchSettings, launch


@pytest.fixture
def perform(tmp_path, monkeypatch):
    """Run a scenario of tests/engine/scenarios.py in a region of its own; answers its answer."""
    from pathlib import Path

    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", root)

    def run(scenario, *arguments, **payload):
        records = tmp_path / "records"
        handle = launch(
            LaunchSettings(
                state=tmp_path / "state",
                record_directory=records,
                entry_point="tests.engine.stage:main",
                index=tmp_path / "index",
                payload={
                    "scenario": f"tests.engine.scenarios:{scenario}",
                    "arguments": arguments,
                    **payload,
                },
            )
        )
        try:
            handle.wait_ready(90)
        finally:
            handle.stop()
        return json.loads((records / "answer.json").read_text())

    return run
