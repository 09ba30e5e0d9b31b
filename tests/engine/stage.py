"""The entry point of the engine's tests: one scenario in a real region."""

from __future__ import annotations

import asyncio
import importlib
import json
from pathlib import Path

from hikkoshi.image.library import LocalLibrary
from hikkoshi.image.python_home import current_python
from hikkoshi.image.stand_ins import STAND_INS
from hikkoshi.model.images import EmbeddedImage
from hikkoshi.region.engine.embedded import EmbeddedEngine


async def main(ground, context) -> None:
    payload = context.payload
    library = LocalLibrary(
        ground.state / "images",
        current_python(),
        project=Path(payload["project"]) if payload.get("project") else None,
        images=[
            EmbeddedImage(**{k: tuple(v) if isinstance(v, list) else v for k, v in one.items()})
            for one in payload.get("images", [])
        ],
        archives={key: Path(path) for key, path in payload.get("archives", {}).items()},
        stand_ins=STAND_INS,
    )
    if payload.get("without_cgroups"):
        ground.cgroups = ()
    engine = await EmbeddedEngine.create(ground, library)
    module, _, name = payload["scenario"].partition(":")
    scenario = getattr(importlib.import_module(module), name)
    answer = await asyncio.wait_for(
        scenario(engine, ground, *payload.get("arguments", [])), timeout=60
    )
    await engine.close()
    (context.record_directory / "answer.json").write_text(json.dumps(answer))
    context.ready()
    await context.stopping.wait()
